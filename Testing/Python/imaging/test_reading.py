"""Every image file that cannot be used, with the sentence the user sees; and every one that can, at its place."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume

FORMATS = (".nrrd", ".nii", ".nii.gz", ".mha")


@pytest.fixture
def volume() -> Volume:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
    return Volume(voxels, Affine.from_parts((2, 3, 4), np.eye(3), (-10, 20.5, 30)))


def refusal(path: Path, what: str = "CT") -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(InputError) as caught:
        read_volume(path, what)
    return str(caught.value)


def patched(path: Path, *changes: tuple[bytes, bytes]) -> Path:
    """Replace bytes of a file; each must be there once."""
    data = path.read_bytes()
    for before, after in changes:
        assert data.count(before) == 1
        data = data.replace(before, after)
    path.write_bytes(data)
    return path


def write_raw(volume: Volume, path: Path) -> Path:
    """Uncompressed, so that a test can edit the file."""
    sitk.WriteImage(volume.to_sitk(), str(path), useCompression=False)
    return path


def not_an_image(path: Path) -> str:
    return f"The CT {path} is not an image that can be read; give a NIfTI, NRRD or MHA file that is complete."


def bad_spacing(path: Path) -> str:
    return f"The CT {path} has a zero or negative voxel spacing; correct its header or export it again."


def not_at_right_angles(path: Path) -> str:
    return f"The CT {path} has voxel axes that are not at right angles; resample it to a regular grid."


def cut_short(path: Path) -> str:
    return f"The CT {path} is cut short or damaged; copy or export it again."


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("angles", [(0, 0, 0), (10, -20, 30)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_what_is_written_is_read_back(tmp_path: Path, ending: str, angles: tuple[float, ...], dtype: type) -> None:
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    voxels = np.arange(60).reshape(3, 4, 5).astype(dtype)
    written = Volume(voxels, Affine.from_parts((0.9765625, 1.5, 3.27), direction, (-250.5, 17.25, -1203)))
    write_volume(written, tmp_path / f"image{ending}")
    read = read_volume(tmp_path / f"image{ending}", "CT")
    assert read.voxels.dtype == dtype
    np.testing.assert_array_equal(read.voxels, voxels)
    assert read.same_grid(written, tolerance_mm=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == [f"image{ending}"]


def test_attributes_travel_in_nrrd(tmp_path: Path, volume: Volume) -> None:
    write_volume(Volume(volume.voxels, volume.affine, {"unit": "log-risk", "wer": "Jürgen"}), tmp_path / "a.nrrd")
    read = read_volume(tmp_path / "a.nrrd", "heatmap")
    assert read.attributes["unit"] == "log-risk"
    assert read.attributes["wer"] == "Jürgen"


def test_a_name_with_spaces_and_letters_of_any_language(tmp_path: Path, volume: Volume) -> None:
    path = tmp_path / "Köpfe und 頭" / "CT von Ärztin.nii.gz"
    write_volume(volume, path)
    np.testing.assert_array_equal(read_volume(path, "CT").voxels, volume.voxels)


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "no.nii.gz"
    assert refusal(path, "PET") == f"The PET file {path} does not exist; check the path."


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / "ct.nii"
    assert refusal(path) == f"The CT file {path} does not exist; check the path."


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"The CT {tmp_path} holds no DICOM image series; give an image file or the folder of a series."
    )


def test_a_name_too_long_to_open(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 300}.nii"
    assert refusal(path) == (
        f"The CT file {path} cannot be opened (File name too long); check the path and its permissions."
    )


@pytest.mark.parametrize("name", ["text.nrrd", "text.nii", "text.nii.gz", "text.mha", "text.txt", "text"])
@pytest.mark.parametrize("content", [b"hello", b"", b"\0" * 1000])
def test_not_an_image(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path) == not_an_image(path)


def test_a_gzip_file_that_holds_no_image(tmp_path: Path) -> None:
    path = tmp_path / "text.nii.gz"
    path.write_bytes(gzip.compress(b"hello"))
    assert refusal(path) == not_an_image(path)


@pytest.mark.parametrize("share", [0.02, 0.6, 0.98])
@pytest.mark.parametrize("ending", FORMATS)
def test_a_file_cut_short(tmp_path: Path, volume: Volume, ending: str, share: float) -> None:
    """ITK reads a NIfTI file that lacks voxels as if they were zero; a score of it would be wrong without a word."""
    path = tmp_path / f"ct{ending}"
    write_volume(volume, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert refusal(path) in (not_an_image(path), cut_short(path))
    if share > 0.5 and ".nii" in ending:
        assert refusal(path) == cut_short(path)


def test_a_pair_of_header_and_image_cut_short(tmp_path: Path, volume: Volume) -> None:
    header, image = tmp_path / "ct.hdr", tmp_path / "ct.img"
    write_raw(volume, header)
    np.testing.assert_array_equal(read_volume(header, "CT").voxels, volume.voxels)
    np.testing.assert_array_equal(read_volume(image, "CT").voxels, volume.voxels)
    image.write_bytes(image.read_bytes()[:-2])
    assert refusal(header) == cut_short(header)
    assert refusal(image) == cut_short(image)


def test_a_compressed_file_with_a_wrong_checksum(tmp_path: Path, volume: Volume) -> None:
    path = tmp_path / "ct.nii.gz"
    write_volume(volume, path)
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF
    path.write_bytes(data)
    assert refusal(path) in (not_an_image(path), cut_short(path))


def test_an_uncompressed_file_with_a_compressed_name(tmp_path: Path, volume: Volume) -> None:
    write_raw(volume, tmp_path / "ct.nii")
    (tmp_path / "ct.nii").rename(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nii.gz", "CT").voxels, volume.voxels)


@pytest.mark.parametrize("value", [0.0, -2.0, float("nan"), float("inf")])
@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_nifti_spacing_of_zero_or_less(tmp_path: Path, volume: Volume, value: float, axis: int, ending: str) -> None:
    path = write_raw(volume, tmp_path / "ct.nii")
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, 80 + 4 * axis, value)
    path = tmp_path / f"broken{ending}"
    path.write_bytes(gzip.compress(bytes(data)) if ending == ".nii.gz" else data)
    assert refusal(path) == bad_spacing(path)


@pytest.mark.parametrize("value", [b"0", b"-2", b"nan"])
def test_an_mha_spacing_of_zero_or_less(tmp_path: Path, volume: Volume, value: bytes) -> None:
    path = write_raw(volume, tmp_path / "ct.mha")
    patched(path, (b"ElementSpacing = 2 3 4", b"ElementSpacing = 2 " + value + b" 4"))
    assert refusal(path) == bad_spacing(path)


def test_an_nrrd_axis_of_no_length(tmp_path: Path, volume: Volume) -> None:
    path = write_raw(volume, tmp_path / "ct.nrrd")
    patched(path, (b"(2,0,0) (0,3,0) (0,0,4)", b"(0,0,0) (0,3,0) (0,0,4)"))
    assert refusal(path) == bad_spacing(path)


@pytest.mark.parametrize("value", [b"0", b"-2"])
def test_an_nrrd_spacing_of_zero_or_less(tmp_path: Path, volume: Volume, value: bytes) -> None:
    path = tmp_path / "ct.nrrd"
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 8 7 6\nspacings: 2 %s 4\nendian: little\nencoding: raw\n\n"
    path.write_bytes(header % value + volume.voxels.tobytes())
    assert refusal(path) == bad_spacing(path)


def test_an_nrrd_axis_that_points_the_other_way_is_no_negative_spacing(tmp_path: Path, volume: Volume) -> None:
    path = write_raw(volume, tmp_path / "ct.nrrd")
    patched(path, (b"(2,0,0) (0,3,0) (0,0,4)", b"(-2,0,0) (0,3,0) (0,0,4)"))
    read = read_volume(path, "CT")
    assert read.affine.orientation == "RPS"
    assert read.spacing_mm == (2, 3, 4)


def shear_nifti(path: Path) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into("<2h", data, 252, 0, 1)  # use the sform
    struct.pack_into("<12f", data, 280, -2, 1.5, 0, 0, 0, -3, 0, 0, 0, 0, 4, 0)
    path.write_bytes(data)


def shear_mha(path: Path) -> None:
    patched(path, (b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 0.5 1 0 0 0 1"))


def shear_nrrd(path: Path) -> None:
    patched(path, (b"(2,0,0) (0,3,0) (0,0,4)", b"(2,0,0) (1.5,3,0) (0,0,4)"))


@pytest.mark.parametrize(("name", "shear"), [("a.nii", shear_nifti), ("a.mha", shear_mha), ("a.nrrd", shear_nrrd)])
def test_sheared_axes(tmp_path: Path, volume: Volume, name: str, shear: Callable[[Path], None]) -> None:
    path = write_raw(volume, tmp_path / name)
    shear(path)
    assert refusal(path) == not_at_right_angles(path)


@pytest.mark.parametrize("ending", FORMATS)
def test_nan_and_infinity(tmp_path: Path, volume: Volume, ending: str) -> None:
    voxels = volume.voxels.astype(np.float32)
    voxels[1, 2, 3], voxels[2, 2, 2], voxels[0, 0, 0] = np.nan, np.inf, -np.inf
    path = tmp_path / f"pet{ending}"
    write_volume(volume.with_voxels(voxels), path)
    assert refusal(path, "PET") == (
        f"The PET {path} contains 3 voxels that are not finite numbers (NaN or infinity); "
        "repair or export the image again."
    )


@pytest.mark.parametrize("ending", FORMATS)
def test_a_3d_file_with_one_slice(tmp_path: Path, volume: Volume, ending: str) -> None:
    path = tmp_path / f"ct{ending}"
    write_volume(volume.cropped((0, 0, 0), (1, 7, 8)), path)
    assert refusal(path) == f"The CT {path} is a single slice (8 x 7 x 1 voxels); give the whole 3D volume."


@pytest.mark.parametrize("ending", (*FORMATS, ".png", ".jpg", ".tif"))
def test_a_2d_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"ct{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((7, 8), np.uint8)), str(path))
    assert refusal(path) == f"The CT {path} is not a 3D image (8 x 7); give a single 3D volume."


@pytest.mark.parametrize("ending", FORMATS)
def test_a_series_of_volumes(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"ct{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 6, 7, 8), np.int16), isVector=False), str(path))
    assert refusal(path) == f"The CT {path} is a series of volumes (8 x 7 x 6 x 2); give a single 3D volume."


@pytest.mark.parametrize("ending", FORMATS)
def test_a_series_of_one_volume_is_that_volume(tmp_path: Path, volume: Volume, ending: str) -> None:
    path = tmp_path / f"ct{ending}"
    sitk.WriteImage(sitk.JoinSeries([volume.to_sitk()]), str(path))
    read = read_volume(path, "CT")
    np.testing.assert_array_equal(read.voxels, volume.voxels)
    assert read.same_grid(volume)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_colour_image(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"ct{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((6, 7, 8, 3), np.uint8), isVector=True), str(path))
    assert refusal(path) == (f"The CT {path} has 3 values per voxel (a colour or vector image); give a scalar image.")


@pytest.mark.parametrize("name", ["heatmap.txt", "heatmap", "heatmap.png", "heatmap.gz"])
def test_an_ending_that_is_no_image(tmp_path: Path, volume: Volume, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(InputError) as caught:
        write_volume(volume, path)
    assert str(caught.value) == f"{path} cannot be written as an image; use the ending .nrrd or .nii.gz."
    assert list(tmp_path.iterdir()) == []
