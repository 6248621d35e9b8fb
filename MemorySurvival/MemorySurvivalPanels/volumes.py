"""Nodes to files and back: what the worker reads, and what it wrote; no user's node is ever changed."""

import uuid
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

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
    return _write(slicer.util.arrayFromVolume(node), ijk_to_world(node, what), folder)


def segment_file(node: slicer.vtkMRMLSegmentationNode, segment_id: str, folder: Path) -> Path:
    """A label map with one segment, in the segment's own grid, as it lies in the world."""
    segment = node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        raise UserError(_('Choose a segment of the segmentation "{name}".').format(name=node.GetName()))
    if node.GetParentTransformNode() is not None:
        _require_linear(node.GetParentTransformNode(), "ROI", node.GetName())
    image = slicer.vtkOrientedImageData()
    logic = slicer.modules.segmentations.logic()
    found = logic.GetSegmentBinaryLabelmapRepresentation(node, segment_id, image, True) and not image.IsEmpty()
    voxels = None
    if found:
        shape = tuple(reversed(image.GetDimensions()))
        voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape) != 0
    if voxels is None or not voxels.any():
        raise UserError(
            _('The segment "{segment}" is empty; draw it first or choose another.').format(segment=segment.GetName())
        )
    corner = np.array([*image.GetExtent()[::2], 1.0])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    ijk_to_ras = slicer.util.arrayFromVTKMatrix(matrix)
    ijk_to_ras[:, 3] = ijk_to_ras @ corner
    return _write(voxels.astype(np.uint8), ijk_to_ras, folder)


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
    header = _matrix_from_parts(reader.GetSpacing(), reader.GetDirection(), reader.GetOrigin())
    return path if np.allclose(header, _RAS_TO_LPS @ ijk_to_world(node, ""), atol=1e-3) else None


def ijk_to_world(node: slicer.vtkMRMLVolumeNode, what: str) -> np.ndarray:
    """4 x 4 matrix from voxel indices (i, j, k) to world RAS millimetres, with the node's transforms applied.

    Raises UserError for a transform that bends or shears, because no image file can say so.
    """
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    total = slicer.util.arrayFromVTKMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is not None:
        _require_linear(transform, what, node.GetName())
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
    image = sitk.ReadImage(str(path))
    lps = _matrix_from_parts(image.GetSpacing(), image.GetDirection(), image.GetOrigin())
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_RAS_TO_LPS @ lps))
    slicer.util.updateVolumeFromArray(node, sitk.GetArrayFromImage(image))


def _require_linear(transform: slicer.vtkMRMLTransformNode, what: str, name: str) -> None:
    if not transform.IsTransformToWorldLinear():
        raise UserError(
            _('The {what} "{name}" is under a deforming transform; harden the transform first.').format(
                what=what, name=name
            )
        )


def _write(voxels: np.ndarray, ijk_to_ras: np.ndarray, folder: Path) -> Path:
    lps = _RAS_TO_LPS @ ijk_to_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    path = folder / f"{uuid.uuid4().hex}.nrrd"
    try:
        sitk.WriteImage(image, str(path), useCompression=False)
    except RuntimeError as error:
        raise UserError(
            _("The images cannot be written to {folder}; free some disk space there.").format(folder=folder)
        ) from error
    return path


def _matrix_from_parts(
    spacing: tuple[float, ...], direction: tuple[float, ...], origin: tuple[float, ...]
) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(direction).reshape(3, 3) * np.array(spacing)
    matrix[:3, 3] = origin
    return matrix
