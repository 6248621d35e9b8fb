"""What a cohort's heatmaps say on average about each vertebra, bone and region; one weight a patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.estimates import LEVEL
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.segments import on_grid
from MemorySurvivalLib.roi.segments import Segmentation, Structure, StructureGroup

OUTSIDE = "outside bones"
"""What of the region lies in no bone: a dilated spine holds soft tissue too."""

BONES: tuple[StructureGroup, ...] = ("vertebra", "sacrum", "bone")

REGIONS = ("cervical spine", "thoracic spine", "lumbar spine", "spine", "sacrum", "other bones", OUTSIDE)
"""From head to feet."""

_VERTEBRA = re.compile(r"([CTL])(\d{1,2})")
_SPINE = {"C": "cervical spine", "T": "thoracic spine", "L": "lumbar spine"}


@dataclass(frozen=True)
class SiteEffect:
    """One structure of one patient: mean change of log-risk over its occluded voxels, mean size of that change (both
    signs counted alike), and how many voxels there are."""

    name: str
    region: str
    effect: float
    absolute: float
    voxels: int


@dataclass(frozen=True)
class PatientMean:
    """A mean over patients, its SD, and its 95 % interval (Student's t over patients); None for one patient."""

    value: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MeanAttribution:
    """Over patients who have the structure in their region: signed and absolute change of log-risk."""

    name: str
    region: str
    patients: int
    signed: PatientMean
    absolute: PatientMean


def attribute_case(effect: Volume, inside: Volume, segmentation: Segmentation) -> tuple[SiteEffect, ...]:
    """Mean effect in each bone that the region reaches, in the order of the labels, then in what lies outside bones.

    `effect` is a heatmap (change of log-risk) and `inside` what of the region was occluded (bool), on one grid;
    `segmentation` lies on any grid. Voxels where the map is 0 count: the model did not react to them. Raises InputError
    where no bone lies inside.
    """
    labels = on_grid(segmentation, effect).labels.voxels[inside.voxels]
    values = np.asarray(effect.voxels[inside.voxels], dtype=np.float64)
    found = [
        _site(structure.name, name_region(structure), values[labels == label])
        for label, structure in sorted(segmentation.structures.items())
        if structure.group in BONES and (labels == label).any()
    ]
    if not found:
        raise InputError(
            "No bone that could be named lies in the region; give a mask that lies on the skeleton, or a segmentation "
            "with named bones."
        )
    bones = [label for label, structure in segmentation.structures.items() if structure.group in BONES]
    rest = values[~np.isin(labels, bones)]
    return (*found, *([_site(OUTSIDE, OUTSIDE, rest)] if len(rest) else []))


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
    """(by region, by bone), from head to feet. Every patient weighs the same, whatever the size of their bones; in a
    region a patient's voxels are taken together."""
    regions = [tuple(_join(case, name) for name in dict.fromkeys(site.region for site in case)) for case in cases]
    bones = [tuple(site for site in case if site.region != OUTSIDE) for case in cases]
    return _summarise(regions), _summarise(bones)


def mean_over_patients(values: Sequence[float], *, least: float = -np.inf) -> PatientMean:
    """Mean, SD and interval of one value a patient; the interval does not pass `least`, which no value can.

    Raises ValueError without a value.
    """
    if not values:
        raise ValueError("a mean needs at least one patient")
    mean = float(np.mean(values))
    if len(values) == 1:
        return PatientMean(mean)
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * sd / len(values) ** 0.5
    return PatientMean(mean, sd, max(mean - half, least), mean + half)


def _site(name: str, region: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> SiteEffect:
    return SiteEffect(name, region, float(values.mean()), float(np.abs(values).mean()), len(values))


def _join(case: Sequence[SiteEffect], region: str) -> SiteEffect:
    """A patient's sites of one region as one."""
    members = [site for site in case if site.region == region]
    weights = [site.voxels for site in members]
    effect, absolute = (
        float(np.average(values, weights=weights))
        for values in ([site.effect for site in members], [site.absolute for site in members])
    )
    return SiteEffect(region, region, effect, absolute, sum(weights))


def _summarise(cases: Sequence[Sequence[SiteEffect]]) -> tuple[MeanAttribution, ...]:
    sites: dict[tuple[str, str], list[SiteEffect]] = {}
    for case in cases:
        for site in case:
            sites.setdefault((site.name, site.region), []).append(site)
    return tuple(_mean(key, sites) for key in sorted(sites, key=_place))


def _mean(key: tuple[str, str], sites: Mapping[tuple[str, str], Sequence[SiteEffect]]) -> MeanAttribution:
    found = sites[key]
    return MeanAttribution(
        *key,
        len(found),
        mean_over_patients([site.effect for site in found]),
        mean_over_patients([site.absolute for site in found], least=0.0),
    )


def _place(key: tuple[str, str]) -> tuple[int, int, str]:
    """From head to feet; vertebrae by their number, other bones by their name."""
    name, region = key
    found = _VERTEBRA.fullmatch(name)
    return REGIONS.index(region), int(found.group(2)) if found else 0, name
