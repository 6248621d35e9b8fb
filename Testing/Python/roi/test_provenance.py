"""Who made a mask travels with it, and an edit by any program is recognised; unknown is said as unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import SimpleITK as sitk

from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto
from MemorySurvivalLib.roi.fingerprint import fingerprint_labels, fingerprint_mask
from MemorySurvivalLib.roi.provenance import (
    ROI_ATTRIBUTE,
    RoiPart,
    RoiStamp,
    read_roi_provenance,
    read_stamp,
    stamp_mask,
)
from MemorySurvivalLib.roi.segments import Maker

MAKER = Maker("built-in CT segmenter", "0.1.0", "radius 10 mm | näher")
PART = RoiPart("spine_dilated", MAKER)


def turned(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])


@pytest.fixture(params=["straight", "oblique"])
def mask(request: pytest.FixtureRequest) -> Volume:
    """A made-up mask on an anisotropic grid; not symmetric, so that every flip is another mask."""
    direction = np.eye(3) if request.param == "straight" else turned(20)
    voxels = np.zeros((9, 11, 13), np.uint8)
    voxels[2:6, 3:8, 4:9] = 1
    voxels[6, 3, 4] = voxels[2, 9, 11] = 1
    return Volume(voxels, Affine.from_parts((0.9765625, 1.5, 4.0), direction, (-15.625, 20.125, -300.5)))


def padded(volume: Volume, before: int, after: int) -> Volume:
    start = (-before, -before, -before)
    return Volume(np.pad(volume.voxels, [(before, after)] * 3), volume.affine.shifted(start), volume.attributes)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SLP", "PIR", "ILA"])
def test_a_mask_stored_another_way_is_the_same_mask(mask: Volume, orientation: str) -> None:
    assert fingerprint_mask(mask.reoriented(orientation)).matches(fingerprint_mask(mask))


def test_cropping_padding_and_retyping_are_no_edits(mask: Volume) -> None:
    before = fingerprint_mask(mask)
    assert fingerprint_mask(padded(mask, 3, 5)).matches(before)
    assert fingerprint_mask(mask.cropped((2, 3, 4), (7, 10, 12))).matches(before)
    assert fingerprint_mask(mask.with_voxels(mask.voxels.astype(np.float32) * 255)).matches(before)


def test_rounded_headers_are_no_edits_but_a_moved_mask_is_one(mask: Volume) -> None:
    """15.625 lies on the border of every rounding; programs that keep floats of 32 bits put it on either side."""
    before = fingerprint_mask(mask)
    matrix = mask.affine.matrix.copy()
    matrix[:3, 3] += 4e-5
    assert fingerprint_mask(Volume(mask.voxels, Affine(matrix))).matches(before)
    assert not fingerprint_mask(Volume(mask.voxels, mask.affine.shifted((1, 0, 0)))).matches(before)


def test_every_voxel_counts(mask: Volume) -> None:
    before = fingerprint_mask(mask)
    for place in [(3, 4, 5), (0, 0, 0), (6, 3, 4)]:
        voxels = mask.voxels.copy()
        voxels[place] = 1 - voxels[place]
        assert not fingerprint_mask(mask.with_voxels(voxels)).matches(before)


def test_in_a_label_map_the_value_counts_and_in_a_mask_it_does_not(mask: Volume) -> None:
    other = mask.with_voxels(np.where(mask.voxels, 7, 0).astype(np.uint16))
    assert fingerprint_mask(other).matches(fingerprint_mask(mask))
    assert not fingerprint_labels(other).matches(fingerprint_labels(mask))


def test_empty_masks_are_alike(mask: Volume) -> None:
    empty = mask.with_voxels(np.zeros_like(mask.voxels))
    assert fingerprint_mask(empty).matches(fingerprint_mask(padded(empty, 1, 1)))
    assert not fingerprint_mask(empty).matches(fingerprint_mask(mask))


def test_the_stamp_survives_a_file_and_says_not_edited(mask: Volume, tmp_path: Path) -> None:
    path = tmp_path / "roi.nrrd"
    write_volume(stamp_mask(mask, "spine_dilated", (PART,)), path)
    found = read_roi_provenance(read_volume(path, "mask"))
    assert (found.kind, found.edited) == ("spine_dilated", False)
    assert found.parts == (replace(PART, generated_sha256=fingerprint_mask(mask).sha256),)
    assert found.sentence == "The mask is as built-in CT segmenter 0.1.0 made it."


def test_a_file_edited_elsewhere_is_recognised(mask: Volume, tmp_path: Path) -> None:
    """Another program changes voxels and keeps the header's keys, as SimpleITK and Slicer do."""
    path = tmp_path / "roi.nrrd"
    write_volume(stamp_mask(mask, "skeleton", (PART,)), path)
    image = sitk.ReadImage(str(path))
    image[4, 3, 2] = 0
    sitk.WriteImage(image, str(path))
    found = read_roi_provenance(read_volume(path, "mask"))
    assert found.edited is True
    assert found.kind == "skeleton"
    assert (found.parts[0].edited, found.parts[0].voxels_changed) == (True, None)
    assert found.parts[0].maker == MAKER
    assert found.with_voxels_changed(1).parts[0].voxels_changed == 1
    assert found.sentence == "The mask was edited after built-in CT segmenter 0.1.0 made it."


def test_the_change_of_several_parts_is_not_laid_on_one(mask: Volume) -> None:
    stamped = stamp_mask(mask, "skeleton", (PART, RoiPart("ribs", Maker("moosez"))))
    found = read_roi_provenance(Volume(np.ones_like(mask.voxels), mask.affine, stamped.attributes))
    assert [part.edited for part in found.parts] == [True, True]
    assert [part.voxels_changed for part in found.with_voxels_changed(9).parts] == [None, None]
    assert found.sentence == "The mask was edited after built-in CT segmenter 0.1.0 and moosez made it."


def test_a_resampled_mask_counts_as_changed(mask: Volume) -> None:
    stamped = stamp_mask(mask, "spine_dilated", (PART,))
    fine = Volume(np.zeros((36, 22, 26), np.uint8), Affine.from_parts((0.5, 0.8, 1.0), np.eye(3), (-16, 20, -301)))
    assert read_roi_provenance(resample_onto(stamped, fine, linear=False)).edited is True


def test_nifti_loses_the_stamp_and_unknown_is_said_as_unknown(mask: Volume, tmp_path: Path) -> None:
    path = tmp_path / "roi.nii.gz"
    write_volume(stamp_mask(mask, "spine_dilated", (PART,)), path)
    found = read_roi_provenance(read_volume(path, "mask"))
    assert found.kind is None
    assert found.edited is None
    assert (found.parts[0].edited, found.parts[0].voxels_changed) == (None, None)
    assert str(found.parts[0].maker) == "unknown"
    assert found.sentence == "The mask's file does not say who made it or whether a person edited it."


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "spine_dilated"}', '{"format": 2}', "null"])
def test_a_spoilt_stamp_is_no_stamp(mask: Volume, text: str) -> None:
    spoilt = Volume(mask.voxels, mask.affine, {ROI_ATTRIBUTE: text})
    assert read_stamp(spoilt) is None
    assert read_roi_provenance(spoilt).edited is None


def test_the_stamp_is_one_ascii_line_without_bars() -> None:
    """Slicer separates a segment's tags with bars; NRRD headers are ASCII."""
    part = RoiPart("name | 𝄞 ü\n", MAKER)
    mask = Volume(np.ones((2, 2, 2), np.uint8), Affine(np.eye(4)))
    text = stamp_mask(mask, None, (part,)).attributes[ROI_ATTRIBUTE]
    assert text.isascii() and "|" not in text and "\n" not in text
    assert msgspec.json.decode(text, type=RoiStamp).parts[0].name == part.name


def test_stamping_again_keeps_each_parts_own_hash(mask: Volume) -> None:
    first = read_roi_provenance(stamp_mask(mask, "spine_dilated", (PART,))).parts
    larger = mask.with_voxels(np.ones_like(mask.voxels))
    assert read_roi_provenance(stamp_mask(larger, "skeleton", first)).parts == first
