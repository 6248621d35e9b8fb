"""DICOM segmentations written by highdicom come back voxel for voxel, whatever their type and however they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from dicom_made_up import made_up_uid, slice_header, write_series
from odd_grids import GRIDS
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.coding import Code

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.dicom_seg import read_dicom_seg
from MemorySurvivalLib.roi.existing import read_existing
from MemorySurvivalLib.roi.existing_layers import ExistingSegmentation

SHAPE = (7, 9, 11)
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
SIDES = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}
L4, CLAVICLE, MASS = Code("11994002", "SCT", "L4"), Code("51299004", "SCT", "Clavicle"), Code("4147007", "SCT", "Mass")


def blocks(*, overlap: bool = False) -> np.ndarray:
    """Three masks (z, y, x, segment) of different shapes."""
    masks = np.zeros((*SHAPE, 3), np.uint8)
    masks[1:4, 2:5, 1:5, 0] = 1
    masks[4:6, 1:8, 6:10, 1] = 1
    masks[2:3, 7:9, 2:9, 2] = 1
    if overlap:
        masks[3:5, 3:6, 3:8, 1] = 1
    return masks


def describe(number: int, label: str, code: Code, side: str | None = None) -> hd.seg.SegmentDescription:
    description = hd.seg.SegmentDescription(number, label, ANATOMY, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
    if side is not None:  # where TotalSegmentator and Slicer put it: inside the type
        modifier = Dataset()
        modifier.CodeValue, modifier.CodingSchemeDesignator = SIDES[side].value, "SCT"
        modifier.CodeMeaning = SIDES[side].meaning
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = DicomSequence(
            [modifier]
        )
    return description


DESCRIPTIONS = (describe(1, "Segment 1", L4), describe(2, "x", CLAVICLE, "right"), describe(3, "a mass", MASS))


def source_header(ct: Volume, z: float) -> Dataset:
    """A CT slice as highdicom wants it as a source."""
    header = slice_header(ct, int(z), "CT")
    header.AccessionNumber = header.StudyID = header.ReferringPhysicianName = ""
    header.PatientSex = "F"
    header.ImagePositionPatient = [f"{each:.8f}" for each in ct.affine.points_mm((0, 0, z))]
    return header


def write_seg(path: Path, ct: Volume, pixels: np.ndarray, kind: str = "BINARY", **options: Any) -> Path:
    """A SEG of a CT series on the grid of `ct`."""
    sources = [source_header(ct, z) for z in range(ct.shape[0])]
    seg = hd.seg.Segmentation(
        sources,
        pixels,
        segmentation_type=kind,
        segment_descriptions=options.pop("segment_descriptions", DESCRIPTIONS),
        series_instance_uid=made_up_uid("seg series"),
        series_number=5,
        sop_instance_uid=made_up_uid(path),
        instance_number=1,
        manufacturer="MADE UP",
        manufacturer_model_name="Hand",
        software_versions="1.2",
        device_serial_number="3",
        **options,
    )
    seg.save_as(path)
    return path


def make_ct(grid: str = "straight", shape: tuple[int, int, int] = SHAPE) -> Volume:
    return Volume(np.zeros(shape, np.int16), GRIDS[grid])


def masks_of(found: ExistingSegmentation) -> dict[str, np.ndarray]:
    return {segment.structure.name: found.mask(segment) for segment in found.segments}


@pytest.mark.parametrize("grid", GRIDS)
def test_binary_segments_come_back_on_any_grid(tmp_path: Path, grid: str) -> None:
    ct = make_ct(grid)
    found = read_dicom_seg(write_seg(tmp_path / "seg.dcm", ct, blocks()), ct)
    masks = masks_of(found)
    assert list(masks) == ["L4", "clavicle_right", "a mass"]
    for n, mask in enumerate(masks.values()):
        assert np.array_equal(mask, blocks()[..., n] > 0)
    assert found.layers[0].affine is ct.affine
    assert found.notes == ()
    assert str(found.maker) == "Hand 1.2"
    assert found.origin["PatientID"] == "P1"


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_every_type_of_segmentation(tmp_path: Path, kind: str) -> None:
    ct = make_ct("oblique")
    pixels = blocks()
    stored: np.ndarray = pixels
    if kind == "FRACTIONAL":
        stored = pixels.astype(np.float32) * 0.75
        stored[0, 0, 0, :] = 0.4  # less than half a voxel
    found = read_dicom_seg(write_seg(tmp_path / "seg.dcm", ct, stored, kind), ct)
    for n, mask in enumerate(masks_of(found).values()):
        assert np.array_equal(mask, pixels[..., n] > 0)
    assert ("was cut at 0.5" in " ".join(found.notes)) == (kind == "FRACTIONAL")


def test_overlapping_segments_stay_whole(tmp_path: Path) -> None:
    ct = make_ct("flipped")
    pixels = blocks(overlap=True)
    found = read_dicom_seg(write_seg(tmp_path / "seg.dcm", ct, pixels), ct)
    for n, mask in enumerate(masks_of(found).values()):
        assert np.array_equal(mask, pixels[..., n] > 0)
    flat = found.flatten()
    both = (pixels[..., 0] > 0) & (pixels[..., 1] > 0)
    assert both.any() and (flat.labels.voxels[both] == flat.label_of("L4")).all()  # a vertebra before another bone
    assert "Segments overlap (x)" in " ".join(flat.notes)


def test_a_segmentation_on_a_part_of_the_ct_keeps_its_voxels(tmp_path: Path) -> None:
    whole = make_ct("oblique and flipped", (15, 14, 16))
    part = whole.cropped((3, 2, 4), (10, 11, 15))
    found = read_dicom_seg(write_seg(tmp_path / "seg.dcm", part, blocks()), whole)
    expected = np.zeros(whole.shape, bool)
    expected[3:10, 2:11, 4:15] = blocks()[..., 0] > 0
    assert np.array_equal(masks_of(found)["L4"], expected)
    assert found.notes == ()


def test_frames_at_uneven_distances_are_put_where_they_lie(tmp_path: Path) -> None:
    """Slices 0, 1, 3 and 6 of a CT: no regular volume, yet each frame has its place."""
    ct = make_ct("straight")
    kept = [0, 1, 3, 6]
    # The third slice is a little off, so that the distances have no common measure.
    sources = [source_header(ct, z) for z in (0, 1, 3.2, 6)]
    for number, source in enumerate(sources):
        source.SOPInstanceUID = made_up_uid("uneven", number)
    pixels = np.zeros((4, *SHAPE[1:], 1), np.uint8)
    for n in range(4):
        pixels[n, 1 + n : 5 + n, 2:7, 0] = 1
    seg = hd.seg.Segmentation(
        sources, pixels, "BINARY", [describe(1, "L4", L4)], made_up_uid("s"), 1, made_up_uid("i"), 1, "M", "M", "1", "1"
    )
    seg.save_as(tmp_path / "seg.dcm")
    assert seg.get_volume_geometry() is None
    mask = masks_of(read_dicom_seg(tmp_path / "seg.dcm", ct))["L4"]
    expected = np.zeros(SHAPE, bool)
    for n, z in enumerate(kept):
        expected[z] = pixels[n, ..., 0] > 0
    assert np.array_equal(mask, expected)


def test_elsewhere_in_space_is_refused(tmp_path: Path) -> None:
    ct = make_ct()
    matrix = ct.affine.matrix.copy()
    matrix[2, 3] += 4000
    far = Volume(ct.voxels, Affine(matrix))
    for kind in ("BINARY", "FRACTIONAL"):
        path = write_seg(tmp_path / f"{kind}.dcm", far, blocks(), kind)
        with pytest.raises(InputError, match="does not overlap with the CT"):
            read_dicom_seg(path, ct)


def test_a_side_in_the_anatomic_region_is_understood(tmp_path: Path) -> None:
    ct = make_ct()
    bone = Code("272673000", "SCT", "Bone")
    description = hd.seg.SegmentDescription(
        1, "s", ANATOMY, Code("64033007", "SCT", "Kidney"), "MANUAL", anatomic_regions=[bone]
    )
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = "7771000", "SCT", "Left"
    description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = DicomSequence([modifier])
    path = write_seg(tmp_path / "seg.dcm", ct, blocks()[..., :1], segment_descriptions=[description])
    assert list(masks_of(read_dicom_seg(path, ct))) == ["kidney_left"]


def test_files_are_told_apart_by_content(tmp_path: Path) -> None:
    """A SEG found by its folder; a CT slice and a damaged file refused in a sentence."""
    ct = make_ct()
    folder = tmp_path / "séries"
    folder.mkdir()
    write_seg(folder / "no ending", ct, blocks())
    assert len(read_existing(folder, ct).segments) == 3
    write_seg(folder / "another", ct, blocks())
    with pytest.raises(InputError, match="holds 2 DICOM segmentations"):
        read_existing(folder, ct)
    (slice_path, *_) = write_series(tmp_path / "ct", ct)
    with pytest.raises(InputError, match="is CT, not a segmentation"):
        read_existing(slice_path, ct)
    with pytest.raises(InputError, match="holds no DICOM segmentation"):
        read_existing(tmp_path / "ct", ct)
    content = (folder / "another").read_bytes()
    (tmp_path / "short.dcm").write_bytes(content[: len(content) - 400])
    with pytest.raises(InputError, match="damaged"):
        read_existing(tmp_path / "short.dcm", ct)
