"""The stability of one score: the same case read under many changes, and what that did to its log-risk."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.risk.covariates import Covariates
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.scoring import RiskResult, choose_covariates, score_states
from MemorySurvivalLib.stability.arrangement import Arrangement, NotApplicable, arrange
from MemorySurvivalLib.stability.changes import BADGE, UNCHANGED, Change
from MemorySurvivalLib.stability.record import StabilityRecord, TrialRecord, judge, word
from MemorySurvivalLib.stability.trying import read_arrangements


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
    start, before = time.monotonic(), engine.encoded_slices
    arrangements, left_out = _arrange_all(bundle, case, roi, changes)
    risks = score_arrangements(engine, bundle, case, roi, values, arrangements, progress)
    own, tried = risks[0], risks[1:]
    sd = reference_sd(own)
    trials = tuple(_trial(one.done, risk, own, sd) for one, risk in zip(arrangements[1:], tried, strict=True))
    all_risks = [risk.log_risk for risk in risks]
    positions = [risk.position for risk in risks if risk.position is not None]
    groups = dict.fromkeys(risk.risk_group for risk in risks if risk.risk_group is not None)
    return StabilityRecord(
        verdict=judge(trials, sd),
        sentence=word(trials, sd, own.risk_group),
        log_risk=own.log_risk,
        lowest=min(all_risks),
        highest=max(all_risks),
        positions=(min(positions), max(positions)) if positions else (),
        risk_groups=tuple(groups),
        reference_sd=sd,
        largest=max(trials, key=lambda trial: abs(trial.moved), default=None),
        trials=trials,
        left_out=left_out,
        labels=own.labels,
        encoded_slices=engine.encoded_slices - before,
        seconds=round(time.monotonic() - start, 3),
    )


def score_arrangements(
    engine: MemoryEngine,
    bundle: ModelBundle,
    case: Case,
    roi: Roi,
    values: Covariates | None,
    arrangements: Sequence[Arrangement],
    progress: ProgressCallback = ignore_progress,
) -> list[RiskResult]:
    """What the head that scores this case says of each arrangement, within the bundle's rights."""
    _, name, _ = choose_covariates(bundle, values)
    needed = bundle.heads[name].spec.modalities
    all_windows: dict[Modality, Window] = {"PET": bundle.manifest.windows.PET, "CT": bundle.manifest.windows.CT}
    windows = {modality: all_windows[modality] for modality in MODALITIES if modality in needed}
    return [
        score_states(bundle, states, values, simulated_case=case.simulated, other_roi=roi.kind == "other")
        for states in read_arrangements(engine, case, arrangements, windows, progress)
    ]


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


def _trial(name: str, risk: RiskResult, own: RiskResult, sd: float | None) -> TrialRecord:
    moved = risk.log_risk - own.log_risk
    points = None
    if risk.position is not None and own.position is not None:
        points = round(100 * (risk.position - own.position), 2)
    return TrialRecord(name, risk.log_risk, moved, None if sd is None else moved / sd, points, risk.risk_group)
