"""Charts of comparisons and cohorts: places among reference cases, a cohort's log-risks, Kaplan-Meier curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from MemorySurvivalLib.compare.survival import GroupCurve
from MemorySurvivalLib.report.sheet import FONT, INK, SOFT, Picture, Sheet, stamp
from MemorySurvivalLib.report.wording import say_fixed

COLORS = ("#17456b", "#c77700", "#5b2a86", "#2e7d6b")
"""Dark blue, orange, violet, green of different lightness; lines also differ in dashes, so that colour alone tells
nothing."""
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_BAR_COLOR = "#c3ccd6"
NARROW_MM = 43.0
"""Two charts stand side by side in half a page's width."""


@dataclass(frozen=True)
class PlacedRisk:
    """A log-risk with its name and the reference cases that it may be shown among."""

    name: str
    log_risk: float
    reference: tuple[float, ...]


def draw_places(name: str, placed: Sequence[PlacedRisk], labels: tuple[str, ...], width_mm: float = 86.0) -> Picture:
    """Histogram of the reference cases of the first, with a line for each log-risk."""
    sheet, axes = _start(width_mm, 40.0)
    risks = np.asarray(placed[0].reference)
    axes.hist(risks, bins=_bins(risks), color=_BAR_COLOR, edgecolor="white", linewidth=0.4)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.35)
    for number, one in enumerate(placed):
        label = f"{one.name} {say_fixed(one.log_risk)}"
        axes.axvline(one.log_risk, label=label, color=COLORS[number], linewidth=1.6, linestyle=DASHES[number])
    _legend(axes)
    _name_axes(axes, "log-risk", "reference cases")
    stamp(axes, labels)
    words = " and ".join(f"{one.name} at {say_fixed(one.log_risk)}" for one in placed)
    alt = f"Histogram of the log-risks of {risks.size} reference cases, with {words} as lines."
    title = "Among the reference cases" + ("" if len(placed) > 1 else f" of its model: {placed[0].name}")
    return Picture(name, sheet.png(), sheet.width_mm, sheet.height_mm, title, alt)


def draw_log_risks(name: str, log_risks: Sequence[float], labels: tuple[str, ...]) -> Picture:
    """Histogram of one cohort's log-risks of one model."""
    sheet, axes = _start(104.0, 62.0)
    risks = np.asarray(log_risks, dtype=np.float64)
    axes.hist(risks, bins=_bins(risks), color=COLORS[0], edgecolor="white", linewidth=0.4)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _name_axes(axes, "log-risk", "cases")
    stamp(axes, labels)
    alt = (
        f"Histogram of {risks.size} log-risks from {say_fixed(float(risks.min()))} to {say_fixed(float(risks.max()))}, "
        f"median {say_fixed(float(np.median(risks)))}."
    )
    return Picture(name, sheet.png(), sheet.width_mm, sheet.height_mm, "Log-risks", alt)


def draw_curves(name: str, curves: Sequence[GroupCurve], labels: tuple[str, ...]) -> Picture:
    """Kaplan-Meier curves with their pointwise intervals."""
    sheet, axes = _start(152.0, 78.0)
    for number, curve in enumerate(curves):
        color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
        times, label = curve.times_months, f"{curve.name} (n = {curve.cases})"
        axes.fill_between(times, curve.lower, curve.upper, step="post", color=color, alpha=0.13, linewidth=0)
        axes.step(times, curve.survival, where="post", color=color, linewidth=1.5, linestyle=dash, label=label)
    axes.set_xlim(0, max(curve.times_months[-1] for curve in curves))
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.legend(loc="lower left", fontsize=6, frameon=False, prop={"family": FONT, "size": 6})
    _name_axes(axes, "months", "progression-free")
    stamp(axes, labels)
    words = "; ".join(curve.sentence for curve in curves)
    alt = f"Kaplan-Meier curves of progression-free survival with 95 % intervals. {words}."
    return Picture(name, sheet.png(), sheet.width_mm, sheet.height_mm, "Observed progression-free survival", alt)


def _start(width_mm: float, height_mm: float) -> tuple[Sheet, Axes]:
    sheet = Sheet(width_mm, height_mm)
    low = 12 if width_mm > NARROW_MM else 14  # where the research-use sentence takes two lines
    axes = sheet.axes(13, 1.5, width_mm - 15, height_mm - low)
    sheet.write_research_use(13, height_mm - low + 9.6, width_mm - 15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=SOFT, linewidth=0.6)
    return sheet, axes


def _bins(values: npt.NDArray[np.float64]) -> list[float]:
    edges = np.histogram_bin_edges(values, bins=int(np.clip(np.sqrt(values.size), 6, 24)))
    return [float(edge) for edge in edges]


def _legend(axes: Axes) -> None:
    legend = axes.legend(loc="upper left", prop={"family": FONT, "size": 6}, borderaxespad=0.1, borderpad=0.2)
    legend.get_frame().set(facecolor="white", edgecolor="none", alpha=0.9)


def _name_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=6, family=FONT, color=INK, labelpad=1.5)
    axes.set_ylabel(y, fontsize=6, family=FONT, color=INK, labelpad=2)
    axes.tick_params(labelsize=5.5, length=2, width=0.5, pad=1.5, colors=SOFT, labelfontfamily=FONT)
