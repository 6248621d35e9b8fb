"""A comparison as the blocks of one page, ready to be drawn as HTML or PDF."""

from __future__ import annotations

from collections.abc import Sequence

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.compare.charts import NARROW_MM, PlacedRisk, draw_places
from MemorySurvivalLib.compare.differences import KIND_WORDS, NO_VALUE, Comparison
from MemorySurvivalLib.compare.lesions import BoneLesions, LesionPair
from MemorySurvivalLib.compare.reading import Side
from MemorySurvivalLib.compare.rows import NumberRow, TextRow
from MemorySurvivalLib.report.document import (
    Block,
    Bullets,
    Cell,
    Document,
    Figure,
    FigureRow,
    Page,
    Paragraph,
    Section,
    Table,
)
from MemorySurvivalLib.report.sheet import Picture
from MemorySurvivalLib.report.wording import MINUS, shorten

TITLE = "Two results beside each other"
MOST_LESIONS = 10
"""As many rows as the page has room for; the results' own reports have all."""
MOST_NOTES = 6
MOST_VERSIONS = 14
NOTHING = "–"


def draw_comparison(first: Side, second: Side, comparison: Comparison) -> tuple[Picture, ...]:
    """Where either log-risk stands among its reference cases, where that may be shown: one chart, or one each where the
    two are not on one scale."""
    risks = [
        (
            PlacedRisk(side.name, side.record.risk.log_risk, side.record.risk.reference_log_risks),
            side.record.risk.labels,
        )
        for side in (first, second)
        if side.record.risk.position is not None and side.record.risk.reference_log_risks
    ]
    if not risks:
        return ()
    if comparison.one_scale:
        return (draw_places("places", [placed for placed, _ in risks], comparison.labels),)
    return tuple(
        draw_places(f"places-{place}", [placed], labels, NARROW_MM)
        for place, (placed, labels) in enumerate(risks, start=1)
    )


def compose_comparison(comparison: Comparison, pictures: Sequence[Picture] = ()) -> Document:
    """One page of differences with the pictures of `draw_comparison`."""
    what = " and ".join(KIND_WORDS[kind] for kind in comparison.kinds)
    head = (*_cautions(comparison), _table(comparison, comparison.about, change=False))
    charts = _charts(pictures)
    sections = [
        Section(f"What differs: {what}", head),
        Section("Score", (_table(comparison, comparison.score),), (charts,) if charts else ()),
        Section("Region and measurements", (_table(comparison, comparison.region),), (_measured(comparison),)),
    ]
    if comparison.lesions is not None:
        sections.append(Section("Lesions", _lesions(comparison)))
    sections.append(Section("Clinical values", _covariates(comparison), (_notes(comparison),)))
    sections.append(Section("Versions and hashes", _versions(comparison)))
    return Document(
        title=TITLE,
        pages=(Page(TITLE, tuple(sections)),),
        labels=comparison.labels,
        research_use=comparison.research_use,
        foot=f"MemorySurvival {__version__}: {comparison.names[0]} and {comparison.names[1]}",
        keywords=("comparison", *comparison.kinds),
    )


def _cautions(comparison: Comparison) -> tuple[Block, ...]:
    sentences = (*comparison.identity, *comparison.cautions)
    return (Bullets(sentences, "warning"),) if sentences else ()


def _charts(pictures: Sequence[Picture]) -> tuple[Block, ...]:
    figures = [
        Figure(picture.name, picture.width_mm, picture.height_mm, f"{picture.alt} {RESEARCH_USE}.", picture.title)
        for picture in pictures
    ]
    return (FigureRow(tuple(figures)),) if figures else ()


def _table(
    comparison: Comparison,
    rows: Sequence[NumberRow | TextRow],
    *,
    change: bool = True,
    wide: tuple[float, ...] = (0.16, 0.42, 0.42),
) -> Table:
    columns = ("", *comparison.names, *(("difference",) if change else ()))
    body = []
    for row in rows:
        cells = _number_cells(row) if isinstance(row, NumberRow) else (*map(Cell, (row.first, row.second)), Cell(""))
        body.append((Cell(row.name), *cells[: len(columns) - 1]))
    return Table(columns, tuple(body), wide=(0.3, 0.23, 0.23, 0.24) if change else wide)


def _number_cells(row: NumberRow) -> tuple[Cell, Cell, Cell]:
    def cell(value: float | None, sign: str) -> Cell:
        if value is None:
            return Cell(NOTHING)
        text = f"{round(value, row.places) + 0.0:{sign}.{row.places}f}".replace("-", MINUS)
        return Cell(f"{text} {row.unit}".rstrip(), value)

    sign = "+" if row.signed else ""
    first, second = cell(row.first, sign), cell(row.second, sign)
    if row.change == 0:
        return first, second, Cell("none", 0)
    if row.change is not None and abs(row.change) < 0.5 * 10**-row.places:
        return first, second, Cell(f"below {0.5 * 10**-row.places:g}", row.change)
    if row.change is not None:
        change = cell(row.change, "+")
        return first, second, Cell(change.text.replace("%", "points"), row.change)
    return first, second, Cell("not subtracted" if row.first is not None and row.second is not None else NOTHING)


def _measured(comparison: Comparison) -> tuple[Block, ...]:
    if not comparison.measured:
        return (Paragraph("Neither of the two was measured.", "quiet"),)
    return (_table(comparison, comparison.measured),)


def _lesions(comparison: Comparison) -> tuple[Block, ...]:
    lesions = comparison.lesions
    assert lesions is not None
    rows: Sequence[LesionPair | BoneLesions] = lesions.pairs or lesions.bones
    if not rows:
        return (Paragraph("No lesion was found in either.", "quiet"),)
    names, shown = comparison.names, rows[:MOST_LESIONS]
    cells = [_pair_cells(row, names) if isinstance(row, LesionPair) else _bone_cells(row) for row in shown]
    more = len(rows) - len(shown)
    sentence = lesions.sentence + (f" {more} more are in the results' own lists." if more > 0 else "")
    paired = bool(lesions.pairs)
    columns = ("bone", *names, *(("difference of SUVmax",) if paired else ()))
    table = Table(columns, tuple(cells), wide=(0.16, 0.3, 0.3, 0.24) if paired else (0.16, 0.42, 0.42))
    return (table, Paragraph(sentence, "quiet"))


def _pair_cells(pair: LesionPair, names: tuple[str, str]) -> tuple[Cell, ...]:
    def cell(number: int, suv_max: float) -> Cell:
        return Cell(f"no. {number}, SUVmax {suv_max:.1f}", suv_max)

    first = Cell(NOTHING) if pair.first is None else cell(pair.first.number, pair.first.suv_max)
    second = Cell(NOTHING) if pair.second is None else cell(pair.second.number, pair.second.suv_max)
    if pair.first is None:
        fate = Cell(f"only in {names[1]}")
    elif pair.second is None:
        fate = Cell(f"only in {names[0]}")
    else:
        change = pair.second.suv_max - pair.first.suv_max
        text = f"{round(change, 1) + 0.0:+.1f}".replace("-", MINUS)
        fate = Cell(text if change else "none", change)
    return (Cell(_site(pair.site)), first, second, fate)


def _bone_cells(bone: BoneLesions) -> tuple[Cell, ...]:
    def cell(count: int, hottest: float | None) -> Cell:
        text = f"{count} lesion{'' if count == 1 else 's'}"
        return Cell(NOTHING) if hottest is None else Cell(f"{text}, hottest SUVmax {hottest:.1f}", hottest)

    return (
        Cell(_site(bone.site)),
        cell(bone.first, bone.first_suv_max),
        cell(bone.second, bone.second_suv_max),
    )


def _site(name: str) -> str:
    return name.replace("_", " ") or "without a name"


def _covariates(comparison: Comparison) -> tuple[Block, ...]:
    rows = comparison.covariates
    blocks: list[Block] = []
    for name, other, own in zip(comparison.names, ("second", "first"), ("first", "second"), strict=True):
        if rows and not comparison.covariates_alike and all(getattr(row, other) == NO_VALUE for row in rows):
            values = ", ".join(f"{row.name} {getattr(row, own)}" for row in rows)
            return (Paragraph(f"Only {name} used any: {values}."),)
    if rows:
        blocks.append(_table(comparison, comparison.covariates, change=False, wide=(0.44, 0.28, 0.28)))
    if comparison.covariates_alike:
        blocks.append(Paragraph(f"The same in both: {', '.join(comparison.covariates_alike)}.", "quiet"))
    return tuple(blocks) or (Paragraph("Neither of the two used any.", "quiet"),)


def _notes(comparison: Comparison) -> tuple[Block, ...]:
    """Notes and flags that only one of the two has; what both have is counted."""
    blocks: list[Block] = []
    for name, notes in zip(comparison.names, (comparison.notes_first, comparison.notes_second), strict=True):
        if notes:
            more = (f"{len(notes) - MOST_NOTES} more in its own report.",) if len(notes) > MOST_NOTES else ()
            blocks.append(Paragraph(f"Notes that only {name} has:", "quiet"))
            blocks.append(Bullets((*notes[:MOST_NOTES], *more), "note"))
    both = len(comparison.notes_both)
    if both:
        words = "One note is" if both == 1 else f"{both} notes are"
        blocks.append(Paragraph(f"{words} the same in both.", "quiet"))
    return tuple(blocks) or (Paragraph("Neither of the two has a note.", "quiet"),)


def _versions(comparison: Comparison) -> tuple[Block, ...]:
    blocks: list[Block] = []
    rows = comparison.versions[:MOST_VERSIONS]
    if rows:
        body = tuple(
            (Cell(row.name), *(Cell(shorten(text, 40), code="SHA" in row.name) for text in (row.first, row.second)))
            for row in rows
        )
        blocks.append(Table(("", *comparison.names), body, wide=(0.2, 0.4, 0.4)))
    if len(comparison.versions) > len(rows):
        blocks.append(Paragraph(f"{len(comparison.versions) - len(rows)} more differ.", "quiet"))
    if comparison.versions_alike:
        blocks.append(Paragraph(f"The same in both: {', '.join(comparison.versions_alike)}.", "quiet"))
    return tuple(blocks)
