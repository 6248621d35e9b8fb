"""What a cohort's heatmaps say on average about each vertebra, bone and region; one weight a patient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.files import FILE
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.segments import on_grid
from MemorySurvivalLib.report.document import Cell, Table
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.roi.segments import Segmentation, Structure

_VERTEBRA = re.compile(r"([CTL])\d{1,2}")
_SPINE = {"C": "cervical spine", "T": "thoracic spine", "L": "lumbar spine"}
_GROUPS = ("vertebra", "sacrum", "bone")

Structures = Callable[[CaseRecord], Segmentation]
"""Makes or finds the named structures of a recorded case, on any grid."""


@dataclass(frozen=True)
class SiteEffect:
    """One structure of one patient: mean change of log-risk over its voxels on the map, and how many there are."""

    name: str
    region: str
    effect: float
    voxels: int


@dataclass(frozen=True)
class MeanAttribution:
    """Over patients who have the structure on their map: mean and SD of their means (SD None for one patient)."""

    name: str
    patients: int
    mean: float
    sd: float | None


def attribute_case(effect: Volume, segmentation: Segmentation) -> tuple[SiteEffect, ...]:
    """Mean effect in each bone that the map reaches, in the order of the labels; none for what lies off the map.

    `effect` is a heatmap (change of log-risk, cropped to the region's box, 0 outside the region), `segmentation` lies
    on any grid. Voxels where the map is exactly 0 are outside the region and do not count.
    """
    labels = on_grid(segmentation, effect).labels.voxels
    inside = np.isfinite(effect.voxels) & (effect.voxels != 0)
    count = np.bincount(labels[inside], minlength=1)
    total = np.bincount(labels[inside], weights=effect.voxels[inside].astype(np.float64), minlength=1)
    return tuple(
        SiteEffect(structure.name, name_region(structure), float(total[label] / count[label]), int(count[label]))
        for label, structure in sorted(segmentation.structures.items())
        if structure.group in _GROUPS and label < len(count) and count[label]
    )


def name_region(structure: Structure) -> str:
    """The part of the skeleton that a bone belongs to."""
    if structure.group == "sacrum":
        return "sacrum"
    found = _VERTEBRA.fullmatch(structure.name)
    if structure.group == "vertebra" and found:
        return _SPINE[found.group(1)]
    return "spine" if structure.group == "vertebra" else "other bones"


def mean_attributions(
    cases: Sequence[Sequence[SiteEffect]],
) -> tuple[tuple[MeanAttribution, ...], tuple[MeanAttribution, ...]]:
    """(by region, by structure), in the order in which they first occur. Every patient weighs the same, whatever the
    size of their bones; in a region a patient's voxels are taken together."""
    regions: dict[str, list[float]] = {}
    sites: dict[str, list[float]] = {}
    for case in cases:
        for name in dict.fromkeys(site.region for site in case):
            members = [site for site in case if site.region == name]
            weights = [site.voxels for site in members]
            regions.setdefault(name, []).append(float(np.average([site.effect for site in members], weights=weights)))
        for site in case:
            sites.setdefault(site.name, []).append(site.effect)
    return _summarise(regions), _summarise(sites)


def attribute_results(records: Mapping[Path, CaseRecord], structures: Structures) -> tuple[tuple[SiteEffect, ...], ...]:
    """Saved results with a heatmap, by their folders; results without one are left out.

    Raises InputError where no result has a map, and where maps of several models would be mixed.
    """
    mapped = {folder: record for folder, record in records.items() if record.heatmap is not None}
    if not mapped:
        raise InputError("None of these results has a heatmap; score the cases with --explain.")
    if len({(record.bundle.sha256, record.risk.head) for record in mapped.values()}) > 1:
        raise InputError(
            "These heatmaps are of several models or heads, whose effects are not on one scale; choose one."
        )
    return tuple(
        attribute_case(read_volume(folder / FILE, "heatmap").reoriented(), structures(record))
        for folder, record in mapped.items()
    )


def attribution_table(rows: Sequence[MeanAttribution], title: str) -> Table:
    """Mean and SD of the change of log-risk, as a table of a page."""
    return Table(
        (title, "Patients", "Mean change of log-risk", "SD"),
        tuple(
            (
                Cell(row.name),
                Cell(str(row.patients), row.patients),
                Cell(f"{row.mean:+.3g}", row.mean),
                Cell("–" if row.sd is None else f"{row.sd:.3g}", row.sd),
            )
            for row in rows
        ),
        numeric=(1, 2, 3),
        caption="Positive: the tissue raised the risk. It says what the model looked at, not where disease is.",
    )


def _summarise(values: Mapping[str, Sequence[float]]) -> tuple[MeanAttribution, ...]:
    return tuple(
        MeanAttribution(name, len(one), float(np.mean(one)), float(np.std(one, ddof=1)) if len(one) > 1 else None)
        for name, one in values.items()
    )
