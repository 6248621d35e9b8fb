"""The score of one case: log-risk, its place among the reference cases, and what else the bundle may say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.bundle.manifest import BaselineHazard, HeadEntry
from MemorySurvivalLib.bundle.rights import decide_rights
from MemorySurvivalLib.clinical.staging_fields import is_for_staging
from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.measure.statistics import STATISTICS
from MemorySurvivalLib.risk.covariate_fields import list_titles, say_missing
from MemorySurvivalLib.risk.covariates import Covariates, EncodedCovariates, encode_covariates

UNCALIBRATED_HORIZON_MONTHS = 36.0
"""Where the curve of a simulated case ends; beyond it few of the training cases are still followed."""


@dataclass(frozen=True)
class SurvivalCurve:
    """Probability of progression-free survival at rising times, up to the horizon it is calibrated for.

    `lower` and `upper` span the curve and what it becomes anywhere in `slope_interval`, the interval of the
    out-of-fold calibration slope; all three are empty where nothing was calibrated. Other doubts are not in them.
    """

    times_months: tuple[float, ...]
    probability: tuple[float, ...]
    horizon_months: float
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    slope_interval: tuple[float, ...] = ()


@dataclass(frozen=True)
class StatisticUsed:
    """A number measured in the region as the head took it; None where it could not be measured."""

    name: str
    value: float | None
    unit: str


@dataclass(frozen=True)
class RiskResult:
    """What the model says about one case; absent values are those the bundle may not show.

    `log_risk` is relative to the mean of the training cohort. `position` is the share of reference cases with a lower
    log-risk, 0 to 1.
    """

    log_risk: float
    head: str
    labels: tuple[str, ...]
    position: float | None
    reference: str | None
    reference_log_risks: tuple[float, ...]
    risk_group: str | None
    survival: SurvivalCurve | None
    gate_pet: float | None
    covariates: EncodedCovariates | None
    notes: tuple[str, ...]
    statistics: tuple[StatisticUsed, ...] = ()


def needed_statistics(bundle: ModelBundle) -> tuple[str, ...]:
    """The statistics that the bundle's heads take, each once."""
    return tuple(dict.fromkeys(name for head in bundle.manifest.heads for name in head.spec.statistics))


def choose_covariates(
    bundle: ModelBundle, values: Covariates | None
) -> tuple[EncodedCovariates | None, str, list[str]]:
    """Which head scores this case: (encoded covariates or None, head name, notes for the user).

    Without any usable covariate the image-only head is used, never an imputed average patient.
    """
    notes: list[str] = []
    entry = bundle.head_entry(with_covariates=values is not None)
    if values is None or entry.covariates is None:
        if values is not None:
            notes.append("This bundle takes no covariates; those given were not used.")
        elif any(head.covariates for head in bundle.manifest.heads):
            notes.append("No covariates were given; the image-only head was used.")
        return None, entry.name, notes
    encoded = encode_covariates(entry.covariates, values)
    unread = [name for name in encoded.ignored if not is_for_staging(name)]
    if unread:
        notes.append(f"Columns the model does not know were ignored: {', '.join(unread)}.")
    if not encoded.used:
        notes.append("Every covariate is missing; the image-only head was used.")
        return None, bundle.head_entry(with_covariates=False).name, notes
    if encoded.missing:
        notes.append(say_missing(list_titles(encoded.missing)))
    return encoded, entry.name, notes


def score_states(
    bundle: ModelBundle,
    states: Mapping[Modality, torch.Tensor],
    values: Covariates | None,
    *,
    simulated_case: bool,
    other_roi: bool,
    statistics: Mapping[str, float] | None = None,
) -> RiskResult:
    """Score one case's memory states (layers, channels, h, w) by modality and apply the bundle's rights.

    `statistics` are those of `needed_statistics`, by name; one that is no finite number takes the training cohort's
    mean and is named. Raises InputError where the head takes statistics and none are given.
    """
    encoded, head_name, notes = choose_covariates(bundle, values)
    entry = next(head for head in bundle.manifest.heads if head.name == head_name)
    measured = _take_statistics(entry, statistics)
    output = bundle.heads[head_name].score(states, encoded.vector if encoded else (), measured)
    used = tuple(
        StatisticUsed(name, value if math.isfinite(value) else None, STATISTICS[name].unit)
        for name, value in zip(entry.spec.statistics, measured or (), strict=True)
    )
    absent = [STATISTICS[one.name].title for one in used if one.value is None]
    if absent:
        notes.append(f"Not measurable in this case, so the training cohort's average was taken: {', '.join(absent)}.")
    far = bundle.heads[head_name].far_statistics(measured) if measured else {}
    if far:
        said = ", ".join(f"{STATISTICS[name].title} {sds:+.0f} SD" for name, sds in far.items())
        notes.append(
            f"Far from the cases that the model learned from ({said}): the score is extrapolated; look at the "
            "mask, and at how the scan was made."
        )
    log_risk = float(output.log_risk[0])
    if not math.isfinite(log_risk):
        raise MemorySurvivalError(
            "The model gave no finite log-risk for this case; check the images, or report the case with its result."
        )
    rights = decide_rights(bundle.manifest, entry, simulated_case=simulated_case, other_roi=other_roi)
    position = reference = group = survival = None
    risks: tuple[float, ...] = ()
    if rights.position and entry.reference:
        risks = entry.reference.log_risks
        position = float(np.mean(np.asarray(risks) < log_risk))
        reference = entry.reference.description
    if rights.group and entry.groups:
        group = entry.groups.names[int(np.searchsorted(entry.groups.thresholds, log_risk, side="right"))]
    if rights.survival and entry.baseline:
        last = entry.baseline.times_months[-1]
        horizon = entry.calibration.horizon_months if entry.calibration else min(UNCALIBRATED_HORIZON_MONTHS, last)
        slopes = entry.calibration.slope_interval if entry.calibration and entry.calibration.out_of_fold else ()
        survival = predict_survival(entry.baseline, log_risk, horizon, slopes)
    gate = float(output.gate_pet[0]) if output.gate_pet is not None and not other_roi else None
    return RiskResult(
        log_risk,
        head_name,
        rights.labels,
        position,
        reference,
        risks,
        group,
        survival,
        gate,
        encoded,
        tuple(notes),
        used,
    )


def _take_statistics(entry: HeadEntry, statistics: Mapping[str, float] | None) -> tuple[float, ...] | None:
    names = entry.spec.statistics
    if not names or statistics is None:
        return None
    values = (statistics.get(name, math.nan) for name in names)
    return tuple(value if math.isfinite(value) else math.nan for value in values)


def predict_survival(
    baseline: BaselineHazard, log_risk: float, horizon_months: float, slope_interval: tuple[float, ...] = ()
) -> SurvivalCurve:
    """S(t) = exp(-H0(t) exp(log-risk)), the proportional-hazards survival, up to the horizon.

    The curve is a step function: at the horizon it still has the value of the last event time before it. With the two
    ends of a calibration slope's interval, the log-risk times each of them gives the curve's own interval.
    """
    times, hazard = np.asarray(baseline.times_months), np.asarray(baseline.cumulative_hazard)
    kept = times <= horizon_months
    times, hazard = times[kept], hazard[kept]
    if len(times) and times[-1] < horizon_months:
        times, hazard = np.append(times, horizon_months), np.append(hazard, hazard[-1])
    probability = np.exp(-hazard * np.exp(log_risk))
    curve = SurvivalCurve(tuple(times.tolist()), tuple(probability.tolist()), horizon_months)
    if not slope_interval:
        return curve
    scaled = np.stack([probability, *(np.exp(-hazard * np.exp(slope * log_risk)) for slope in slope_interval)])
    return replace(
        curve,
        lower=tuple(scaled.min(axis=0).tolist()),
        upper=tuple(scaled.max(axis=0).tolist()),
        slope_interval=slope_interval,
    )
