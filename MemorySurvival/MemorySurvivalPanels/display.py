"""How a heatmap looks: blue-white-red, centred on zero, over the grey CT, with a legend; and in which views."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.explanation import (
    AGREEMENT,
    CT_ROLE,
    FUSED,
    GRADIENT,
    Explanation,
    attach,
    explanation_of_result,
    link_ct,
    read_explanation,
)
from MemorySurvivalPanels.views import CT as ROLE_CT
from MemorySurvivalPanels.views import view_role
from MemorySurvivalPanels.volumes import fill_volume

_COLOUR_ROLE = "MemorySurvival.Colours"
_SHOWN_ATTRIBUTE = "MemorySurvival.ShownFrom"
_BEFORE = ("MemorySurvival.BeforeBackground", "MemorySurvival.BeforeForeground", "MemorySurvival.BeforeOpacity")
_COLOURS = 255
"""An odd number, so that one colour is exactly the middle: no effect. A volume's display tells 256 steps apart."""

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
    path: Path,
    ct: slicer.vtkMRMLScalarVolumeNode,
    limit: float,
    title: str,
    label: str,
    result: Mapping[str, Any] | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Load the heatmap of a scoring run as a volume of its own and lay it over the CT.

    `limit` is the symmetric display range: -limit is the deepest blue (this tissue lowered the risk), +limit the
    deepest red (it raised the risk). `title` stands over the legend, `label` ("SIMULATED MODEL") in the name.
    `result` is the record that the heatmap is part of, where it is at hand.
    """
    told = {**(result or {}), "label": label}
    told["heatmap"] = {**(told.get("heatmap") or {}), "limit": limit}
    node = add_map(path, ct, explanation_of_result(told), title=title)
    show_over_ct(node)
    return node


def add_map(
    path: Path,
    ct: slicer.vtkMRMLScalarVolumeNode,
    explanation: Explanation,
    which: str = FUSED,
    title: str = "",
) -> slicer.vtkMRMLScalarVolumeNode:
    """Load one map of an explanation into the scene; it is not shown yet."""
    name = " ".join(
        part
        for part in (map_title(which), _("of {ct}").format(ct=ct.GetName()), f"({explanation.label})")
        if part not in ("", "()")
    )
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(name))
    try:
        fill_volume(node, path)
    except (OSError, RuntimeError):
        slicer.mrmlScene.RemoveNode(node)
        raise
    if which == GRADIENT:  # not in log-risk: it has a scale of its own, which its name says
        strongest = float(np.abs(slicer.util.arrayFromVolume(node)).max())
        explanation = explanation.changed(limit=strongest or 1.0, noise_floor=None, hotspots=None)
    link_ct(node, ct)
    attach(node, explanation)
    node.CreateDefaultDisplayNodes()
    if which == AGREEMENT:
        node.GetDisplayNode().SetAndObserveColorNodeID(agreement_colours().GetID())
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevelMinMax(0, 2)
        node.GetDisplayNode().SetInterpolate(False)
    else:
        dress(node)
    _add_legend(node, title or legend_title(which), explanation.label, which)
    return node


def map_title(which: str) -> str:
    """The start of a map's name."""
    return {
        "PET": _("Heatmap (PET alone)"),
        "CT": _("Heatmap (CT alone)"),
        AGREEMENT: _("Agreement of fills"),
        GRADIENT: _("Gradient map (coarse)"),
    }.get(which, _("Heatmap"))


def legend_title(which: str) -> str:
    """What stands over the legend."""
    return {
        AGREEMENT: _("Fills agree"),
        GRADIENT: _("Gradient (coarse, own scale)"),
    }.get(which, _("Change of log-risk"))


def dress(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Give a heatmap its fixed scale and its colours, transparent below what its explanation shows from.

    Cheap where it looks so already. The voxels are never touched.
    """
    explanation, display = read_explanation(node), node.GetDisplayNode()
    if explanation is None or display is None or not is_effect(node):
        return
    limit = explanation.limit
    colours = _colours_of(node)
    shown_from = f"{explanation.shown_from / limit:.6f}"
    if colours.GetAttribute(_SHOWN_ATTRIBUTE) != shown_from:
        _paint(colours, explanation.shown_from / limit)
        colours.SetAttribute(_SHOWN_ATTRIBUTE, shown_from)
    if display.GetColorNodeID() != colours.GetID():
        display.SetAndObserveColorNodeID(colours.GetID())
    if (display.GetWindowLevelMin(), display.GetWindowLevelMax()) != (-limit, limit):
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(-limit, limit)
    if display.GetInterpolate():
        display.SetInterpolate(False)


def is_effect(node: slicer.vtkMRMLVolumeNode) -> bool:
    """Whether a map is one of effects and not the one of agreement."""
    display = node.GetDisplayNode()
    colours = display.GetColorNode() if display is not None else None
    return colours is None or colours.GetSingletonTag() != "MemorySurvivalAgreement"


def heatmap_views() -> list[slicer.vtkMRMLSliceCompositeNode]:
    """The views that show heatmaps: the user's own, and in the reading layout those for the CT."""
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return [view for view in views if view_role(view) in ("", ROLE_CT)]


def show_over_ct(node: slicer.vtkMRMLScalarVolumeNode, opacity: float | None = None) -> None:
    """Lay a heatmap over its CT in its views; what they showed before is remembered for `hide_heatmap`."""
    explanation = read_explanation(node)
    if opacity is None:
        opacity = explanation.opacity if explanation is not None else 0.7
    ct = node.GetNodeReference(CT_ROLE)
    for view in heatmap_views():
        if not _shows_a_map(view):
            before = (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID(), str(view.GetForegroundOpacity()))
            for name, value in zip(_BEFORE, before, strict=True):
                view.SetAttribute(name, value or "")
        # The user may have removed the CT meanwhile: better over nothing than over a hot PET.
        view.SetBackgroundVolumeID(ct.GetID() if ct is not None else None)
        view.SetForegroundVolumeID(node.GetID())
        view.SetForegroundOpacity(opacity)
    _show_legend(node, True)


def hide_heatmap() -> None:
    """Give the views back what they showed before a heatmap was laid over them."""
    for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if not _shows_a_map(view):
            continue
        _show_legend(slicer.mrmlScene.GetNodeByID(view.GetForegroundVolumeID()), False)
        background, foreground, opacity = (view.GetAttribute(name) or "" for name in _BEFORE)
        if slicer.mrmlScene.GetNodeByID(background) is not None:
            view.SetBackgroundVolumeID(background)
        there = slicer.mrmlScene.GetNodeByID(foreground)
        view.SetForegroundVolumeID(foreground if there is not None else None)
        view.SetForegroundOpacity(float(opacity) if there is not None and opacity else 0.0)


def shown_heatmap() -> slicer.vtkMRMLScalarVolumeNode | None:
    """The heatmap that a view shows now."""
    for view in heatmap_views():
        if _shows_a_map(view) and view.GetForegroundOpacity() > 0:
            return slicer.mrmlScene.GetNodeByID(view.GetForegroundVolumeID())
    return None


def set_opacity(node: slicer.vtkMRMLScalarVolumeNode, opacity: float) -> None:
    """How much of the heatmap covers the CT, from 0 to 1, where the heatmap is shown."""
    for view in heatmap_views():
        if view.GetForegroundVolumeID() == node.GetID():
            view.SetForegroundOpacity(opacity)


def agreement_colours() -> slicer.vtkMRMLColorTableNode:
    """The colours of the map that says where another fill shows an effect too; two hues told apart by everybody."""
    existing = slicer.mrmlScene.GetSingletonNode("MemorySurvivalAgreement", "vtkMRMLColorTableNode")
    if existing is not None:
        return existing
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(_("Agreement of fills"))
    node.SetSingletonTag("MemorySurvivalAgreement")
    node.SetNumberOfColors(3)
    node.SetColor(0, _("below noise"), 0.5, 0.5, 0.5, 0.0)
    node.SetColor(1, _("one fill alone"), 0.90, 0.62, 0.0, 1.0)
    node.SetColor(2, _("fills agree"), 0.0, 0.45, 0.70, 1.0)
    return slicer.mrmlScene.AddNode(node)


def effect_colour(place: float) -> tuple[float, float, float]:
    """The colour of an effect at `place` in -1..1 of the scale."""
    spots = np.linspace(-1.0, 1.0, len(_STOPS))
    red, green, blue = (float(np.interp(place, spots, _STOPS[:, channel])) for channel in range(3))
    return red, green, blue


def _paint(colours: slicer.vtkMRMLColorTableNode, shown_from: float) -> None:
    """Set every colour; `shown_from` is a share of the range. The middle is never visible."""
    step = 2.0 / _COLOURS
    with slicer.util.NodeModify(colours):
        colours.SetNumberOfColors(_COLOURS)
        for index, place in enumerate(np.linspace(-1.0, 1.0, _COLOURS)):
            # A colour stands for the effects of one step; it is hidden where any of them is to be hidden.
            hidden = shown_from > 0 and abs(place) - step <= shown_from
            if abs(place) > 1 - step / 2:  # the ends stand for everything beyond the scale, too
                hidden = shown_from >= 1
            visible = not hidden and index != _COLOURS // 2
            colours.SetColor(index, f"{place:+.2f}", *effect_colour(place), float(visible))


def _colours_of(node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLColorTableNode:
    """A heatmap's own colour table, because each case has a noise floor of its own."""
    existing = node.GetNodeReference(_COLOUR_ROLE)
    if existing is not None and existing.GetNumberOfColors() == _COLOURS:
        return existing
    colours = slicer.vtkMRMLColorTableNode()
    colours.SetTypeToUser()
    colours.SetName(_("Colours of {name}").format(name=node.GetName()))
    colours.SetNumberOfColors(_COLOURS)
    slicer.mrmlScene.AddNode(colours)
    node.SetNodeReferenceID(_COLOUR_ROLE, colours.GetID())
    return colours


def _add_legend(node: slicer.vtkMRMLScalarVolumeNode, title: str, label: str, which: str) -> None:
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(node)
    if legend is None:
        return
    legend.SetTitleText("\n".join(part for part in (title, label) if part))
    legend.SetNumberOfLabels(3 if which == AGREEMENT else 5)
    legend.SetMaxNumberOfColors(3 if which == AGREEMENT else _COLOURS)
    legend.SetUseColorNamesForLabels(which == AGREEMENT)
    legend.SetVisibility(False)


def _show_legend(node: slicer.vtkMRMLScalarVolumeNode | None, visible: bool) -> None:
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(node) if node is not None else None
    if legend is not None:
        legend.SetVisibility(visible)


def _shows_a_map(view: slicer.vtkMRMLSliceCompositeNode) -> bool:
    identifier = view.GetForegroundVolumeID()
    return identifier is not None and read_explanation(slicer.mrmlScene.GetNodeByID(identifier)) is not None
