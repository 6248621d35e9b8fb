"""Image files in and out: one volume from one file, or one sentence that says why not."""

from __future__ import annotations

import gzip
import logging
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.volume import Volume

_LOG = logging.getLogger(__name__)


def read_volume(path: Path, what: str) -> Volume:
    """Read one scalar 3D image (NIfTI, NRRD, MHA or any other format SimpleITK knows).

    `what` names the image in error messages ("CT", "PET", "mask"). Raises InputError with one sentence for a
    missing file, a file that is no image, a series of volumes, a single slice, colour voxels, or a broken geometry.
    """
    if not path.exists():
        raise InputError(f"The {what} file {path} does not exist; check the path.")
    if path.is_dir():
        raise InputError(f"The {what} {path} is a folder; give one image file (NIfTI, NRRD or MHA).")
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
    volume = Volume.from_sitk(image)
    if np.issubdtype(volume.voxels.dtype, np.floating):
        bad = int(volume.voxels.size - np.isfinite(volume.voxels).sum())
        if bad:
            raise InputError(
                f"The {what} {path} contains {bad} voxels that are not finite numbers (NaN or infinity); "
                "repair or export the image again."
            )
    return volume


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume (compressed NRRD, NIfTI or MHA by its suffix); the file appears whole or not at all.

    Raises OutputError where nothing can be written, InputError for a suffix that no image format has.
    """
    with atomic_file(path) as temporary:
        try:
            sitk.WriteImage(volume.to_sitk(), str(temporary), useCompression=True)
        except RuntimeError as error:
            # SimpleITK hides the operating system's reason; a plain write to the same place brings it out.
            temporary.write_bytes(b"\0" * min(volume.voxels.nbytes, 1 << 20))
            raise InputError(f"{path} cannot be written as an image; use the ending .nrrd or .nii.gz.") from error


def _check_header(reader: sitk.ImageFileReader, path: Path, what: str) -> None:
    spacing = [*reader.GetSpacing()[:3], *_nifti_pixdim(path)]
    if not all(np.isfinite(mm) and mm > 0 for mm in spacing):
        raise InputError(_spacing_sentence(path, what))


def _nifti_pixdim(path: Path) -> tuple[float, ...]:
    """The spacing as a NIfTI-1 header states it (ITK silently reads zero as 1); empty for other formats."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return ()
    open_file = gzip.open if path.name.lower().endswith(".gz") else open
    with open_file(path, "rb") as file:
        header = file.read(348)
    for order in "<>":
        if len(header) == 348 and struct.unpack_from(f"{order}i", header, 0)[0] == 348:
            return struct.unpack_from(f"{order}3f", header, 80)
    return ()


def _spacing_sentence(path: Path, what: str) -> str:
    return f"The {what} {path} has a zero or negative voxel spacing; correct its header or export it again."


def _unreadable(path: Path, what: str, error: RuntimeError) -> InputError:
    reason = str(error)
    _LOG.debug("SimpleITK could not read %s: %s", path, reason)
    lowered = reason.lower()
    if "spacing" in lowered or "space direction" in lowered:
        return InputError(_spacing_sentence(path, what))
    if "orthonormal" in lowered or "determinant" in lowered:
        return InputError(
            f"The {what} {path} has voxel axes that are not at right angles; resample it to a regular grid."
        )
    return InputError(
        f"The {what} {path} is not an image that can be read; give a NIfTI, NRRD or MHA file that is complete."
    )
