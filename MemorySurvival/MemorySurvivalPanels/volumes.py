"""Volume nodes to files and back: what the worker reads, and what it wrote; no user's node is ever changed."""

import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.errors import UserError

_READABLE = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume_file(node: slicer.vtkMRMLVolumeNode, what: str, folder: Path) -> Path:
    """A file that holds the volume as it lies in the world.

    A node that was not changed or transformed since it was read is passed by its own file; any other is written
    as uncompressed NRRD into `folder`. `what` names it in the sentences ("CT").
    """
    own = untouched_file(node)
    if own is not None:
        return own
    if node.GetImageData() is None:
        raise UserError(_('The {what} "{name}" holds no image; choose another.').format(what=what, name=node.GetName()))
    if node.GetImageData().GetNumberOfScalarComponents() != 1:
        raise UserError(
            _('The {what} "{name}" is a colour image; choose a scalar volume.').format(what=what, name=node.GetName())
        )
    matrix = ijk_to_world(node, what)
    with busy.phase(_("Handing the {what} over").format(what=what)):
        return write_image(slicer.util.arrayFromVolume(node), matrix, folder)


def image_defect(node: slicer.vtkMRMLVolumeNode, what: str) -> str | None:
    """Why a volume node can never be handed over as it is, as a sentence: no voxels, colours, a bending transform."""
    name = node.GetName()
    if node.GetImageData() is None or 0 in node.GetImageData().GetDimensions():
        return _('The {what} "{name}" holds no image; choose another.').format(what=what, name=name)
    if node.GetImageData().GetNumberOfScalarComponents() != 1:
        return _('The {what} "{name}" is a colour image; choose a scalar volume.').format(what=what, name=name)
    try:
        ijk_to_world(node, what)
    except UserError as error:
        return str(error)
    return None


def untouched_file(node: slicer.vtkMRMLVolumeNode) -> Path | None:
    """The file that the node was read from, where it still says exactly the same; None otherwise."""
    storage = node.GetStorageNode()
    if storage is None or storage.GetFileName() is None or storage.GetNumberOfFileNames() > 0:
        return None
    path = Path(storage.GetFileName())
    if not path.name.lower().endswith(_READABLE) or not path.is_file():
        return None
    if node.GetModifiedSinceRead() or node.GetParentTransformNode() is not None:
        return None
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    # Slicer may centre an image or ignore its directions on reading; the file then is not what the user sees.
    if reader.GetDimension() != 3 or reader.GetSize() != node.GetImageData().GetDimensions():
        return None
    return path if np.allclose(file_ijk_to_ras(reader), ijk_to_world(node, ""), atol=1e-3) else None


def ijk_to_world(node: slicer.vtkMRMLVolumeNode, what: str) -> np.ndarray:
    """4 x 4 matrix from voxel indices (i, j, k) to world RAS millimetres, with the node's transforms applied.

    Raises UserError for a transform that bends or shears, because no image file can say so.
    """
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    total = slicer.util.arrayFromVTKMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is not None:
        require_linear(transform, what, node.GetName())
        slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(transform, None, matrix)
        total = slicer.util.arrayFromVTKMatrix(matrix) @ total
    axes = total[:3, :3] / np.linalg.norm(total[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise UserError(
            _(
                'The {what} "{name}" has voxel axes that are not at right angles; '
                "resample it to a regular grid (Crop Volume)."
            ).format(what=what, name=node.GetName())
        )
    return total


def fill_volume(node: slicer.vtkMRMLScalarVolumeNode, path: Path) -> None:
    """Put an image file's voxels and place into a fresh node, which keeps no link to the file."""
    with busy.phase(_("Reading the result")):
        image = sitk.ReadImage(str(path))
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(file_ijk_to_ras(image)))
        slicer.util.updateVolumeFromArray(node, sitk.GetArrayViewFromImage(image))


def require_linear(transform: slicer.vtkMRMLTransformNode, what: str, name: str) -> None:
    """Raise UserError for a transform that bends."""
    if not transform.IsTransformToWorldLinear():
        raise UserError(
            _('The {what} "{name}" is under a deforming transform; harden the transform first.').format(
                what=what, name=name
            )
        )


def write_image(
    voxels: np.ndarray, ijk_to_ras: np.ndarray, folder: Path, attributes: Mapping[str, str] | None = None
) -> Path:
    """Write voxels (k, j, i) as uncompressed NRRD under a meaningless name; raises UserError where that fails."""
    lps = _RAS_TO_LPS @ ijk_to_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    for key, text in (attributes or {}).items():
        image.SetMetaData(key, text)
    path = folder / f"{uuid.uuid4().hex}.nrrd"
    try:
        sitk.WriteImage(image, str(path), useCompression=False)
    except RuntimeError as error:
        path.unlink(missing_ok=True)  # half a file only takes space
        raise UserError(
            _("The images cannot be written to {folder}; free some disk space there.").format(folder=folder)
        ) from error
    return path


def file_ijk_to_ras(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """4 x 4 matrix from voxel indices to RAS millimetres, as an image's header says."""
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    return _RAS_TO_LPS @ lps
