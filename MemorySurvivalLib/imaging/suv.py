"""SUV normalised to body weight (g/mL) from what a PT series holds, by the DICOM tags and what the user supplies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.pet_tags import PetTags, read_pet_tags
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.suv_checks import check_corrections, series_flags
from MemorySurvivalLib.imaging.suv_formulas import SuvType, body_measure, frame_decay, remaining
from MemorySurvivalLib.imaging.suv_supplied import BQ_PER_MBQ, QUESTIONS, Field, Supplied
from MemorySurvivalLib.imaging.suv_times import Reference
from MemorySurvivalLib.imaging.suv_values import LONGEST_HALF_LIVES, MissingPetTags, PetValues
from MemorySurvivalLib.imaging.volume import Volume

__all__ = ["MissingPetTags", "SuvConversion", "convert_tags", "convert_to_suv", "suv_volume"]

FACTORS_AGREE = 0.02
"""Philips' two factors should lead to one SUV; beyond this the header was changed after the scan."""


@dataclass(frozen=True)
class SuvConversion:
    """How to get SUVbw (g/mL) from a PT series: multiply each slice's rescaled values by its factor.

    `factors` stand in the order of the headers. `method` says in words what was done, `facts` holds every number that
    went in and where it came from (plain JSON values). `uptake_min` is the time from injection to the scan's start.
    """

    factors: tuple[float, ...]
    method: str
    reference_time: datetime | None
    uptake_min: float | None
    facts: Mapping[str, Any]
    flags: tuple[QualityFlag, ...]
    tags: PetTags
    supplied: Supplied

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: the method, then every flag."""
        return (f"SUV: {self.method}.", *(flag.sentence for flag in self.flags))


def convert_to_suv(headers: Sequence[Dataset], supplied: Supplied | None = None) -> SuvConversion:
    """The conversion of one PT series to SUVbw from its headers (one per slice, in any order, without pixels).

    Follows DICOM PS3.3 C.8.9.1, the vendor-neutral pseudo-code of the QIBA FDG-PET/CT profile (appendix G) and the
    manual of the SUV digital reference objects. A supplied value wins over its tag. Raises MissingPetTags where tags
    are missing or cannot be true, InputError where the series is no PET that SUV can be made of.
    """
    return convert_tags(read_pet_tags(headers), supplied)


def convert_tags(tags: PetTags, supplied: Supplied | None = None) -> SuvConversion:
    """As `convert_to_suv`, from tags that were read before."""
    supplied = supplied or Supplied()
    run = _Run(tags, PetValues(tags, supplied))
    check_corrections(tags)
    factors = run.convert()
    run.values.insist()
    if not all(math.isfinite(factor) and factor > 0 for factor in factors):
        raise InputError("The PET's tags lead to SUV factors that are not positive numbers; check its scale factors.")
    uptake_min = run.uptake_min()
    run.flag_unused()
    run.values.flag(*series_flags(tags))
    return SuvConversion(
        factors=tuple(factors),
        method=", ".join(run.steps),
        reference_time=run.reference.at if run.reference else None,
        uptake_min=uptake_min,
        facts=_facts(run, factors, uptake_min),
        flags=run.values.flags,
        tags=tags,
        supplied=supplied,
    )


def suv_volume(stored: Volume, factors: Sequence[float], slice_axis: int = 0) -> Volume:
    """Voxels (z, y, x; rescale slope and intercept applied) times one factor per slice along `slice_axis`, float32.

    Raises InputError when there is not one factor for each slice.
    """
    if len(factors) != stored.shape[slice_axis]:
        raise InputError(
            f"The PET has {stored.shape[slice_axis]} slices but headers for {len(factors)}; "
            "read the whole series again."
        )
    shape = [1, 1, 1]
    shape[slice_axis] = len(factors)
    scale: npt.NDArray[np.float32] = np.asarray(factors, dtype=np.float32).reshape(shape)
    return stored.with_voxels(np.multiply(stored.voxels, scale, dtype=np.float32))


@dataclass
class _Run:
    """One conversion under way: what is known so far, and in words what was done."""

    tags: PetTags
    values: PetValues
    steps: list[str] = field(default_factory=list)
    reference: Reference | None = None
    injected: datetime | None = None
    used: dict[str, Any] = field(default_factory=dict)
    entered: set[Field] = field(default_factory=set)

    def convert(self) -> list[float]:
        """One factor per slice, by the units."""
        units = self.tags.units
        if units == "BQML":
            self.steps.append("activity concentration (BQML)")
            return self._from_activity([1.0] * len(self.tags.slices))
        if units == "CNTS":
            return self._from_counts()
        if units in ("GML", "CM2ML"):
            return self._from_suv()
        told = f'are "{units}"' if units else "are missing"
        raise InputError(
            f"The units (0054,1001) of the PET {told}, from which SUV cannot be made; "
            "choose a series in BQML, GML, CM2ML or CNTS, or give a PET in SUVbw."
        )

    def uptake_min(self) -> float | None:
        """Minutes from injection to the scan's start, where they can be told; what prevents it is flagged."""
        half_life_s = self.values.half_life_s()
        reference = self.reference or self.values.reference()
        injected = self.injected or self.values.injected(reference.at if reference else None, half_life_s)
        for name, problem in self.values.problems.items():
            if name != "half_life_s":
                self.values.flag(QualityFlag("uptake_time", "warning", f"The uptake time is unknown: {problem}."))
            elif self.tags.half_life_s is not None:
                self.values.flag(QualityFlag(name, "warning", f"SUV did not need it, but {problem}."))
        self.values.problems.clear()
        self.reference, self.injected = reference, injected
        if reference is None or injected is None:
            return None
        start = reference.at
        if self.tags.decay_correction == "NONE" and self.values.supplied.scanned is None:
            start = min((part.acquired for part in self.tags.slices if part.acquired), default=start)
        return (start - injected).total_seconds() / 60

    def flag_unused(self) -> None:
        """Say which supplied values SUV was made without."""
        for name, question in QUESTIONS.items():
            if getattr(self.values.supplied, name) is None or name in self.entered:
                continue
            use = "counts for the uptake time only" if name in ("injection_time", "scan_time") else "is only recorded"
            sentence = f"The supplied {question.words} did not enter SUV, which needs none here; it {use}."
            self.values.flag(QualityFlag(f"supplied_{name}", "note", sentence))

    def _from_activity(self, bq_ml: list[float]) -> list[float]:
        """`bq_ml` turn the slices' values to Bq/mL; here they are divided by dose per gram, decay allowed for."""
        dose, weight = self.values.dose_bq(), self.values.weight_kg()
        decay = self._decay()
        self.values.insist()
        assert dose is not None and weight is not None
        self.entered |= {"dose_bq", "weight_kg"}
        self.used.update(dose_mbq=dose / BQ_PER_MBQ, weight_kg=weight)
        self.steps.append("divided by dose per gram of body weight")
        return [scale * one * 1000 * weight / dose for scale, one in zip(bq_ml, decay, strict=True)]

    def _decay(self) -> list[float]:
        """What brings each slice's activity to the injection's time."""
        kind, count = self.tags.decay_correction, len(self.tags.slices)
        if kind == "ADMIN":
            self.steps.append("decay-corrected to the injection (ADMIN)")
            return [1.0] * count
        if kind == "NONE":
            return self._decay_of_frames()
        if kind != "START" and self.values.supplied.scanned is None:
            told = f'is "{kind}"' if kind else "is missing"
            raise InputError(
                f"The tag decay correction (0054,1102) of the PET {told}, so the time its values hold for is unknown; "
                'supply that time, as in --pet-scanned "2020-01-31 11:15".'
            )
        half_life_s, reference = self.values.half_life_s(), self.values.reference()
        injected = self.values.injected(reference.at if reference else None, half_life_s)
        if half_life_s is None or reference is None or injected is None:
            return [1.0] * count
        self.reference, self.injected = reference, injected
        self.entered |= {"half_life_s", "injection_time", "scan_time"}
        seconds = (reference.at - injected).total_seconds()
        self.steps.append(f"decay-corrected to the scan's start (START: {reference.source})")
        self.used["decayed_dose_share"] = remaining(seconds, half_life_s)
        return [1 / remaining(seconds, half_life_s)] * count

    def _decay_of_frames(self) -> list[float]:
        """Decay correction NONE: every frame's mean is brought to its start, and from there to the injection."""
        slices = self.tags.slices
        if any(not part.duration_s for part in slices):
            raise InputError(
                "The PET is not decay-corrected (0054,1102 is NONE) and its frame durations (0018,1242) are missing, "
                "so SUV cannot be computed; choose a decay-corrected series."
            )
        half_life_s, starts = self.values.half_life_s(), self._frame_starts()
        injected = self.values.injected(min(starts), half_life_s) if starts else None
        if half_life_s is None or injected is None:
            return [1.0] * len(slices)
        if (max(starts) - injected).total_seconds() > LONGEST_HALF_LIVES * half_life_s:
            raise InputError(
                "The PET is not decay-corrected (0054,1102 is NONE) and its acquisition times (0008,0032) lie far "
                "apart, so SUV cannot be computed; choose a decay-corrected series."
            )
        self.injected = injected
        self.entered |= {"half_life_s", "injection_time", "scan_time"}
        self.steps.append("not decay-corrected (NONE): each frame by its own start and duration")
        return [
            frame_decay(part.duration_s or 0.0, half_life_s)
            / remaining((start - injected).total_seconds(), half_life_s)
            for part, start in zip(slices, starts, strict=True)
        ]

    def _frame_starts(self) -> list[datetime]:
        """Acquisition times; a supplied scan time takes the place of the earliest, and the others move with it."""
        told = [part.acquired for part in self.tags.slices]
        known = [at for at in told if at]
        if len(known) < len(told):
            raise InputError(
                "The PET is not decay-corrected (0054,1102 is NONE) and acquisition times (0008,0032) are missing, "
                "so SUV cannot be computed; choose a decay-corrected series."
            )
        if self.values.supplied.scanned is None:
            return known
        reference = self.values.reference()
        shift = reference.at - min(known) if reference else timedelta(0)
        return [at + shift for at in known]

    def _from_counts(self) -> list[float]:
        to_suv = [part.philips_suv_factor or 0.0 for part in self.tags.slices]
        to_activity = [part.philips_activity_factor or 0.0 for part in self.tags.slices]
        stated = self.values.supplied.stated()
        decayed = self.tags.decay_correction != "NONE"
        if all(to_activity) and (not all(to_suv) or stated or not decayed):
            self.steps.append("counts with Philips' activity factor (7053,1009)")
            return self._from_activity(to_activity)
        if not all(to_suv):
            raise InputError(
                "The PET is in counts (CNTS) and has neither Philips' SUV factor (7053,1000) nor its activity factor "
                "(7053,1009), so SUV cannot be computed; choose a series in BQML or export it with private tags."
            )
        if not decayed:
            raise InputError(
                "The PET is in counts that are not decay-corrected (0054,1102 is NONE) and has no activity factor "
                "(7053,1009), so SUV cannot be computed; choose a decay-corrected series."
            )
        self.steps.append("counts with Philips' SUV factor (7053,1000)")
        if all(to_activity):
            self._compare_factors(to_suv, to_activity)
        return self._restate(to_suv)

    def _compare_factors(self, to_suv: list[float], to_activity: list[float]) -> None:
        other = _Run(self.tags, PetValues(self.tags, self.values.supplied))
        try:
            by_activity = other._from_activity(to_activity)
        except InputError:
            return
        ratio = fmean(by_activity) / fmean(to_suv)
        if abs(ratio - 1) > FACTORS_AGREE:
            sentence = (
                "Philips' SUV factor (7053,1000) is used, but dose, weight and times with the activity factor "
                f"(7053,1009) give {ratio:.2f} times that SUV; tags were changed after the scan."
            )
            self.values.flag(QualityFlag("philips_factors", "warning", sentence, round(ratio, 4)))

    def _from_suv(self) -> list[float]:
        """The scanner's own SUV; other measures than body weight are undone with its formulas."""
        units, stated = self.tags.units, self.tags.suv_type
        suv_type: SuvType | None = {name: name for name in get_args(SuvType)}.get(
            stated or ("BSA" if units == "CM2ML" else "BW")
        )
        if suv_type is None or (suv_type == "BSA") != (units == "CM2ML"):
            raise InputError(
                f'The SUV type (0054,1006) of the PET is "{stated}" while its units are {units}, which do not fit; '
                "choose another series or give a PET in SUVbw."
            )
        if not stated:
            meaning = "body weight" if suv_type == "BW" else "body surface area"
            sentence = f"The SUV type (0054,1006) is not stated; for units {units} it was read as {meaning}."
            self.values.flag(QualityFlag("suv_type", "note", sentence))
        count = len(self.tags.slices)
        if suv_type == "BW":
            self.steps.append("the scanner's own SUV for body weight (GML)")
            return self._restate([1.0] * count)
        self.steps.append(f"the scanner's SUV of type {suv_type} ({units}) brought to body weight")
        return self._restate([self._undo(suv_type)] * count)

    def _undo(self, suv_type: SuvType) -> float:
        """Body weight over the measure the scanner divided by; the weight is the scanner's where it stated one."""
        weight, height = self.values.weight_kg(), self.values.height_m()
        sex: Any = "O" if suv_type == "BSA" else self.values.sex()
        self.values.insist()
        assert weight is not None and height is not None
        if PetValues(self.tags, Supplied()).weight_kg() is not None:
            weight = self.tags.weight_kg or weight
        measure = body_measure(suv_type, weight, height, sex)
        if measure <= 0:
            raise InputError(
                f"The {suv_type} formula gives no positive value for {weight:g} kg and {height:g} m; "
                "check weight and height of the PET."
            )
        self.used.update(weight_kg=weight, height_m=height, body_measure=measure)
        self.entered |= {"height_m"}
        if suv_type != "BSA":
            self.used["sex"] = sex
            self.entered |= {"sex"}
        if sex == "O" and suv_type != "BSA":
            sentence = (
                f"The patient's sex is O (other), for which {suv_type} has no agreed formula; the mean of those for "
                "women and men was taken, as the manual of the SUV reference objects proposes."
            )
            self.values.flag(QualityFlag("sex", "warning", sentence))
        # An SUV in cm2/mL was divided by dose per cm2: m2 to cm2 is 1e4, kg to g is 1e3.
        return weight / measure * (0.1 if suv_type == "BSA" else 1.0)

    def _restate(self, factors: list[float]) -> list[float]:
        """The scanner's SUV with a supplied weight or dose in place of what its tags say it used."""
        supplied, scanners = self.values.supplied, PetValues(self.tags, Supplied())
        ratio = 1.0
        asked: tuple[tuple[Field, float | None, float | None, int], ...] = (
            ("weight_kg", supplied.weight_kg, scanners.weight_kg(), 1),
            ("dose_bq", supplied.dose_bq, scanners.dose_bq(), -1),
        )
        for name, stated, tagged, power in asked:
            if stated is None:
                continue
            self.entered |= {name}
            getattr(self.values, name)()  # records the source and a contradiction
            if tagged is None:
                sentence = (
                    f"The supplied {name.split('_')[0]} did not enter SUV: the scanner computed SUV itself, and the "
                    "file does not say from which value."
                )
                self.values.flag(QualityFlag(f"supplied_{name}", "warning", sentence))
            elif abs(stated / tagged - 1) > 1e-3:
                ratio *= (stated / tagged) ** power
                self.steps.append(f"restated for the supplied {name.split('_')[0]}")
        self.values.flag(*scanners.flags)
        tagged_values = {"weight_kg": self.tags.weight_kg, "dose_bq": self.tags.dose}
        for field_name, problem in scanners.problems.items():
            if tagged_values[field_name] is not None:
                sentence = f"The scanner computed SUV itself, but {problem}."
                self.values.flag(QualityFlag(f"scanner_{field_name}", "warning", sentence))
        return [factor * ratio for factor in factors]


def _facts(run: _Run, factors: Sequence[float], uptake_min: float | None) -> dict[str, Any]:
    tags, values = run.tags, run.values
    facts: dict[str, Any] = {
        "method": ", ".join(run.steps),
        "units": tags.units,
        "suv_type": tags.suv_type,
        "decay_correction": tags.decay_correction,
        "corrected_image": list(tags.corrected),
        "manufacturer": tags.manufacturer,
        "tracer": tags.tracer,
        "isotope": tags.isotope,
        "factor_min": min(factors),
        "factor_max": max(factors),
        "half_life_s": values.half_life_s(),
        "injected": run.injected and run.injected.isoformat(sep=" "),
        "reference_time": run.reference and run.reference.at.isoformat(sep=" "),
        "uptake_min": None if uptake_min is None else round(uptake_min, 2),
        "glucose_mmol_l": tags.glucose_mmol_l,
        "sources": dict(values.sources),
        "supplied": values.supplied.stated(),
    }
    return facts | run.used
