"""Contours become masks exactly: analytic shapes on odd grids, real ones against the masks others made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import made_up_uid, save, slice_header
from odd_grids import GRIDS
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import RTStructureSetStorage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.existing import choose_roi, read_existing
from MemorySurvivalLib.roi.rtstruct import draw_contours, is_inside, read_rtstruct

SHAPE = (8, 20, 24)


def grid(name: str = "straight", shape: tuple[int, int, int] = SHAPE) -> Volume:
    return Volume(np.zeros(shape, np.int16), GRIDS[name])


def polygon(volume: Volume, points_xy: list[tuple[float, float]], z: float) -> np.ndarray:
    """Corners in voxel coordinates of a slice, in mm."""
    return volume.affine.points_mm([(x, y, z) for x, y in points_xy])


def write_rtstruct(path: Path, structures: dict[str, list[np.ndarray]], kind: str = "CLOSED_PLANAR") -> Path:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, made_up_uid(path)
    ds.Modality, ds.PatientID, ds.PatientName = "RTSTRUCT", "P1", "P1^Made up"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = made_up_uid("study"), made_up_uid("rt")
    ds.StructureSetLabel, ds.ManufacturerModelName = "made up", "Pencil"
    rois, contours = [], []
    for number, (name, drawn) in enumerate(structures.items(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, "1.2.3"
        rois.append(roi)
        item = Dataset()
        item.ReferencedROINumber, item.ROIDisplayColor = number, [255, 10, 20]
        items = []
        for points in drawn:
            each = Dataset()
            each.ContourGeometricType, each.NumberOfContourPoints = kind, len(points)
            each.ContourData = [f"{value:.6f}" for value in points.ravel()]
            items.append(each)
        item.ContourSequence = DicomSequence(items)
        contours.append(item)
    ds.StructureSetROISequence, ds.ROIContourSequence = DicomSequence(rois), DicomSequence(contours)
    save(ds, path)
    return path


def mask_of(structures: list[np.ndarray], volume: Volume, tmp_path: Path) -> np.ndarray:
    found = read_rtstruct(write_rtstruct(tmp_path / "rs.dcm", {"tumour": structures}), volume)
    return found.mask(found.segments[0])


@pytest.mark.parametrize("name", GRIDS)
def test_a_triangle_holds_the_voxels_whose_centres_it_holds(tmp_path: Path, name: str) -> None:
    volume = grid(name)
    corners = [(3.3, 2.6), (19.4, 5.1), (9.7, 16.8)]
    mask = mask_of([polygon(volume, corners, z) for z in (2, 3, 4)], volume, tmp_path)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    inside = np.ones(y.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0
    expected = np.zeros(SHAPE, bool)
    expected[2:5] = inside
    assert inside.sum() > 80
    assert np.array_equal(mask, expected)


def test_the_volume_is_right_below_the_voxel(tmp_path: Path) -> None:
    """A disc moved by tenths of a voxel keeps its area on average: nothing is rounded outwards or inwards."""
    volume = grid()
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    areas = []
    for shift in np.linspace(0, 0.9, 10):
        circle = np.stack([11 + shift + 6 * np.cos(angles), 10 + shift / 2 + 6 * np.sin(angles)], axis=1)
        areas.append(mask_of([polygon(volume, [tuple(p) for p in circle], 3)], volume, tmp_path).sum())
    assert np.mean(areas) == pytest.approx(np.pi * 36, rel=0.01)


@pytest.mark.parametrize("how", ["two contours", "keyhole", "xor"])
def test_a_ring_has_a_hole(tmp_path: Path, how: str) -> None:
    volume = grid("oblique")
    outer = [(2.5, 2.5), (17.5, 2.5), (17.5, 15.5), (2.5, 15.5)]
    inner = [(6.5, 5.5), (12.5, 5.5), (12.5, 11.5), (6.5, 11.5)]
    if how == "keyhole":  # along a channel of no width to the hole and back
        drawn = [polygon(volume, [*outer, outer[0], *inner, inner[0]], 4)]
    else:
        drawn = [polygon(volume, outer, 4), polygon(volume, inner, 4)]
    path = write_rtstruct(tmp_path / "rs.dcm", {"ring": drawn}, "CLOSEDPLANAR_XOR" if how == "xor" else "CLOSED_PLANAR")
    found = read_rtstruct(path, volume)
    expected = np.zeros(SHAPE, bool)
    expected[4, 3:16, 3:18] = True
    expected[4, 6:12, 7:13] = False
    assert np.array_equal(found.mask(found.segments[0]), expected)


def test_contours_between_slices_count_for_the_nearest_slices(tmp_path: Path) -> None:
    """Contours every two slices, 0.3 slices off: each stands for the slices nearer to it than to the next."""
    volume = grid()
    heights = {1.3: 5, 3.3: 9, 5.3: 13}  # height in slices -> width in voxels
    square = {z: [(2.5, 2.5), (2.5 + n, 2.5), (2.5 + n, 2.5 + n), (2.5, 2.5 + n)] for z, n in heights.items()}
    mask = mask_of([polygon(volume, corners, z) for z, corners in square.items()], volume, tmp_path)
    assert mask.sum(axis=(1, 2)).tolist() == [0, 25, 25, 81, 81, 169, 169, 0]


def test_a_gap_between_contours_stays_a_gap(tmp_path: Path) -> None:
    volume = grid()
    square = [(2.5, 2.5), (8.5, 2.5), (8.5, 8.5), (2.5, 8.5)]
    mask = mask_of([polygon(volume, square, z) for z in (0, 1, 5, 6)], volume, tmp_path)
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [0, 1, 5, 6]


def test_a_single_contour_is_one_slice(tmp_path: Path) -> None:
    volume = grid("permuted")
    mask = mask_of([polygon(volume, [(2.5, 2.5), (8.5, 2.5), (8.5, 8.5), (2.5, 8.5)], 3)], volume, tmp_path)
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [3]


def test_axial_contours_on_an_oblique_ct(tmp_path: Path) -> None:
    """A prism drawn in the patient's axial planes, on a CT tilted against them: centres inside the prism, no others."""
    volume = grid("oblique", (16, 20, 24))
    centre = volume.affine.points_mm((11.5, 9.5, 7.5))
    corners = np.array([(-9.0, -8.0), (10.0, -6.0), (7.0, 9.0), (-8.0, 7.0)])
    heights = centre[2] + np.arange(-6, 7) * 2.0
    drawn = [np.column_stack([corners + centre[:2], np.full(4, z)]) for z in heights]
    mask = mask_of(drawn, volume, tmp_path)
    z, y, x = np.indices(volume.shape)
    places = volume.affine.points_mm(np.stack([x, y, z], axis=-1)) - centre
    expected = np.abs(places[..., 2]) < 13.0
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        expected &= (x1 - x0) * (places[..., 1] - y0) - (y1 - y0) * (places[..., 0] - x0) > 0
    assert expected.sum() > 400
    assert np.array_equal(mask, expected)


def test_sagittal_contours(tmp_path: Path) -> None:
    volume = grid("flipped")
    square = [(5, 2.5, 1.5), (5, 10.5, 1.5), (5, 10.5, 4.5), (5, 2.5, 4.5)]
    drawn = [volume.affine.points_mm([(x, y, z) for _, y, z in square]) for x in (5, 6, 7)]
    expected = np.zeros(SHAPE, bool)
    expected[2:5, 3:11, 5:8] = True
    assert np.array_equal(mask_of(drawn, volume, tmp_path), expected)


def test_names_colours_overlaps_and_origin(tmp_path: Path) -> None:
    volume = grid()
    square = [polygon(volume, [(2.5, 2.5), (8.5, 2.5), (8.5, 8.5), (2.5, 8.5)], z) for z in (2, 3)]
    bigger = [polygon(volume, [(1.5, 1.5), (12.5, 1.5), (12.5, 12.5), (1.5, 12.5)], z) for z in (2, 3)]
    found = read_rtstruct(write_rtstruct(tmp_path / "rs.dcm", {"Vertebra L3": square, "GTV": bigger}), volume)
    assert [each.structure.name for each in found.segments] == ["L3", "GTV"]
    assert found.segments[1].structure.colour_rgb == (255, 10, 20)
    assert [int(found.mask(each).sum()) for each in found.segments] == [72, 242]
    assert found.origin == {"PatientID": "P1", "StudyInstanceUID": made_up_uid("study"), "FrameOfReferenceUID": "1.2.3"}


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    volume = grid()
    square = polygon(volume, [(2.5, 2.5), (8.5, 2.5), (8.5, 8.5), (2.5, 8.5)], 3)
    with pytest.raises(InputError, match="does not overlap with the CT"):
        read_rtstruct(write_rtstruct(tmp_path / "far.dcm", {"a": [square + 900.0]}), volume)
    with pytest.raises(InputError, match="holds no closed contour"):
        read_rtstruct(write_rtstruct(tmp_path / "points.dcm", {"a": [square]}, "POINT"), volume)
    bent = square.copy()
    bent[0, 2] += 9.0
    with pytest.raises(InputError, match="contours of a do not lie in parallel planes"):
        read_rtstruct(write_rtstruct(tmp_path / "bent.dcm", {"a": [square, bent]}), volume)
    save(slice_header(volume, 0, "CT"), tmp_path / "ct.dcm")
    with pytest.raises(InputError, match="no RT structure set"):
        read_rtstruct(tmp_path / "ct.dcm", volume)
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(InputError, match="not a DICOM file"):
        read_rtstruct(tmp_path / "text.dcm", volume)


def test_points_on_corners_and_edges_are_counted_once() -> None:
    """Two squares side by side share an edge; together they hold each voxel on it exactly once."""
    points = np.stack(np.meshgrid(np.arange(7.0), np.arange(7.0)), axis=-1).reshape(-1, 2)
    left = np.array([(1.0, 1.0), (3.0, 1.0), (3.0, 5.0), (1.0, 5.0)])
    right = left + np.array([2.0, 0.0])
    a, b = is_inside(points, [left]), is_inside(points, [right[::-1]])
    assert not (a & b).any()
    assert (a | b).sum() == 16
    assert np.array_equal(is_inside(points, [left, right]), a | b)


def test_contours_outside_make_no_mask() -> None:
    volume = Volume(np.zeros((3, 3, 3), np.int16), Affine(np.eye(4)))
    assert draw_contours([np.array([(50.0, 50, 1), (60, 50, 1), (60, 60, 1)])], volume, "far") is None


@pytest.mark.real_data
@pytest.mark.parametrize("patient", ["STS_002", "STS_041"])
@pytest.mark.parametrize("modality", ["CT", "PET"])
def test_real_contours_give_the_masks_that_others_made_of_them(real_data: Path, patient: str, modality: str) -> None:
    """RTSTRUCT of the DICOM release against the IBSI NIfTI masks: not one voxel differs."""
    image = read_volume(real_data / "petct_sts10" / patient / f"{modality}_image.nii.gz", modality)
    mask = read_volume(real_data / "petct_sts10" / patient / f"{modality}_mask.nii.gz", "mask")
    found = read_existing(real_data / "petct_sts_dicom" / patient / modality / "mask", image)
    assert np.array_equal(found.mask(found.segments[0]), mask.voxels > 0)
    roi = choose_roi(found, "other")
    assert roi.mask.voxels.sum() == (mask.voxels > 0).sum()
