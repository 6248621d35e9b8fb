"""Multi-frame files: enhanced CT and PET by their functional groups; one sentence for those that say too little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import made_up_uid, save, slice_header
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.dicom_series import DicomSeries
from MemorySurvivalLib.imaging.volume import Affine, Volume

ENHANCED = {"CT": "1.2.840.10008.5.1.4.1.1.2.1", "PT": "1.2.840.10008.5.1.4.1.1.130"}


def make_volume() -> Volume:
    voxels = np.random.default_rng(1).integers(-1024, 3000, (7, 6, 5)).astype(np.int16)
    return Volume(voxels, Affine.from_parts((1.5, 2.0, 3.0), np.eye(3), (-3.25, 12.5, -700.0)))


def only(path: Path) -> DicomSeries:
    (series,) = scan(path).series
    return series


def item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def in_sequence(keyword: str, **values: object) -> dict[str, object]:
    return {keyword: Sequence([item(**values)])}


def write_enhanced(
    path: Path,
    volume: Volume,
    modality: str = "CT",
    *,
    order: list[int] | None = None,
    slopes: list[float] | None = None,
    phases: int = 1,
    **tags: object,
) -> None:
    """All slices (`phases` times) in one file, frames in `order`; the rescale per frame where `slopes` are given."""
    order = order or list(range(volume.shape[0]))
    first = slice_header(volume, 0, modality)
    ds = Dataset()
    for element in first:
        if element.keyword not in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleType"):
            ds.add(element)
    ds.SOPClassUID, ds.PixelRepresentation = ENHANCED[modality], 1
    shared = item(
        **in_sequence("PlaneOrientationSequence", ImageOrientationPatient=first.ImageOrientationPatient),
        **in_sequence("PixelMeasuresSequence", PixelSpacing=first.PixelSpacing),
    )
    rescale = {"RescaleIntercept": 0, "RescaleType": "HU" if modality == "CT" else "BQML"}
    if slopes is None:
        shared.update(item(**in_sequence("PixelValueTransformationSequence", RescaleSlope=1, **rescale)))
    frames, pixels = [], []
    for phase in range(phases):
        for z in order:
            place = volume.affine.points_mm((0, 0, z)).tolist()
            frame = item(
                **in_sequence("PlanePositionSequence", ImagePositionPatient=place),
                **in_sequence("FrameContentSequence", StackID="1", TemporalPositionIndex=phase + 1),
            )
            slope = slopes[z] if slopes else 1
            if slopes:
                frame.update(item(**in_sequence("PixelValueTransformationSequence", RescaleSlope=slope, **rescale)))
            frames.append(frame)
            pixels.append(np.round(volume.voxels[z] / slope).astype(np.int16) + 5 * phase)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    ds.NumberOfFrames = len(frames)
    ds.PixelData = np.stack(pixels).tobytes()
    for keyword, value in tags.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    save(ds, path)


def test_enhanced_ct_is_sorted_by_its_frames_places(tmp_path: Path) -> None:
    volume = make_volume()
    write_enhanced(tmp_path / "ct.dcm", volume, order=[3, 0, 6, 1, 5, 2, 4])
    series = only(tmp_path)
    read = read_series(series)
    assert not series.problems
    assert read.same_grid(volume)
    assert read.voxels.dtype == np.int16
    assert np.array_equal(read.voxels, volume.voxels)


def test_every_frame_has_its_own_slope(tmp_path: Path) -> None:
    slopes = [0.25 * (1 + z) for z in range(7)]
    stored = np.random.default_rng(3).integers(0, 3000, (7, 6, 5))
    volume = Volume(stored * np.array(slopes)[:, None, None], make_volume().affine)
    corrected = {"AttenuationCorrected": "YES", "DecayCorrected": "YES"}
    write_enhanced(tmp_path / "pt.dcm", volume, "PT", slopes=slopes, order=[6, 5, 4, 3, 2, 1, 0], **corrected)
    series = only(tmp_path)
    assert np.array_equal(read_series(series).voxels, volume.voxels)
    assert len(series.headers) == 7


def test_enhanced_pet_says_yes_or_no_to_corrections(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a.dcm", make_volume(), "PT", CorrectedImage=None, AttenuationCorrected="NO")
    assert only(tmp_path).facts.corrected_image == ()
    write_enhanced(
        tmp_path / "a.dcm", make_volume(), "PT", CorrectedImage=None, AttenuationCorrected="YES", DecayCorrected="YES"
    )
    assert only(tmp_path).facts.corrected_image == ("ATTN", "DECY")


def test_one_file_with_several_phases(tmp_path: Path) -> None:
    volume = make_volume()
    write_enhanced(tmp_path / "ct.dcm", volume, phases=2)
    series = scan(tmp_path).series
    assert [np.unique(read_series(one).voxels - volume.voxels).tolist() for one in series] == [[0], [5]]
    assert all("taken apart by Temporal Position Index" in one.notes[0] for one in series)


def test_a_file_given_by_itself(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", make_volume())
    write_enhanced(tmp_path / "other.dcm", make_volume(), SeriesInstanceUID=made_up_uid("other"))
    assert {image.path.name for image in only(tmp_path / "ct.dcm").slices} == {"ct.dcm"}


def test_an_exact_copy_of_a_multi_frame_file(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", make_volume())
    write_enhanced(tmp_path / "copy.dcm", make_volume())
    series = only(tmp_path)
    assert series.notes == ("7 images were exact copies of others and left out.",)
    assert read_series(series).same_grid(make_volume())


def test_a_missing_frame(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", make_volume(), order=[0, 1, 3, 4, 5, 6])
    assert "1 slice of 3.00 mm is missing between slice 2" in only(tmp_path).problems[0]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"NumberOfFrames": 5}, "a multi-frame file with 5 frames that describes 7"),
        ({"PixelData": bytes(100)}, "cut short"),
    ],
)
def test_a_file_that_contradicts_itself(tmp_path: Path, tags: dict[str, object], words: str) -> None:
    write_enhanced(tmp_path / "ct.dcm", make_volume(), **tags)
    assert only(tmp_path).problems == (f"ct.dcm is {words}; copy or export the series again.",)


def test_frames_without_places(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", make_volume(), PerFrameFunctionalGroupsSequence=None)
    problems = " ".join(only(tmp_path).problems)
    assert "ct.dcm is a multi-frame file that does not say where each frame lies" in problems
