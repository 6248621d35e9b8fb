"""Voxels of a series: every slice by its own slope, any direction, any transfer syntax, in the narrowest exact type."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_made_up import write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.dicom_series import DicomSeries
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.progress import ProgressEvent

PATIENT_POINT = (10.0, -20.0, 35.0)


def make_volume(shape: tuple[int, int, int] = (7, 6, 5), low: int = -1024, high: int = 3000) -> Volume:
    voxels = np.random.default_rng(1).integers(low, high, shape).astype(np.int16)
    return Volume(voxels, Affine.from_parts((1.5, 2.0, 3.0), np.eye(3), (-3.25, 12.5, -700.0)))


def only(folder: Path) -> DicomSeries:
    (series,) = scan(folder).series
    return series


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    matrix = sitk.Euler3DTransform((0, 0, 0), *np.radians(degrees)).GetMatrix()
    return np.array(matrix).reshape(3, 3)


ORIENTATIONS = [
    "".join(letters) for axes in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*axes)
]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_any_orientation_keeps_the_patient_in_place(tmp_path: Path, orientation: str) -> None:
    """Axial, coronal and sagittal stacks, feet first and prone: files say where the patient is, not how he lay."""
    volume = make_volume((3, 4, 2))
    stored = volume.reoriented(orientation)
    write_series(tmp_path, stored, shuffle=3, tags={"PatientPosition": "FFP"})
    read = read_series(only(tmp_path))
    handed = np.linalg.det(stored.affine.direction) > 0
    assert read.same_grid(stored) == handed, "a left-handed stack is sorted the other way round"
    again = read.reoriented()
    assert again.same_grid(volume, 1e-9)
    assert np.array_equal(again.voxels, volume.voxels)


@settings(max_examples=12, deadline=None)
@given(
    degrees=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 9)] * 3),
    origin=st.tuples(*[st.floats(-1500, 1500)] * 3),
)
def test_oblique_stacks_are_where_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    degrees: tuple[float, float, float],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
) -> None:
    volume = Volume(make_volume().voxels, Affine.from_parts(spacing, rotation(degrees), origin))
    folder = tmp_path_factory.mktemp("oblique")
    write_series(folder, volume, shuffle=1)
    read = read_series(only(folder))
    assert read.same_grid(volume, 1e-6)
    assert np.array_equal(read.voxels, volume.voxels)


def test_every_slice_has_its_own_slope(tmp_path: Path) -> None:
    slopes = [0.0123456789 * (1 + i % 17) for i in range(120)]
    stored = np.random.default_rng(0).integers(0, 32767, (120, 4, 3))
    values = stored * np.array(slopes)[:, None, None]
    volume = Volume(values, make_volume().affine)
    write_series(tmp_path, volume, "PT", slopes=slopes, shuffle=9)
    series = only(tmp_path)
    read = read_series(series)
    assert read.voxels.dtype == np.float32
    np.testing.assert_allclose(read.voxels, values, rtol=1e-6)
    assert [float(header.RescaleSlope) for header in series.headers] == pytest.approx(slopes)


def test_a_first_slice_with_a_whole_slope_does_not_decide_for_the_rest(tmp_path: Path) -> None:
    slopes = [1.0, 0.25, 0.25]
    stored = np.array([[[1, 2]], [[3, 4]], [[5, 6]]])
    values = stored * np.array(slopes)[:, None, None]
    write_series(tmp_path, Volume(values, make_volume().affine), "CT", slopes=slopes)
    read = read_series(only(tmp_path))
    assert read.voxels.dtype == np.float32
    assert np.array_equal(read.voxels, values)


def test_ct_is_int16_where_nothing_is_lost(tmp_path: Path) -> None:
    volume = make_volume()
    write_series(tmp_path / "signed", volume)
    write_series(tmp_path / "unsigned", volume, signed=False, intercept=-1024)
    for name in ("signed", "unsigned"):
        read = read_series(only(tmp_path / name))
        assert read.voxels.dtype == np.int16
        assert np.array_equal(read.voxels, volume.voxels)


def test_values_beyond_int16_are_not_wrapped(tmp_path: Path) -> None:
    voxels = make_volume().voxels.astype(np.int32)
    voxels[4, 1, 2] = 60000
    write_series(tmp_path, Volume(voxels, make_volume().affine), signed=False, intercept=-1024)
    read = read_series(only(tmp_path))
    assert read.voxels.dtype == np.float32
    assert np.array_equal(read.voxels, voxels)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.keyword,
)
def test_uncompressed_transfer_syntaxes(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    volume = make_volume()
    paths = write_series(tmp_path, volume)
    for path in paths:
        ds = pydicom.dcmread(path)
        pixels = ds.pixel_array
        ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
        ds["PixelData"].VR = "OW"
        ds.file_meta.TransferSyntaxUID = syntax
        meta, ds.preamble = ds.file_meta, bytes(128)
        little, implicit = syntax.is_little_endian, syntax.is_implicit_VR
        fresh = pydicom.dataset.FileDataset(path, ds, preamble=bytes(128), file_meta=meta)
        pydicom.dcmwrite(path, fresh, little_endian=little, implicit_vr=implicit, force_encoding=True)
    assert np.array_equal(read_series(only(tmp_path)).voxels, volume.voxels)


def compress(paths: list[Path], syntax: pydicom.uid.UID) -> None:
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(path)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("sop_class", [None, ""])
def test_compressed_pixels(tmp_path: Path, syntax: pydicom.uid.UID, signed: bool, sop_class: str | None) -> None:
    """GDCM rescales some SOP classes itself and others not; the values must not depend on it."""
    volume = make_volume(low=-1024 if not signed else -2000)
    tags = {} if sop_class is None else {"SOPClassUID": sop_class}
    paths = write_series(tmp_path, volume, signed=signed, intercept=0 if signed else -1024, tags=tags)
    compress(paths, syntax)
    read = read_series(only(tmp_path))
    assert read.voxels.dtype == np.int16
    assert np.array_equal(read.voxels, volume.voxels)


def test_compressed_pet_with_its_own_slopes(tmp_path: Path) -> None:
    slopes = [0.5, 0.125, 2.0]
    stored = np.random.default_rng(0).integers(0, 32767, (3, 6, 5))
    values = stored * np.array(slopes)[:, None, None]
    compress(write_series(tmp_path, Volume(values, make_volume().affine), "PT", slopes=slopes), RLELossless)
    assert np.array_equal(read_series(only(tmp_path)).voxels, values)


def test_damaged_compression_is_a_sentence(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_volume())
    compress(paths, JPEGLSLossless)
    ds = pydicom.dcmread(paths[2])
    ds.PixelData = encapsulate([bytes(100)])
    ds.save_as(paths[2])
    with pytest.raises(InputError, match=r"image00002\.dcm cannot be decoded \(JPEG-LS Lossless Image Compression\)"):
        read_series(only(tmp_path))


def test_an_unknown_transfer_syntax_is_a_sentence(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_volume())
    compress(paths, RLELossless)
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = pydicom.uid.HEVCMP51
        ds.save_as(path)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_series(only(tmp_path))


@pytest.mark.parametrize("signed", [True, False])
def test_only_the_stored_bits_count(tmp_path: Path, signed: bool) -> None:
    volume = make_volume(low=-1000 if signed else 0, high=2000)

    def noisy_high_bits(z: int) -> dict[str, object]:
        bits = (volume.voxels[z].astype(np.int32) & 0x0FFF) | 0x5000
        return {"BitsStored": 12, "HighBit": 11, "PixelData": bits.astype(np.uint16).tobytes()}

    write_series(tmp_path, volume, signed=signed, tags=noisy_high_bits)
    assert np.array_equal(read_series(only(tmp_path)).voxels, volume.voxels)


@pytest.mark.parametrize(
    ("padding", "signed", "intercept", "expected"),
    [
        (63536, False, -1024, -1024),  # a signed mark written as unsigned
        (-2000, True, -1024, -3024),
        (0, False, -1024, -1024),
        (1024, False, -1024, 0),  # water: the tag must be wrong
    ],
)
def test_padding_outside_the_field_of_view(
    tmp_path: Path, padding: int, signed: bool, intercept: int, expected: int
) -> None:
    volume = make_volume(high=2000)
    voxels = volume.voxels.astype(np.int32)
    voxels[:, 0, 0] = padding + intercept
    tags = {("SS" if signed else "US", 0x0028, 0x0120): padding}
    write_series(tmp_path, Volume(voxels, volume.affine), signed=signed, intercept=intercept, tags=tags)
    read = read_series(only(tmp_path))
    assert read.voxels.dtype == np.int16
    assert (read.voxels[:, 0, 0] == expected).all()
    assert np.array_equal(read.voxels[:, 1:], volume.voxels[:, 1:])


def test_pixels_stored_as_floats_keep_their_fractions(tmp_path: Path) -> None:
    values = make_volume().voxels + np.float32(0.25)

    def as_floats(z: int) -> dict[str, object]:
        floats = {"FloatPixelData": values[z].astype("<f4").tobytes(), "PixelData": None}
        return {**floats, "BitsAllocated": 32, "BitsStored": None, "HighBit": None, "PixelRepresentation": None}

    write_series(tmp_path, make_volume(), tags=as_floats)
    assert np.array_equal(read_series(only(tmp_path)).voxels, values)


def test_progress_counts_slices(tmp_path: Path) -> None:
    write_series(tmp_path, make_volume())
    events: list[ProgressEvent] = []
    read_series(only(tmp_path), events.append)
    assert [(event.stage, event.done, event.total) for event in events] == [("read", i, 7) for i in range(8)]


def shrink(ds: pydicom.Dataset) -> None:
    ds.PixelData = ds.PixelData[:20]


def grow(ds: pydicom.Dataset) -> None:
    ds.Rows = 12


@pytest.mark.parametrize("change", [shrink, grow])
def test_a_file_that_changed_after_the_scan(tmp_path: Path, change: Callable[[pydicom.Dataset], None]) -> None:
    paths = write_series(tmp_path, make_volume())
    series = only(tmp_path)
    ds = pydicom.dcmread(paths[1])
    change(ds)
    ds.save_as(paths[1])
    with pytest.raises(InputError, match=r"image00001\.dcm are (damaged or cut short|not of the size)"):
        read_series(series)
