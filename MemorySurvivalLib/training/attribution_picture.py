"""A cohort's mean attributions as bars: signed on the left, sizes on the right, with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from MemorySurvivalLib.report.sheet import FONT, INK, SOFT, Picture, Sheet, stamp
from MemorySurvivalLib.training.attribution import MeanAttribution, PatientMean

WIDTH_MM = 172.0
_ROW_MM, _NAMES_MM, _TOP_MM, _BELOW_MM, _GAP_MM = 4.2, 36.0, 5.0, 12.0, 5.0
_RAISED, _LOWERED, _SIZE = "#b3261e", "#17456b", "#8a95a1"
"""Red raised the risk and blue lowered it, as on the maps; the side of zero tells it too."""


def draw_attributions(
    name: str, title: str, rows: Sequence[MeanAttribution], patients: int, labels: tuple[str, ...]
) -> Picture:
    """Bars of `rows` (at least one), the first on top. A row that not all `patients` have names how many do; intervals
    of rows that no more than half have may run off the picture, because they would squeeze all others."""
    tall = _ROW_MM * len(rows)
    sheet = Sheet(WIDTH_MM, _TOP_MM + tall + _BELOW_MM)
    wide = (WIDTH_MM - _NAMES_MM - _GAP_MM - 3) / 2
    signed = sheet.axes(_NAMES_MM, _TOP_MM, wide, tall)
    sizes = sheet.axes(_NAMES_MM + wide + _GAP_MM, _TOP_MM, wide, tall)
    colours = [_RAISED if row.signed.value > 0 else _LOWERED for row in rows]
    _draw(signed, [row.signed for row in rows], colours)
    _draw(sizes, [row.absolute for row in rows], [_SIZE] * len(rows))
    signed.axvline(0, color=SOFT, linewidth=0.6)
    signed.set_yticks(range(len(rows)), [_say(row, patients) for row in rows])
    sizes.set_yticks([])
    common = [2 * row.patients > patients for row in rows]
    signed.set_xlim(*_limits([row.signed for row in rows], common))
    sizes.set_xlim(0, _limits([row.absolute for row in rows], common)[1])
    _name(signed, "mean change of log-risk")
    _name(sizes, "mean size of the change")
    sheet.write(_NAMES_MM, 1.0, "raised the risk: right; lowered it: left", 5.5, SOFT)
    sheet.write_research_use(_NAMES_MM, _TOP_MM + tall + 9.0, WIDTH_MM - _NAMES_MM)
    stamp(signed, labels)
    stamp(sizes, labels)
    largest = max(rows, key=lambda row: row.absolute.value)
    alt = (
        f"Bars of {len(rows)} places with 95 % intervals over {patients} patients; the largest changes are in "
        f"{largest.name}: {largest.signed.value:+.2g} in the mean, {largest.absolute.value:.2g} in size."
    )
    return Picture(name, sheet.png(), sheet.width_mm, sheet.height_mm, title, alt)


def _draw(axes: Axes, means: Sequence[PatientMean], colours: list[str]) -> None:
    places = np.arange(len(means))
    axes.barh(places, [one.value for one in means], height=0.66, color=colours, alpha=0.75, linewidth=0)
    for place, one in zip(places, means, strict=True):
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [place, place], color=INK, linewidth=0.9, solid_capstyle="butt")
    axes.set_ylim(len(means) - 0.5, -0.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=SOFT, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _limits(means: Sequence[PatientMean], common: Sequence[bool]) -> tuple[float, float]:
    """What the axis shows: zero, every bar, and the intervals of what is common."""
    ends = [0.0, *(one.value for one in means)]
    for one, is_common in zip(means, common, strict=True):
        if is_common and one.low is not None and one.high is not None:
            ends += [one.low, one.high]
    margin = 0.04 * (max(ends) - min(ends)) or 0.1
    return min(ends) - margin, max(ends) + margin


def _say(row: MeanAttribution, patients: int) -> str:
    return row.name if row.patients == patients else f"{row.name} (n = {row.patients})"


def _name(axes: Axes, x: str) -> None:
    axes.set_xlabel(x, fontsize=6, family=FONT, color=INK, labelpad=1.5)
    axes.tick_params(axis="x", labelsize=5.5, length=2, width=0.5, pad=1.5, colors=SOFT, labelfontfamily=FONT)
    axes.tick_params(axis="y", labelsize=6, length=0, pad=3, labelcolor=INK, labelfontfamily=FONT)
