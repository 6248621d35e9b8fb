"""One picture of how a head was judged: survival by quartile of risk, calibration, and the decision curve."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from MemorySurvivalLib.evaluation.calibration import Calibration
from MemorySurvivalLib.evaluation.net_benefit import NetBenefit
from MemorySurvivalLib.evaluation.risk_groups import RiskQuartiles
from MemorySurvivalLib.evaluation.tables import say_p
from MemorySurvivalLib.report.sheet import FONT, INK, SOFT, Picture, Sheet

WIDTH_MM, HEIGHT_MM = 178.0, 75.0
_TOP, _SIDE, _GAP = 8.0, 46.0, 13.5
_AT_RISK_TOP, _ROW = _TOP + _SIDE + 9.0, 2.6

QUARTILE_COLOURS = ("#2166ac", "#5aa7a0", "#d99a1c", "#b2182b")
_LINES = ("#2166ac", "#b2182b", "#5aa7a0", "#d99a1c")


def draw_evidence(
    name: str,
    what: str,
    quartiles: RiskQuartiles | None,
    calibrations: tuple[Calibration, ...],
    net_benefits: tuple[NetBenefit, ...],
    labels: tuple[str, ...] = (),
) -> Picture:
    """Three panels side by side; one that could not be judged says so. `what` says whose risks these are ("out of
    fold"), `labels` what has to be known of them wherever the picture goes ("Simulated patients")."""
    sheet = Sheet(WIDTH_MM, HEIGHT_MM)
    lefts = [10.0 + number * (_SIDE + _GAP) for number in range(3)]
    survival, calibrated, decided = (sheet.axes(left, _TOP, _SIDE, _SIDE) for left in lefts)
    for left, title in zip(lefts, (f"Survival by quartile of risk, {what}", "Calibration", "Net benefit"), strict=True):
        sheet.write(left, 2.5, title, 6.5, fontweight="bold")
    _draw_quartiles(survival, quartiles)
    if quartiles is not None:
        _write_at_risk(sheet, survival, lefts[0], quartiles)
    _draw_calibration(calibrated, calibrations)
    _draw_net_benefit(decided, net_benefits)
    for row, label in enumerate(labels):
        sheet.write(lefts[1], _AT_RISK_TOP + row * 3.2, label, 5.5, fontweight="bold")
    sheet.write_research_use(lefts[1], _AT_RISK_TOP + len(labels) * 3.2, WIDTH_MM - lefts[1] - 2, 5.0)
    said = [f"log-rank p {say_p(quartiles.p_value)} between outer quartiles"] if quartiles else []
    said += [f"ICI {one.ici.value:.3f} at {one.horizon_months:g} months" for one in calibrations]
    alt = f"How the head {name} was judged: {'; '.join(said) or 'nothing could be judged'}."
    return Picture(f"evidence-{name}", sheet.png(), WIDTH_MM, HEIGHT_MM, f"Head {name}", alt)


def _draw_quartiles(axes: Axes, quartiles: RiskQuartiles | None) -> None:
    _dress(axes, "months", "without event")
    if quartiles is None:
        _say_nothing(axes)
        return
    for group, colour in zip(quartiles.groups, QUARTILE_COLOURS, strict=True):
        words = {1: "1 (lowest risk)", 4: "4 (highest)"}.get(group.quartile, str(group.quartile))
        axes.step(
            np.concatenate([[0.0], group.curve.times_months]),
            np.concatenate([[1.0], group.curve.survival]),
            where="post",
            color=colour,
            linewidth=1.1,
            label=f"{words}: {group.events} of {group.n}",
        )
    axes.set_ylim(0, 1.42)  # room for the legend above the curves
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MultipleLocator(_every_months(axes)))
    _legend(axes, "upper right", "quartile of risk: events of patients")
    said = f"p {_p(quartiles)},\npermuted"
    axes.text(0.03, 0.97, said, transform=axes.transAxes, fontsize=5.5, family=FONT, color=INK, va="top")


def _write_at_risk(sheet: Sheet, axes: Axes, left: float, quartiles: RiskQuartiles) -> None:
    """How many patients each curve still speaks of, under its time axis."""
    last = axes.get_xlim()[1]
    months = np.arange(0.0, last, _every_months(axes))
    sheet.write(left, _AT_RISK_TOP - 3.0, "patients at risk", 5.2, SOFT)
    for row, (group, colour) in enumerate(zip(quartiles.groups, QUARTILE_COLOURS, strict=True)):
        top = _AT_RISK_TOP + row * _ROW
        sheet.write(left - 7.0, top, str(group.quartile), 5.2, colour, fontweight="bold")
        for month, count in zip(months, group.curve.count_at_risk(months), strict=True):
            sheet.write(left + _SIDE * month / last, top, str(count), 5.2, colour, ha="center")


def _every_months(axes: Axes) -> int:
    """Whole years between ticks, so that the counts below do not touch."""
    return 12 * math.ceil(axes.get_xlim()[1] / 120)


def _draw_calibration(axes: Axes, calibrations: tuple[Calibration, ...]) -> None:
    _dress(axes, "predicted risk", "observed risk")
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.6, linestyle=(0, (4, 3)))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for one, colour in zip(calibrations, _LINES, strict=False):
        axes.plot(
            one.curve_predicted,
            one.curve_observed,
            color=colour,
            linewidth=1.2,
            label=f"{one.horizon_months:g} months, O/E {one.observed_to_expected.value:.2f}",
        )
    if calibrations:
        _legend(axes, "upper left")
    else:
        _say_nothing(axes)


def _draw_net_benefit(axes: Axes, curves: tuple[NetBenefit, ...]) -> None:
    _dress(axes, "threshold (risk at which one acts)", "net benefit")
    axes.axhline(0, color=SOFT, linewidth=0.6)
    if not curves:
        _say_nothing(axes)
        return
    top = 0.05
    for one, colour in zip(curves, _LINES, strict=False):
        axes.plot(one.thresholds, one.model, color=colour, linewidth=1.2, marker="o", markersize=2.2)
        axes.plot(one.thresholds, one.treat_all, color=colour, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.plot([], [], color=colour, linewidth=1.2, label=f"model, {one.horizon_months:g} months")
        top = max(top, float(np.nanmax([*one.model, *one.treat_all, 0.05])))
    axes.plot([], [], color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), label="acting on all")
    axes.plot([], [], color=SOFT, linewidth=0.6, label="on nobody")
    axes.set_ylim(-0.1, 1.25 * top)
    _legend(axes, "upper right")


def _p(quartiles: RiskQuartiles) -> str:
    said = say_p(quartiles.p_value)
    return said if said.startswith("<") else f"= {said}"


def _dress(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across, fontsize=6, family=FONT, color=INK, labelpad=1.5)
    axes.set_ylabel(up, fontsize=6, family=FONT, color=INK, labelpad=1.5)
    axes.tick_params(labelsize=5.5, width=0.4, length=2, color=SOFT, labelcolor=INK, pad=1.5)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontfamily(FONT)
    for side, spine in axes.spines.items():
        spine.set(linewidth=0.4, color=SOFT, visible=side in ("left", "bottom"))
    axes.grid(color="#e6e9ed", linewidth=0.4)
    axes.set_axisbelow(True)


def _legend(axes: Axes, where: Literal["upper left", "upper right"], title: str | None = None) -> None:
    face = {"family": FONT, "size": 5.2}
    style: dict[str, Any] = {"prop": face, "title_fontproperties": face, "framealpha": 0.85, "edgecolor": "none"}
    legend = axes.legend(loc=where, title=title, handlelength=1.6, borderpad=0.3, labelspacing=0.3, **style)
    legend.get_frame().set_linewidth(0)


def _say_nothing(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "could not be judged\n(see the notes)", transform=axes.transAxes, fontsize=6, family=FONT, color=SOFT,
        ha="center", va="center",
    )  # fmt: skip
