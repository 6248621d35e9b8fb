"""A cohort as one HTML page: self-contained, sorted by a script that a hash allows, readable without it."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.bundle.rights import SIMULATED_MODEL
from MemorySurvivalLib.compare.charts import draw_curves, draw_log_risks
from MemorySurvivalLib.compare.cohort import Cohort, CohortCase, ModelGroup, Unread, read_cohort
from MemorySurvivalLib.compare.outcomes import read_outcomes
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.report.sheet import Picture
from MemorySurvivalLib.report.wording import say_fixed
from MemorySurvivalLib.resources import locate_resource

LEAST_HISTOGRAM = 5
"""Fewer cases are better read in the table."""
NAMES_TOLD = 12
"""As many names of one kind as a sentence holds; the tables have all."""
NOTHING = "–"
FOLDER_NAMES = (
    "Cases are called by their folders, which may name a person; --numbered calls them by numbers and leaves the links "
    "out."
)


@dataclass(frozen=True)
class OverviewRequest:
    """A folder with results, the page to write, and outcomes where there are any. `numbered` leaves folder names and
    links out; `overwrite` allows replacing an earlier page."""

    folder: Path
    out: Path
    outcomes: Path | None = None
    numbered: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class _Cell:
    text: str
    value: float | None = None
    numeric: bool = False
    link: str = ""


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[CohortCase], _Cell]
    numeric: bool = False


def write_overview(request: OverviewRequest, progress: ProgressCallback = ignore_progress) -> Cohort:
    """Read the folder and write the page; the file appears whole or not at all.

    Raises InputError for a folder without results or outcomes that cannot be read, OutputError where the page exists
    already (without `overwrite`) or cannot be written.
    """
    if request.out.exists() and not request.overwrite:
        raise OutputError(f"{request.out} exists already; choose another name or allow overwriting with --overwrite.")
    outcomes = None if request.outcomes is None else read_outcomes(request.outcomes)
    cohort = read_cohort(request.folder, outcomes, progress)
    page = render_overview(cohort, link_base(request), numbered=request.numbered)
    with atomic_file(request.out) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return cohort


def link_base(request: OverviewRequest) -> str | None:
    """The way from the page to the results; None where there is none (another drive) or none is wanted."""
    if request.numbered:
        return None
    try:
        return Path(os.path.relpath(request.folder.resolve(), request.out.resolve().parent)).as_posix()
    except ValueError:
        return None


def render_overview(cohort: Cohort, base: str | None, *, numbered: bool = False) -> str:
    """The HTML text; `base` leads from the page to the cohort's folder."""
    folder = locate_resource("Compare")
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_uri"] = _data_uri
    script = (folder / "sort.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    names = _name_cases(cohort, numbered)
    return environment.get_template("overview.html.j2").render(
        style=Markup((folder / "overview.css").read_text(encoding="utf-8")),  # shipped files
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        research_use=RESEARCH_USE,
        labels=cohort.labels,
        count=len(cohort.cases),
        counts=_say_counts(cohort),
        states=_say_counter(cohort.states),
        flags=_say_counter(cohort.flags),
        cautions=_list_cautions(cohort, names, numbered),
        groups=[_show_group(number, group, names, base) for number, group in enumerate(cohort.groups, start=1)],
        problems=_list_problems(cohort, numbered),
        foot=f"MemorySurvival {__version__}",
    )


def _name_cases(cohort: Cohort, numbered: bool) -> dict[str, str]:
    names = sorted(case.name for case in cohort.cases)
    return {name: f"case {number}" if numbered else name for number, name in enumerate(names, start=1)}


def _say_counts(cohort: Cohort) -> str:
    cases = cohort.cases
    simulated = sum(case.record.simulated_case for case in cases)
    images = len({case.images for case in cases})
    parts = [f"{_count(len(cases), 'result')} of {_count(images, 'pair')} of images"]
    if simulated:
        parts.append("all simulated" if simulated == len(cases) else f"{simulated} of them simulated")
    parts.append(_count(len(cohort.groups), "model"))
    if cohort.failed:
        parts.append(f"{_count(len(cohort.failed), 'case')} failed")
    if cohort.unread:
        parts.append(f"{_count(len(cohort.unread), 'file')} could not be read")
    if cohort.outcomes_given:
        parts.append(f"outcomes of {sum(case.outcome is not None for case in cases)}")
    return ", ".join(parts) + "."


def _say_counter(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _list_cautions(cohort: Cohort, names: Mapping[str, str], numbered: bool) -> tuple[str, ...]:
    found = [] if numbered else [FOLDER_NAMES]
    if len(cohort.groups) > 1:
        found.append(
            "The results are of several models or of simulated and real cases; each has a histogram and a table of its "
            "own, because their log-risks are not on one scale."
        )
    if SIMULATED_MODEL in cohort.labels:
        found.append("A model that learned from simulated patients says nothing about real ones.")
    for duplicates in cohort.duplicates[:NAMES_TOLD]:
        told = ", ".join(names[name] for name in duplicates[:NAMES_TOLD])
        more = len(duplicates) - NAMES_TOLD
        found.append(f"The same images: {told}{f' and {more} more' if more > 0 else ''}.")
    if len(cohort.duplicates) > NAMES_TOLD:
        found.append(f"{len(cohort.duplicates) - NAMES_TOLD} more sets of results rest on the same images.")
    if cohort.duplicates:
        found.append(
            "Of results of the same images by the same model the newest counts in histograms and curves; "
            "the others are superseded."
        )
    if cohort.outcomes_unknown:
        told = "" if numbered else f": {_join(cohort.outcomes_unknown)}"
        found.append(f"{_count(len(cohort.outcomes_unknown), 'outcome')} could not be matched with one result{told}.")
    return tuple(found)


def _list_problems(cohort: Cohort, numbered: bool) -> list[tuple[str, list[tuple[str, str]]]]:
    def listed(problems: Iterable[Unread]) -> list[tuple[str, str]]:
        if numbered:  # reasons may hold names of folders
            return [(f"number {number}", "") for number, _ in enumerate(problems, start=1)]
        return [(problem.name, problem.sentence) for problem in problems]

    found = [("Failed", listed(cohort.failed)), ("Could not be read", listed(cohort.unread))]
    return [(title, rows) for title, rows in found if rows]


def _show_group(number: int, group: ModelGroup, names: Mapping[str, str], base: str | None) -> dict[str, Any]:
    counted = group.counted
    risks = [case.record.risk.log_risk for case in counted]
    curves = group.survival.curves if group.survival else ()
    columns = _choose_columns(group, names, base)
    histogram = draw_log_risks(f"log-risks-{number}", risks, group.labels) if len(risks) >= LEAST_HISTOGRAM else None
    return {
        "title": group.title,
        "count": f"{_count(len(group.cases), 'result')}{', simulated' if group.simulated else ''}",
        "labels": group.labels,
        "about": f"Status of the model: {group.status}.",
        "histogram": histogram,
        "histogram_caption": f"Log-risks of {_count(len(risks), 'case')}. {RESEARCH_USE}.",
        "curves": draw_curves(f"survival-{number}", curves, group.labels) if curves else None,
        "curves_caption": _say_curves(group) if curves else "",
        "survival_sentence": group.survival.sentence if group.survival else "",
        "at_risk": curves,
        "columns": columns,
        "rows": [[column.cell(case) for column in columns] for case in group.cases],
    }


def _say_curves(group: ModelGroup) -> str:
    survival = group.survival
    assert survival is not None
    kind = "Simulated" if group.simulated else "Observed"
    return (
        f"{kind} progression-free survival by {survival.grouping}: Kaplan-Meier with pointwise 95 % intervals "
        f"(log-log). The groups were looked at once and not tested. {RESEARCH_USE}."
    )


def _choose_columns(group: ModelGroup, names: Mapping[str, str], base: str | None) -> list[_Column]:
    """The columns in which at least one case has something to say."""

    def case_cell(case: CohortCase) -> _Cell:
        linked = base is not None and case.report is not None
        return _Cell(names[case.name], link=quote(f"{base}/{case.name}/{case.report}") if linked else "")

    columns = [
        _Column("case", case_cell),
        _Column("log-risk", lambda case: _number(case.record.risk.log_risk, 2, signed=True), numeric=True),
        _Column("position (%)", lambda case: _number(_percent(case.record.risk.position), 0), numeric=True),
        _Column("risk group", lambda case: _Cell(case.record.risk.risk_group or NOTHING)),
        _Column("PET weight (%)", lambda case: _number(_percent(case.record.risk.gate_pet), 0), numeric=True),
        _Column("stability", lambda case: _Cell(case.record.stability.verdict if case.record.stability else NOTHING)),
        _Column("region (ml)", lambda case: _number(case.record.roi.volume_ml, 0), numeric=True),
        _Column("mask edited", lambda case: _Cell({True: "yes", False: "no", None: NOTHING}[case.record.roi.edited])),
        *(_measured_column(title, name, places) for title, name, places in _MEASURED),
        _Column("flags", lambda case: _Cell(", ".join(case.flags) or NOTHING)),
        _Column("state", lambda case: _Cell(case.status.state)),
        _Column(
            "followed (months)", lambda case: _number(case.outcome.months if case.outcome else None, 0), numeric=True
        ),
        _Column("event", lambda case: _Cell(_say_event(case))),
        _Column("scored", lambda case: _Cell(case.record.created[:10], numeric=True), numeric=True),
        _Column("remark", lambda case: _Cell(_say_remark(case))),
    ]
    always = ("case", "log-risk", "scored")
    return [
        column
        for column in columns
        if column.title in always or any(column.cell(case).text not in (NOTHING, "") for case in group.cases)
    ]


_MEASURED = (
    ("focal lesions", "focal", 0),
    ("focal MTV (ml)", "mtv_ml", 1),
    ("SUVmax", "suv_max", 1),
)


def _measured_column(title: str, name: str, places: int) -> _Column:
    def cell(case: CohortCase) -> _Cell:
        measured = case.record.measurements
        return _number(None if measured is None else getattr(measured.totals, name), places)

    return _Column(title, cell, numeric=True)


def _say_event(case: CohortCase) -> str:
    if case.outcome is None:
        return NOTHING
    return "yes" if case.outcome.event else "no"


def _say_remark(case: CohortCase) -> str:
    remarks = []
    if case.record.simulated_case:
        remarks.append("simulated")
    if case.superseded:
        remarks.append("superseded")
    if case.status.reviewer:
        remarks.append("reviewed")
    return ", ".join(remarks)


def _number(value: float | None, places: int, *, signed: bool = False) -> _Cell:
    if value is None:
        return _Cell(NOTHING, numeric=True)
    return _Cell(say_fixed(value, places) if signed else f"{value:.{places}f}", value, numeric=True)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _join(names: tuple[str, ...]) -> str:
    more = len(names) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


def _data_uri(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")
