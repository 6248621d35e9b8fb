"""DICOM from real scanners: equal to the NIfTI images made from it by others, and to what GDCM reads."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging import dicom_scan
from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.dicom_series import DicomSeries
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.study import choose_study
from MemorySurvivalLib.imaging.study_identity import IdentityMismatch

pytestmark = pytest.mark.real_data

PATIENTS = ("STS_002", "STS_041")


def only(folder: Path) -> DicomSeries:
    (series,) = scan(folder).series
    return series


@pytest.fixture(scope="session")
def suv_objects(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 17 digital reference objects, unpacked."""
    folder = tmp_path_factory.mktemp("dro")
    with tarfile.open(real_data / "suv_dro" / "DRO_all17.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "DRO"


@pytest.mark.parametrize("patient", PATIENTS)
@pytest.mark.parametrize("modality", ["CT", "PET"])
def test_series_equal_their_nifti_counterparts(real_data: Path, patient: str, modality: str) -> None:
    series = only(real_data / "petct_sts_dicom" / patient / modality / "image")
    nifti = read_volume(real_data / "petct_sts10" / patient / f"{modality}_image.nii.gz", modality)
    read = read_series(series)
    same = nifti.reoriented(read.affine.orientation)
    assert read.same_grid(same, 1e-3), "NIfTI keeps its affine in single precision"
    tolerance = 0.0 if modality == "CT" else 1e-5  # g/mL; the PET's NIfTI was rescaled in single precision
    assert np.abs(read.voxels.astype(np.float64) - same.voxels).max() <= tolerance
    assert not series.notes


@pytest.mark.parametrize("patient", PATIENTS)
def test_the_study_is_chosen(real_data: Path, patient: str) -> None:
    choice = choose_study(scan(real_data / "petct_sts_dicom" / patient))
    assert choice.ct.folder.parent.name == "CT"
    assert choice.pet.folder.parent.name == "PET"
    assert choice.notes == ()


def test_two_patients_in_one_folder_are_not_mixed(real_data: Path) -> None:
    found = scan(real_data / "petct_sts_dicom")
    assert sorted(other.kind for other in found.others) == ["RTSTRUCT"] * 4
    with pytest.raises(InputError, match="There are 2 studies with a CT and a PET"):
        choose_study(found)
    first, second = (choose_study(scan(real_data / "petct_sts_dicom" / patient)) for patient in PATIENTS)
    assert choose_study(found, ct_series=first.ct.key).pet.key == first.pet.key
    with pytest.raises(IdentityMismatch) as mismatch:
        choose_study(found, ct_series=first.ct.key, pet_series=second.pet.key)
    assert "STS" not in str(mismatch.value)


def test_compressed_ct_equals_what_gdcm_reads(real_data: Path) -> None:
    series = only(real_data / "ct_labels" / "example_ct_dicom")
    read = read_series(series)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(image.path) for image in series.slices])
    assert read.voxels.dtype == np.int16
    assert np.array_equal(read.voxels, sitk.GetArrayFromImage(reader.Execute()))
    mask = read_volume(real_data / "ct_labels" / "example_seg_dicom.nii.gz", "mask")
    assert read.same_grid(mask.reoriented(read.affine.orientation), 1e-3)


def test_a_real_ct_folder_and_a_file_of_it_are_volumes(real_data: Path) -> None:
    folder = real_data / "petct_sts_dicom" / "STS_002" / "CT" / "image"
    assert read_volume(folder, "CT").sha256() == read_volume(folder / "000017.dcm", "CT").sha256()


def test_all_reference_objects_are_whole_pet_series(suv_objects: Path) -> None:
    folders = sorted(suv_objects.glob("DRO_*/PT"))
    assert len(folders) == 17
    for folder in folders:
        series = only(folder)
        assert not series.problems, folder
        assert series.modality == "PT"
        assert series.affine is not None
        assert series.affine.spacing_mm == pytest.approx((4.0, 4.0, 4.0))
        assert len(series.headers) == len(series.slices)


def test_the_object_with_many_slopes_is_rescaled_slice_by_slice(suv_objects: Path) -> None:
    """Stored numbers times each slice's own slope: the same activity as the object with one slope."""
    plain = read_series(only(suv_objects / "DRO_0_0" / "PT"))
    many = only(suv_objects / "DRO_1_0" / "PT")
    assert len({image.slope for image in many.slices}) > 1
    read = read_series(many)
    np.testing.assert_allclose(read.voxels, plain.voxels, rtol=1e-3, atol=2.0)


def test_a_scan_reads_every_file_once_and_no_pixels(suv_objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[Path] = Counter()
    reading = dicom_scan.read_file_header

    def counted(file: Path) -> object:
        asked[file] += 1
        return reading(file)

    monkeypatch.setattr(dicom_scan, "read_file_header", counted)
    found = scan(suv_objects / "DRO_0_0")
    images = [image.path for series in found.series for image in series.slices]
    assert images
    assert {asked[path] for path in images} == {1}
    assert not any("PixelData" in header for series in found.series for header in series.headers)
