"""Masks on any grid become ROIs; empty ones, other kinds and masks that lie about their kind are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up import Patient, make_patient
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import load_case
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto
from MemorySurvivalLib.roi.plausibility import accept_roi, measure_bone
from MemorySurvivalLib.roi.roi import Roi, RoiKind

SPINE_TITLE = "dilated spine (vertebrae, canal, paramedullary tissue)"
SKELETON_TITLE = "skeleton (all bones and the dilated spine)"
RESAMPLED = "The mask was on another grid and was resampled to the CT's (nearest neighbour)."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    return make_patient(tmp_path_factory.mktemp("patient"))


def accept(
    made: Patient,
    mask: Volume,
    *,
    required: RoiKind = "spine_dilated",
    declared: RoiKind | None = None,
    allow_other: bool = False,
) -> Roi:
    return accept_roi(mask, made.ct, required, declared, "roi.nii", allow_other=allow_other)


def refusal(
    made: Patient, mask: Volume, *, required: RoiKind = "spine_dilated", declared: RoiKind | None = None
) -> str:
    with pytest.raises(InputError) as caught:
        accept(made, mask, required=required, declared=declared)
    return str(caught.value)


def tumour(made: Patient) -> Volume:
    """A ball in soft tissue, at the front of the body."""
    points = made.ct.affine.points_mm(np.stack(np.indices(made.ct.shape)[::-1], axis=-1))
    ball = ((points - (0, -20, -260)) ** 2).sum(axis=-1) <= 18**2
    return Volume(ball.astype(np.uint8), made.ct.affine)


def piece_of_bone(made: Patient) -> Volume:
    """A tumour grown into a small part of the column: all bone, but little of it."""
    voxels = np.zeros(made.ct.shape, np.uint8)
    voxels[2:16, 27:29, 22:24] = 1
    return Volume(voxels, made.ct.affine)


def share_sentence(made: Patient, mask: Volume, name: str, least: str) -> str:
    """What is said of a mask with too little bone in it."""
    share = (made.ct.voxels[mask.voxels > 0] >= 150).mean()
    return f"does not look like a {name}: {share:.1%} of it is bone on the CT (at least {least} expected)"


def test_a_spine_is_accepted_as_it_is(made: Patient) -> None:
    roi = accept(made, made.spine)
    assert (roi.kind, roi.made_by, roi.notes) == ("spine_dilated", "roi.nii", ())
    np.testing.assert_array_equal(roi.mask.voxels, made.spine.voxels > 0)
    assert roi.mask.same_grid(made.ct)


def test_any_positive_label_counts(made: Patient) -> None:
    labels = made.spine.with_voxels(np.where(made.spine.voxels > 0, 24, -1).astype(np.int16))
    np.testing.assert_array_equal(accept(made, labels).mask.voxels, made.spine.voxels > 0)


@pytest.mark.parametrize("orientation", ["RAS", "SLP", "AIR"])
def test_the_same_mask_stored_another_way_is_not_resampled(made: Patient, orientation: str) -> None:
    roi = accept(made, made.spine.reoriented(orientation))
    assert roi.notes == ()
    np.testing.assert_array_equal(roi.mask.voxels, made.spine.voxels > 0)


def test_a_mask_on_another_grid_is_resampled_and_said(made: Patient) -> None:
    coarse = made.pet.with_voxels(np.zeros(made.pet.shape, np.float32))
    coarse = resample_onto(made.spine, coarse, linear=False).reoriented("RAS")
    roi = accept(made, coarse)
    assert roi.notes == (RESAMPLED,)
    assert roi.mask.same_grid(made.ct)
    truth = made.spine.voxels > 0
    overlap = 2 * np.count_nonzero(roi.mask.voxels & truth) / (roi.mask.voxels.sum() + truth.sum())
    assert overlap > 0.85


def test_a_crop_of_the_mask_keeps_its_place(made: Patient) -> None:
    roi = accept(made, made.spine.cropped((1, 15, 10), (18, 40, 40)))
    assert roi.notes == (RESAMPLED,)
    np.testing.assert_array_equal(roi.mask.voxels, made.spine.voxels > 0)


def test_an_empty_mask(made: Patient) -> None:
    assert refusal(made, made.spine.with_voxels(np.zeros_like(made.spine.voxels))) == (
        "The mask roi.nii is empty; draw or choose a mask with voxels in it."
    )


def test_a_mask_of_another_study(made: Patient) -> None:
    away = Volume(made.spine.voxels, made.spine.affine.shifted((0, 0, 500)))
    assert refusal(made, away) == "The mask roi.nii does not overlap the CT; choose the mask of this study."


def test_a_mask_declared_as_another_kind(made: Patient) -> None:
    assert refusal(made, made.spine, declared="skeleton") == (
        f"The mask roi.nii is declared as {SKELETON_TITLE}; this model bundle needs a {SPINE_TITLE} mask. "
        "Give one, or allow another ROI for engineering use (--allow-other-roi)."
    )


def test_a_tumour_is_no_spine(made: Patient) -> None:
    mask = tumour(made)
    assert refusal(made, mask) == (
        f"The mask roi.nii {share_sentence(made, mask, 'spine', '8%')}; this model bundle needs a {SPINE_TITLE} mask. "
        "Give one, or allow another ROI for engineering use (--allow-other-roi)."
    )


@pytest.mark.parametrize("declared", [None, "spine_dilated"])
def test_declaring_a_tumour_a_spine_does_not_help(made: Patient, declared: RoiKind | None) -> None:
    assert "does not look like a spine: " in refusal(made, tumour(made), declared=declared)


def test_a_small_part_of_the_bone_is_no_spine(made: Patient) -> None:
    mask = piece_of_bone(made)
    check = measure_bone(Volume(mask.voxels > 0, mask.affine), made.ct)
    assert check.bone_share == 1
    assert 0.02 < check.bone_covered < 0.12
    assert refusal(made, mask) == (
        f"The mask roi.nii does not look like a spine: it holds {check.bone_covered:.0%} of the bone on its slices "
        f"(at least 12% expected); this model bundle needs a {SPINE_TITLE} mask. "
        "Give one, or allow another ROI for engineering use (--allow-other-roi)."
    )


def test_a_small_part_of_the_bone_is_no_skeleton(made: Patient) -> None:
    check = measure_bone(Volume(piece_of_bone(made).voxels > 0, made.ct.affine), made.ct)
    assert refusal(made, piece_of_bone(made), required="skeleton") == (
        f"The mask roi.nii does not look like a skeleton: it holds {check.bone_covered:.0%} of the bone on its slices "
        f"(at least 50% expected); this model bundle needs a {SKELETON_TITLE} mask. "
        "Give one, or allow another ROI for engineering use (--allow-other-roi)."
    )


def test_another_kind_is_allowed_for_engineering_and_said(made: Patient) -> None:
    mask = tumour(made)
    roi = accept(made, mask, allow_other=True)
    assert roi.kind == "other"
    assert roi.notes == (
        f"The mask {share_sentence(made, mask, 'spine', '8%')}; it was allowed for engineering use only.",
    )
    declared = accept(made, made.spine, declared="skeleton", allow_other=True)
    assert declared.kind == "other"
    assert declared.notes == (f"The mask is declared as {SKELETON_TITLE}; it was allowed for engineering use only.",)


def test_allowing_others_does_not_relabel_a_real_spine(made: Patient) -> None:
    roi = accept(made, made.spine, allow_other=True)
    assert (roi.kind, roi.notes) == ("spine_dilated", ())


def test_allowing_others_does_not_allow_an_empty_mask(made: Patient) -> None:
    empty = made.spine.with_voxels(np.zeros_like(made.spine.voxels))
    with pytest.raises(InputError, match=r"^The mask roi\.nii is empty; "):
        accept(made, empty, allow_other=True)


def test_bone_is_measured_inside_the_mask_and_on_its_slices() -> None:
    hu = np.full((4, 4, 4), 40.0)
    hu[0, :2] = hu[1, :2] = hu[3] = 150  # eight voxels of bone on slices 0 and 1, sixteen on slice 3
    ct = Volume(hu, Affine(np.eye(4)))
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 1:3] = mask[1, 1:3] = mask[2, 1] = True  # 20 voxels, 8 of them bone
    check = measure_bone(Volume(mask, ct.affine), ct)
    assert check.bone_share == pytest.approx(8 / 20)
    assert check.bone_covered == pytest.approx(8 / 16)


@pytest.mark.real_data
def test_real_tumours_are_no_spine(real_data: Path) -> None:
    """The masks of the real patients are soft-tissue tumours: two of them, also dilated as a spine would be."""
    patients = sorted((real_data / "petct_sts10").glob("STS_*"))[:2]
    assert len(patients) == 2
    for folder in patients:
        case = load_case(folder / "CT_image.nii.gz", folder / "PET_image.nii.gz")
        mask = read_volume(folder / "PET_mask.nii.gz", "mask")
        dilated = mask.with_voxels(ndimage.binary_dilation(mask.voxels > 0).astype(np.uint8))
        for one in (mask, dilated):
            with pytest.raises(InputError, match="does not look like a spine"):
                accept_roi(one, case.ct, "spine_dilated", None, "tumour", allow_other=False)
        assert accept_roi(mask, case.ct, "spine_dilated", None, "tumour", allow_other=True).kind == "other"
