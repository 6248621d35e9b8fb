"""The result in words and pictures, as far as the bundle's rights go: what the record does not hold is not shown."""

import math
from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.localised import show_number, show_percent
from MemorySurvivalPanels.result_charts import draw_gate, draw_histogram, draw_survival


def draw_card(ui: Any, result: Mapping[str, Any]) -> None:
    """Draw the histogram, the weights and the survival curve, or hide their labels."""
    risk = result.get("risk") or {}
    risks, log_risk = numbers(risk.get("reference_log_risks")), result.get("log_risk")
    placed = bool(risks) and isinstance(log_risk, int | float) and result.get("position") is not None
    ui.histogramChart.visible = placed
    if placed:
        draw_histogram(ui.histogramChart, risks, float(log_risk))
        ui.histogramChart.setAccessibleDescription(describe_position(result) or "")
    gate = result.get("gate_pet")
    weighed = isinstance(gate, int | float) and 0 <= gate <= 1
    ui.gateChart.visible = weighed
    if weighed:
        draw_gate(ui.gateChart, float(gate))
    survival = readable_survival(risk.get("survival"))
    for part in (ui.survivalCaption, ui.survivalChart, ui.survivalNote):
        part.visible = survival is not None
    if survival is not None:
        ui.survivalCaption.text = describe_survival(survival)
        ui.survivalNote.text = describe_calibration(survival, [str(each) for each in risk.get("labels") or []])
        draw_survival(ui.survivalChart, survival)
        ui.survivalChart.setAccessibleDescription(ui.survivalCaption.text)


def describe_position(result: Mapping[str, Any]) -> str | None:
    """Such as "higher than 62 % of the simulated reference cases"; None where no position is given."""
    position = result.get("position")
    if not isinstance(position, int | float):
        return None
    reference = result.get("position_reference") or _("the reference cases")
    return _("higher than {percent} of {reference}").format(percent=show_percent(position), reference=reference)


def describe_heatmap(heatmap: Mapping[str, Any] | None) -> str | None:
    """What the colours mean and how far they reach, short enough for one line."""
    if not heatmap:
        return None
    limit = heatmap_limit(heatmap)
    digits = max(1 - math.floor(math.log10(limit)), 0)
    text = show_number(round(limit, digits), digits)
    return _("red raised, blue lowered log-risk (±{limit})").format(limit=text)


def heatmap_limit(heatmap: Mapping[str, Any]) -> float:
    """The symmetric display range; 1 where a heatmap of zeros has none."""
    limit = heatmap.get("limit")
    return float(limit) if isinstance(limit, int | float) and limit > 0 else 1.0


def readable_survival(survival: Any) -> Mapping[str, Any] | None:
    """A survival curve that can be drawn: rising times, as many probabilities, a horizon; else None."""
    if not isinstance(survival, Mapping):
        return None
    times, shares = numbers(survival.get("times_months")), numbers(survival.get("probability"))
    horizon = survival.get("horizon_months")
    if not isinstance(horizon, int | float) or horizon <= 0 or len(times) != len(shares) or sorted(times) != times:
        return None
    lower, upper = numbers(survival.get("lower")), numbers(survival.get("upper"))
    ranged = len(lower) == len(upper) == len(times)
    return {
        "times_months": times,
        "probability": shares,
        "horizon_months": float(horizon),
        "lower": lower if ranged else [],
        "upper": upper if ranged else [],
        "slope_interval": numbers(survival.get("slope_interval")),
    }


def describe_survival(survival: Mapping[str, Any]) -> str:
    """Such as "Progression-free at 36 months: 54 % (45 % to 62 %)"."""
    shares, lower, upper = survival["probability"], survival["lower"], survival["upper"]
    text = _("Progression-free at {months} months: {share}").format(
        months=show_number(survival["horizon_months"], 0), share=show_percent(shares[-1] if shares else 1.0)
    )
    if lower and upper:
        text += _(" ({low} to {high})").format(low=show_percent(lower[-1]), high=show_percent(upper[-1]))
    return text


def describe_calibration(survival: Mapping[str, Any], labels: list[str]) -> str:
    """What the curve rests on, and where it ends."""
    horizon, slope = show_number(survival["horizon_months"], 0), survival["slope_interval"]
    if len(slope) == 2:
        return _(
            "Calibrated out of fold at {months} months, where the curve ends. The band is the interval of the "
            "calibration slope, {low} to {high}; it does not cover other doubts."
        ).format(months=horizon, low=show_number(slope[0], 2), high=show_number(slope[1], 2))
    if labels:
        return _("{label}: not calibrated; without an interval.").format(label=" · ".join(labels))
    return _("The curve ends at {months} months; no interval is known.").format(months=horizon)


def numbers(values: Any) -> list[float]:
    """A list of finite numbers; empty for anything else."""
    if not isinstance(values, list | tuple) or not all(isinstance(each, int | float) for each in values):
        return []
    return [float(each) for each in values] if all(math.isfinite(each) for each in values) else []
