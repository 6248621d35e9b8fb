"""The DICOM series that a result was made from: found again, and proven to be the same by the recorded hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pydicom.dataset import Dataset

from MemorySurvivalLib.dicom_out.envelope import EMPTY, Envelope
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import ImageSource
from MemorySurvivalLib.imaging.dicom_header import show, text
from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source
from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.dicom_series import DicomSeries, Found
from MemorySurvivalLib.imaging.suv import convert_to_suv, suv_volume
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.report.record import CaseRecord

_DICOM_MODALITY: dict[Modality, str] = {"CT": "CT", "PET": "PT"}
_TYPES = (np.int16, np.int32, np.float32)


@dataclass(frozen=True)
class SourcePaths:
    """Where the images are: a DICOM folder `study` that holds both, or `ct` and `pet`."""

    ct: Path | None = None
    pet: Path | None = None
    study: Path | None = None

    def of(self, modality: Modality) -> Path | None:
        """Where the images of a modality are."""
        return self.study or (self.ct if modality == "CT" else self.pet)


@dataclass(frozen=True, eq=False)
class Sources:
    """The series that were scored; None for images that are no DICOM. `notes` are sentences for the record."""

    ct: DicomSeries | None
    pet: DicomSeries | None
    notes: tuple[str, ...] = ()


def recorded_paths(record: CaseRecord) -> SourcePaths:
    """Where the images of a result were when it was made, as far as its record still says."""

    def path(key: str) -> Path | None:
        value = record.request.get(key)
        return Path(value) if isinstance(value, str) and value else None

    return SourcePaths(path("ct"), path("pet"), path("study"))


def find_sources(
    record: CaseRecord, given: SourcePaths | None = None, progress: ProgressCallback = ignore_progress
) -> Sources:
    """Find the CT and PET series of a result in `given` or where its record says, and prove each by its hash.

    Every series of a place is tried until one has the recorded voxels at the recorded place. Raises InputError with
    one sentence where a place is gone, or holds DICOM but not the images that were scored.
    """
    places = given or recorded_paths(record)
    found: dict[Modality, DicomSeries | None] = {}
    scanned: dict[Path, Found] = {}
    notes: list[str] = []
    for modality in MODALITIES:
        path, source = places.of(modality), record.inputs.get(modality)
        found[modality] = None
        if source is None or (path is None and given is not None):
            continue
        if path is None or not path.exists():
            where = f" ({show(path)} is gone)" if path is not None else ""
            raise InputError(
                f"The {modality} that was scored is no longer where it was{where}; say where its images are now."
            )
        if is_dicom_source(path):
            if path not in scanned:
                scanned[path] = scan(path, progress)
            found[modality] = _find(scanned[path], modality, source, record.request, progress)
        elif modality == "CT":
            notes.append(
                "The CT was an image file (NIfTI, NRRD), which has no DICOM images that could be referenced, so masks, "
                "measurements, risk and heatmap cannot be written as DICOM; the report and its pictures can."
            )
    ct, pet = found.get("CT"), found.get("PET")
    if ct is not None and pet is None:
        notes.append("No DICOM PET was given, so the objects refer to the CT alone.")
    return Sources(ct, pet, tuple(notes))


def stand_ins(series: DicomSeries, envelope: Envelope) -> tuple[Dataset, ...]:
    """A header for each slice, in the slices' order, with what objects need to refer to it and nothing else.

    UIDs are as the envelope allows; who the patient is, it says on each object when that is finished. The equipment is
    the scanner's, where patients may be named.
    """
    frame = envelope.uids.of_source(series.facts.frame_of_reference_uid)
    stands = []
    for image, whole in zip(series.slices, series.headers, strict=True):
        ds = Dataset()
        for key in EMPTY:
            setattr(ds, key, "")
        ds.StudyInstanceUID = envelope.study_uid
        ds.SOPClassUID = text(whole, "SOPClassUID")
        ds.SOPInstanceUID = envelope.uids.of_source(text(whole, "SOPInstanceUID"))
        ds.SeriesInstanceUID = envelope.uids.of_source(series.facts.series_uid)
        ds.FrameOfReferenceUID = frame
        ds.PositionReferenceIndicator = ""
        ds.Modality = series.modality
        ds.Rows, ds.Columns = image.rows, image.columns
        ds.ImagePositionPatient = [_short(v) for v in image.position_mm or ()]
        ds.ImageOrientationPatient = [_short(v) for v in image.orientation or ()]
        ds.PixelSpacing = [_short(v) for v in image.spacing_yx_mm or ()]
        ds.SliceThickness = _short(series.affine.spacing_mm[2]) if series.affine else None
        if not envelope.anonymous:
            ds.Manufacturer = text(whole, "Manufacturer")
            ds.ManufacturerModelName = text(whole, "ManufacturerModelName")
        stands.append(ds)
    return tuple(stands)


def refuse_unreferable(series: DicomSeries) -> str:
    """Why objects cannot refer to a series, as a sentence; "" where they can."""
    if any(image.frame is not None for image in series.slices):
        return (
            f"The CT {series.title} is a multi-frame file; objects that refer to its frames are not written yet, "
            "only the report and its pictures."
        )
    missing = [
        name
        for name, key in (("SOP Instance UID", "SOPInstanceUID"), ("SOP Class UID", "SOPClassUID"))
        if not all(text(header, key) for header in series.headers)
    ]
    missing += [] if series.facts.series_uid else ["Series Instance UID"]
    missing += [] if series.facts.frame_of_reference_uid else ["Frame of Reference UID"]
    if missing:
        return (
            f"The CT {series.title} carries no {' and no '.join(missing)}, so no object can refer to its images; "
            "export it again from the archive. The report and its pictures can be written."
        )
    return ""


def _find(
    here: Found, modality: Modality, source: ImageSource, request: Mapping[str, Any], progress: ProgressCallback
) -> DicomSeries:
    candidates = [one for one in here.series if one.modality == _DICOM_MODALITY[modality] and one.affine is not None]
    alike = [one for one in candidates if _may_be(one, source)]
    for one in alike:
        if _is_same(one, modality, source, request, progress):
            return one
    what = f"{len(candidates)} {modality} series" if len(candidates) != 1 else f"one {modality} series"
    raise InputError(
        f"{show(here.root)} holds {what}, but not the {modality} that was scored (its voxels or its place differ); "
        "give the folder of the images that the result was made from."
    )


def _may_be(series: DicomSeries, source: ImageSource) -> bool:
    """Whether sizes allow it, whatever the order of the axes."""
    spacing = series.affine.spacing_mm if series.affine else ()
    return sorted(series.shape_zyx) == sorted(source.shape_zyx) and np.allclose(
        sorted(spacing), sorted(source.spacing_mm), atol=1e-3
    )


def _is_same(
    series: DicomSeries,
    modality: Modality,
    source: ImageSource,
    request: Mapping[str, Any],
    progress: ProgressCallback,
) -> bool:
    try:
        volume = read_series(series, progress)
        if modality == "PET":
            supplied = msgspec.convert(request.get("supplied") or {}, Supplied)
            volume = suv_volume(volume, convert_to_suv(series.headers, supplied).factors)
    except (InputError, msgspec.ValidationError):  # what was scored could be read, so this is another series
        return False
    return any(variant.sha256() == source.sha256 for variant in _variants(volume, source.orientation))


def _variants(volume: Volume, orientation: str) -> Iterator[Volume]:
    """As we read it, and as a viewer hands the same images on: axes another way round, numbers of another type."""
    yield volume
    turned = volume.reoriented(orientation)
    if turned is not volume:
        yield turned
    for kind in _TYPES:
        if kind != volume.voxels.dtype and np.can_cast(volume.voxels.dtype, kind, "same_kind"):
            yield turned.with_voxels(turned.voxels.astype(kind))


def _short(value: float) -> str:
    """A decimal string of at most 16 characters, as precise as that allows."""
    return next(words for digits in range(16, 0, -1) if len(words := f"{value:.{digits}g}") <= 16)
