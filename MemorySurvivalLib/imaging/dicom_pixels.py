"""The voxels of a series: stored numbers decoded slice by slice and rescaled, each by its own slope and intercept."""

from __future__ import annotations

import os
import tempfile
from itertools import groupby
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, RLELossless, SecondaryCaptureImageStorage, generate_uid

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_header import BROKEN_VALUE, reading_quietly, show
from MemorySurvivalLib.imaging.dicom_series import DicomSeries
from MemorySurvivalLib.imaging.dicom_slices import SliceHeader
from MemorySurvivalLib.imaging.volume import Volume, Voxels
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress

AIR_HU = -1024.0
DENSEST_HU = 31000.0
"""Extended CT scales end at 30,710 HU; what is above is no measurement."""

_INT16 = np.iinfo(np.int16)
_PIXEL_KEYWORDS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)


def read_series(series: DicomSeries, progress: ProgressCallback = ignore_progress) -> Volume:
    """Decode a series: voxels (z, y, x) with slice i of `series.slices` at index i along z.

    Every slice is rescaled in double precision by its own slope and intercept: HU for CT, what Units (0054,1001) says
    for PET. In a CT, padding that would read as extremely dense becomes air (-1024 HU). CT becomes int16 where that
    loses nothing, else float32; everything else float32. One slice (or one multi-frame file) is held besides the
    result. Raises InputError with one sentence when the series has problems, or when a file cannot be read or decoded.
    """
    if series.affine is None:
        raise InputError(f"The series {series.title} cannot be read as a volume: {' '.join(series.problems)}")
    whole = series.modality == "CT" and all(map(_is_whole, series.slices))
    voxels: Voxels = np.empty(series.shape_zyx, np.int16 if whole else np.float32)
    meter = Meter("read", len(series.slices), progress)
    index = 0
    for path, group in groupby(series.slices, key=lambda image: image.path):
        frames = list(group)
        stored = _read_stored(frames[0])
        for image in frames:
            values = _rescaled(_frame(stored, image), image)
            if series.modality == "CT":
                _clear_padding(values, image)
            if voxels.dtype == np.int16 and not (stored.dtype.kind in "iu" and _fits(values)):
                voxels = voxels.astype(np.float32)
            voxels[index] = values
            index += 1
            meter.step()
        del stored, path
    return Volume(voxels, series.affine)


def _is_whole(image: SliceHeader) -> bool:
    """Whether rescaled values are whole numbers."""
    return float(image.slope or 1.0).is_integer() and float(image.intercept or 0.0).is_integer()


def _fits(values: Voxels) -> bool:
    return bool(values.min() >= _INT16.min and values.max() <= _INT16.max)


def _rescaled(stored: Voxels, image: SliceHeader) -> Voxels:
    values = stored.astype(np.float64)
    if image.slope is not None and image.intercept is not None:
        values *= image.slope
        values += image.intercept
    return values


def _clear_padding(values: Voxels, image: SliceHeader) -> None:
    """Make pixels outside the field of view air where their mark, read as HU, would be denser than any tissue or metal.

    Marks below air stay as they are, and so does a mark in the range of tissue, because some scanners write it wrongly.
    """
    if image.padding is None:
        return
    mark = image.padding * (image.slope or 1.0) + (image.intercept or 0.0)
    if mark > DENSEST_HU:
        values[values == mark] = AIR_HU


def _frame(stored: Voxels, image: SliceHeader) -> Voxels:
    return stored if image.frame is None or stored.ndim == 2 else stored[image.frame]


def _read_stored(image: SliceHeader) -> Voxels:
    """The stored numbers of one file: (rows, columns), or (frames, rows, columns)."""
    try:
        with reading_quietly():
            syntax = UID(image.transfer_syntax)
            ds = pydicom.dcmread(image.path, force=True)
            if syntax == RLELossless or (syntax.is_transfer_syntax and not syntax.is_encapsulated):
                ds.file_meta.TransferSyntaxUID = syntax  # files without a preamble do not say it
                stored = ds.pixel_array
            else:
                stored = _decode_with_gdcm(ds, syntax)
    except RuntimeError as error:
        raise InputError(
            f"The pixels of {show(image.path)} cannot be decoded ({syntax.name}); the file is damaged or compressed in "
            "an unknown way, so export the series again without compression."
        ) from error
    except BROKEN_VALUE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"The DICOM file {show(image.path)} cannot be opened ({error.strerror}).") from error
        raise InputError(
            f"The pixels of {show(image.path)} are damaged or cut short; copy or export the series again."
        ) from error
    if stored.shape[-2:] != (image.rows, image.columns):
        raise InputError(f"The pixels of {show(image.path)} are not of the size that its header says; export it again.")
    return _signed(stored, image)


def _decode_with_gdcm(ds: Dataset, syntax: UID) -> Voxels:
    """Stored numbers of a compressed file through SimpleITK.

    GDCM applies a rescale for some kinds of images and not for others; so it gets a copy that has none.
    """
    bare = Dataset()
    for keyword in _PIXEL_KEYWORDS:
        if keyword in ds:
            bare[keyword] = ds[keyword]
    bare.SOPClassUID, bare.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = bare.SOPClassUID, bare.SOPInstanceUID
    handle, name = tempfile.mkstemp(suffix=".dcm")
    os.close(handle)
    try:
        FileDataset(name, bare, file_meta=meta, preamble=b"\0" * 128).save_as(name, enforce_file_format=True)
        image = sitk.ReadImage(name, imageIO="GDCMImageIO")
    finally:
        Path(name).unlink()
    stored: Voxels = sitk.GetArrayFromImage(image)
    return stored[0] if stored.ndim == 3 and stored.shape[0] == 1 else stored


def _signed(stored: Voxels, image: SliceHeader) -> Voxels:
    """Only the stored bits count (PS3.5 section 8.1.1): the bits above them may hold anything, also no sign."""
    spare = stored.dtype.itemsize * 8 - image.bits_stored
    if stored.dtype.kind not in "iu" or spare <= 0:
        return stored
    kind = np.dtype(f"{'i' if image.signed else 'u'}{stored.dtype.itemsize}")
    return (stored.astype(kind) << spare) >> spare
