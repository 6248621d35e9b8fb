"""What a scan of a folder finds: series sorted by geometry, and one sentence for everything that is wrong."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_made_up import made_up_uid, save, slice_header, write_series

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging import dicom_header
from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.dicom_series import DicomSeries, Found
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.progress import ProgressEvent


def make_volume(slices: int = 8, *, seed: int = 0, origin: Sequence[float] = (-30.0, 12.5, -700.0)) -> Volume:
    voxels = np.random.default_rng(seed).integers(-1000, 2000, (slices, 6, 5)).astype(np.int16)
    return Volume(voxels, Affine.from_parts((1.5, 2.0, 3.0), np.eye(3), origin))


def only(found: Found) -> DicomSeries:
    (series,) = found.series
    return series


def problem(folder: Path) -> str:
    series = only(scan(folder))
    assert series.affine is None
    assert len(series.problems) == 1
    with pytest.raises(InputError, match="cannot be read as a volume"):
        read_series(series)
    return series.problems[0]


def test_order_comes_from_geometry_not_from_names_or_numbers(tmp_path: Path) -> None:
    volume = make_volume(20)
    paths = write_series(tmp_path, volume, shuffle=5)
    assert sorted(paths) != paths
    series = only(scan(tmp_path))
    assert [image.path for image in series.slices] == paths
    assert not series.problems
    assert not series.notes
    assert read_series(series).same_grid(volume)


def test_slices_written_from_head_to_feet_are_the_same_volume(tmp_path: Path) -> None:
    volume = make_volume()
    flipped = volume.reoriented("LPI")
    header = slice_header(flipped, 0, "CT")
    assert float(header.ImagePositionPatient[2]) > volume.affine.origin_mm[2]
    turned = Volume(flipped.voxels[::-1], volume.affine)  # what the files of a left-handed stack can only mean
    write_series(tmp_path, turned, shuffle=1)
    assert read_series(only(scan(tmp_path))).same_grid(volume)


def test_series_and_other_files_are_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "a" / "ct", make_volume())
    write_series(tmp_path / "b", make_volume(), "PT")
    struct = pydicom.Dataset()
    struct.Modality, struct.SOPClassUID = "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3"
    struct.SeriesDescription = "contours"
    save(struct, tmp_path / "rs.dcm")
    index = pydicom.Dataset()
    index.SOPClassUID = "1.2.840.10008.1.3.10"
    save(index, tmp_path / "DICOMDIR")
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "empty").touch()
    found = scan(tmp_path)
    assert sorted(series.modality for series in found.series) == ["CT", "PT"]
    assert [(other.kind, other.description, other.problem) for other in found.others] == [("RTSTRUCT", "contours", "")]
    assert found.ignored == 3
    assert found.problems == ()


def test_progress_counts_files(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume())
    events: list[ProgressEvent] = []
    scan(tmp_path, events.append)
    assert [(event.stage, event.done, event.total) for event in events] == [("scan", i, 8) for i in range(9)]


def test_a_missing_slice_is_said_with_its_place(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), shuffle=2, skip=(3,))
    assert problem(tmp_path) == (
        "1 slice of 3.00 mm is missing between slice 3 (-694.0 mm) and slice 4 (-688.0 mm) (positions along the slice "
        "normal); copy or export the whole series again."
    )


def test_several_missing_slices(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(30), skip=(3, 4, 10, 15, 20))
    sentence = problem(tmp_path)
    assert sentence.startswith("5 slices of 3.00 mm are missing between slice 3 (-694.0 mm) and slice 4 (-685.0 mm)")
    assert "and at other places" in sentence


def test_a_gap_in_a_pet_of_several_beds_is_not_hidden_by_its_beds(tmp_path: Path) -> None:
    def beds(z: int) -> dict[str, object]:
        return {"AcquisitionTime": f"11{z // 4:02d}00", "AcquisitionNumber": z // 4}

    write_series(tmp_path / "whole", make_volume(12), "PT", tags=beds)
    assert only(scan(tmp_path / "whole")).affine is not None
    write_series(tmp_path / "gap", make_volume(12), "PT", tags=beds, skip=(4,))
    assert "1 slice of 3.00 mm is missing" in problem(tmp_path / "gap")


def test_uneven_spacing(tmp_path: Path) -> None:
    def uneven(z: int) -> dict[str, object]:
        return {"ImagePositionPatient": [0, 0, z * 3 + (1.2 if z > 4 else 0)]}

    write_series(tmp_path, make_volume(), tags=uneven)
    assert problem(tmp_path).startswith("The slices are unevenly spaced (3.00 to 4.20 mm apart)")


def test_rounded_positions_are_still_even(tmp_path: Path) -> None:
    def rounded(z: int) -> dict[str, object]:
        return {"ImagePositionPatient": [0, 0, round(z * 0.625, 1)]}

    write_series(tmp_path, make_volume(41), tags=rounded)
    series = only(scan(tmp_path))
    assert series.affine is not None
    assert series.affine.spacing_mm[2] == pytest.approx(0.625, abs=1e-12)


@pytest.mark.parametrize("degrees", [2.0, -15.0])
def test_gantry_tilt(tmp_path: Path, degrees: float) -> None:
    def tilted(z: int) -> dict[str, object]:
        return {"ImagePositionPatient": [0, z * 3 * np.tan(np.radians(degrees)), z * 3]}

    write_series(tmp_path, make_volume(), tags=tilted)
    assert problem(tmp_path).startswith(f"The slices are sheared by {abs(degrees):.1f} degrees (a tilted gantry)")


def test_a_localiser_in_the_series_is_a_stack_of_its_own(tmp_path: Path) -> None:
    volume = make_volume()
    write_series(tmp_path / "ct", volume)
    coronal = Volume(volume.voxels[:, :1, :], volume.affine).reoriented("LSP")
    write_series(tmp_path / "ct", coronal, tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, shuffle=0)
    (tmp_path / "ct" / "image00000.dcm").rename(tmp_path / "ct" / "scout.dcm")
    write_series(tmp_path / "ct", volume)
    axial, scout = scan(tmp_path).series
    assert axial.affine is not None
    assert read_series(axial).same_grid(volume)
    assert axial.notes == ("The series holds 2 stacks that differ in size, direction or place.",)
    assert "single image" in scout.problems[0]
    assert scout.key == f"{axial.key}#2"


def test_other_matrix_size_in_one_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_volume(8))
    bigger = Volume(np.zeros((3, 9, 9), np.int16), make_volume().affine.shifted((0, 0, 20)))
    write_series(tmp_path / "b", bigger)
    assert [series.shape_zyx for series in scan(tmp_path).series] == [(8, 6, 5), (3, 9, 9)]


def test_phases_at_the_same_places_are_taken_apart_by_acquisition(tmp_path: Path) -> None:
    first, second = make_volume(seed=1), make_volume(seed=2)
    write_series(tmp_path / "1", first, tags={"AcquisitionNumber": 1})
    write_series(tmp_path / "2", second, tags={"AcquisitionNumber": 2})
    series = scan(tmp_path).series
    assert [one.affine is not None for one in series] == [True, True]
    assert [np.array_equal(read_series(one).voxels, v.voxels) for one, v in zip(series, (first, second), strict=True)]
    for one, volume in zip(series, (first, second), strict=True):
        assert np.array_equal(read_series(one).voxels, volume.voxels)
        assert "taken apart by Acquisition Number" in one.notes[0]
    assert series[1].key == f"{series[0].key}#2"


@pytest.mark.parametrize(("keyword", "parts"), [("AcquisitionNumber", 2), ("ContentTime", 1)])
def test_stations_of_other_spacing_are_taken_apart_by_acquisition_only(
    tmp_path: Path, keyword: str, parts: int
) -> None:
    thick = Volume(make_volume(5).voxels, Affine.from_parts((1.5, 2.0, 5.0), np.eye(3), (-30.0, 12.5, -674.0)))
    write_series(tmp_path / "1", make_volume(), tags={keyword: "110001"})
    write_series(tmp_path / "2", thick, tags={keyword: "110002"})
    series = scan(tmp_path).series
    assert len(series) == parts
    if parts == 2:
        assert [one.affine.spacing_mm[2] for one in series if one.affine] == pytest.approx([3.0, 5.0])
    else:
        assert "unevenly spaced" in series[0].problems[0]


def test_two_frames_of_reference_under_one_uid_stay_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "1", make_volume(seed=1), tags={"FrameOfReferenceUID": "1.2.3"})
    write_series(tmp_path / "2", make_volume(seed=2), tags={"FrameOfReferenceUID": "1.2.4"})
    assert [one.affine is not None for one in scan(tmp_path).series] == [True, True]


def test_different_images_at_one_place_that_nothing_tells_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "1", make_volume(seed=1))
    write_series(tmp_path / "2", make_volume(seed=2))
    assert problem(tmp_path).startswith(
        "8 places of 8 hold several different images (the first at -700.0 mm, 2 images), and no tag takes them apart"
    )


def test_two_stacks_side_by_side(tmp_path: Path) -> None:
    write_series(tmp_path / "1", make_volume(seed=1))
    write_series(tmp_path / "2", make_volume(seed=2, origin=(70.0, 12.5, -700.0)))
    series = scan(tmp_path).series
    assert {one.affine.origin_mm[0] for one in series if one.affine} == {-30.0, 70.0}


def test_exact_copies_are_dropped_and_said(tmp_path: Path) -> None:
    volume = make_volume()
    write_series(tmp_path / "a", volume, shuffle=1)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    series = only(scan(tmp_path))
    assert series.notes == ("8 images were exact copies of others and left out.",)
    assert read_series(series).same_grid(volume)


def test_a_single_slice(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(1))
    assert problem(tmp_path).startswith("It is a single image, not a volume")


@pytest.mark.parametrize(
    ("keyword", "words"),
    [
        ("ImagePositionPatient", "no readable Image Position (0020,0032)"),
        ("ImageOrientationPatient", "no readable Image Orientation (0020,0037)"),
        ("PixelSpacing", "no readable Pixel Spacing (0028,0030)"),
    ],
)
def test_missing_geometry(tmp_path: Path, keyword: str, words: str) -> None:
    write_series(tmp_path, make_volume(), tags={keyword: None})
    assert problem(tmp_path) == (
        f"8 images carry {words}, so where they lie is not known; export the series again with its geometry."
    )


@pytest.mark.parametrize("orientation", [[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 1, 0]])
def test_impossible_orientation(tmp_path: Path, orientation: list[float]) -> None:
    write_series(tmp_path, make_volume(), tags={"ImageOrientationPatient": orientation})
    assert problem(tmp_path).startswith("The Image Orientation (0020,0037) is not two directions at right angles")


def test_spacing_of_zero(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), tags={"PixelSpacing": [0, 1]})
    assert problem(tmp_path).startswith("The Pixel Spacing (0028,0030) is not positive")


def test_colour(tmp_path: Path) -> None:
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "BitsAllocated": 8}
    write_series(tmp_path, make_volume(), tags={**tags, "PixelData": bytes(90)})
    assert problem(tmp_path).startswith("The pictures are in colour")


def test_ct_without_rescale_is_not_in_hounsfield_units(tmp_path: Path) -> None:
    volume = make_volume()
    unsigned = volume.with_voxels(volume.voxels + 1024)
    write_series(tmp_path / "ct", unsigned, slopes=None, signed=False)
    assert problem(tmp_path / "ct") == (
        "8 of 8 images carry no Rescale Slope (0028,1053) or Intercept (0028,1052), so their values are not Hounsfield "
        "units; export the series again from the scanner or the archive."
    )
    write_series(tmp_path / "pt", volume, "PT", slopes=None)
    assert "so their values are not activity" in problem(tmp_path / "pt")


def test_signed_ct_without_rescale_is_read_as_it_stands(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), slopes=None)
    assert np.array_equal(read_series(only(scan(tmp_path))).voxels, make_volume().voxels)


def test_rescale_in_some_slices_only(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), slopes=[1.0] * 7 + [None])  # type: ignore[list-item]
    assert problem(tmp_path).startswith("1 of 8 images carry no Rescale Slope")


def test_other_values_than_hounsfield_units(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), tags={"RescaleType": "MGML"})
    assert problem(tmp_path) == "The values are not Hounsfield units but MGML (Rescale Type); choose the plain CT."


def test_a_slope_of_zero(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), tags={"RescaleSlope": 0})
    assert problem(tmp_path).startswith("The Rescale Slope (0028,1053) is zero")


def test_a_file_cut_short_in_its_pixels(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_volume())
    paths[2].write_bytes(paths[2].read_bytes()[:-2])
    assert problem(tmp_path) == "image00002.dcm is cut short; copy or export the series again."


def test_files_without_pixels(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), tags={"PixelData": None})
    assert problem(tmp_path) == (
        "image00000.dcm, image00001.dcm, image00002.dcm and 5 more are without pixels, perhaps cut short; copy or "
        "export the series again."
    )


def test_a_header_cut_short(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_volume())
    paths[0].write_bytes(paths[0].read_bytes()[:700])
    found = scan(tmp_path)
    assert len(found.series[0].slices) == 7
    assert [other.problem for other in found.others] == [
        f"The DICOM file {paths[0]} is damaged or cut short; copy or export it again."
    ]


def test_an_empty_file_that_should_be_a_slice(tmp_path: Path) -> None:
    (path, *_) = write_series(tmp_path, make_volume())
    path.write_bytes(b"")
    found = scan(tmp_path)
    assert [other.problem for other in found.others] == [f"{path} is empty or damaged; copy or export it again."]
    assert found.ignored == 0


def test_bytes_changed_anywhere_never_stop_a_scan(tmp_path: Path) -> None:
    volume = make_volume(2)
    (path, _) = write_series(tmp_path / "good", volume, "PT")
    good = path.read_bytes()
    bad = tmp_path / "bad"
    bad.mkdir()
    dice = random.Random(0)
    for number in range(300):
        damaged = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            damaged[dice.randrange(132, len(damaged))] = dice.randrange(256)
        (bad / f"{number}.dcm").write_bytes(damaged[: dice.randrange(140, len(damaged) + 1)])
    found = scan(bad)
    counted = sum(len(series.slices) for series in found.series) + len(found.others) + found.ignored
    assert counted >= 300
    for series in found.series:
        if not series.problems:
            read_series(series)


def test_what_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path, *_) = write_series(tmp_path, make_volume())
    real = Path.open

    def denied(self: Path, *args: object, **keywords: object) -> object:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **keywords)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", denied)
    found = scan(tmp_path)
    assert [other.problem for other in found.others] == [f"{path} cannot be opened (Permission denied)."]
    assert len(found.series[0].slices) == 7
    with pytest.raises(InputError, match=r"cannot be opened \(Permission denied\); check its permissions"):
        scan(path)


def test_links_in_circles_and_dangling(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", make_volume())
    (tmp_path / "ct" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    found = scan(tmp_path)
    assert len(only(found).slices) == 8
    assert not only(found).notes
    assert len(found.problems) == 2
    assert all("cannot be opened" in sentence for sentence in found.problems)


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert scan(tmp_path).series == ()


def test_non_ascii_and_very_long_paths(tmp_path: Path) -> None:
    folder = tmp_path / "Müller–Łódź 患者" / ("long " * 45) / ("длинный" * 17)
    write_series(folder, make_volume(), tags={"SeriesDescription": "Ganzkörper 患者"})
    series = only(scan(tmp_path))
    assert series.description == "Ganzkörper 患者"
    assert read_series(series).same_grid(make_volume())


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    (path, *_) = write_series(tmp_path, make_volume())
    path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.dcm"))
    series = only(scan(tmp_path))
    assert read_series(series).same_grid(make_volume())


def test_a_read_only_folder_is_only_read(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    tmp_path.chmod(0o555)
    try:
        read_series(only(scan(tmp_path)))
    finally:
        tmp_path.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_single_file_stands_for_its_series(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_volume())
    write_series(tmp_path / "below", make_volume(seed=3), series="other")
    other = write_series(tmp_path / "beside", make_volume(seed=4), series="beside")
    shutil.copy(other[0], tmp_path / "beside.dcm")
    series = only(scan(paths[3]))
    assert [image.path for image in series.slices] == paths


def test_paths_that_are_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; check the path"):
        scan(tmp_path / "nowhere")
    (tmp_path / "text").write_text("no DICOM")
    with pytest.raises(InputError, match="is not a DICOM file"):
        scan(tmp_path / "text")
    assert scan(tmp_path).series == ()


def test_files_without_preamble_are_dicom_too(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_volume(), transfer_syntax=pydicom.uid.ImplicitVRLittleEndian)
    for path in paths:
        data = path.read_bytes()
        dataset = data[data.index(b"\x08\x00\x05\x00") :]
        path.write_bytes(dataset)
    assert read_series(only(scan(tmp_path))).same_grid(make_volume())


def test_two_patients_under_one_series_uid_stay_apart(tmp_path: Path) -> None:
    shared = {"SeriesInstanceUID": made_up_uid("shared"), "StudyInstanceUID": made_up_uid("study")}
    write_series(tmp_path / "1", make_volume(seed=1), patient="P1", tags=shared)
    write_series(tmp_path / "2", make_volume(seed=2), patient="P2", tags=shared)
    series = scan(tmp_path).series
    assert [one.identity.patient_id for one in series] == ["P1", "P2"]
    assert len({one.key for one in series}) == 2


def test_files_without_series_uid_are_held_together_by_their_folder(tmp_path: Path) -> None:
    bare = {"SeriesInstanceUID": "", "StudyInstanceUID": None, "SOPInstanceUID": ""}
    write_series(tmp_path / "1", make_volume(seed=1), tags=bare)
    write_series(tmp_path / "2", make_volume(seed=2), tags=bare)
    series = scan(tmp_path).series
    assert [one.key for one in series] == [str(tmp_path / "1"), str(tmp_path / "2")]
    assert all("no Series Instance UID" in one.notes[0] for one in series)


def test_fewer_images_than_announced_is_a_note(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), "PT", skip=(7,))
    series = only(scan(tmp_path))
    assert series.notes == ("The headers announce 8 images, 7 are here; check that the series is whole.",)


def test_headers_are_whole_sorted_and_quiet(tmp_path: Path) -> None:
    def tags(z: int) -> dict[object, object]:
        return {
            "DecayFactor": str(1 + z / 100),
            "StationName": "far longer than sixteen characters",
            ("LO", 0x0009, 0x0010): "GEMS_PETD_01",
            ("DT", 0x0009, 0x100D): "20200131110000",
        }

    write_series(tmp_path, make_volume(), "PT", tags=tags, shuffle=4)
    headers = only(scan(tmp_path)).headers
    assert [float(header.DecayFactor) for header in headers] == [1 + z / 100 for z in range(8)]
    assert "PixelData" not in headers[0]
    assert headers[0].StationName == "far longer than sixteen characters"
    assert headers[0][0x0009, 0x100D].value == "20200131110000"
    assert headers[0].RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose == 370e6


def test_a_header_value_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_volume(2), "PT")
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"6586.2", b"65,8,2"))
    header = only(scan(tmp_path)).headers[0]
    drug = header.RadiopharmaceuticalInformationSequence[0]
    assert "RadionuclideHalfLife" not in drug
    assert drug.RadionuclideTotalDose == 370e6


def test_a_file_that_vanished_after_the_scan(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_volume())
    series = only(scan(tmp_path))
    paths[1].unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        _ = series.headers
    with pytest.raises(InputError, match="cannot be opened"):
        read_series(series)


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), tags={"SeriesDescription": "CT \x1b[31mred\x07"})
    assert only(scan(tmp_path)).description == "CT ?[31mred?"


def test_texts_of_an_absent_element() -> None:
    assert dicom_header.text(pydicom.Dataset(), "SeriesDescription") == ""
