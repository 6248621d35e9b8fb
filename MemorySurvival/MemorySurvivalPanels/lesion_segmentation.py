"""The measured lesions and reference spheres as a segmentation in the scene."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from MemorySurvivalPanels.segmentations import read_label_map

_COLOURS = {"focal": (0.84, 0.15, 0.16), "diffuse": (1.0, 0.6, 0.2), "spill-in": (0.6, 0.6, 0.6)}
_REFERENCES = {1: ("liver", (0.2, 0.6, 0.3)), 2: ("blood pool", (0.2, 0.4, 0.8))}
_LABEL_MAP = "Binary labelmap"


def show_lesions(
    lesion_labels: Path,
    reference_labels: Path | None,
    lesions: Sequence[Mapping[str, Any]],
    ct: slicer.vtkMRMLScalarVolumeNode | None,
) -> slicer.vtkMRMLSegmentationNode:
    """A new segmentation with a segment for every outlined lesion and every reference sphere.

    A lesion's label is its number. Raises RuntimeError for a file that cannot be read, before the scene is touched.
    """
    titles = {int(each["number"]): (_title(each), _COLOURS.get(each["kind"], (1.0, 1.0, 0.0))) for each in lesions}
    layers = [(read_label_map(lesion_labels)[0], titles)]
    if reference_labels is not None:
        spheres = {
            label: (_("reference {organ}").format(organ=name), rgb) for label, (name, rgb) in _REFERENCES.items()
        }
        layers.append((read_label_map(reference_labels)[0], spheres))
    there = ct is not None and ct.GetScene() is not None
    name = _("Lesions of {ct}").format(ct=ct.GetName()) if there else _("Lesions")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    if there:
        node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    for image, names in layers:
        present = np.unique(vtk_to_numpy(image.GetPointData().GetScalars()))
        for label in (int(each) for each in present if each):
            title, colour = names.get(label, (str(label), (1.0, 1.0, 0.0)))
            segment = slicer.vtkSegment()
            segment.SetName(title)
            segment.SetColor(*colour)
            segment.SetLabelValue(label)
            segment.AddRepresentation(_LABEL_MAP, image)
            node.GetSegmentation().AddSegment(segment)
    node.GetDisplayNode().SetOpacity2DFill(0.2)
    return node


def _title(lesion: Mapping[str, Any]) -> str:
    site = str(lesion.get("site") or "").replace("_", " ")
    return _("lesion {number} {site} ({kind})").format(number=lesion["number"], site=site, kind=lesion["kind"])
