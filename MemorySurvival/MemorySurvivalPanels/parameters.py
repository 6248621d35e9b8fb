"""What the user chose: the parameter node that drives the panel and is saved with the scene."""

import enum
from typing import Union

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper


class Device(enum.Enum):
    """Where the worker computes; the values are those of the command line."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """The text in the list of devices."""
        return {
            Device.AUTO: _("Automatic"),
            Device.CPU: _("Processor (CPU)"),
            Device.CUDA: _("NVIDIA graphics card (CUDA)"),
            Device.MPS: _("Apple graphics (MPS)"),
        }[self]


@parameterNodeWrapper
class ScoreParameters:
    """One case to score and how.

    ct, pet - the two images; pet in SUVbw (g/mL).
    roi - a segmentation or a label map; empty lets the library find the region itself.
    segment_id - which segment of the segmentation.
    covariates - path of a CSV file, or nothing.
    bundle - name of the model bundle.
    device, explain, allow_other_roi - as on the command line.
    heatmap - the volume that the last explained run produced.
    """

    ct: slicer.vtkMRMLScalarVolumeNode
    pet: slicer.vtkMRMLScalarVolumeNode
    # Slicer's wrapper reads typing.Union on every version that we support.
    roi: Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    segment_id: str = ""
    covariates: str = ""
    bundle: str = "demonstration"
    device: Device = Device.AUTO
    explain: bool = True
    allow_other_roi: bool = False
    heatmap: slicer.vtkMRMLScalarVolumeNode
