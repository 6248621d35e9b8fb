"""The analysis of a reader study as a document that HTML and PDF draw."""

from __future__ import annotations

from collections.abc import Sequence

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.reader_study.agreement import Agreement
from MemorySurvivalLib.reader_study.analysis import Analysis, Comparison, Kind, ReaderSummary
from MemorySurvivalLib.report.document import Bullets, Cell, Document, Page, Paragraph, Section, Table

_TITLES: dict[Kind, str] = {
    "between readers": "Readers with one another",
    "reader and model": "Readers with the model",
    "before and after": "Each reader before and after seeing the score",
    "between sessions": "Each reader in two sessions",
}
NOTHING = "–"


def compose_analysis(analysis: Analysis) -> Document:
    """One page: who read how much and how long, then every agreement with its interval."""
    counted = sum(each.counted for each in analysis.readers)
    opening = Paragraph(
        f"{analysis.cases} cases, {len({each.reader for each in analysis.readers})} readers, {counted} estimates "
        "given before the score was seen. These alone count.",
        "key",
    )
    sections = [
        Section("Readers", (opening, _readers(analysis.readers))),
        *(_agreement(kind, analysis.comparisons) for kind in _TITLES if _of(kind, analysis.comparisons)),
        Section("How to read this", (Bullets(analysis.notes, "note"), _heads(analysis))),
    ]
    title = f"Reader study: {analysis.title}"
    return Document(
        title=title,
        pages=(Page(title, tuple(sections)),),
        labels=_labels(analysis),
        research_use=RESEARCH_USE,
        foot="Names of readers are as they were entered.",
    )


def _labels(analysis: Analysis) -> tuple[str, ...]:
    """What the model's answers carried, such as SIMULATED MODEL, stands on the page too."""
    models = [each.model for each in analysis.readings if each.model is not None]
    return tuple(dict.fromkeys(label for model in models for label in model.labels))


def _of(kind: Kind, comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [each for each in comparisons if each.kind == kind]


def _readers(readers: Sequence[ReaderSummary]) -> Table:
    return Table(
        (
            *("Reader", "Session", "Opened", "Blind estimates", "Uncovered before", "Second estimates", "Changed"),
            *("Toward model", "Away", "Seconds to estimate", "Seconds to second", "Confidence before", "after"),
        ),
        tuple(
            tuple(
                Cell(text)
                for text in (
                    each.reader,
                    *map(str, (each.session, each.opened, each.counted, each.uncovered, each.second, each.changed)),
                    *map(str, (each.toward, each.away)),
                    *(_number(value, 1) for value in (each.first_s, each.final_s)),
                    *(_number(value, 1) for value in (each.confidence_first, each.confidence_final)),
                )
            )
            for each in readers
        ),
        numeric=tuple(range(1, 13)),
        caption="Seconds and confidence (1 to 5) are medians.",
    )


def _agreement(kind: Kind, comparisons: Sequence[Comparison]) -> Section:
    rows = tuple(
        (
            Cell(each.one),
            Cell(each.other),
            Cell({"first": "first", "final": "second", "both": "first and second"}[each.when]),
            Cell(str(each.session) if each.session else NOTHING),
            Cell(str(each.kappa.cases)),
            Cell(_with_interval(each.kappa), exact=each.kappa.value),
            Cell(_with_interval(each.ranks)),
            Cell(NOTHING if each.equal is None else f"{each.equal:.0%}"),
        )
        for each in _of(kind, comparisons)
    )
    columns = ("One", "Other", "Estimate", "Session", "Cases", "Weighted kappa", "Rank correlation", "Same group")
    return Section(_TITLES[kind], (Table(columns, rows, numeric=(4, 5, 6, 7)),))


def _heads(analysis: Analysis) -> Table:
    rows = tuple((Cell(reader), Cell(head, code=True)) for reader, head in analysis.heads.items())
    return Table(("Reader's file", "Hash of its last line"), rows)


def _with_interval(agreement: Agreement | None) -> str:
    if agreement is None:
        return NOTHING
    text = "not defined" if agreement.value is None else f"{agreement.value:.2f}"
    if agreement.interval is None:
        return text
    return f"{text} ({agreement.interval[0]:.2f} to {agreement.interval[1]:.2f})"


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"
