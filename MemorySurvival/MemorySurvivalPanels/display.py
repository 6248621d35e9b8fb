"""How the heatmap looks: blue-white-red, centred on zero, over the CT, with a legend."""

from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.volumes import fill_volume

COLOUR_TABLE = "MemorySurvivalEffect"
OVERLAY_OPACITY = 0.7
_COLOURS = 255
"""An odd number, so that one colour is exactly the middle: no effect."""
_HIDDEN_SHARE = 0.04
"""Effects below this share of the range are left transparent, so that the CT shows where nothing happened."""

# From strong blue over white to strong red: told apart by every common kind of colour blindness, because the two
# arms differ in blue against red and each grows darker towards its end.
_STOPS = np.array(
    [
        (0.020, 0.188, 0.380),
        (0.129, 0.400, 0.675),
        (0.400, 0.665, 0.835),
        (0.970, 0.970, 0.970),
        (0.940, 0.540, 0.410),
        (0.700, 0.095, 0.170),
        (0.404, 0.000, 0.122),
    ]
)


def show_heatmap(
    path: Path, ct: slicer.vtkMRMLScalarVolumeNode, limit: float, title: str, label: str
) -> slicer.vtkMRMLScalarVolumeNode:
    """Load the heatmap as a volume of its own and lay it over the CT in every slice view.

    `limit` is the symmetric display range: -limit is the deepest blue (this tissue lowered the risk), +limit the
    deepest red (it raised the risk). `title` stands over the legend, `label` ("SIMULATED MODEL") in the name.
    """
    name = " ".join(part for part in (_("Heatmap of"), ct.GetName(), f"({label})" if label else "") if part)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(name))
    fill_volume(node, path)
    node.SetAttribute("MemorySurvival.Label", label)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(effect_colours().GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(-limit, limit)
    display.SetInterpolate(False)
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(node)
    if legend is not None:
        legend.SetTitleText(title)
        legend.SetNumberOfLabels(5)
        legend.SetMaxNumberOfColors(_COLOURS)
    background = ct if ct.GetScene() is not None else "keep-current"  # the user may have removed it meanwhile
    slicer.util.setSliceViewerLayers(background=background, foreground=node, foregroundOpacity=OVERLAY_OPACITY)
    return node


def effect_colours() -> slicer.vtkMRMLColorTableNode:
    """The one colour table of the scene for effects; made when first asked for."""
    existing = slicer.mrmlScene.GetSingletonNode(COLOUR_TABLE, "vtkMRMLColorTableNode")
    if existing is not None:
        return existing
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(_("Effect on log-risk (blue lowers, red raises)"))
    node.SetSingletonTag(COLOUR_TABLE)
    node.SetNumberOfColors(_COLOURS)
    for index, place in enumerate(np.linspace(-1.0, 1.0, _COLOURS)):
        red, green, blue = (
            float(np.interp(place, np.linspace(-1.0, 1.0, len(_STOPS)), _STOPS[:, channel])) for channel in range(3)
        )
        visible = 0.0 if abs(place) < _HIDDEN_SHARE else 1.0
        node.SetColor(index, f"{place:+.2f}", red, green, blue, visible)
    return slicer.mrmlScene.AddNode(node)
