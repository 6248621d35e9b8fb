"""The two regions derived from any label map: what counts as spine, radii in millimetres, grids, refusals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.bones import choose_edge_share
from MemorySurvivalLib.roi.builtin import BuiltinSegmentation, SegmenterConfig
from MemorySurvivalLib.roi.derive import RoiConfig, derive_roi, derive_skeleton, derive_spine_dilated, select_spine
from MemorySurvivalLib.roi.dilation import dilate_mm
from MemorySurvivalLib.roi.labelled import BONE, CANAL, METHOD, as_segmentation
from MemorySurvivalLib.roi.segments import Maker, Segmentation
from MemorySurvivalLib.roi.terminology import structure

NAMES = ("bone", "spinal_canal", "L5", "S1", "sacrum", "liver")
SHAPE, SPACING_MM = (24, 30, 36), (2.0, 3.0, 4.0)
STRAIGHT = np.eye(3)
OBLIQUE = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])


def make_segmentation(direction: npt.ArrayLike = STRAIGHT, *, body: bool = True) -> Segmentation:
    """One small block a structure, apart from each other, in a body that ends close to L5."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for label, place in enumerate(((4, 5, 6), (12, 12, 12), (12, 8, 12), (7, 8, 12), (3, 8, 25), (20, 25, 30)), 1):
        z, y, x = place
        labels[z : z + 2, y : y + 2, x : x + 3] = label
    affine = Affine.from_parts(SPACING_MM, direction, (-30.0, 12.0, 5.0))
    inside = np.zeros(SHAPE, dtype=np.uint8)
    inside[:, 7:] = 1
    structures = {label: structure(name) for label, name in enumerate(NAMES, 1)}
    return Segmentation(Volume(labels, affine), structures, Maker("by hand"), Volume(inside, affine) if body else None)


def test_the_spine_is_vertebrae_and_canal_and_s1_only_where_wanted() -> None:
    made = make_segmentation()
    labels = made.labels.voxels
    np.testing.assert_array_equal(select_spine(made), np.isin(labels, [2, 3, 4]))
    np.testing.assert_array_equal(select_spine(made, RoiConfig(include_s1=False)), np.isin(labels, [2, 3]))


@pytest.mark.parametrize("direction", [STRAIGHT, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("radius_mm", [0.0, 4.0, 10.0])
def test_the_region_is_every_voxel_within_the_radius_inside_the_body(
    direction: npt.ArrayLike, radius_mm: float
) -> None:
    made = make_segmentation(direction)
    spine = select_spine(made)
    points = made.labels.affine.points_mm(np.argwhere(np.ones(SHAPE))[:, ::-1])
    own = made.labels.affine.points_mm(np.argwhere(spine)[:, ::-1])
    away_mm = np.sqrt(((points[:, None] - own[None]) ** 2).sum(-1)).min(1).reshape(SHAPE)
    assert made.body is not None
    expected = (away_mm <= radius_mm + 1e-4) & ((made.body.voxels != 0) | spine)
    found = derive_spine_dilated(made, RoiConfig(radius_mm))
    np.testing.assert_array_equal(found.voxels != 0, expected)
    skeleton = derive_skeleton(made, RoiConfig(radius_mm)).voxels != 0
    np.testing.assert_array_equal(skeleton, expected | np.isin(made.labels.voxels, [1, 2, 3, 4, 5]))
    assert not skeleton[made.labels.voxels == 6].any(), "an organ is no bone"


def test_without_a_body_mask_nothing_is_cut() -> None:
    made = make_segmentation(body=False)
    np.testing.assert_array_equal(
        derive_spine_dilated(made).voxels,
        dilate_mm(made.labels.with_voxels(select_spine(made)), 10.0).voxels,
    )


@pytest.mark.parametrize("orientation", ["RAS", "SPL", "AIR"])
def test_a_roi_does_not_depend_on_the_files_axes(orientation: str) -> None:
    made = make_segmentation()
    assert made.body is not None
    turned = Segmentation(
        made.labels.reoriented(orientation), made.structures, made.maker, made.body.reoriented(orientation)
    )
    roi = derive_roi(turned, "spine_dilated", grid=made.labels)
    np.testing.assert_array_equal(roi.mask.voxels, derive_spine_dilated(made).voxels != 0)
    assert (roi.kind, roi.made_by, roi.notes) == ("spine_dilated", "by hand", ())


def test_another_grid_is_resampled_and_said() -> None:
    made = make_segmentation(body=False)
    grid = Volume(np.zeros((48, 30, 36), np.uint8), Affine.from_parts((2, 3, 2), np.eye(3), (-30.0, 12.0, 5.0)))
    roi = derive_roi(made, "skeleton", grid=grid)
    assert roi.mask.same_grid(grid)
    expected = derive_skeleton(made).voxels != 0
    np.testing.assert_array_equal(roi.mask.voxels[::2], expected)
    assert any("resampled" in note for note in roi.notes)


def test_what_cannot_be_derived_is_refused_in_one_sentence() -> None:
    made = make_segmentation()
    with pytest.raises(InputError, match=r"^A region of another kind cannot be derived; give it as a mask\.$"):
        derive_roi(made, "other")
    empty = Segmentation(made.labels.with_voxels(np.zeros(SHAPE, np.uint8)), {}, Maker("by hand"))
    with pytest.raises(InputError, match=r"^No skeleton .* was found on the CT; give a mask with --roi\.$"):
        derive_roi(empty, "skeleton")
    for radius_mm in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="give a radius of zero or more"):
            RoiConfig(radius_mm)
        with pytest.raises(InputError, match="give a radius of zero or more"):
            dilate_mm(made.labels, radius_mm)


def test_the_built_in_segmenters_masks_become_one_label_map() -> None:
    affine = Affine.from_parts(SPACING_MM, np.eye(3), (0, 0, 0))
    empty = np.zeros((3, 4, 5), dtype=np.uint8)
    bones, vertebrae, canal = empty.copy(), empty.copy(), empty.copy()
    bones[0] = 1
    bones[1, 1:3] = 1
    vertebrae[1, 1], vertebrae[1, 2] = 1, 2
    canal[1, 0] = 1
    body = Volume(np.ones_like(empty), affine)
    found = BuiltinSegmentation(
        body, Volume(bones, affine), Volume(vertebrae, affine), Volume(canal, affine), ("L5", "S1"), ("A note.",)
    )
    made = as_segmentation(found, SegmenterConfig(edge_share=0.4))
    assert {name: made.label_of(name) for name in ("bone", "spinal_canal", "L5", "S1")} == {
        "bone": BONE, "spinal_canal": CANAL, "L5": 3, "S1": 4,
    }  # fmt: skip
    np.testing.assert_array_equal(made.labels.voxels[:, :, 0], [[1, 1, 1, 1], [2, 3, 4, 0], [0, 0, 0, 0]])
    assert made.body is body and made.notes == ("A note.",)
    assert (made.maker.method, made.maker.settings) == (METHOD, "edge_share=0.4")
    assert made.structures[4].group == "sacrum"
    numbered = BuiltinSegmentation(
        body, Volume(bones, affine), Volume(vertebrae, affine), Volume(canal, affine), ("vertebra 1", "vertebra 2")
    )
    assert as_segmentation(numbered).structures[3].name == "vertebra 1"
    assert as_segmentation(numbered).maker.settings == "default settings"


def test_bone_ends_nearer_to_its_peak_on_coarse_voxels() -> None:
    config = SegmenterConfig()
    shares = [
        choose_edge_share(spacing, config) for spacing in ((1, 1, 1), (3, 3, 3), (4, 3.5, 3.5), (5, 4, 4), (9, 9, 9))
    ]
    assert shares[0] == shares[1] == config.edge_share
    assert shares[1] < shares[2] < shares[3]
    assert shares[3] == pytest.approx(shares[4], abs=0.01)
