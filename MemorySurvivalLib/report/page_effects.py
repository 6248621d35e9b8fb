"""What moved the score, in numbers: hotspots, what lies outside the region, and further pictures."""

from __future__ import annotations

from MemorySurvivalLib.report.document import Block, Cell, FigureRow, Page, Paragraph, Section, Table
from MemorySurvivalLib.report.explained import list_effects
from MemorySurvivalLib.report.language import tr
from MemorySurvivalLib.report.model import Report
from MemorySurvivalLib.report.page_answer import CLOSE_UPS_ON_PAGE_ONE, hotspot_figures
from MemorySurvivalLib.report.record import HeatmapRecord, HotspotRecord
from MemorySurvivalLib.report.wording import (
    say_fixed,
    say_millilitres,
    say_percent,
    say_place,
    say_plain,
    say_share,
    say_signed,
)

MOST_HOTSPOTS = 40
"""Rows of the table; result.json holds every hotspot."""
PICTURES_IN_A_ROW = 2


def compose_effects(report: Report) -> Page | None:
    """The heatmap in numbers, where it has any."""
    heatmap = report.record.heatmap
    if heatmap is None or not (heatmap.hotspots or list_effects(heatmap)):
        return None
    sections = []
    if heatmap.hotspots:
        sections.append(_hotspots(heatmap))
    if list_effects(heatmap):
        sections.append(_effects(heatmap))
    figures = hotspot_figures(report)[CLOSE_UPS_ON_PAGE_ONE:]
    if figures:
        rows = range(0, len(figures), PICTURES_IN_A_ROW)
        blocks: list[Block] = [FigureRow(figures[n : n + PICTURES_IN_A_ROW]) for n in rows]
        sections.append(Section(tr("More hotspots"), tuple(blocks)))
    return Page(tr("What moved the score, in numbers"), tuple(sections))


def _hotspots(heatmap: HeatmapRecord) -> Section:
    spots = heatmap.hotspots[:MOST_HOTSPOTS]
    tried = any(spot.agreed is not None for spot in spots)
    columns = [tr("No."), tr("bone"), tr("log-risk"), tr("share"), tr("ml"), tr("place")]
    wide = [0.7, 3.0, 1.4, 1.2, 1.2, 4.0]
    if tried:
        columns.insert(5, tr("another fill"))
        wide.insert(5, 1.8)
    rows = tuple(_hotspot(number, spot, tried) for number, spot in enumerate(spots, start=1))
    title = tr("Hotspots")
    if len(spots) < len(heatmap.hotspots):
        many = tr("{title} (the {shown} strongest of {all}; all are in result.json)")
        title = many.format(title=title, shown=len(spots), all=len(heatmap.hotspots))
    said = []
    if heatmap.noise_floor:
        floor = say_plain(heatmap.noise_floor, 3)
        said.append(tr("Connected maxima beyond the noise floor, ±{floor}.").format(floor=floor))
    said.append(tr("Share: of all effects in the region. “near”: the closest bone."))
    if heatmap.fill_agreement is not None:
        share = say_percent(heatmap.fill_agreement)
        agree = tr("At least two fills agree in {share} of what was looked at beyond the floor.")
        said.append(agree.format(share=share))
    elif not tried:
        said.append(tr("Other fills were not tried everywhere."))
    table = Table(tuple(columns), rows, numeric=(0, 2, 3, 4), wide=tuple(wide))
    return Section(title, (table, Paragraph(" ".join(said), "quiet")))


def _hotspot(number: int, spot: HotspotRecord, tried: bool) -> tuple[Cell, ...]:
    sized = spot.volume_ml > 0
    cells = [
        Cell(str(number), number),
        Cell(spot.site.replace("_", " ") or "–"),
        Cell(say_signed(spot.effect), spot.effect),
        Cell(say_share(spot.share), spot.share) if sized else Cell("–"),
        Cell(say_millilitres(spot.volume_ml), spot.volume_ml) if sized else Cell("–"),
        Cell(say_place(spot.position_lps_mm)),
    ]
    if tried:
        agreed = "–" if spot.agreed is None else tr("agrees") if spot.agreed else tr("does not")
        cells.insert(5, Cell(agreed))
    return tuple(cells)


def _effects(heatmap: HeatmapRecord) -> Section:
    rows = [
        (
            Cell(tr(row.tissue)),
            Cell(say_fixed(row.effect, 4), row.effect),
            Cell(tr("within noise") if row.within_noise else ""),
        )
        for row in list_effects(heatmap)
    ]
    rows += [(Cell(organ), Cell("–"), Cell(tr("not found"))) for organ in heatmap.organs_unknown]
    note = tr(
        "Positive: this tissue raised the log-risk. The model sees whole slices, so tissue outside the region moves "
        "the score too. Effects of parts need not add up."
    )
    table = Table((tr("tissue"), tr("log-risk"), tr("remark")), tuple(rows), numeric=(1,), wide=(4, 1.4, 2))
    return Section(tr("Replaced at once"), (table, Paragraph(note, "quiet")))
