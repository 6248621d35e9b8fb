"""Measurements of two results side by side, and what makes their numbers hard to compare."""

from __future__ import annotations

from MemorySurvivalLib.compare.burden import find_other_settings
from MemorySurvivalLib.compare.rows import NumberRow
from MemorySurvivalLib.measure.reference import ReferenceSphere
from MemorySurvivalLib.measure.tables import MeasurementRecord
from MemorySurvivalLib.report.record import CaseRecord

UPTAKE_APART_MIN = 15.0
LIVER_APART = 0.2
"""PERCIST 1.0 asks for no more than this between two scans: minutes of uptake time, and share of the liver's mean."""
PERCIST = "PERCIST 1.0, Wahl et al., J Nucl Med 2009;50(Suppl 1):122S"


def compare_measured(
    first: MeasurementRecord | None, second: MeasurementRecord | None
) -> tuple[tuple[NumberRow, ...], tuple[str, ...]]:
    """Rows of both (empty where neither was measured), and sentences on why volumes and counts are not comparable."""
    if first is None and second is None:
        return (), ()
    sentences = []
    if first is None or second is None:
        sentences.append("Only one of the two results was measured.")
    alike = True
    if first is not None and second is not None:
        other = [name.replace("_", " ") for name in find_other_settings(first.lesion_config, second.lesion_config)]
        if first.roi.name != second.roi.name:
            other.append("the kind of region")
        alike = not other
        if other:
            sentences.append(f"Lesions were looked for differently ({', '.join(other)}): numbers are not subtracted.")
    a, b = _values(first), _values(second)
    rows = tuple(
        NumberRow.of(name, unit, a[name], b[name], places, alike or name.startswith(("liver", "blood")))
        for name, unit, places in _ROWS
    )
    return rows, tuple(sentences)


def list_uptake_doubts(first: CaseRecord, second: CaseRecord) -> tuple[str, ...]:
    """What PERCIST asks of two scans before their uptake is compared and these two do not keep."""
    sentences = []
    minutes = [record.acquisition.suv.uptake_min if record.acquisition.suv else None for record in (first, second)]
    if minutes[0] is not None and minutes[1] is not None and abs(minutes[1] - minutes[0]) > UPTAKE_APART_MIN:
        sentences.append(
            f"Uptake times of {minutes[0]:.0f} and {minutes[1]:.0f} min are more than {UPTAKE_APART_MIN:.0f} min "
            f"apart, so SUVs are hard to compare ({PERCIST})."
        )
    livers = [record.measurements.references.liver if record.measurements else None for record in (first, second)]
    if livers[0] is not None and livers[1] is not None:
        change = abs(livers[1].suv_mean / livers[0].suv_mean - 1) if livers[0].suv_mean > 0 else 0.0
        if change > LIVER_APART:
            sentences.append(
                f"The livers' SUVmean of {livers[0].suv_mean:.2f} and {livers[1].suv_mean:.2f} differ by "
                f"{100 * change:.0f} %, more than {100 * LIVER_APART:.0f} %, so SUVs are hard to compare ({PERCIST})."
            )
    return tuple(sentences)


_ROWS = (
    ("liver SUVmean", "g/mL", 2),
    ("blood pool SUVmean", "g/mL", 2),
    ("region SUVmean", "g/mL", 2),
    ("marrow SUV", "g/mL", 2),
    ("hottest focal lesion SUVmax", "g/mL", 1),
    ("focal lesions", "", 0),
    ("focal MTV", "ml", 1),
    ("focal TLG", "g", 0),
)


def _values(record: MeasurementRecord | None) -> dict[str, float | None]:
    if record is None:
        return {name: None for name, _, _ in _ROWS}
    totals = record.totals
    return {
        "liver SUVmean": _mean(record.references.liver),
        "blood pool SUVmean": _mean(record.references.blood_pool),
        "region SUVmean": record.roi.measure.suv_mean,
        "marrow SUV": record.marrow_suv,
        "hottest focal lesion SUVmax": totals.suv_max,
        "focal lesions": totals.focal,
        "focal MTV": totals.mtv_ml,
        "focal TLG": totals.tlg_g,
    }


def _mean(sphere: ReferenceSphere | None) -> float | None:
    return None if sphere is None else sphere.suv_mean
