"""Segmentations refer to the right images from any source, with codes, colours and who made them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_made_up import write_series
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.dicom_out.envelope import make_envelope
from MemorySurvivalLib.dicom_out.masks import Segment, region_segment, structure_segment, write_masks
from MemorySurvivalLib.dicom_out.placing import place_on
from MemorySurvivalLib.dicom_out.sources import stand_ins
from MemorySurvivalLib.dicom_out.uids import Uids
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.report.record import RoiRecord
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.roi.dicom_seg import read_dicom_seg
from MemorySurvivalLib.roi.provenance import UNKNOWN_MAKER, RoiPart
from MemorySurvivalLib.roi.segments import Maker
from MemorySurvivalLib.roi.terminology import structure

UIDS = Uids(b"test")
CREATED = "2026-03-31T23:30:00+00:00"
OBLIQUE = Rotation.from_euler("xyz", (10, 25, -15), degrees=True).as_matrix()
AXES = {
    "axial": np.eye(3),
    "axial, feet first in the file": np.diag([1.0, -1.0, -1.0]),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "oblique": OBLIQUE,
}


def written(folder: Path, direction: np.ndarray, labels: np.ndarray, segments: list[Segment]) -> hd.seg.Segmentation:
    """A label map turned to LPS, written over a CT with these axes, and read back from the file."""
    affine = Affine.from_parts((1.5, 2.5, 4.0), direction, (-40.0, 10.0, 5.0))
    write_series(folder / "ct", Volume(np.zeros(labels.shape, dtype=np.int16), affine), shuffle=5)
    (series,) = scan(folder / "ct").series
    envelope = make_envelope(Subject("identified"), series.headers[0], CREATED, "serial", UIDS)
    placed = place_on(Volume(labels, affine).reoriented(), series, "mask")
    stands = stand_ins(series, envelope)
    seg = write_masks(placed, segments, series, stands, envelope, words="Masks", series_number=9001)
    seg.save_as(folder / "seg.dcm", enforce_file_format=True)
    return hd.seg.segread(folder / "seg.dcm")


def vertebrae() -> list[Segment]:
    return [
        structure_segment(4, structure("T7"), "TotalSegmentator", "2.18.0", False),
        structure_segment(9, structure("rib_left_7"), "built-in", "", True),
        structure_segment(11, structure("liver"), "built-in", "", False),
    ]


def some_labels() -> np.ndarray:
    labels = np.zeros((6, 7, 8), dtype=np.uint16)
    labels[1:3, 2:5, 1:4] = 4
    labels[2:5, 5, 6] = 9
    return labels


@pytest.mark.parametrize("direction", AXES.values(), ids=AXES.keys())
def test_every_frame_lies_on_the_image_that_it_refers_to(tmp_path: Path, direction: np.ndarray) -> None:
    seg = written(tmp_path, direction, some_labels(), vertebrae())
    sources = {}
    for path in (tmp_path / "ct").iterdir():
        ds = pydicom.dcmread(path)
        sources[ds.SOPInstanceUID] = [float(v) for v in ds.ImagePositionPatient]
    assert seg.NumberOfFrames == 5
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (item,) = frame.DerivationImageSequence[0].SourceImageSequence
        place = [float(v) for v in frame.PlanePositionSequence[0].ImagePositionPatient]
        assert sources[item.ReferencedSOPInstanceUID] == pytest.approx(place, abs=1e-6)
    affine = Affine.from_parts((1.5, 2.5, 4.0), direction, (-40.0, 10.0, 5.0))
    grid = Volume(np.zeros((6, 7, 8), dtype=np.int16), affine)
    again = read_dicom_seg(tmp_path / "seg.dcm", grid)
    found = {segment.structure.name: again.layers[segment.layer].voxels == segment.label for segment in again.segments}
    assert set(found) == {"T7", "rib_left_7"}, "the liver has no voxel"
    assert np.array_equal(found["T7"], some_labels() == 4)
    assert np.array_equal(found["rib_left_7"], some_labels() == 9)


def test_segments_are_coded_and_name_their_makers(tmp_path: Path) -> None:
    seg = written(tmp_path, np.eye(3), some_labels(), vertebrae())
    first, second = seg.SegmentSequence
    kind = first.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("62487009", "SCT")
    assert first.SegmentAlgorithmType == "AUTOMATIC"
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "TotalSegmentator"
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "2.18.0"
    side = second.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Left"
    assert second.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert (seg.SegmentationType, seg.Modality) == ("BINARY", "SEG")


def test_nothing_to_write_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to write"):
        written(tmp_path, np.eye(3), np.zeros((6, 7, 8), dtype=np.uint16), vertebrae())


@pytest.mark.parametrize(
    ("maker", "edited", "expected"),
    [
        (Maker("TotalSegmentator", "2.18.0"), False, "AUTOMATIC"),
        (Maker("TotalSegmentator", "2.18.0"), True, "SEMIAUTOMATIC"),
        (Maker("drawn by hand"), False, "MANUAL"),
        (UNKNOWN_MAKER, None, "SEMIAUTOMATIC"),
    ],
)
def test_a_region_says_whether_a_person_made_it(maker: Maker, edited: bool | None, expected: str) -> None:
    record = RoiRecord("spine_dilated", "", "", 1.0, 1, 1, edited=edited, parts=(RoiPart("spine", maker, edited),))
    envelope = make_envelope(Subject(), None, CREATED, "serial", UIDS)
    segment = region_segment(record, envelope)
    assert segment.how.value == expected
    assert segment.kind.value == "SPINE_DILATED" and segment.site is not None and segment.site.code.scheme == "SCT"
    other = region_segment(replace(record, kind="other"), envelope)
    assert other.kind.scheme_designator == "SCT"
