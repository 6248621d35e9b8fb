"""The measurements: reference uptake, totals, the lesion list with its ticks, vertebrae and bones."""

from __future__ import annotations

from MemorySurvivalLib.measure.lesion import MTV_SHARE
from MemorySurvivalLib.measure.tables import LesionRow, MeasurementRecord, SegmentRow
from MemorySurvivalLib.report.document import Block, Bullets, Cell, Facts, Page, Paragraph, Section, Table
from MemorySurvivalLib.report.language import tr
from MemorySurvivalLib.report.measured import choose_rows
from MemorySurvivalLib.report.model import Report
from MemorySurvivalLib.report.wording import say_decimals, say_percent


def compose_measured(report: Report) -> Page | None:
    """The page of the measurements; None where nothing was measured."""
    record = report.record.measurements
    if record is None:
        return None
    sections = (_references(record), _lesions(report, record), _segments(record), _notes(record))
    return Page(tr("Measurements"), sections)


def _references(record: MeasurementRecord) -> Section:
    rows = []
    for title, sphere in choose_rows(record).references:
        if sphere is None:
            rows.append((Cell(tr(title)), Cell("–"), Cell("–"), Cell("–"), Cell(tr("not found"))))
            continue
        numbers = (_number(sphere.suv_mean, 2), _number(sphere.suv_sd, 2), _number(sphere.diameter_mm, 1))
        rows.append((Cell(tr(title)), *numbers, Cell(sphere.made_by)))
    columns = (tr("sphere"), tr("SUVbw mean"), tr("SD"), tr("mm"), tr("placed"))
    references = Table(columns, tuple(rows), numeric=(1, 2, 3))
    totals = record.totals
    focal = Cell(str(totals.focal), totals.focal)
    without = tr("{count} of them without a volume").format(count=totals.without_volume)
    volumes = tr("{volume} ml; {mass} g ({share} of each lesion's own maximum)").format(
        volume=say_decimals(totals.mtv_ml, 1), mass=say_decimals(totals.tlg_g, 1), share=say_percent(MTV_SHARE)
    )
    not_counted = tr("{diffuse} diffuse, {spill} spill-in").format(diffuse=totals.diffuse, spill=totals.spill_in)
    threshold = f"SUV {say_decimals(record.threshold_suv, 2)} ({record.lesion_config.threshold})"
    facts = Facts(
        (
            (tr("Threshold"), (Cell(threshold),)),
            (tr("Focal lesions"), (focal, Cell(without)) if totals.without_volume else (focal,)),
            (tr("Not counted"), (Cell(not_counted),)),
            (tr("MTV; TLG"), (Cell(volumes),)),
        )
    )
    return Section(tr("Reference uptake and lesions inside the region"), (references,), ((facts,),))


def _lesions(report: Report, record: MeasurementRecord) -> Section:
    chosen = choose_rows(record)
    title = tr("Lesion list")
    if chosen.left_out:
        title = tr("Lesion list (the {count} hottest; all are in lesions.csv)").format(count=len(chosen.lesions))
    if not chosen.lesions:
        return Section(title, (Paragraph(tr("No uptake above the threshold inside the region.")),))
    columns = (
        tr("No."), tr("bone"), tr("kind"), "SUVmax", "SUVpeak", tr("peak : liver"), tr("MTV ml"), tr("TLG g"), "mm",
        "HU", tr("reviewed"),
    )  # fmt: skip
    seen = set(report.findings.reviewed_lesions)
    rows = tuple(_lesion(row, row.lesion.number in seen) for row in chosen.lesions)
    wide = (0.7, 2.6, 3.2, 1.2, 1.2, 1.2, 1.2, 1.2, 0.9, 0.9, 1.3)
    return Section(title, (Table(columns, rows, numeric=(0, 3, 4, 5, 6, 7, 8, 9), wide=wide),))


def _lesion(row: LesionRow, seen: bool) -> tuple[Cell, ...]:
    lesion = row.lesion
    kind = tr(lesion.kind) + (f": {lesion.spill_in}" if lesion.spill_in else "")
    return (
        Cell(str(lesion.number), lesion.number),
        Cell(lesion.site.replace("_", " ")),
        Cell(f"{kind}, {tr('low density')}" if lesion.low_density else kind),
        _number(lesion.suv_max, 1),
        _number(lesion.suv_peak, 1),
        _number(row.relative.peak_to_liver, 1),
        _number(lesion.mtv_ml, 1),
        _number(lesion.tlg_g, 1),
        _number(lesion.diameter_mm, 0),
        _number(lesion.hu_median, 0),
        Cell(f"☑ {tr('yes')}" if seen else f"☐ {tr('no')}"),
    )


def _segments(record: MeasurementRecord) -> Section:
    columns = (tr("structure"), "ml", "HU", tr("SUV mean"), tr("max"), tr("peak"), tr("mean : liver"))
    wide = (3.0, 0.9, 0.9, 1.3, 0.9, 0.9, 1.4)
    first, second = (
        Table(columns, tuple(map(_segment, rows)), numeric=(1, 2, 3, 4, 5, 6), wide=wide)
        for rows in choose_rows(record).segments
    )
    beside: tuple[tuple[Block, ...], ...] = ((second,),) if second.rows else ()
    return Section(tr("Vertebrae, bones and the region"), (first,), beside)


def _segment(row: SegmentRow) -> tuple[Cell, ...]:
    m = row.measure
    return (
        Cell(row.name.replace("_", " ")),
        _number(m.volume_ml, 0),
        _number(m.hu_mean, 0),
        _number(m.suv_mean, 2),
        _number(m.suv_max, 1),
        _number(m.suv_peak, 1),
        _number(row.relative.mean_to_liver, 1),
    )


def _notes(record: MeasurementRecord) -> Section:
    made = tr("Segments by {maker}; check the spheres and the list on the images (references.nrrd, lesions.nrrd).")
    notes = (*record.notes, made.format(maker=record.segmentation_made_by))
    return Section(tr("About the measurements"), (Bullets(notes),))


def _number(value: float | None, places: int) -> Cell:
    return Cell(say_decimals(value, places), value)
