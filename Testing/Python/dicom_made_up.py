"""Synthetic DICOM series for tests: a volume written as CT or PT slices, with every tag open to change."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

from MemorySurvivalLib.imaging.volume import Volume

Tags = Mapping[Any, Any]
"""Keyword, (group, element) number or `("VR", group, element)` to value; the value None takes the element out."""


def made_up_uid(*words: object) -> str:
    """The same UID for the same words, always."""
    return str(generate_uid(entropy_srcs=["made up", *map(str, words)]))


def write_series(
    folder: Path,
    volume: Volume,
    modality: str = "CT",
    *,
    tags: Tags | Callable[[int], Tags] | None = None,
    slopes: float | Sequence[float] | None = 1.0,
    intercept: float = 0.0,
    signed: bool = True,
    shuffle: int | None = None,
    skip: Sequence[int] = (),
    patient: str = "P1",
    study: str = "study",
    series: str | None = None,
    transfer_syntax: UID = ExplicitVRLittleEndian,
) -> list[Path]:
    """Write one file per slice (axis z of `volume`) and return the paths in slice order.

    `volume` holds rescaled values (HU for CT; what `Units` says for PT); stored = (value - intercept) / slope,
    rounded, as 16-bit integers (`signed` or not). `slopes` is one number, one for each slice, or None for files without
    rescale tags. `tags` (a mapping, or a function of the slice index giving one) is applied last. `shuffle` is a seed
    for file names and instance numbers that say nothing about the order; slices in `skip` are not written. The words
    `patient`, `study` and `series` (default: the modality) decide the identifiers and UIDs; study and frame of
    reference are one for the CT and PT of the same words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = volume.shape[0]
    each = [slopes] * count if slopes is None or isinstance(slopes, int | float) else list(slopes)
    order = list(range(count))
    if shuffle is not None:
        random.Random(shuffle).shuffle(order)
    paths = []
    for z in range(count):
        if z in skip:
            continue
        header = slice_header(volume, z, modality, patient=patient, study=study, series=series)
        header.InstanceNumber = order[z] + 1
        stored = volume.voxels[z].astype(np.float64)
        slope = each[z]
        if slope is not None:
            header.RescaleSlope, header.RescaleIntercept = _short(slope), _short(intercept)
            stored = (stored - intercept) / float(header.RescaleSlope)
        pixels = np.round(stored).astype(np.int16 if signed else np.uint16)
        header.PixelRepresentation = int(signed)
        header.PixelData = np.ascontiguousarray(pixels).tobytes()
        with config.disable_value_validation():
            apply_tags(header, tags(z) if callable(tags) else tags or {})
        path = folder / f"image{order[z]:05d}.dcm"
        save(header, path, transfer_syntax)
        paths.append(path)
    return paths


def slice_header(
    volume: Volume, z: int, modality: str, *, patient: str = "P1", study: str = "study", series: str | None = None
) -> Dataset:
    """A complete CT or PT header for slice `z`, without pixels and rescale; PT is FDG in BQML, decayed to START.

    The PET facts: 370 MBq injected on 2020-01-31 at 10:00:00, series and acquisition at 11:00:00, half-life 6586.2 s,
    70 kg, 1.75 m, female.
    """
    series = series or modality
    words = (patient, study, series)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = CTImageStorage if modality == "CT" else PositronEmissionTomographyImageStorage
    ds.SOPInstanceUID = made_up_uid(*words, z)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if modality == "CT" else ["ORIGINAL", "PRIMARY"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200131"
    ds.StudyTime = "095000"
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "110000"
    ds.Modality = modality
    ds.Manufacturer = "MADE UP"
    ds.StudyDescription = "Made-up study"
    ds.SeriesDescription = "WB CT" if modality == "CT" else "WB PET AC"
    ds.PatientName = f"{patient}^Made up"
    ds.PatientID = patient
    ds.PatientBirthDate = "19600101"
    ds.PatientSex = "F"
    ds.PatientWeight, ds.PatientSize = "70", "1.75"
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = made_up_uid(patient, study)
    ds.SeriesInstanceUID = made_up_uid(*words)
    ds.FrameOfReferenceUID = made_up_uid(patient, study, "frame of reference")
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 2, 1, z + 1
    x_mm, y_mm, z_mm = volume.spacing_mm
    direction = volume.affine.direction
    ds.ImagePositionPatient = [_short(v) for v in volume.affine.points_mm((0, 0, z))]
    ds.ImageOrientationPatient = [_short(v) for v in (*direction[:, 0], *direction[:, 1])]
    ds.PixelSpacing = [_short(y_mm), _short(x_mm)]  # row spacing (along y) first
    ds.SliceThickness = _short(z_mm)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    _, ds.Rows, ds.Columns = volume.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    if modality == "CT":
        ds.RescaleType = "HU"
        ds.KVP = "120"
        ds.ConvolutionKernel = "B30f"
    if modality == "PT":
        _add_pet_tags(ds, volume.shape[0], z)
    return ds


def _add_pet_tags(ds: Dataset, count: int, z: int) -> None:
    ds.SeriesType = ["WHOLE BODY", "IMAGE"]
    ds.Units = "BQML"
    ds.CountsSource = "EMISSION"
    ds.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
    ds.DecayCorrection = "START"
    ds.AttenuationCorrectionMethod = "measured, CT"
    ds.NumberOfSlices, ds.ImageIndex = count, z + 1
    ds.FrameReferenceTime, ds.ActualFrameDuration, ds.DecayFactor = "0", "120000", "1"
    drug = Dataset()
    drug.Radiopharmaceutical = "Fluorodeoxyglucose"
    drug.RadiopharmaceuticalStartTime = "100000"
    drug.RadiopharmaceuticalStartDateTime = "20200131100000"
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = "370000000", "6586.2"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C-111A1", "SRT", "^18^Fluorine"
    drug.RadionuclideCodeSequence = DicomSequence([code])
    ds.RadiopharmaceuticalInformationSequence = DicomSequence([drug])


def apply_tags(ds: Dataset, tags: Tags) -> None:
    """Set, add or (value None) take out elements."""
    for key, value in tags.items():
        if isinstance(key, str):
            tag: Any = key
        else:
            tag = key[-2:]
        if value is None:
            if tag in ds:
                del ds[tag]
        elif isinstance(key, str):
            setattr(ds, key, value)
        elif len(key) == 3:
            ds.add_new(tag, key[0], value)
        else:
            ds[tag].value = value


def save(ds: Dataset, path: Path, transfer_syntax: UID = ExplicitVRLittleEndian) -> None:
    """Write a dataset as a DICOM file, however wrong its values are."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID") or CTImageStorage
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID") or made_up_uid(path.name)
    file = FileDataset(str(path), ds, file_meta=meta, preamble=b"\0" * 128)
    with config.disable_value_validation():
        file.save_as(path, enforce_file_format=True)


def _short(value: float) -> str:
    """A decimal string of at most 16 characters, as precise as that allows."""
    for digits in range(16, 0, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"{value} does not fit a decimal string")
