"""A bundle judged on a cohort that it never saw: discrimination and calibration of each head, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.bundle.manifest import HeadEntry
from MemorySurvivalLib.bundle.recalibrate import risk_by
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.calibration import calibration
from MemorySurvivalLib.evaluation.curves import Censoring
from MemorySurvivalLib.evaluation.discrimination import auc_pairs, harrell_pairs, uno_pairs
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.report.document import Bullets, Cell, Section, Table
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.models.outcomes import check_outcomes
from MemorySurvivalLib.training.own_cohort import bundle_log_risks
from MemorySurvivalLib.training.tables import SIMULATED_PATIENTS


@dataclass(frozen=True)
class JudgedHead:
    """Figures of one head on new patients; `notes` say what could not be judged, and why."""

    head: str
    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ExternalValidation:
    """What `validate` found. Nothing was fitted; weights for censoring come from these patients themselves."""

    bundle: str
    bundle_sha256: str
    n: int
    events: int
    simulated: bool
    horizon_months: float
    heads: tuple[JudgedHead, ...]
    research_use: str = RESEARCH_USE

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands on every page."""
        return (SIMULATED_PATIENTS,) if self.simulated else ()

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    def sections(self) -> tuple[Section, ...]:
        """A table for each head."""
        return tuple(_section(head, self) for head in self.heads)


def validate_bundle(
    bundle: ModelBundle, data: CohortData, horizon_months: float = 36.0, resamples: int = 1000, seed: int = 2026
) -> ExternalValidation:
    """Score all patients with every head and judge it. Raises InputError for too few patients or events.

    That the bundle never saw these patients cannot be checked here; it is the caller's word.
    """
    check_outcomes(data)
    risks = bundle_log_risks(bundle, data)
    heads = [_judge(entry, data, risks[entry.name], horizon_months, resamples, seed) for entry in bundle.manifest.heads]
    return ExternalValidation(
        f"{bundle.manifest.name} {bundle.manifest.version}",
        bundle.archive.sha256,
        len(data),
        int(data.events.sum()),
        data.simulated,
        horizon_months,
        tuple(heads),
    )


def _judge(
    entry: HeadEntry, data: CohortData, log_risk: Floats, horizon: float, resamples: int, seed: int
) -> JudgedHead:
    times, events = data.times_months, data.events
    estimates: list[Estimate] = []
    notes = []
    try:
        estimates.append(harrell_pairs(times, events).estimate(log_risk, resamples, seed))
        censoring = Censoring.from_training(times, events, len(data))
        estimates.append(uno_pairs(times, events, censoring, horizon).estimate(log_risk, resamples, seed))
        estimates.append(auc_pairs(times, events, censoring, horizon).estimate(log_risk, resamples, seed))
    except InputError as error:
        notes.append(f"Discrimination: {error}")
    if entry.baseline is None:
        return JudgedHead(entry.name, tuple(estimates), (*notes, "The head has no baseline hazard to calibrate."))
    try:
        found = calibration(times, events, risk_by(entry.baseline, log_risk, horizon), horizon, resamples, seed)
    except InputError as error:
        return JudgedHead(entry.name, tuple(estimates), (*notes, f"Calibration: {error}"))
    estimates += [found.observed_to_expected, found.intercept, *([found.slope] if found.slope else []), found.ici]
    return JudgedHead(entry.name, tuple(estimates), tuple(notes))


def _section(head: JudgedHead, whole: ExternalValidation) -> Section:
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
    table = Table(("Figure", "Value", "95 % interval", "Chance"), rows, numeric=(1, 2, 3), caption=caption)
    return Section(f"Head {head.head} of {whole.bundle}", (table, *([Bullets(head.notes)] if head.notes else [])))
