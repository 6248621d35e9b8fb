"""Finding an image again by its content, wherever it lies now and whatever it is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import ImageSource
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from MemorySurvivalLib.imaging.dicom_series import DicomSeries

_ENDINGS = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")


@dataclass(frozen=True)
class FoundImage:
    """Where an image is: an image file, or a DICOM folder with the key of the series."""

    path: Path
    series: str | None = None


def find_image(
    folder: Path,
    modality: Modality,
    source: ImageSource,
    supplied: Supplied,
    progress: ProgressCallback = ignore_progress,
) -> FoundImage | None:
    """The image below `folder` whose voxels, type and place have the recorded hash; None where there is none.

    Image files and DICOM series are looked at; only those of the recorded size are read whole. A DICOM PET is converted
    with the values that the recorded run was `supplied`. Raises InputError where the folder is not there.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} with the images does not exist; check --images.")
    for path in sorted(folder.rglob("*")):
        if path.name.lower().endswith(_ENDINGS) and path.is_file() and _has_size(path, source):
            try:
                volume = read_volume(path, modality)
            except InputError:  # some other image, which is none of ours
                continue
            if volume.sha256() == source.sha256:
                return FoundImage(path)
    return next(_dicom_matches(folder, modality, source, supplied, progress), None)


def _has_size(path: Path, source: ImageSource) -> bool:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # not an image
        return False
    return tuple(reversed(reader.GetSize()[:3])) == tuple(source.shape_zyx)


def _dicom_matches(
    folder: Path, modality: Modality, source: ImageSource, supplied: Supplied, progress: ProgressCallback
) -> Iterator[FoundImage]:
    from MemorySurvivalLib.imaging.dicom_scan import scan

    wanted = "CT" if modality == "CT" else "PT"
    for series in scan(folder, progress).series:
        fits = series.modality == wanted and series.affine is not None and series.shape_zyx == tuple(source.shape_zyx)
        if not fits:
            continue
        try:
            volume = _read_dicom(series, modality, supplied, progress)
        except InputError:  # unreadable, or without what the SUV needs: not the one that was scored
            continue
        if volume.sha256() == source.sha256:
            yield FoundImage(series.folder, series.key)


def _read_dicom(series: DicomSeries, modality: Modality, supplied: Supplied, progress: ProgressCallback) -> Volume:
    from MemorySurvivalLib.imaging.dicom_pixels import read_series
    from MemorySurvivalLib.imaging.suv import convert_to_suv, suv_volume

    volume = read_series(series, progress)
    if modality == "CT":
        return volume
    return suv_volume(volume, convert_to_suv(series.headers, supplied).factors)
