"""The controls of the heatmap that is shown: which map, on or off, from which effect on, how opaque, and its legend."""

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import display
from MemorySurvivalPanels.explanation import (
    AGREEMENT,
    CT,
    FUSED,
    GRADIENT,
    PET,
    Explanation,
    attach,
    read_explanation,
    sisters,
)
from MemorySurvivalPanels.localised import show_effect, show_number, show_percent

_STEPS = 200
"""Steps of the threshold's slider over the whole scale; a display tells half as many effects of one sign apart."""

_HIDDEN_COLOUR = (0.5, 0.5, 0.5)
"""In the legend, where the CT shows through."""


class HeatmapControls:
    """Shows and changes how one explanation looks; `show` is cheap where nothing changed."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        self._which = FUSED
        self._updating = False
        ui.thresholdSlider.minimum, ui.thresholdSlider.maximum = 0, _STEPS
        ui.opacitySlider.minimum, ui.opacitySlider.maximum = 0, 100
        ui.mapCombo.connect("currentIndexChanged(int)", self._choose_map)
        ui.heatmapCheckBox.connect("toggled(bool)", self._switch)
        ui.belowNoiseCheckBox.connect("toggled(bool)", self._allow_below_noise)
        ui.thresholdSlider.connect("valueChanged(int)", self._set_threshold)
        ui.opacitySlider.connect("valueChanged(int)", self._set_opacity)

    @property
    def shown_map(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The map of the explanation that the user chose to look at."""
        return sisters(self._node).get(self._which, self._node)

    def show(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Show the controls as they are for this heatmap, or for none."""
        if node is not self._node:
            self._node = node
            shown = display.shown_heatmap()
            found = [which for which, each in sisters(node).items() if each is shown]
            self._which = found[0] if found else FUSED
            for each in sisters(node).values():  # a scene read again may have other colours than it was saved with
                display.dress(each)
        explanation = read_explanation(node)
        if explanation is None:
            return
        was_updating, self._updating = self._updating, True
        try:
            self._show_maps(explanation.modalities)
            self._show_values(explanation)
        finally:
            self._updating = was_updating

    def lay_over(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Show a new heatmap over its CT."""
        self._which = FUSED
        display.show_over_ct(node)
        self.show(node)

    def toggle(self) -> None:
        """The heatmap on or off."""
        if self._node is not None:
            self._switch(display.shown_heatmap() is None)

    def _show_maps(self, images: tuple[str, ...]) -> None:
        """Offer the maps that are in the scene; `images` are those in which tissue was replaced."""
        combo, maps = self._ui.mapCombo, list(sisters(self._node))
        if self._which not in maps:
            self._which = maps[0]
        offered = [(_map_label(which, images), which) for which in maps]
        if [(combo.itemText(index), combo.itemData(index)) for index in range(combo.count)] != offered:
            combo.clear()
            for label, which in offered:
                combo.addItem(label, which)
        combo.currentIndex = maps.index(self._which)
        self._ui.mapCaption.visible = combo.visible = len(maps) > 1

    def _show_values(self, explanation: Explanation) -> None:
        ui = self._ui
        ui.heatmapCheckBox.checked = display.shown_heatmap() in sisters(self._node).values()
        of_effects = self._which not in (AGREEMENT, GRADIENT)
        for widget in (ui.thresholdCaption, ui.thresholdSlider, ui.thresholdValue, ui.belowNoiseCheckBox):
            widget.visible = of_effects
        ui.belowNoiseCheckBox.checked = explanation.below_noise
        ui.thresholdSlider.value = round(explanation.shown_from / explanation.limit * _STEPS)
        ui.thresholdValue.text = "±" + show_number(explanation.shown_from, 3)
        ui.opacitySlider.value = round(100 * explanation.opacity)
        ui.opacityValue.text = show_percent(explanation.opacity)
        ui.legendFrame.visible = self._which != AGREEMENT
        mapped = read_explanation(self.shown_map) or explanation
        ui.legendLowLabel.text = _("{value} lowers").format(value=show_effect(-mapped.limit))
        ui.legendHighLabel.text = _("{value} raises").format(value=show_effect(mapped.limit))
        style = legend_style(mapped.shown_from / mapped.limit)
        if ui.heatmapLegend.styleSheet != style:
            ui.heatmapLegend.styleSheet = style
        ui.scaleLabel.text = _describe_scale(self._which, explanation)

    def _choose_map(self, index: int) -> None:
        which = self._ui.mapCombo.itemData(index)
        if self._updating or not which or self._node is None:
            return
        visible = display.shown_heatmap() is not None
        self._which = which
        if visible:
            display.show_over_ct(self.shown_map)
        self.show(self._node)

    def _switch(self, on: bool) -> None:
        if self._updating or self._node is None:
            return
        if on:
            display.show_over_ct(self.shown_map)
        else:
            display.hide_heatmap()
        self.show(self._node)

    def _allow_below_noise(self, allowed: bool) -> None:
        self._change(below_noise=bool(allowed), threshold=0.0 if allowed else None)

    def _set_threshold(self, value: int) -> None:
        """The slider never goes below the noise floor unless the user said so; it springs back to it."""
        explanation = read_explanation(self._node)
        if explanation is None or self._updating:
            return
        threshold = value / _STEPS * explanation.limit
        self._change(threshold=None if threshold <= explanation.floor and not explanation.below_noise else threshold)

    def _set_opacity(self, value: int) -> None:
        if self._updating or self._node is None:
            return
        self._change(opacity=value / 100)
        for each in sisters(self._node).values():
            display.set_opacity(each, value / 100)

    def _change(self, **values: Any) -> None:
        """Write to every map of the explanation how it shall look."""
        if self._updating or self._node is None:
            return
        for each in sisters(self._node).values():
            explanation = read_explanation(each)
            if explanation is not None:
                attach(each, explanation.changed(**values))
                display.dress(each)
        self.show(self._node)


def legend_style(hidden: float = 0.0) -> str:
    """A strip of the table's colours, grey where effects are hidden: below `hidden`, a share of the scale.

    It holds no text, so that it reads the same in a light and a dark theme.
    """
    hidden = min(max(hidden, 0.0), 0.999)
    shown = np.linspace(hidden, 1.0, 7)
    stops = [(-place, display.effect_colour(-place)) for place in shown[::-1]]
    if hidden > 0:
        stops += [(-hidden + 1e-4, _HIDDEN_COLOUR), (hidden - 1e-4, _HIDDEN_COLOUR)]
    stops += [(place, display.effect_colour(place)) for place in shown]
    told = ", ".join(
        f"stop:{(place + 1) / 2:.5f} rgb({', '.join(str(round(255 * channel)) for channel in colour)})"
        for place, colour in stops
    )
    gradient = f"qlineargradient(x1:0, y1:0, x2:1, y2:0, {told})"
    return f"background: {gradient}; border: 1px solid #808080; border-radius: 2px;"


def _map_label(which: str, images: tuple[str, ...]) -> str:
    """The name of a map; what is called fused is of one image where tissue was replaced in that one alone."""
    if which == FUSED and len(images) == 1:
        which = images[0]
    return {
        FUSED: _("PET and CT together"),
        PET: _("PET alone"),
        CT: _("CT alone"),
        AGREEMENT: _("Where fills agree"),
        GRADIENT: _("Gradient (coarse)"),
    }.get(which, which)


def _describe_scale(which: str, explanation: Explanation) -> str:
    """What the colours mean, and what is hidden."""
    if which == AGREEMENT:
        return _("Blue: another fill shows an effect too. Orange: this fill alone. Nothing: below noise.")
    if which == GRADIENT:
        return _("Gradient on the model's own coarse grid, with a scale of its own: not a change of log-risk.")
    if explanation.below_noise and explanation.shown_from < explanation.floor:
        return _("Change of log-risk; effects below the noise floor (±{floor}) are shown because you said so.").format(
            floor=show_number(explanation.floor, 3)
        )
    if explanation.noise_floor is None:
        return _("Change of log-risk, the same scale for every patient; the noise floor of this map is not known.")
    return _("Change of log-risk, the same scale for every patient; below ±{floor} is noise and hidden.").format(
        floor=show_number(explanation.floor, 3)
    )
