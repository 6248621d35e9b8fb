"""The report's charts: the log-risk among the reference cases, and the survival curve."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from MemorySurvivalLib.report.sheet import FONT, INK, SOFT, Picture, Sheet, stamp
from MemorySurvivalLib.report.wording import say_fixed, say_percent, say_plain
from MemorySurvivalLib.scoring import RiskResult, SurvivalCurve

CHART_WIDTH_MM = 54.0
CHART_HEIGHT_MM = 36.0
_BAR_COLOR = "#c3ccd6"
_CASE_COLOR = "#b3261e"
_BAND_OPACITY = 0.22


def draw_reference(risk: RiskResult) -> Picture:
    """Histogram of the reference cases' log-risks with this case's as a line."""
    sheet, axes = _start_chart()
    risks = np.asarray(risk.reference_log_risks)
    low, high = float(min(risks.min(), risk.log_risk)), float(max(risks.max(), risk.log_risk))
    margin = 0.04 * (high - low) or 0.1
    bins = np.histogram_bin_edges(risks, bins=int(np.clip(np.sqrt(risks.size), 6, 24)))
    axes.hist(risks, bins=bins.tolist(), color=_BAR_COLOR, edgecolor="white", linewidth=0.4)
    axes.set_xlim(low - margin, high + margin)
    top = axes.get_ylim()[1] * 1.22
    axes.set_ylim(0, top)
    axes.axvline(risk.log_risk, color=_CASE_COLOR, linewidth=1.6)
    right = risk.log_risk > (low + high) / 2
    axes.annotate(
        f"this case {say_fixed(risk.log_risk)}",
        (risk.log_risk, top * 0.985),
        xytext=(-3 if right else 3, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=6,
        fontweight="bold",
        family=FONT,
        color=_CASE_COLOR,
    )
    _label(axes, "log-risk", "reference cases")
    stamp(axes, risk.labels)
    return Picture(
        "reference",
        sheet.png(),
        CHART_WIDTH_MM,
        CHART_HEIGHT_MM,
        "Place among the reference cases",
        f"Histogram of the log-risks of {risks.size} reference cases; a line marks this case's log-risk "
        f"{say_fixed(risk.log_risk)}.",
    )


def draw_survival(curve: SurvivalCurve, labels: tuple[str, ...]) -> Picture:
    """Predicted progression-free survival as steps up to the horizon, in the band of its interval where it has one."""
    sheet, axes = _start_chart()
    times = (0.0, *curve.times_months, curve.horizon_months)
    probability = (1.0, *curve.probability, curve.probability[-1] if curve.probability else 1.0)
    if curve.lower and curve.upper:
        low, high = ((1.0, *edge, edge[-1]) for edge in (curve.lower, curve.upper))
        axes.fill_between(times, low, high, step="post", color=_CASE_COLOR, alpha=_BAND_OPACITY, linewidth=0)
    axes.step(times, probability, where="post", color=_CASE_COLOR, linewidth=1.4)
    axes.set_xlim(0, curve.horizon_months)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    _label(axes, "months", "progression-free")
    stamp(axes, labels)
    return Picture(
        "survival",
        sheet.png(),
        CHART_WIDTH_MM,
        CHART_HEIGHT_MM,
        "Predicted progression-free survival",
        f"Curve of the predicted progression-free survival, {say_percent(probability[-1])} at "
        f"{say_plain(curve.horizon_months)} months{_say_band(curve)}.",
    )


def _say_band(curve: SurvivalCurve) -> str:
    if not (curve.lower and curve.upper):
        return ""
    return f", in a band from {say_percent(curve.lower[-1])} to {say_percent(curve.upper[-1])} there"


def _start_chart() -> tuple[Sheet, Axes]:
    sheet = Sheet(CHART_WIDTH_MM, CHART_HEIGHT_MM)
    axes = sheet.axes(11.5, 1.2, CHART_WIDTH_MM - 13, CHART_HEIGHT_MM - 11.2)
    sheet.write_research_use(11.5, CHART_HEIGHT_MM - 2.2, CHART_WIDTH_MM)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=SOFT, linewidth=0.6)
    return sheet, axes


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=6, family=FONT, color=INK, labelpad=1.5)
    axes.set_ylabel(y, fontsize=6, family=FONT, color=INK, labelpad=2)
    axes.tick_params(labelsize=5.5, length=2, width=0.5, pad=1.5, colors=SOFT, labelfontfamily=FONT)
