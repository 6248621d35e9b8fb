"""Mean attribution: by hand on a few voxels, and the same whatever way files run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.roi.segments import Code, Maker, Segmentation, Structure
from MemorySurvivalLib.training.attribution import (
    SiteEffect,
    attribute_case,
    attribute_results,
    attribution_table,
    mean_attributions,
)

CODE = Code("1", "TEST", "test")


def make_case(spacing: tuple[float, float, float] = (2.0, 3.0, 5.0)) -> tuple[Volume, Segmentation]:
    """Labels on a grid of 6 x 5 x 4 (z, y, x), a map cropped to its inner part."""
    affine = Affine.from_parts(spacing, np.eye(3), (-10.0, 20.0, -30.0))
    labels = np.zeros((6, 5, 4), dtype=np.uint8)
    labels[1], labels[2], labels[3, :, :2], labels[3, :, 2:] = 1, 2, 3, 4
    names = {1: ("L4", "vertebra"), 2: ("T12", "vertebra"), 3: ("Sacrum", "sacrum"), 4: ("Liver", "organ")}
    structures = {k: Structure(name, group, CODE) for k, (name, group) in names.items()}  # type: ignore[arg-type]
    effect = np.zeros(labels.shape, dtype=np.float32)
    effect[1], effect[2, :2], effect[2, 2:], effect[3] = 0.5, 0.1, 0.3, -0.2
    whole = Volume(effect, affine)
    return whole.cropped((1, 0, 0), (5, 5, 4)), Segmentation(Volume(labels, affine), structures, Maker("test"))


def by_name(sites: tuple[SiteEffect, ...]) -> dict[str, tuple[str, float, int]]:
    return {site.name: (site.region, round(site.effect, 5), site.voxels) for site in sites}


EXPECTED = {
    "L4": ("lumbar spine", 0.5, 20),
    "T12": ("thoracic spine", round((0.1 * 8 + 0.3 * 12) / 20, 5), 20),
    "Sacrum": ("sacrum", -0.2, 10),
}


def test_by_hand() -> None:
    assert by_name(attribute_case(*make_case())) == EXPECTED


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "SLP", "PIR"])
def test_however_the_segmentation_runs(orientation: str) -> None:
    effect, segmentation = make_case()
    turned = Segmentation(segmentation.labels.reoriented(orientation), segmentation.structures, segmentation.maker)
    assert by_name(attribute_case(effect, turned)) == EXPECTED


def test_an_oblique_case() -> None:
    effect, segmentation = make_case()
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])

    def oblique(volume: Volume) -> Volume:
        origin = tuple(turn @ volume.affine.points_mm(np.zeros(3)))
        return Volume(volume.voxels, Affine.from_parts(volume.spacing_mm, turn, origin))

    labels = Segmentation(oblique(segmentation.labels), segmentation.structures, segmentation.maker)
    assert by_name(attribute_case(oblique(effect), labels)) == EXPECTED


def test_every_patient_weighs_the_same() -> None:
    small = (SiteEffect("L4", "lumbar spine", 1.0, 10), SiteEffect("L5", "lumbar spine", 0.0, 30))
    large = (SiteEffect("L4", "lumbar spine", 3.0, 1000),)
    regions, sites = mean_attributions([small, large])
    assert [(one.name, one.patients, one.mean) for one in regions] == [("lumbar spine", 2, (0.25 + 3.0) / 2)]
    assert {one.name: (one.patients, one.mean, one.sd) for one in sites} == {
        "L4": (2, 2.0, pytest.approx(2**0.5)),
        "L5": (1, 0.0, None),
    }
    assert attribution_table(sites, "Bone").rows[1][3].text == "–"


def record_of(bundle: str) -> CaseRecord:
    """As much of a record as is looked at."""
    said = SimpleNamespace(heatmap=object(), bundle=SimpleNamespace(sha256=bundle), risk=SimpleNamespace(head="image"))
    return cast(CaseRecord, said)


def test_saved_results(tmp_path: Path) -> None:
    """The map is written along the CT's own axes, the segmentation runs along LPS."""
    effect, segmentation = make_case()
    write_volume(effect.reoriented("RAI"), tmp_path / "heatmap.nrrd")
    (sites,) = attribute_results({tmp_path: record_of("a")}, lambda record: segmentation)
    assert by_name(sites) == EXPECTED
    two = {tmp_path: record_of("a"), tmp_path / "b": record_of("b")}
    with pytest.raises(InputError, match="of several models"):
        attribute_results(two, lambda record: segmentation)


def test_no_heatmap() -> None:
    with pytest.raises(InputError, match="None of these results has a heatmap"):
        attribute_results({}, lambda record: make_case()[1])
