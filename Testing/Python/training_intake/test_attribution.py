"""Mean attribution: by hand on a few voxels, and the same whatever way files run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.segments import Code, Maker, Segmentation, Structure
from MemorySurvivalLib.training.attribution import (
    OUTSIDE,
    SiteEffect,
    attribute_case,
    mean_attributions,
    mean_over_patients,
)

CODE = Code("1", "TEST", "test")


def make_case(spacing: tuple[float, float, float] = (2.0, 3.0, 5.0)) -> tuple[Volume, Volume, Segmentation]:
    """Labels on a grid of 6 x 5 x 4 (z, y, x); a map and what was occluded, cropped to the inner part."""
    affine = Affine.from_parts(spacing, np.eye(3), (-10.0, 20.0, -30.0))
    labels = np.zeros((6, 5, 4), dtype=np.uint8)
    labels[1], labels[2], labels[3, :, :2], labels[3, :, 2:] = 1, 2, 3, 4
    names = {1: ("L4", "vertebra"), 2: ("T12", "vertebra"), 3: ("Sacrum", "sacrum"), 4: ("Liver", "organ")}
    structures = {k: Structure(name, group, CODE) for k, (name, group) in names.items()}  # type: ignore[arg-type]
    effect = np.zeros(labels.shape, dtype=np.float32)
    effect[1], effect[2, :2], effect[2, 2:], effect[3] = 0.5, -0.1, 0.3, -0.2
    effect[1, 0] = 0.0  # the model did not react
    inside = np.zeros(labels.shape, dtype=bool)
    inside[1:4, :, 1:] = True
    effect[~inside] = 0
    start, stop = (1, 0, 0), (5, 5, 4)
    maps = (Volume(one, affine).cropped(start, stop) for one in (effect, inside))
    return (*maps, Segmentation(Volume(labels, affine), structures, Maker("test")))  # type: ignore[return-value]


def by_name(sites: tuple[SiteEffect, ...]) -> dict[str, tuple[str, float, float, int]]:
    return {site.name: (site.region, round(site.effect, 5), round(site.absolute, 5), site.voxels) for site in sites}


EXPECTED = {
    "L4": ("lumbar spine", 0.4, 0.4, 15),
    "T12": ("thoracic spine", round((-0.1 * 6 + 0.3 * 9) / 15, 5), round((0.1 * 6 + 0.3 * 9) / 15, 5), 15),
    "Sacrum": ("sacrum", -0.2, 0.2, 5),
    OUTSIDE: (OUTSIDE, -0.2, 0.2, 10),
}


def test_by_hand() -> None:
    assert by_name(attribute_case(*make_case())) == EXPECTED


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "SLP", "PIR"])
def test_however_the_segmentation_runs(orientation: str) -> None:
    effect, inside, segmentation = make_case()
    turned = Segmentation(segmentation.labels.reoriented(orientation), segmentation.structures, segmentation.maker)
    assert by_name(attribute_case(effect, inside, turned)) == EXPECTED


def test_an_oblique_case() -> None:
    effect, inside, segmentation = make_case()
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])

    def oblique(volume: Volume) -> Volume:
        origin = tuple(turn @ volume.affine.points_mm(np.zeros(3)))
        return Volume(volume.voxels, Affine.from_parts(volume.spacing_mm, turn, origin))

    labels = Segmentation(oblique(segmentation.labels), segmentation.structures, segmentation.maker)
    assert by_name(attribute_case(oblique(effect), oblique(inside), labels)) == EXPECTED


def test_no_bone_in_the_region() -> None:
    effect, inside, segmentation = make_case()
    organs = {label: Structure(one.name, "organ", CODE) for label, one in segmentation.structures.items()}
    with pytest.raises(InputError, match="No bone that could be named"):
        attribute_case(effect, inside, Segmentation(segmentation.labels, organs, segmentation.maker))


def test_every_patient_weighs_the_same() -> None:
    small = (SiteEffect("L4", "lumbar spine", 1.0, 1.0, 10), SiteEffect("L5", "lumbar spine", -2.0, 2.0, 30))
    large = (SiteEffect("L4", "lumbar spine", 3.0, 4.0, 1000),)
    regions, bones = mean_attributions([small, large])
    (lumbar,) = regions
    assert (lumbar.name, lumbar.patients) == ("lumbar spine", 2)
    assert lumbar.signed.value == pytest.approx((-1.25 + 3.0) / 2)
    assert lumbar.absolute.value == pytest.approx((1.75 + 4.0) / 2)
    l4, l5 = bones
    assert (l4.name, l4.patients, l4.signed.value, l4.signed.sd) == ("L4", 2, 2.0, pytest.approx(2**0.5))
    assert (l5.name, l5.patients, l5.signed.value, l5.signed.low, l5.signed.high) == ("L5", 1, -2.0, None, None)


def test_intervals_are_those_of_students_t_over_patients() -> None:
    values = [0.1, 0.4, -0.2, 0.3, 0.9]
    found = mean_over_patients(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    sizes = mean_over_patients([0.0, 0.0, 0.5], least=0.0)
    assert sizes.low == 0.0 and sizes.high is not None and sizes.high > 0.5


def test_places_run_from_head_to_feet_whoever_comes_first() -> None:
    names = [("L1", "lumbar spine"), ("T10", "thoracic spine"), ("rib", "other bones"), ("S1", "sacrum")]
    more = [("C2", "cervical spine"), ("T9", "thoracic spine"), (OUTSIDE, OUTSIDE), ("clavicle", "other bones")]
    cases = [[SiteEffect(name, region, 0.1, 0.1, 5) for name, region in one] for one in (names, more)]
    regions, bones = mean_attributions(cases)
    assert [row.name for row in bones] == ["C2", "T9", "T10", "L1", "S1", "clavicle", "rib"]
    assert [row.name for row in regions][-2:] == ["other bones", OUTSIDE]
