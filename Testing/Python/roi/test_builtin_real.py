"""The built-in CT segmenter on real CTs: floors of overlap with a reference, and what partial anatomy gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.builtin import (
    NO_SPINE,
    BuiltinSegmentation,
    segment_builtin,
)
from MemorySurvivalLib.roi.derive import derive_skeleton, derive_spine_dilated
from MemorySurvivalLib.roi.labelled import as_segmentation

pytestmark = pytest.mark.real_data

# Label values of the reference (TotalSegmentator v2, class map "total").
VERTEBRAE = range(26, 51)
BONES = (25, *VERTEBRAE, *range(69, 79), *range(91, 117))
CANAL = 79

LIMBS = [f"STS_{number:03d}" for number in (2, 8, 12, 19, 24, 25, 32, 35, 41, 42)]


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return 2.0 * float(np.count_nonzero(a & b)) / float(np.count_nonzero(a) + np.count_nonzero(b))


@pytest.fixture(scope="module")
def abdomen(real_data: Path) -> tuple[Volume, npt.NDArray[np.generic]]:
    """A CT from T12 to the upper femora with a hip prosthesis, and its reference labels."""
    folder = real_data / "ct_labels"
    labels = read_volume(folder / "example_seg_fast_force_split.nii.gz", "the reference")
    return read_volume(folder / "example_ct.nii.gz", "the CT"), labels.voxels


@pytest.fixture(scope="module")
def found(abdomen: tuple[Volume, npt.NDArray[np.generic]]) -> BuiltinSegmentation:
    return segment_builtin(abdomen[0])


def test_floors_of_overlap(abdomen: tuple[Volume, npt.NDArray[np.generic]], found: BuiltinSegmentation) -> None:
    _, labels = abdomen
    assert dice(found.skeleton_bones.voxels > 0, np.isin(labels, BONES)) >= 0.92
    assert dice(found.vertebrae.voxels > 0, np.isin(labels, VERTEBRAE)) >= 0.90


def test_the_dilated_spine_covers_the_spine_and_no_more(
    abdomen: tuple[Volume, npt.NDArray[np.generic]], found: BuiltinSegmentation
) -> None:
    ct, labels = abdomen
    spine = np.isin(labels, [*VERTEBRAE, CANAL])
    dilated = derive_spine_dilated(as_segmentation(found)).voxels > 0
    assert dilated[spine].mean() >= 0.97
    away_mm = ndimage.distance_transform_edt(~spine, sampling=ct.spacing_mm[::-1])
    assert (away_mm[dilated] <= 10).mean() >= 0.93
    assert (away_mm[dilated] <= 20).mean() >= 0.98
    assert (derive_skeleton(as_segmentation(found)).voxels > 0)[np.isin(labels, BONES)].mean() >= 0.9


def test_lumbar_vertebrae_have_their_names_and_metal_is_told(
    abdomen: tuple[Volume, npt.NDArray[np.generic]], found: BuiltinSegmentation
) -> None:
    _, labels = abdomen
    assert found.vertebra_names[-6:] == ("L1", "L2", "L3", "L4", "L5", "S1")
    for name, value, floor in (
        ("L1", 31, 0.85),
        ("L2", 30, 0.85),
        ("L3", 29, 0.85),
        ("L4", 28, 0.85),
        ("L5", 27, 0.75),
        ("S1", 26, 0.7),
    ):
        number = found.vertebra_names.index(name) + 1
        assert dice(found.vertebrae.voxels == number, labels == value) >= floor, name
    assert any("metal" in note for note in found.notes)


@pytest.mark.parametrize("orientation", ["LPS", "PIR", "SAL"])
def test_flips_and_permutations_give_the_identical_masks(
    abdomen: tuple[Volume, npt.NDArray[np.generic]], found: BuiltinSegmentation, orientation: str
) -> None:
    ct, _ = abdomen
    again = segment_builtin(ct.reoriented(orientation))
    for name in ("body", "skeleton_bones", "vertebrae", "canal"):
        expected: Volume = getattr(found, name)
        np.testing.assert_array_equal(getattr(again, name).reoriented().voxels, expected.reoriented().voxels)


def test_a_cut_spine_is_numbered_not_named(abdomen: tuple[Volume, npt.NDArray[np.generic]]) -> None:
    ct, labels = abdomen
    part = segment_builtin(ct.cropped((55, 0, 0), (85, *ct.shape[1:])))
    assert dice(part.vertebrae.voxels > 0, np.isin(labels[55:85], VERTEBRAE)) >= 0.88
    assert part.vertebra_names[0] == "vertebra 1"


def test_hips_alone_are_no_spine(abdomen: tuple[Volume, npt.NDArray[np.generic]]) -> None:
    ct, labels = abdomen
    hips = segment_builtin(ct.cropped((0, 0, 0), (36, *ct.shape[1:])))
    assert hips.notes[0] == NO_SPINE
    assert dice(hips.skeleton_bones.voxels > 0, np.isin(labels[:36], BONES)) >= 0.88


@pytest.mark.parametrize("patient", LIMBS)
def test_limbs_have_bones_and_no_spine(real_data: Path, patient: str) -> None:
    limb = segment_builtin(read_volume(real_data / "petct_sts10" / patient / "CT_image.nii.gz", "the CT"))
    assert limb.notes[0] == NO_SPINE
    assert limb.skeleton_bones.voxels.any()
    assert not limb.vertebrae.voxels.any() and not derive_spine_dilated(as_segmentation(limb)).voxels.any()


def test_a_neck_with_thick_slices_works(real_data: Path) -> None:
    ct = read_volume(real_data / "ct_pieces" / "moose_neck" / "CT_enhance_pet_1446_neck_slice.nii.gz", "the CT")
    neck = segment_builtin(ct)
    slices = np.any(neck.canal.voxels > 0, axis=(1, 2))
    assert slices[:28].all(), "the canal runs through all slices that hold the patient"
    canal_hu = ct.voxels[neck.canal.voxels > 0]
    assert 0 < float(np.median(canal_hu)) < 80
    assert float(np.mean(ct.voxels[neck.vertebrae.voxels > 0] > 120)) > 0.8
    table = np.zeros(ct.shape, dtype=np.bool_)
    table[:, :8] = True  # the axes run right, anterior, superior: the table is at the first rows
    assert not (neck.body.voxels > 0)[table].any()


def test_one_vertebra_is_enough(real_data: Path) -> None:
    folder = real_data / "ct_pieces" / "tptbox_vertebra"
    ct = read_volume(folder / "sub-ct_label-22_ct.nii.gz", "the CT")
    truth = read_volume(folder / "sub-ct_seg-vert_label-22_msk.nii.gz", "the reference").voxels > 0
    piece = segment_builtin(ct)
    assert dice(piece.vertebrae.voxels > 0, truth) >= 0.78
    assert (derive_spine_dilated(as_segmentation(piece)).voxels > 0)[truth].mean() >= 0.97
