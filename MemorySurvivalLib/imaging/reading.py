"""Image files in and out: one volume from one file, or one sentence that says why not."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source
from MemorySurvivalLib.imaging.nifti import inspect_nifti_voxels, read_nifti_header
from MemorySurvivalLib.imaging.volume import Volume

_LOG = logging.getLogger(__name__)

WRITABLE = (".nrrd", ".nii.gz", ".nii", ".mha")
"""Endings that volumes are written to."""


def read_volume(path: Path, what: str) -> Volume:
    """Read one scalar 3D image (NIfTI, NRRD, MHA or any other format SimpleITK knows; a DICOM folder or file).

    Of DICOM, the folder or the file must stand for one series; its values come rescaled, and a PET is refused, because
    it needs `convert_to_suv`. `what` names the image in error messages ("CT", "PET", "mask"). Raises InputError with
    one sentence for a missing file, a file that is no image or not whole, a series of volumes, a single slice, colour
    voxels, or a broken geometry.
    """
    if is_dicom_source(path):
        # pydicom takes a quarter of a second to load; only DICOM needs it.
        from MemorySurvivalLib.imaging.dicom_volume import read_dicom_volume

        return read_dicom_volume(path, what)
    _check_file(path, what)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, what, error) from error
    _check_header(reader, path, what)
    dimension = reader.GetDimension()
    size = list(reader.GetSize())
    if dimension == 4 and size[3] == 1:
        reader.SetExtractSize([*size[:3], 0])
    elif dimension != 3:
        shape = " x ".join(str(n) for n in size)
        kind = "a series of volumes" if dimension > 3 else "not a 3D image"
        raise InputError(f"The {what} {path} is {kind} ({shape}); give a single 3D volume.")
    if min(size[:3]) < 2:
        shape = " x ".join(str(n) for n in size[:3])
        raise InputError(f"The {what} {path} is a single slice ({shape} voxels); give the whole 3D volume.")
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"The {what} {path} has {reader.GetNumberOfComponents()} values per voxel (a colour or vector image); "
            "give a scalar image."
        )
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, what, error) from error
    nifti = inspect_nifti_voxels(path)
    if nifti and not nifti.whole:
        raise InputError(f"The {what} {path} is cut short or damaged; copy or export it again.")
    try:
        volume = Volume.from_sitk(image)
    except InputError as error:
        raise InputError(_axes_sentence(path, what)) from error
    bad = nifti.not_finite if nifti else 0
    if np.issubdtype(volume.voxels.dtype, np.floating):
        bad = max(bad, int(volume.voxels.size - np.isfinite(volume.voxels).sum()))
    if bad:
        raise InputError(
            f"The {what} {path} contains {bad} voxels that are not finite numbers (NaN or infinity); "
            "repair or export the image again."
        )
    return volume


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume (compressed NRRD, NIfTI or MHA by its suffix); the file appears whole or not at all.

    Raises OutputError where nothing can be written, InputError for another suffix.
    """
    if not path.name.lower().endswith(WRITABLE):
        raise InputError(f"{path} cannot be written as an image; use the ending .nrrd or .nii.gz.")
    with atomic_file(path) as temporary:
        try:
            sitk.WriteImage(volume.to_sitk(), str(temporary), useCompression=True)
            nifti = inspect_nifti_voxels(temporary)
            whole = nifti is None or nifti.whole  # ITK reports a NIfTI file that the disk had no room for as written
        except RuntimeError as error:
            _LOG.debug("SimpleITK could not write %s: %s", path, error)
            whole = False
        if not whole:
            _fill(temporary, volume.voxels.nbytes)
            raise OutputError(f"{path} could not be written whole; choose another folder.")


def _fill(path: Path, size: int) -> None:
    """Append `size` zeros: SimpleITK hides the operating system's reason, a plain write brings it out as OSError."""
    with path.open("ab") as file:
        for start in range(0, size, 1 << 20):
            file.write(bytes(min(1 << 20, size - start)))


def _check_file(path: Path, what: str) -> None:
    try:
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"The {what} file {path} does not exist; check the path.") from None
    except OSError as error:
        raise InputError(
            f"The {what} file {path} cannot be opened ({error.strerror}); check the path and its permissions."
        ) from error


def _check_header(reader: sitk.ImageFileReader, path: Path, what: str) -> None:
    nifti = read_nifti_header(path)
    spacing = [*reader.GetSpacing()[:3], *(nifti.pixdim_mm if nifti else ())]
    if not all(np.isfinite(mm) and mm > 0 for mm in spacing):
        raise InputError(_spacing_sentence(path, what))
    if not np.isfinite(reader.GetOrigin()).all():
        raise InputError(
            f"The {what} {path} has an origin that is not a number; correct its header or export it again."
        )


def _spacing_sentence(path: Path, what: str) -> str:
    return f"The {what} {path} has a zero or negative voxel spacing; correct its header or export it again."


def _axes_sentence(path: Path, what: str) -> str:
    return f"The {what} {path} has voxel axes that are not at right angles; resample it to a regular grid."


def _unreadable(path: Path, what: str, error: RuntimeError) -> InputError:
    reason = str(error)
    _LOG.debug("SimpleITK could not read %s: %s", path, reason)
    lowered = reason.lower()
    if "spacing" in lowered or "space direction" in lowered:
        return InputError(_spacing_sentence(path, what))
    if "orthonormal" in lowered or "determinant" in lowered:
        return InputError(_axes_sentence(path, what))
    return InputError(
        f"The {what} {path} is not an image that can be read; give a NIfTI, NRRD or MHA file that is complete."
    )
