"""Measurements as plain tables: what measurements.json and the CSV files hold."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.measure.lesion import Lesion, LesionConfig, LesionTotals
from MemorySurvivalLib.measure.reference import References, ReferenceSphere
from MemorySurvivalLib.measure.segments import SegmentMeasure
from MemorySurvivalLib.measure.uptake import Point, RegionMeasure

SCHEMA = "memory-survival-measurements"
SCHEMA_VERSION = 1

CATEGORY_TITLE = "relative uptake category (Deauville scale)"

ABOVE_LIVER = 1.1
FAR_ABOVE_LIVER = 2.0
"""Where categories 4 and 5 begin, as multiples of the liver's mean. The scale itself is visual ("moderately" and
"markedly" above the liver); these numbers are this project's choice."""

NOTICE_COLUMN = "notice"


@dataclass(frozen=True)
class RelativeUptake:
    """Uptake as multiples of the references' mean SUV; None where the reference is missing.

    `category` is 2 to 5 (2 stands for 1 and 2, which numbers alone cannot tell apart) and None unless both references
    exist. It is read from the mean of a segment and from the peak of a lesion.
    """

    mean_to_liver: float | None
    max_to_liver: float | None
    peak_to_liver: float | None
    mean_to_blood_pool: float | None
    max_to_blood_pool: float | None
    peak_to_blood_pool: float | None
    category: int | None


@dataclass(frozen=True)
class SegmentRow:
    """One segment: its numbers and the same relative to the references."""

    name: str
    label: int
    group: str
    measure: RegionMeasure
    relative: RelativeUptake


@dataclass(frozen=True)
class LesionRow:
    """One lesion and its uptake relative to the references."""

    lesion: Lesion
    relative: RelativeUptake


@dataclass(frozen=True)
class MeasurementRecord:
    """Everything measured of one case, as plain values; `category_title` says what the categories are."""

    roi: SegmentRow
    segments: tuple[SegmentRow, ...]
    references: References
    lesion_config: LesionConfig
    threshold_suv: float
    marrow_suv: float
    lesions: tuple[LesionRow, ...]
    totals: LesionTotals
    roi_made_by: str
    segmentation_made_by: str
    notes: tuple[str, ...]
    seconds: dict[str, float]
    simulated: bool
    category_title: str = CATEGORY_TITLE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION
    version: str = __version__
    research_use: str = RESEARCH_USE

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def relate(
    mean: float | None, maximum: float, peak: float, references: References, category_of: float
) -> RelativeUptake:
    """Uptake relative to the references; `category_of` is the SUV whose category is wanted."""
    liver, pool = references.liver, references.blood_pool
    return RelativeUptake(
        mean_to_liver=_ratio(mean, liver),
        max_to_liver=_ratio(maximum, liver),
        peak_to_liver=_ratio(peak, liver),
        mean_to_blood_pool=_ratio(mean, pool),
        max_to_blood_pool=_ratio(maximum, pool),
        peak_to_blood_pool=_ratio(peak, pool),
        category=categorise(category_of, references),
    )


def categorise(suv: float, references: References) -> int | None:
    """Category 2 (not above blood pool), 3 (not above liver), 4 (above it) or 5 (far above it); None without both."""
    if references.liver is None or references.blood_pool is None:
        return None
    liver = references.liver.suv_mean
    if suv <= references.blood_pool.suv_mean:
        return 2
    if suv <= ABOVE_LIVER * liver:
        return 3
    return 4 if suv <= FAR_ABOVE_LIVER * liver else 5


def segment_row(segment: SegmentMeasure, references: References) -> SegmentRow:
    """A segment with its relative uptake."""
    m = segment.measure
    relative = relate(m.suv_mean, m.suv_max, m.suv_peak, references, m.suv_mean)
    return SegmentRow(segment.name, segment.label, segment.group, m, relative)


def lesion_row(lesion: Lesion, references: References) -> LesionRow:
    """A lesion with its relative uptake."""
    return LesionRow(lesion, relate(lesion.suv_mean, lesion.suv_max, lesion.suv_peak, references, lesion.suv_peak))


def write_segments(rows: Iterable[SegmentRow], path: Path) -> None:
    """Write segments.csv. Raises OutputError where it cannot be written."""
    _write(path, [_describe_segment(row) for row in rows], list(_SEGMENT_COLUMNS))


def write_lesions(rows: Iterable[LesionRow], path: Path) -> None:
    """Write lesions.csv; without a lesion it holds the header alone. Raises OutputError where it cannot be written."""
    _write(path, [_describe_lesion(row) for row in rows], list(_LESION_COLUMNS))


_RELATIVE_COLUMNS = (
    "suv_mean_to_liver",
    "suv_max_to_liver",
    "suv_peak_to_liver",
    "suv_mean_to_blood_pool",
    "suv_max_to_blood_pool",
    "suv_peak_to_blood_pool",
    "relative_uptake_category_deauville_scale",
)
_SEGMENT_COLUMNS = (
    "name",
    "label",
    "group",
    "voxels",
    "volume_ml",
    "hu_mean",
    "hu_sd",
    "hu_median",
    "suv_mean_g_ml",
    "suv_median_g_ml",
    "suv_max_g_ml",
    "suv_peak_g_ml",
    "suv_max_x_lps_mm",
    "suv_max_y_lps_mm",
    "suv_max_z_lps_mm",
    *_RELATIVE_COLUMNS,
)
_LESION_COLUMNS = (
    "number",
    "kind",
    "counted",
    "spill_in",
    "site",
    "site_distance_mm",
    "suv_max_g_ml",
    "suv_peak_g_ml",
    "suv_mean_41_g_ml",
    "mtv_41_ml",
    "tlg_41_g",
    "diameter_41_mm",
    "volume_above_threshold_ml",
    "centre_x_lps_mm",
    "centre_y_lps_mm",
    "centre_z_lps_mm",
    "suv_max_x_lps_mm",
    "suv_max_y_lps_mm",
    "suv_max_z_lps_mm",
    "hu_mean",
    "hu_median",
    "low_density",
    "share_in_region",
    *_RELATIVE_COLUMNS,
)


def _ratio(value: float | None, sphere: ReferenceSphere | None) -> float | None:
    if value is None or sphere is None or sphere.suv_mean <= 0:
        return None
    return value / sphere.suv_mean


def _relative(relative: RelativeUptake) -> tuple[float | int | None, ...]:
    return (
        relative.mean_to_liver,
        relative.max_to_liver,
        relative.peak_to_liver,
        relative.mean_to_blood_pool,
        relative.max_to_blood_pool,
        relative.peak_to_blood_pool,
        relative.category,
    )


def _describe_segment(row: SegmentRow) -> tuple[Any, ...]:
    m = row.measure
    numbers = (m.volume_ml, m.hu_mean, m.hu_sd, m.hu_median, m.suv_mean, m.suv_median, m.suv_max, m.suv_peak)
    return (row.name, row.label, row.group, m.voxels, *numbers, *m.suv_max_lps_mm, *_relative(row.relative))


def _describe_lesion(row: LesionRow) -> tuple[Any, ...]:
    lesion = row.lesion
    names = (lesion.kind, lesion.kind == "focal", lesion.spill_in, lesion.site, lesion.site_distance_mm)
    uptake = (lesion.suv_max, lesion.suv_peak, lesion.suv_mean, lesion.mtv_ml, lesion.tlg_g, lesion.diameter_mm)
    places: tuple[Point, ...] = (lesion.centre_lps_mm, lesion.suv_max_lps_mm)
    tissue = (lesion.hu_mean, lesion.hu_median, lesion.low_density, lesion.in_region)
    where = (value for place in places for value in place)
    return (
        lesion.number,
        *names,
        *uptake,
        lesion.volume_above_threshold_ml,
        *where,
        *tissue,
        *_relative(row.relative),
    )


def _write(path: Path, rows: Sequence[Sequence[Any]], header: list[str]) -> None:
    """UTF-8, comma-separated, one header line with units; the last column carries the research-use notice.

    A comment line would break readers that expect a table; a column survives sorting, filtering and joining.
    """
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*header, NOTICE_COLUMN])
        for row in rows:
            writer.writerow([*(_text(value) for value in row), RESEARCH_USE])


_FLAGS: Mapping[bool, str] = {True: "yes", False: "no"}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return _FLAGS[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    return _unformula(str(value))


def _unformula(text: str) -> str:
    """Names come from files; a spreadsheet would run one that begins like a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
