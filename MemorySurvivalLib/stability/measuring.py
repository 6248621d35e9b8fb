"""The stability of one score: the same case read under many changes, and what that did to its log-risk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.measure.statistics import measure_statistics
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.risk.covariates import Covariates
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.scoring import RiskResult, needed_statistics, score_states
from MemorySurvivalLib.stability.arrangement import Arrangement, NotApplicable, Steps, arrange, moved
from MemorySurvivalLib.stability.changes import BADGE, UNCHANGED, Change
from MemorySurvivalLib.stability.record import StabilityRecord, TrialRecord, judge, word
from MemorySurvivalLib.stability.trying import States, read_arrangements


@dataclass(frozen=True, eq=False)
class Readings:
    """A case's memory states as it is and under each change that could be made, small enough to keep.

    `names` say what was done, in the order of `changed`; `left_out` are sentences about what could not be.
    `statistics` are those that the bundle's heads take of the region, of the case as it is and then under each change;
    empty where they take none.
    """

    own: States
    names: tuple[str, ...]
    changed: tuple[States, ...]
    left_out: tuple[str, ...]
    encoded_slices: int
    seconds: float
    statistics: tuple[Mapping[str, float], ...] = ()


def measure_stability(
    engine: MemoryEngine,
    bundle: ModelBundle,
    case: Case,
    roi: Roi,
    values: Covariates | None = None,
    changes: Sequence[Change] = BADGE,
    progress: ProgressCallback = ignore_progress,
) -> StabilityRecord:
    """Score the case as it is and under each change, with the same covariates and the same head.

    Costs one more encoding of the slices used, one each for the slices in between and for every shift of the PET, and
    one prompt for every change; modes other than `boxed` cost a whole pass for every change. Changes that the case or
    the bundle does not allow are named in `left_out`. Raises MemorySurvivalError as scoring does.
    """
    readings = read_changes(engine, bundle, case, roi, changes, progress)
    return judge_readings(bundle, case, roi, readings, values)


def read_changes(
    engine: MemoryEngine,
    bundle: ModelBundle,
    case: Case,
    roi: Roi,
    changes: Sequence[Change] = BADGE,
    progress: ProgressCallback = ignore_progress,
) -> Readings:
    """The part that takes time; it does not depend on covariates."""
    start, before = time.monotonic(), engine.encoded_slices
    arrangements, left_out = _arrange_all(bundle, case, roi, changes)
    windows: dict[Modality, Window] = {"PET": bundle.manifest.windows.PET, "CT": bundle.manifest.windows.CT}
    needed = {
        modality: windows[modality]
        for modality in MODALITIES
        if any(modality in head.spec.modalities for head in bundle.manifest.heads)
    }
    own, *changed = read_arrangements(engine, case, arrangements, needed, progress)
    return Readings(
        own=own,
        names=tuple(one.done for one in arrangements[1:]),
        changed=tuple(changed),
        left_out=left_out,
        encoded_slices=engine.encoded_slices - before,
        statistics=measure_arrangements(case, arrangements, needed_statistics(bundle)),
        seconds=round(time.monotonic() - start, 3),
    )


def judge_readings(
    bundle: ModelBundle, case: Case, roi: Roi, readings: Readings, values: Covariates | None
) -> StabilityRecord:
    """Score the readings with the head that scores this case, within the bundle's rights, and give the badge."""

    def score(states: States, statistics: Mapping[str, float] | None) -> RiskResult:
        return score_states(
            bundle,
            states,
            values,
            simulated_case=case.simulated,
            other_roi=roi.kind == "other",
            statistics=statistics,
        )

    every = (readings.own, *readings.changed)
    risks = [score(*both) for both in zip(every, readings.statistics or (None,) * len(every), strict=True)]
    own = risks[0]
    sd = reference_sd(own)
    trials = tuple(_trial(name, risk, own, sd) for name, risk in zip(readings.names, risks[1:], strict=True))
    positions = [risk.position for risk in risks if risk.position is not None]
    return StabilityRecord(
        verdict=judge(trials, sd),
        sentence=word(trials, sd, own.risk_group),
        log_risk=own.log_risk,
        lowest=min(risk.log_risk for risk in risks),
        highest=max(risk.log_risk for risk in risks),
        positions=(min(positions), max(positions)) if positions else (),
        risk_groups=tuple(dict.fromkeys(risk.risk_group for risk in risks if risk.risk_group is not None)),
        reference_sd=sd,
        largest=max(trials, key=lambda trial: abs(trial.moved), default=None),
        trials=trials,
        left_out=readings.left_out,
        labels=own.labels,
        encoded_slices=readings.encoded_slices,
        seconds=readings.seconds,
    )


def reference_sd(risk: RiskResult) -> float | None:
    """The standard deviation of log-risk among the reference cases; None where the bundle may not show a position."""
    if risk.position is None:
        return None
    sd = float(np.std(risk.reference_log_risks, ddof=1))
    return sd if sd > 0 else None


def _arrange_all(
    bundle: ModelBundle, case: Case, roi: Roi, changes: Sequence[Change]
) -> tuple[list[Arrangement], tuple[str, ...]]:
    """The case as it is, then every change that can be made; and sentences about those that cannot."""
    config = bundle.manifest.propagation
    arrangements, left_out = [arrange(UNCHANGED, case, roi.mask, config)], []
    for change in changes:
        try:
            arrangements.append(arrange(change, case, roi.mask, config))
        except NotApplicable as error:
            left_out.append(str(error))
    return arrangements, tuple(dict.fromkeys(left_out))


def measure_arrangements(
    case: Case, arrangements: Sequence[Arrangement], names: tuple[str, ...]
) -> tuple[Mapping[str, float], ...]:
    """The statistics `names` under each arrangement, none where there are no names; those that leave mask and PET alone
    share theirs."""
    known: dict[tuple[str, Steps], Mapping[str, float]] = {}
    found = []
    for one in arrangements if names else ():
        key = one.mask.sha256(), one.pet_steps
        if key not in known:
            there = replace(case, pet=moved(case.pet, one.pet_steps)) if any(one.pet_steps) else case
            known[key] = measure_statistics(there, one.mask.voxels, names)
        found.append(known[key])
    return tuple(found)


def _trial(name: str, risk: RiskResult, own: RiskResult, sd: float | None) -> TrialRecord:
    moved = risk.log_risk - own.log_risk
    points = None
    if risk.position is not None and own.position is not None:
        points = round(100 * (risk.position - own.position), 2)
    return TrialRecord(name, risk.log_risk, moved, None if sd is None else moved / sd, points, risk.risk_group)
