"""Where an image file is asked for, a DICOM folder or file will do, if it stands for one series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_made_up import save, write_series

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume


def make_volume(seed: int = 1) -> Volume:
    voxels = np.random.default_rng(seed).integers(-1024, 3000, (7, 6, 5)).astype(np.int16)
    return Volume(voxels, Affine.from_parts((1.5, 2.0, 3.0), np.eye(3), (-3.25, 12.5, -700.0)))


def refusal(path: Path, what: str = "CT") -> str:
    with pytest.raises(InputError) as error:
        read_volume(path, what)
    return str(error.value)


def test_a_folder_or_any_file_of_it(tmp_path: Path) -> None:
    volume = make_volume()
    paths = write_series(tmp_path, volume, shuffle=2)
    for path in (tmp_path, paths[0], paths[4]):
        read = read_volume(path, "CT")
        assert read.same_grid(volume)
        assert np.array_equal(read.voxels, volume.voxels)


def test_the_ct_is_taken_from_beside_a_pet(tmp_path: Path) -> None:
    write_series(tmp_path / "pet", make_volume(2), "PT")
    write_series(tmp_path / "ct", make_volume())
    assert np.array_equal(read_volume(tmp_path, "CT").voxels, make_volume().voxels)


def test_a_localiser_is_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", make_volume())
    write_series(tmp_path / "scout", make_volume(), series="s", tags={"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER"})
    assert np.array_equal(read_volume(tmp_path, "CT").voxels, make_volume().voxels)


def test_a_pet_needs_suv(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), "PT")
    for what in ("PET", "CT"):
        assert refusal(tmp_path, what) == (
            f"The {what} {tmp_path} is a DICOM PET, which must be converted to SUV; give the folder of its study, or "
            "an SUV image."
        )


def test_two_series_that_fit(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_volume(), series="a")
    write_series(tmp_path / "b", make_volume(2), series="b")
    sentence = refusal(tmp_path)
    assert sentence.startswith(f'The CT {tmp_path} holds 2 series that fit ("WB CT" (7 images, ')
    assert sentence.endswith("give the folder or a file of one.")


def test_why_a_series_cannot_be_read(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume(), skip=(3,))
    assert "cannot be read as a volume. 1 slice of 3.00 mm is missing" in refusal(tmp_path)


def test_nothing_of_use(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("holds no DICOM image series; give an image file or the folder of a series.")
    struct = pydicom.Dataset()
    struct.Modality, struct.SOPClassUID = "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3"
    save(struct, tmp_path / "rs.dcm")
    assert "holds no DICOM image series (only RTSTRUCT)" in refusal(tmp_path)
    assert "holds no DICOM image series (only RTSTRUCT)" in refusal(tmp_path / "rs.dcm", "mask")


def test_a_damaged_file(tmp_path: Path) -> None:
    (path, *_) = write_series(tmp_path, make_volume())
    path.write_bytes(path.read_bytes()[:600])
    assert "damaged or cut short" in refusal(path)
    assert refusal(tmp_path).startswith(f"The CT {tmp_path} may lack slices. The DICOM file {path} is damaged")
