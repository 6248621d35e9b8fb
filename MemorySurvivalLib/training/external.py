"""A bundle judged on a cohort that it never saw: discrimination, calibration, net benefit and groups of each head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.bundle.manifest import BaselineHazard, HeadEntry
from MemorySurvivalLib.bundle.recalibrate import risk_by
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.brier import BrierScore, brier_score
from MemorySurvivalLib.evaluation.calibration import Calibration, calibration
from MemorySurvivalLib.evaluation.curves import Censoring
from MemorySurvivalLib.evaluation.discrimination import Pairs, auc_pairs, harrell_pairs, uno_pairs
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.measures import EvaluationPlan
from MemorySurvivalLib.evaluation.net_benefit import NetBenefit, net_benefit
from MemorySurvivalLib.evaluation.risk_groups import RiskQuartiles, risk_quartiles
from MemorySurvivalLib.evaluation.subgroups import Subgroup
from MemorySurvivalLib.report.document import Block, Bullets, Cell, Figure, Paragraph, Section, Table
from MemorySurvivalLib.report.sheet import Picture
from MemorySurvivalLib.training.cohort_subgroups import cohort_subgroups
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.evidence_picture import draw_evidence
from MemorySurvivalLib.training.intake import OwnPatient
from MemorySurvivalLib.training.judged_head import quartile_blocks, subgroup_blocks
from MemorySurvivalLib.training.models.outcomes import check_outcomes
from MemorySurvivalLib.training.own_cohort import bundle_log_risks
from MemorySurvivalLib.training.seen_before import say_seen_before
from MemorySurvivalLib.training.tables import SIMULATED_PATIENTS

SEEN_LABEL = "NO VALIDATION: PATIENTS IT SEEMS TO KNOW"

FIRST_MONTH = 6.0
"""Where the window of the integrated Brier score begins, as in training; it ends at the horizon."""

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class JudgedHead:
    """Figures of one head on new patients; `notes` say what could not be judged, and why."""

    head: str
    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...]
    quartiles: RiskQuartiles | None = None
    calibrated: Calibration | None = None
    decided: NetBenefit | None = None
    subgroups: tuple[Subgroup, ...] = ()


@dataclass(frozen=True)
class ExternalValidation:
    """What `validate` found. Nothing was fitted; weights for censoring come from these patients themselves.

    `seen_before` is a sentence where the bundle seems to know these patients; `log_risks` (n,) by head are for whoever
    compares bundles, and are written nowhere."""

    bundle: str
    bundle_sha256: str
    n: int
    events: int
    simulated: bool
    horizon_months: float
    heads: tuple[JudgedHead, ...]
    seen_before: str = ""
    log_risks: Mapping[str, Floats] = field(default_factory=dict, compare=False, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands on every page."""
        return ((SIMULATED_PATIENTS,) if self.simulated else ()) + ((SEEN_LABEL,) if self.seen_before else ())

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON: every figure with its interval, and the log-rank test of the outer quartiles."""
        heads = [
            {
                "head": one.head,
                "estimates": one.estimates,
                "log_rank_p": one.quartiles.p_value if one.quartiles else None,
                "subgroups": one.subgroups,
                "notes": one.notes,
            }
            for one in self.heads
        ]
        said = {
            "bundle": self.bundle,
            "bundle_sha256": self.bundle_sha256,
            "n": self.n,
            "events": self.events,
            "simulated": self.simulated,
            "horizon_months": self.horizon_months,
            "seen_before": self.seen_before,
            "heads": heads,
            "research_use": RESEARCH_USE,
        }
        return msgspec.json.format(msgspec.json.encode(said), indent=1)

    def pictures(self, prefix: str = "") -> tuple[Picture, ...]:
        """One for each head; `prefix` tells those of two bundles on one page apart."""
        return tuple(
            draw_evidence(
                f"{prefix}{one.head}",
                "on these patients",
                one.quartiles,
                (one.calibrated,) if one.calibrated else (),
                (one.decided,) if one.decided else (),
                self.labels,
            )
            for one in self.heads
        )

    def sections(self, pictures: Sequence[Picture]) -> tuple[Section, ...]:
        """A section for each head, with its picture."""
        return tuple(_section(head, picture, self) for head, picture in zip(self.heads, pictures, strict=True))


def validate_bundle(
    bundle: ModelBundle,
    data: CohortData,
    horizon_months: float = 36.0,
    resamples: int = 1000,
    seed: int = 2026,
    patients: Sequence[OwnPatient] = (),
) -> ExternalValidation:
    """Score all patients with every head and judge it. Raises InputError for too few patients or events.

    `patients`, in the rows' order, tell scanner and site for the subgroups. That the bundle never saw these patients
    is the caller's word; where its baseline says otherwise, the result does too.
    """
    check_outcomes(data)
    risks = bundle_log_risks(bundle, data)
    heads = []
    for entry in bundle.manifest.heads:
        log_risk = risks[entry.name]
        judged = _judge(entry, data, log_risk, horizon_months, resamples, seed)
        groups = cohort_subgroups(data, patients, log_risk, resamples, seed) if patients else ()
        heads.append(JudgedHead(*judged, groups))
    baselines = [entry.baseline.times_months for entry in bundle.manifest.heads if entry.baseline is not None]
    seen = [say_seen_before(times, data.times_months, data.events) for times in baselines]
    return ExternalValidation(
        f"{bundle.manifest.name} {bundle.manifest.version}",
        bundle.archive.sha256,
        len(data),
        int(data.events.sum()),
        data.simulated,
        horizon_months,
        tuple(heads),
        next(filter(None, seen), ""),
        risks,
    )


_Judged = tuple[str, tuple[Estimate, ...], tuple[str, ...], RiskQuartiles | None, Calibration | None, NetBenefit | None]


def _judge(entry: HeadEntry, data: CohortData, log_risk: Floats, horizon: float, resamples: int, seed: int) -> _Judged:
    times, events = data.times_months, data.events
    estimates: list[Estimate] = []
    notes: list[str] = []

    def attempt(what: str, make: Callable[[], _T]) -> _T | None:
        """One figure that cannot be had does not hide the others."""
        try:
            return make()
        except InputError as error:
            notes.append(f"{what}: {error}")
            return None

    censoring = Censoring.from_training(times, events, len(data))
    pairs: tuple[tuple[str, Callable[[], Pairs]], ...] = (
        ("Harrell's c", lambda: harrell_pairs(times, events)),
        ("Uno's c", lambda: uno_pairs(times, events, censoring, horizon)),
        ("AUC", lambda: auc_pairs(times, events, censoring, horizon)),
    )
    for what, make in pairs:
        found = attempt(what, partial(_estimate, make, log_risk, resamples, seed))
        estimates += [found] if found is not None else []
    quartiles = attempt("Quartiles of risk", lambda: risk_quartiles(times, events, log_risk, seed=seed))
    baseline = entry.baseline
    if baseline is None:
        notes.append("The head has no baseline hazard to calibrate.")
        return entry.name, tuple(estimates), tuple(notes), quartiles, None, None
    calibrated = attempt(
        "Calibration",
        lambda: calibration(times, events, risk_by(baseline, log_risk, horizon), horizon, resamples, seed),
    )
    if calibrated is not None:
        slope = [calibrated.slope] if calibrated.slope else []
        estimates += [calibrated.observed_to_expected, calibrated.intercept, *slope, calibrated.ici]
    brier = attempt(
        "Integrated Brier score",
        lambda: integrated_brier(baseline, data, log_risk, censoring, horizon).estimate(resamples, seed),
    )
    estimates += [brier] if brier is not None else []
    thresholds = np.array(EvaluationPlan().thresholds)
    decided = attempt(
        "Net benefit",
        lambda: net_benefit(
            times, events, risk_by(baseline, log_risk, horizon), horizon, thresholds, min(resamples, 500), seed
        ),
    )
    if decided is not None:
        for number in range(len(thresholds)):
            gained = attempt("Net benefit", partial(decided.estimate, number))
            estimates += [gained] if gained is not None else []
    return entry.name, tuple(estimates), tuple(notes), quartiles, calibrated, decided


def _estimate(make: Callable[[], Pairs], log_risk: Floats, resamples: int, seed: int) -> Estimate:
    return make().estimate(log_risk, resamples, seed)


def integrated_brier(
    baseline: BaselineHazard, data: CohortData, log_risk: Floats, censoring: Censoring, horizon_months: float
) -> BrierScore:
    """The Brier score from FIRST_MONTH to the horizon. Raises InputError where that window is empty or the baseline
    ends before the horizon."""
    if horizon_months <= FIRST_MONTH:
        raise InputError(
            f"Its window runs from {FIRST_MONTH:g} months to the horizon of {horizon_months:g} and is empty."
        )
    grid = np.unique(np.append(np.arange(FIRST_MONTH, horizon_months, 1.0), horizon_months))
    survival = np.stack([1 - risk_by(baseline, log_risk, float(months)) for months in grid], axis=1)
    return brier_score(data.times_months, data.events, survival, grid, censoring)


def _section(head: JudgedHead, picture: Picture, whole: ExternalValidation) -> Section:
    rows = tuple(
        (
            Cell(one.name),
            Cell(f"{one.value:.3f}", one.value),
            Cell(f"{one.low:.3f} to {one.high:.3f}"),
            Cell("–" if one.chance is None else f"{one.chance:g}"),
        )
        for one in head.estimates
    )
    caption = f"{whole.n} patients, {whole.events} events, horizon {whole.horizon_months:g} months; nothing was fitted."
    blocks: list[Block] = [Paragraph(whole.seen_before, tone="warning")] if whole.seen_before else []
    blocks += [
        Figure(picture.name, picture.width_mm, picture.height_mm, picture.alt, lead=picture.title),
        Table(("Figure", "Value", "95 % interval", "Chance"), rows, numeric=(1, 2, 3), caption=caption),
    ]
    if head.quartiles is not None:
        blocks += quartile_blocks(head.quartiles)
    if head.subgroups:
        blocks += subgroup_blocks(head.subgroups)
    if head.notes:
        blocks.append(Bullets(head.notes))
    return Section(f"Head {head.head} of {whole.bundle}", tuple(blocks))
