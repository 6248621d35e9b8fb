"""The built-in CT segmenter on made-up spines: what it finds, refuses, and says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.roi.builtin import (
    NO_BODY,
    NO_BONE,
    NO_SPINE,
    BuiltinSegmentation,
    SegmenterConfig,
    segment_builtin,
)
from MemorySurvivalLib.roi.derive import RoiConfig, derive_skeleton, derive_spine_dilated
from MemorySurvivalLib.roi.labelled import as_segmentation
from MemorySurvivalLib.roi.working_grid import shrink, spread_labels

MASKS = ("body", "skeleton_bones", "vertebrae", "canal")
VERTEBRAE = 5
UNIT_MM, DISC_MM = 33.0, 9.0


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return 2.0 * float(np.count_nonzero(a & b)) / max(float(np.count_nonzero(a) + np.count_nonzero(b)), 1.0)


def make_trunk(
    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 3.0),
) -> tuple[Volume, dict[str, npt.NDArray[np.bool_]]]:
    """A trunk on a table with five vertebrae, an enhanced vessel beside them and a calcification; and the truth."""
    size_mm = np.array([240.0, 190.0, VERTEBRAE * UNIT_MM])
    x_step, y_step, z_step = spacing_mm
    shape = tuple(int(n) for n in np.round(size_mm / spacing_mm).astype(int)[::-1])
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    x_mm, y_mm, z_mm = x * x_step - 120.0, y * y_step - 80.0, z * z_step
    level = z_mm % UNIT_MM
    body = (x_mm / 105.0) ** 2 + (y_mm / 70.0) ** 2 + 0 * z_mm <= 1
    column = np.hypot(x_mm / 22.0, (y_mm - 10.0) / 16.0)
    bony = level >= DISC_MM
    vertebral_body = (column <= 1) & bony
    marrow = (column <= 0.84) & (level >= DISC_MM + 3) & (level <= UNIT_MM - 3)
    around = np.hypot(x_mm, y_mm - 36.0)
    arch = (around > 9) & (around <= 15) & (level >= DISC_MM) & (level < UNIT_MM - 6) & (y_mm > 24)
    spinous = (np.abs(x_mm) <= 4) & (y_mm > 46) & (y_mm <= 64) & (level >= DISC_MM) & (level < UNIT_MM - 12)
    processes = (np.abs(x_mm) > 10) & (np.abs(x_mm) <= 38) & (np.abs(y_mm - 32) <= 4) & (np.abs(level - 22) <= 5)
    canal = (around <= 9) & (y_mm > 26) & (z_mm >= 0)
    vertebrae = (vertebral_body | arch | spinous | processes) & ~canal
    vessel = np.hypot(x_mm - 45.0, y_mm + 5.0) + 0 * z_mm <= 11
    calcification = np.sqrt((x_mm + 50) ** 2 + (y_mm + 20) ** 2 + (z_mm - 80) ** 2) <= 4
    hu = np.full(shape, -1000.0)
    hu[body] = 45.0
    hu[(column <= 1) & ~bony] = 80.0
    hu[vertebrae] = 550.0
    hu[marrow & ~canal] = 170.0
    hu[canal] = 25.0
    hu[vessel] = 175.0
    hu[calcification] = 500.0
    table = (y_mm > 78) & (y_mm <= 83) & (np.abs(x_mm) < 110) & (z_mm >= 0)
    hu[table] = 150.0
    hu += np.random.default_rng(5).normal(0, 10, shape)
    truth = {
        "body": body, "vertebrae": vertebrae, "canal": canal, "vessel": vessel, "calcification": calcification,
        "table": table,
    }  # fmt: skip
    affine = Affine.from_parts(spacing_mm, np.eye(3), (-120.0, -80.0, 0.0))
    return Volume(hu.astype(np.int16), affine), {name: np.broadcast_to(mask, shape) for name, mask in truth.items()}


@pytest.fixture(scope="module")
def trunk() -> tuple[Volume, dict[str, npt.NDArray[np.bool_]], BuiltinSegmentation]:
    ct, truth = make_trunk()
    return ct, truth, segment_builtin(ct)


def test_bones_canal_and_body_are_found(
    trunk: tuple[Volume, dict[str, npt.NDArray[np.bool_]], BuiltinSegmentation],
) -> None:
    ct, truth, found = trunk
    assert all(getattr(found, name).same_grid(ct) for name in MASKS)
    assert dice(found.body.voxels > 0, truth["body"]) > 0.97
    assert not (found.body.voxels > 0)[truth["table"]].any()
    assert dice(found.skeleton_bones.voxels > 0, truth["vertebrae"]) > 0.9
    assert dice(found.vertebrae.voxels > 0, truth["vertebrae"]) > 0.9
    assert dice(found.canal.voxels > 0, truth["canal"]) > 0.8
    assert not (found.skeleton_bones.voxels[found.canal.voxels > 0]).any()


def test_vessels_and_calcifications_are_not_bone(
    trunk: tuple[Volume, dict[str, npt.NDArray[np.bool_]], BuiltinSegmentation],
) -> None:
    _, truth, found = trunk
    assert (found.skeleton_bones.voxels > 0)[truth["vessel"]].mean() < 0.02
    assert not (found.skeleton_bones.voxels > 0)[truth["calcification"]].any()


def test_vertebrae_are_counted_from_the_top(
    trunk: tuple[Volume, dict[str, npt.NDArray[np.bool_]], BuiltinSegmentation],
) -> None:
    _, _, found = trunk
    assert found.vertebra_names == tuple(f"vertebra {n}" for n in range(1, VERTEBRAE + 1))
    assert set(np.unique(found.vertebrae.voxels)) == set(range(VERTEBRAE + 1))
    heights = [np.argwhere(found.vertebrae.voxels == n)[:, 0].mean() for n in range(1, VERTEBRAE + 1)]
    assert heights == sorted(heights, reverse=True)
    assert "numbered from the top" in " ".join(found.notes)


def test_spine_dilated_and_skeleton_follow_their_definition(
    trunk: tuple[Volume, dict[str, npt.NDArray[np.bool_]], BuiltinSegmentation],
) -> None:
    ct, truth, found = trunk
    spine = (found.vertebrae.voxels > 0) | (found.canal.voxels > 0)
    dilated = derive_spine_dilated(as_segmentation(found)).voxels > 0
    assert dilated[spine].all()
    assert dilated[truth["vertebrae"] | truth["canal"]].mean() >= 0.97
    assert not dilated[found.body.voxels == 0].any()
    # 10 mm further along x from the widest process, and not a voxel more.
    x = np.flatnonzero(spine.any(axis=(0, 1)))[-1]
    assert np.flatnonzero(dilated.any(axis=(0, 1)))[-1] == x + int(10.0 / ct.spacing_mm[0])
    skeleton = derive_skeleton(as_segmentation(found)).voxels > 0
    np.testing.assert_array_equal(skeleton, dilated | (found.skeleton_bones.voxels > 0))
    np.testing.assert_array_equal(derive_spine_dilated(as_segmentation(found), RoiConfig(0.0)).voxels > 0, spine)
    with pytest.raises(InputError, match="give a radius of zero or more"):
        RoiConfig(-1.0)


@pytest.mark.parametrize("orientation", ["RAS", "PIR", "SLA"])
def test_the_files_axes_do_not_matter(
    trunk: tuple[Volume, dict[str, npt.NDArray[np.bool_]], BuiltinSegmentation], orientation: str
) -> None:
    ct, _, found = trunk
    turned = ct.reoriented(orientation)
    again = segment_builtin(turned)
    for name in MASKS:
        mask: Volume = getattr(again, name)
        assert mask.same_grid(turned)
        np.testing.assert_array_equal(mask.reoriented().voxels, getattr(found, name).voxels)
    assert again.vertebra_names == found.vertebra_names


@pytest.mark.parametrize("spacing_mm", [(1.2, 1.2, 2.0), (2.0, 2.0, 5.0)])
def test_fine_and_thick_slices_work(spacing_mm: tuple[float, float, float]) -> None:
    ct, truth = make_trunk(spacing_mm)
    found = segment_builtin(ct)
    assert dice(found.skeleton_bones.voxels > 0, truth["vertebrae"]) > 0.85
    assert (derive_spine_dilated(as_segmentation(found)).voxels > 0)[truth["vertebrae"] | truth["canal"]].mean() >= 0.97


def test_an_oblique_grid_keeps_its_affine() -> None:
    ct, truth = make_trunk()
    angle = np.radians(6.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilted = Volume(ct.voxels, Affine.from_parts(ct.spacing_mm, turn, (3.0, -4.0, 5.0)))
    found = segment_builtin(tilted)
    assert found.vertebrae.same_grid(tilted)
    assert dice(found.vertebrae.voxels > 0, truth["vertebrae"]) > 0.9


def test_metal_is_told() -> None:
    ct, _ = make_trunk()
    hu = np.array(ct.voxels)
    hu[20:26, 30:36, 46:52] = 3000
    notes = segment_builtin(ct.with_voxels(hu)).notes
    assert any("ml of metal were found" in note for note in notes)


def test_a_long_bone_is_no_spine() -> None:
    z, y, x = np.ogrid[:60, :60, :60]
    away_mm = np.hypot(x - 30, y - 28) * 2.5 + 0 * z
    hu = np.where(away_mm <= 65, 50.0, -1000.0)
    hu[away_mm <= 15] = 1100.0
    hu[away_mm <= 8] = -60.0
    leg = segment_builtin(Volume(hu.astype(np.float32), Affine.from_parts((2.5, 2.5, 3), np.eye(3), (0, 0, 0))))
    assert leg.notes == (NO_SPINE,)
    assert not leg.has_spine and not leg.canal.voxels.any() and leg.vertebra_names == ()
    assert leg.skeleton_bones.voxels[30, 28, 30], "the marrow cavity belongs to the bone"
    assert not derive_spine_dilated(as_segmentation(leg)).voxels.any()
    np.testing.assert_array_equal(derive_skeleton(as_segmentation(leg)).voxels, leg.skeleton_bones.voxels)


@pytest.mark.parametrize(
    ("hu", "shape", "notes"),
    [
        (-1000.0, (12, 20, 20), (NO_BODY, NO_SPINE)),
        (40.0, (12, 20, 20), (NO_BONE, NO_SPINE)),
        (40.0, (1, 9, 9), (NO_BONE, NO_SPINE)),
        (-1000.0, (1, 1, 1), (NO_BODY, NO_SPINE)),
        (900.0, (4, 30, 30), (NO_SPINE,)),
    ],
)
def test_images_without_a_spine_say_so(hu: float, shape: tuple[int, int, int], notes: tuple[str, ...]) -> None:
    ct = Volume(np.full(shape, hu, dtype=np.float32), Affine.from_parts((3, 3, 3), np.eye(3), (0, 0, 0)))
    found = segment_builtin(ct)
    assert found.notes == notes
    assert found.vertebrae.shape == shape and not found.vertebrae.voxels.any()


def test_not_a_number_is_refused() -> None:
    hu = np.zeros((4, 4, 4), dtype=np.float32)
    hu[0, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"^The CT holds voxels that are not finite numbers; export it again"):
        segment_builtin(Volume(hu, Affine.from_parts((1, 1, 1), np.eye(3), (0, 0, 0))))


def test_progress_is_told_and_can_stop_the_work() -> None:
    ct = Volume(np.zeros((6, 8, 8), dtype=np.int16), Affine.from_parts((3, 3, 3), np.eye(3), (0, 0, 0)))
    events: list[ProgressEvent] = []
    segment_builtin(ct, progress=events.append)
    assert [event.done for event in events] == list(range(len(events)))
    assert events[-1].done == events[-1].total

    def stop(event: ProgressEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_builtin(ct, progress=stop)


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "PSL"])
def test_labels_reach_slices_that_averaging_left_over(orientation: str) -> None:
    turned = Affine.from_parts((2.0, 2.0, 0.3), np.eye(3), (5.0, -3.0, 1.0))
    fine = Volume(np.zeros((20, 6, 6), dtype=np.float32), turned).reoriented(orientation)
    coarse = shrink(fine, 2.2)
    labels = np.zeros(coarse.shape, dtype=np.uint8)
    labels[-1, -1, -1] = 3
    spread = spread_labels(coarse.with_voxels(labels), fine)
    factors = [round(b / a) for a, b in zip(fine.spacing_mm, coarse.spacing_mm, strict=True)][::-1]
    expected = np.zeros(fine.shape, dtype=np.uint8)
    expected[tuple(slice((size - 1) * n, None) for size, n in zip(coarse.shape, factors, strict=True))] = 3
    np.testing.assert_array_equal(spread, expected)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_settings_must_be_positive(value: float) -> None:
    with pytest.raises(InputError, match="smallest_bone_ml must be a positive number"):
        SegmenterConfig(smallest_bone_ml=value)


def test_a_segmentation_that_contradicts_itself_is_refused() -> None:
    affine = Affine.from_parts((1, 1, 1), np.eye(3), (0, 0, 0))
    empty = Volume(np.zeros((2, 2, 2), dtype=np.uint8), affine)
    with pytest.raises(InputError, match=r"^Every vertebra needs a name"):
        BuiltinSegmentation(empty, empty, empty.with_voxels(np.ones((2, 2, 2), dtype=np.uint8)), empty)
    with pytest.raises(InputError, match="mask canal must be uint8"):
        BuiltinSegmentation(empty, empty, empty, empty.with_voxels(np.zeros((2, 2, 2), dtype=np.bool_)))
    with pytest.raises(InputError, match="lies on another grid"):
        BuiltinSegmentation(empty, empty, empty, Volume(np.zeros((2, 2, 3), dtype=np.uint8), affine))
