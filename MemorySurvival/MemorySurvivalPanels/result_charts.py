"""Small charts of a result, drawn in the panel's own colours and font: sharp on every screen, readable in the dark."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.localised import show_number, show_percent

_WIDTH = 52
_CURVE_HEIGHT = 9
_HISTOGRAM_HEIGHT = 6
"""In average characters and in lines of the label's font, so that a chart grows with it."""
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Chart:
    """A picture of the size of some text in a label's font; drawn between `begin` and `finish` in logical pixels."""

    def __init__(self, label: Any, lines: float, characters: float = _WIDTH) -> None:
        self._label = label
        metrics = label.fontMetrics()
        self.line = metrics.height()
        self.metrics = metrics
        self.width = round(characters * metrics.averageCharWidth())
        self.height = round(lines * self.line)
        ratio = label.devicePixelRatioF()
        self._pixmap = qt.QPixmap(math.ceil(self.width * ratio), math.ceil(self.height * ratio))
        self._pixmap.setDevicePixelRatio(ratio)
        self._pixmap.fill(qt.QColor(0, 0, 0, 0))
        palette = label.palette
        self.ink = palette.color(qt.QPalette.WindowText)
        ground = self.ground = palette.color(qt.QPalette.Window)
        self.soft = _mix(self.ink, ground, 0.55)
        self.bar = _mix(self.ink, ground, 0.25)
        dark = ground.lightness() < 128
        self.case = qt.QColor(255, 138, 128) if dark else qt.QColor(179, 38, 30)
        self.painter = qt.QPainter()
        self.painter.begin(self._pixmap)
        self.painter.setFont(label.font)
        self.painter.setRenderHint(qt.QPainter.Antialiasing)

    def text(self, x: float, y: float, text: str, colour: Any, align: str = "left") -> None:
        """Text with its baseline at y; `x` is its left end, its middle or its right end; it stays inside."""
        width = self.metrics.horizontalAdvance(text)
        left = x - {"left": 0.0, "middle": width / 2, "right": float(width)}[align]
        self.painter.setPen(colour)
        self.painter.drawText(round(min(max(left, 0), max(self.width - width, 0))), round(y), text)

    def rule(self, x1: float, y1: float, x2: float, y2: float, colour: Any, thick: float = 1.0) -> None:
        """A straight line."""
        pen = qt.QPen(colour)
        pen.setWidthF(thick)
        self.painter.setPen(pen)
        self.painter.drawLine(round(x1), round(y1), round(x2), round(y2))

    def box(self, x: float, y: float, width: float, height: float, colour: Any) -> None:
        """A filled rectangle, at least one pixel wide."""
        self.painter.fillRect(round(x), round(y), max(round(width), 1), max(round(height), 0), colour)

    def finish(self) -> None:
        """Put the picture into its label."""
        self.painter.end()
        self._label.setPixmap(self._pixmap)
        self._label.setMinimumSize(0, self.height)


def draw_histogram(label: Any, risks: Sequence[float], log_risk: float) -> None:
    """The reference cases' log-risks as bars, and this case's as a line."""
    chart = Chart(label, _HISTOGRAM_HEIGHT)
    low, high = min(*risks, log_risk), max(*risks, log_risk)
    span = (high - low) or 1.0
    counts = bin_counts(risks, low, high)
    top, floor = 1.3 * chart.line, chart.height - 1.3 * chart.line
    most = max(counts) or 1
    step = chart.width / len(counts)
    for index, count in enumerate(counts):
        height = (floor - top) * count / most
        chart.box(index * step, floor - height, step - 1, height, chart.bar)
    chart.rule(0, floor, chart.width, floor, chart.soft)
    place = chart.width * (log_risk - low) / span
    place = min(max(place, 1.5), chart.width - 1.5)
    chart.rule(place, chart.line * 1.05, place, floor, chart.case, max(chart.line / 7, 2))
    words = _("this case {value}").format(value=show_number(log_risk, 2, sign=True))
    chart.text(place, 0.85 * chart.line, words, chart.case, "middle")
    below = chart.height - 0.25 * chart.line
    chart.text(0, below, show_number(low, 1, sign=True), chart.soft)
    chart.text(chart.width / 2, below, _("log-risk of {n} reference cases").format(n=len(risks)), chart.soft, "middle")
    chart.text(chart.width, below, show_number(high, 1, sign=True), chart.soft, "right")
    chart.finish()


def bin_counts(risks: Sequence[float], low: float, high: float) -> list[int]:
    """How many values lie in each of 6 to 24 equal bins from `low` to `high`."""
    bins = min(max(math.isqrt(len(risks)), 6), 24)
    width = (high - low) / bins or 1.0
    counts = [0] * bins
    for each in risks:
        counts[min(max(int((each - low) / width), 0), bins - 1)] += 1
    return counts


def draw_gate(label: Any, gate_pet: float) -> None:
    """How much PET and CT weighed, as one bar in two shades; red and blue mean raised and lowered risk elsewhere."""
    chart = Chart(label, 1.4)
    split = chart.width * gate_pet
    chart.box(0, 0, split, chart.height, chart.soft)
    chart.box(split, 0, chart.width - split, chart.height, chart.bar)
    inset, base = 0.4 * chart.line, chart.height - 0.4 * chart.line
    words = (
        (gate_pet, "PET", inset, chart.ground, "left"),
        (1 - gate_pet, "CT", chart.width - inset, chart.ink, "right"),
    )
    for share, name, place, colour, align in words:
        if share * chart.width > chart.metrics.horizontalAdvance(name) + 2 * inset:
            chart.text(place, base, name, colour, align)
    chart.finish()


def draw_survival(label: Any, survival: Mapping[str, Any]) -> None:
    """The predicted progression-free survival as steps up to its horizon, with its interval where there is one."""
    chart = Chart(label, _CURVE_HEIGHT)
    horizon = float(survival["horizon_months"])
    left = 1.15 * chart.metrics.horizontalAdvance("100 %")
    right, top, floor = chart.width - 0.5 * chart.line, 0.6 * chart.line, chart.height - 2.3 * chart.line

    def across(months: float) -> float:
        return left + (right - left) * min(months / horizon, 1.0) if horizon > 0 else left

    def down(share: float) -> float:
        return floor - (floor - top) * min(max(share, 0.0), 1.0)

    for share in _SHARES:
        chart.rule(left, down(share), right, down(share), chart.bar)
        chart.text(left - 0.3 * chart.line, down(share) + 0.35 * chart.line, show_percent(share), chart.soft, "right")
    times = [float(each) for each in survival["times_months"]]
    lower, upper = survival.get("lower") or (), survival.get("upper") or ()
    if len(lower) == len(upper) == len(times):
        band = qt.QColor(chart.case)
        band.setAlpha(60)
        for start, end, low, high in _steps(times, horizon, lower, upper):
            chart.box(across(start), down(high), across(end) - across(start), down(low) - down(high), band)
    before = 1.0
    thick = max(chart.line / 9, 1.5)
    for start, end, share, _same in _steps(times, horizon, survival["probability"], survival["probability"]):
        chart.rule(across(start), down(before), across(start), down(share), chart.case, thick)
        chart.rule(across(start), down(share), across(end), down(share), chart.case, thick)
        before = share
    chart.rule(right, top, right, floor, chart.soft)
    below = floor + 1.1 * chart.line
    chart.text(left, below, show_number(0, 0), chart.soft, "middle")
    chart.text(right, below, show_number(horizon, 0), chart.soft, "right")
    chart.text((left + right) / 2, chart.height - 0.25 * chart.line, _("months"), chart.soft, "middle")
    chart.finish()


def _steps(
    times: Sequence[float], horizon: float, one: Sequence[float], other: Sequence[float]
) -> list[tuple[float, float, float, float]]:
    """From when to when each pair of values holds; before the first time it is 1."""
    starts = [0.0, *times]
    ends = [*times, max(horizon, times[-1] if times else 0.0)]
    values = [(1.0, 1.0), *((float(low), float(high)) for low, high in zip(one, other, strict=True))]
    return [
        (start, end, low, high) for start, end, (low, high) in zip(starts, ends, values, strict=True) if end > start
    ]


def _mix(one: Any, other: Any, share: float) -> Any:
    """A colour between two, `share` of it the first."""
    parts = zip((one.red(), one.green(), one.blue()), (other.red(), other.green(), other.blue()), strict=True)
    return qt.QColor(*(round(share * first + (1 - share) * second) for first, second in parts))
