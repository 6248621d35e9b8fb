"""The hotspots of a heatmap as a table whose rows lead to their places, and what puts them into perspective."""

from collections.abc import Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.explanation import Explanation
from MemorySurvivalPanels.localised import NOTHING, show_effect, show_number, show_percent
from MemorySurvivalPanels.views import jump_views

_BONE = 1
_FIRST_NUMBER = 2
"""The column of the bone and where the numbers begin; the first column is a number too, but names a row."""


class HotspotTable:
    """A table and the steps through it. A row, the arrow keys, and next/previous centre every view on a hotspot."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._hotspots: tuple[Mapping[str, Any], ...] = ()
        self._filling = False
        table.setColumnCount(len(_titles()))
        table.setHorizontalHeaderLabels(_titles())
        table.verticalHeader().hide()
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(_BONE, qt.QHeaderView.Stretch)
        # The keyboard moves the current cell; a click on the current row goes there once more.
        table.currentCellChanged.connect(self._go_to_row)
        table.cellClicked.connect(self._go_to_row)
        self.show(())

    def show(self, hotspots: Sequence[Mapping[str, Any]]) -> None:
        """Fill the table anew; no row is chosen then and no view moves."""
        self._filling = True
        try:
            self._hotspots = tuple(each for each in hotspots if position_of(each) is not None)
            self._table.setRowCount(len(self._hotspots))
            for index, hotspot in enumerate(self._hotspots):
                for column, text in enumerate(describe_hotspot(hotspot, index + 1)):
                    cell = qt.QTableWidgetItem(text)
                    cell.setToolTip(describe_agreement(hotspot))
                    if column == 0 or column >= _FIRST_NUMBER:
                        cell.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                    self._table.setItem(index, column, cell)
            self._table.setCurrentCell(-1, -1)
            self._table.visible = bool(self._hotspots)
        finally:
            self._filling = False

    def step(self, by: int) -> None:
        """Go to the next (1) or previous (-1) hotspot, round and round; without hotspots nothing happens."""
        count = len(self._hotspots)
        if not count:
            return
        row = self._table.currentRow()
        # From nowhere, next is the first and previous the last.
        row = (row + by) % count if row >= 0 else (0 if by > 0 else count - 1)
        if row == self._table.currentRow():
            self._go_to_row(row)
        else:
            self._table.setCurrentCell(row, 0)

    def _go_to_row(self, row: int, *_ignored: Any) -> None:
        if not self._filling and 0 <= row < len(self._hotspots):
            x, y, z = position_of(self._hotspots[row])
            jump_views((-x, -y, z))  # LPS in the record, RAS in Slicer


def position_of(hotspot: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """LPS millimetres; None where a saved scene holds something else."""
    try:
        x, y, z = (float(each) for each in hotspot["position_lps_mm"])
    except (KeyError, TypeError, ValueError):
        return None
    return x, y, z


def describe_hotspot(hotspot: Mapping[str, Any], number: int) -> list[str]:
    """The cells of one hotspot: number, bone, effect, share, volume."""
    return [
        str(hotspot.get("number") or number),
        str(hotspot.get("site") or NOTHING).replace("_", " "),
        show_effect(hotspot.get("effect")),
        show_percent(hotspot.get("share")),
        show_number(hotspot.get("volume_ml"), 1),
    ]


def describe_agreement(hotspot: Mapping[str, Any]) -> str:
    """Whether another fill shows a hotspot too; empty where nobody looked."""
    agreed = hotspot.get("agreed")
    if agreed is None:
        return ""
    return _("Another fill shows it too") if agreed else _("Another fill does not show it: take it with caution")


def describe_hotspots(explanation: Explanation) -> str:
    """One line above the table: how many, that there are none, or that nobody looked."""
    if explanation.hotspots is None:
        return _("Hotspots were not looked for in this heatmap; click Explain to find them.")
    floor = show_number(explanation.floor, 3)
    if not explanation.hotspots:
        return _("No region above noise: nothing moves the log-risk by more than ±{floor}.").format(floor=floor)
    return _("{n} hotspots above noise (±{floor}); a click goes there, N and P step through them.").format(
        n=len(explanation.hotspots), floor=floor
    )


def describe_perspective(explanation: Explanation) -> list[str]:
    """What else is to be known: completeness, effects outside the region, agreement of fills, how it was made."""
    lines = []
    whole, summed = explanation.whole_roi_effect, explanation.summed_effect
    if whole is not None:
        line = _("Effect of the whole region at once: {effect}").format(effect=show_effect(whole))
        if summed is not None:
            line += _("; of its pieces added up: {effect}").format(effect=show_effect(summed))
        lines.append(line + ".")
    lines += describe_outside(explanation)
    if explanation.organs_unknown:
        organs = ", ".join(each.replace("_", " ") for each in explanation.organs_unknown)
        lines.append(_("Not known where they are: {organs}.").format(organs=organs))
    if explanation.fill_agreement is not None:
        lines.append(
            _("Another fill agrees on {share} of the map above noise.").format(
                share=show_percent(explanation.fill_agreement)
            )
        )
    made = describe_settings(explanation)
    return [*lines, made] if made else lines


def describe_outside(explanation: Explanation) -> list[str]:
    """The effects of organs outside the region, those above noise with their numbers."""
    above, below = [], []
    for each in explanation.outside:
        organ, effect = str(each.get("organ", NOTHING)).replace("_", " "), each.get("effect")
        if isinstance(effect, int | float) and abs(effect) <= explanation.floor:
            below.append(organ)
        else:
            above.append(f"{organ} {show_effect(effect)}")
    lines = [_("Effects outside the region: {told}.").format(told=", ".join(above))] if above else []
    return [*lines, _("Outside, below noise: {organs}.").format(organs=", ".join(below))] if below else lines


def describe_settings(explanation: Explanation) -> str:
    """Such as "Patches of 40 mm every 20 mm, region's median, PET and CT, 212 patches." """
    parts = []
    if explanation.patch_mm is not None and explanation.stride_mm is not None:
        parts.append(
            _("patches of {patch} mm every {stride} mm").format(
                patch=show_number(explanation.patch_mm, 0), stride=show_number(explanation.stride_mm, 0)
            )
        )
    fills = {"roi_median": _("filled with the region's median"), "volume_mean": _("filled with the image's mean")}
    fills["blur"] = _("blurred")
    if explanation.fill:
        parts.append(fills.get(explanation.fill, explanation.fill))
    if explanation.modalities:
        parts.append(_(" and ").join(explanation.modalities))
    if explanation.coarse:
        parts.append(_("coarse"))
    return _("Made with {settings}.").format(settings=", ".join(parts)) if parts else ""


def _titles() -> list[str]:
    return [_("No."), _("Bone"), _("Effect"), _("Share"), _("Volume ml")]
