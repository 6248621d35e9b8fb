"""A cohort's tables as papers have them: 1 who, 2 how they were scanned, 3 what became of them; as blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.evaluation.curves import kaplan_meier
from MemorySurvivalLib.evaluation.outcomes import Floats
from MemorySurvivalLib.evaluation.tables import FEWEST_TOLD
from MemorySurvivalLib.report.document import Block, Bullets, Cell, Document, Page, Paragraph, Section, Table
from MemorySurvivalLib.training.exclusion import ExclusionFlow, flow_section
from MemorySurvivalLib.training.intake import Intake, OwnPatient
from MemorySurvivalLib.training.quantities import CATEGORIES, QUANTITIES

SIMULATED_PATIENTS = "SIMULATED PATIENTS"
"""Stands on every page about patients of the simulator."""

Columns = Mapping[str, Sequence[OwnPatient]]


def cohort_document(
    intake: Intake,
    patients: Sequence[OwnPatient] | None = None,
    flow: ExclusionFlow | None = None,
    labels: tuple[str, ...] = (),
    more: Sequence[Section] = (),
) -> Document:
    """Flow, the three tables, what was flagged, and further sections (figures of models).

    `patients` and `flow` are those after embedding; without them those of the table. No patient is named.
    """
    analysed = intake.patients if patients is None else patients
    sections = [
        flow_section(flow or intake.flow),
        Section("Table 1: patients", (characteristics_table(analysed, intake.covariates),)),
        Section("Table 2: scans", (acquisition_table(analysed),)),
        Section("Table 3: outcome", (outcome_table(analysed),)),
        *more,
    ]
    told = _told(intake)
    if told:
        sections.append(Section("What was not taken as it stands", told))
    return Document(
        title="Cohort",
        pages=(Page("Cohort", tuple(sections)),),
        labels=tuple(dict.fromkeys((*((SIMULATED_PATIENTS,) if intake.simulated else ()), *labels))),
        research_use=f"{RESEARCH_USE}.",
        foot=f"MemorySurvival {__version__}",
        keywords=("cohort",),
    )


def characteristics_table(patients: Sequence[OwnPatient], covariates: Sequence[str]) -> Table:
    """Table 1: mean and SD or median and quartiles, counts and shares, missing values; all, with and without event."""
    columns = _by_event(patients)
    rows = [_row("Patients", columns, lambda group: str(len(group)))]
    for quantity in QUANTITIES:
        if quantity.name not in covariates:
            continue
        skewed = quantity.scale == "log"
        what = "median (quartiles)" if skewed else "mean (SD)"
        name = quantity.name
        title = f"{quantity.stem.replace('_', ' ')}, {quantity.unit}, {what}"
        rows.append(_row(title, columns, lambda group, n=name, s=skewed: describe_numbers(_numbers(group, n), s)))
        rows.append(_missing_row(columns, name))
    for category in CATEGORIES:
        if category.name not in covariates:
            continue
        for level in category.levels:
            title = f"{category.name.replace('_', ' ')}: {level}"
            rows.append(_row(title, columns, lambda group, n=category.name, v=level: _share(group, n, v)))
        rows.append(_missing_row(columns, category.name))
    return _table(columns, rows, "Missing values are counted; shares are of the known ones.")


def acquisition_table(patients: Sequence[OwnPatient]) -> Table:
    """Table 2: site, scanner, injected dose, uptake time, days from the scan to treatment."""
    columns: Columns = {"All": patients}
    rows = []
    texts: dict[str, Callable[[OwnPatient], str]] = {"site": lambda p: p.site, "scanner": lambda p: p.scanner}
    for title, of in texts.items():
        for level in sorted({of(patient) for patient in patients}):
            count = sum(of(patient) == level for patient in patients)
            rows.append(
                _row(f"{title}: {level or 'not stated'}", columns, lambda group, c=count: _count(c, len(group)))
            )
    numbers: dict[str, Callable[[OwnPatient], float]] = {
        "injected dose, MBq": lambda p: p.dose_mbq,
        "uptake time, minutes": lambda p: p.uptake_minutes,
        "days from scan to treatment": _days_to_treatment,
    }
    for title, number in numbers.items():
        values = np.array([number(patient) for patient in patients])
        known = values[np.isfinite(values)]
        rows.append(_row(f"{title}, median (quartiles)", columns, lambda group, k=known: describe_numbers(k, True)))
        lost = len(values) - len(known)
        rows.append(_row("  not stated", columns, lambda group, c=lost: str(c)))
    return _table(columns, rows, "")


def outcome_table(patients: Sequence[OwnPatient]) -> Table:
    """Table 3: events, observed times, follow-up by reverse Kaplan-Meier, progression-free survival."""
    times = np.array([patient.months for patient in patients])
    events = np.array([patient.event for patient in patients], dtype=np.bool_)
    columns: Columns = {"All": patients}

    def fixed(title: str, text: str) -> tuple[Cell, ...]:
        return _row(title, columns, lambda group: text)

    rows = [fixed("Progression or death", _count(int(events.sum()), len(events)))]
    for title, chosen in (("all", np.ones_like(events)), ("with event", events), ("censored", ~events)):
        rows.append(fixed(f"observed months, {title}, median (quartiles)", describe_numbers(times[chosen], True)))
    for title, happened in (("median progression-free survival", events), ("median follow-up (reverse)", ~events)):
        median = kaplan_meier(times, happened).median_months if len(times) else None
        rows.append(fixed(f"{title}, months (Kaplan-Meier)", f"{median:.1f}" if median is not None else "not reached"))
    return _table(columns, rows, "")


def describe_numbers(values: Floats, skewed: bool) -> str:
    """ "62.1 (9.3)" or "30 (12 to 51)"; a dash for none."""
    if not len(values):
        return "–"
    if skewed:
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        return f"{middle:.3g} ({low:.3g} to {high:.3g})"
    spread = f"{values.std(ddof=1):.3g}" if len(values) > 1 else "–"
    return f"{values.mean():.3g} ({spread})"


def _told(intake: Intake) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if intake.flags:
        blocks.append(Bullets(tuple(flag.sentence for flag in intake.flags)))
    if intake.ignored:
        blocks.append(Paragraph(f"Columns that nobody reads: {', '.join(intake.ignored)}.", tone="quiet"))
    if intake.unstated:
        blocks.append(Paragraph(f"The table does not say: {', '.join(intake.unstated)}.", tone="warning"))
    return tuple(blocks)


def _by_event(patients: Sequence[OwnPatient]) -> Columns:
    return {
        "All": patients,
        "With event": [patient for patient in patients if patient.event],
        "Without event": [patient for patient in patients if not patient.event],
    }


def _row(title: str, columns: Columns, text: Callable[..., str]) -> tuple[Cell, ...]:
    return (Cell(title), *(Cell(text(group)) for group in columns.values()))


def _missing_row(columns: Columns, name: str) -> tuple[Cell, ...]:
    return _row("  missing", columns, lambda group: str(sum(name not in patient.covariates for patient in group)))


def _table(columns: Columns, rows: Sequence[tuple[Cell, ...]], caption: str) -> Table:
    return Table(("", *columns), tuple(rows), numeric=tuple(range(1, 1 + len(columns))), caption=caption)


def _numbers(group: Sequence[OwnPatient], name: str) -> Floats:
    return np.array([float(patient.covariates[name]) for patient in group if name in patient.covariates])


def _share(group: Sequence[OwnPatient], name: str, level: str) -> str:
    known = [patient.covariates[name] for patient in group if name in patient.covariates]
    return _count(known.count(level), len(known))


def _count(count: int, n: int) -> str:
    if 0 < count < FEWEST_TOLD:
        return f"< {FEWEST_TOLD}"
    return f"{count} ({count / n:.0%})" if n else "–"


def _days_to_treatment(patient: OwnPatient) -> float:
    if patient.scan_date is None or patient.treatment_date is None:
        return float("nan")
    return float((patient.treatment_date - patient.scan_date).days)
