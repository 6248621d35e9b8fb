"""A sheet of paper to draw pictures on: millimetres from the upper left corner, and the marks every picture carries."""

from __future__ import annotations

import io
import math
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.report.colours import Pixels
from MemorySurvivalLib.report.views import LETTERS, Image, View

DPI = 220
MM_PER_INCH = 25.4
MM_PER_POINT = MM_PER_INCH / 72
FONT = "DejaVu Sans"
"""Comes with matplotlib, so the pictures are the same on every machine."""

INK = "#1b2430"
SOFT = "#56606c"
OUTLINE_ON_DARK = "#27e0d0"
OUTLINE_ON_LIGHT = "#007c78"


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished picture: PNG bytes, its size on paper, a short title, and what it shows in words (the alt text)."""

    name: str
    png: bytes
    width_mm: float
    height_mm: float
    title: str
    alt: str


class Sheet:
    """A white sheet of the given size in millimetres."""

    def __init__(self, width_mm: float, height_mm: float) -> None:
        self.width_mm, self.height_mm = width_mm, height_mm
        self.figure = Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), dpi=DPI, facecolor="white")
        self._canvas = FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes whose frame is at the given place."""
        bottom = self.height_mm - top - height
        return self.figure.add_axes(
            (
                left / self.width_mm,
                bottom / self.height_mm,
                width / self.width_mm,
                height / self.height_mm,
            )
        )

    def write(self, left: float, top: float, text: str, size: float = 5.0, color: str = INK, **style: Any) -> None:
        """Text whose upper left corner is at the given place (style: matplotlib's Text properties)."""
        style = {"ha": "left", "va": "top", "family": FONT, "linespacing": 1.15, **style}
        self.figure.text(
            left / self.width_mm, 1 - top / self.height_mm, text, fontsize=size, color=color, parse_math=False, **style
        )

    def write_research_use(self, left: float, top: float, width: float, size: float = 4.2) -> None:
        """The research-use sentence, wrapped to the width."""
        columns = max(12, int(width / (size * MM_PER_POINT * 0.56)))
        self.write(left, top, textwrap.fill(RESEARCH_USE, columns), size, SOFT)

    def png(self) -> bytes:
        """The sheet as PNG; equal sheets give equal bytes."""
        buffer = io.BytesIO()
        self._canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
        return buffer.getvalue()

    def slice_panel(self, left: float, top: float, width: float, view: View, pixels: Pixels) -> Axes:
        """A slice at its true proportions, with orientation letters and a scale bar; axes are in patient mm (u, v)."""
        wide, tall = view.size_mm
        axes = self.axes(left, top, width, width * tall / wide)
        axes.set_axis_off()
        axes.imshow(pixels, extent=(0, wide, tall, 0), interpolation="hanning", resample=True, aspect="auto")
        axes.set_xlim(0, wide)
        axes.set_ylim(tall, 0)
        pad = 1.2 * wide / width
        west, east, north, south = LETTERS[view.plane]
        spots = (
            (pad, tall / 2, west, "left", "center"),
            (wide - pad, tall / 2, east, "right", "center"),
            (wide / 2, pad, north, "center", "top"),
            (wide / 2, tall - pad, south, "center", "bottom"),
        )
        for u, v, letter, ha, va in spots:
            mark(axes, u, v, letter, 6, ha=ha, va=va)
        self._scale_bar(axes, view, width)
        return axes

    def _scale_bar(self, axes: Axes, view: View, width: float) -> None:
        wide, tall = view.size_mm
        length = max((mm for mm in (10, 20, 50, 100, 200) if mm <= 0.34 * wide), default=5)
        pad = 1.4 * wide / width
        right, low = wide - pad, tall - pad
        for color, thick in (("black", 2.0), ("white", 1.0)):
            axes.plot([right - length, right], [low, low], color=color, linewidth=thick, solid_capstyle="butt")
        mark(axes, right - length / 2, low - 0.5 * pad, f"{length} mm", 4.2, ha="center", va="bottom")

    def bar(self, left: float, top: float, width: float, pixels: Pixels, ticks: tuple[str, ...], title: str) -> None:
        """A horizontal colour bar 1.6 mm high with evenly spaced tick labels and a title below."""
        axes = self.axes(left, top, width, 1.6)
        axes.imshow(pixels, extent=(0, 1, 0, 1), aspect="auto", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(linewidth=0.3, color=SOFT)
        for number, text in enumerate(ticks):
            share = number / (len(ticks) - 1)
            ha = "left" if number == 0 else "right" if number == len(ticks) - 1 else "center"
            self.write(left + share * width, top + 2.0, text, 4.6, ha=ha)
        self.write(left + width / 2, top + 4.1, title, 4.6, SOFT, ha="center")


def mark(axes: Axes, u: float, v: float, text: str, size: float, **style: Any) -> None:
    """White text with a dark rim: readable on any picture."""
    axes.text(
        u,
        v,
        text,
        fontsize=size,
        family=FONT,
        color="white",
        fontweight="bold",
        parse_math=False,
        path_effects=[withStroke(linewidth=1.2, foreground="black")],
        clip_on=True,
        **style,
    )


def outline(axes: Axes, view: View, mask: Image, *, on_light: bool = False) -> None:
    """Draw the border of a mask slice (rows, columns); it closes along the picture's edge."""
    if not mask.any():
        return
    wide, tall = view.size_mm
    rows, columns = mask.shape
    framed = np.pad(mask.astype(np.float32), 1)
    u = (np.arange(-1, columns + 1) + 0.5) * wide / columns
    v = (np.arange(-1, rows + 1) + 0.5) * tall / rows
    axes.contour(u, v, framed, levels=[0.5], colors=[OUTLINE_ON_LIGHT if on_light else OUTLINE_ON_DARK], linewidths=0.7)


def stamp(axes: Axes, labels: tuple[str, ...]) -> None:
    """Write the labels across the picture as a watermark, again and again down a tall one."""
    if not labels:
        return
    box = axes.get_window_extent()
    text = "\n".join(line for label in labels for line in textwrap.wrap(label, 24))
    times = max(1, round(box.height / (1.1 * box.width)))
    cell = box.height / times
    for number in range(times):
        words = axes.text(
            0.5,
            1 - (number + 0.5) / times,
            text,
            transform=axes.transAxes,
            fontsize=10,
            family=FONT,
            fontweight="bold",
            color="white",
            alpha=0.34,
            ha="center",
            va="center",
            rotation=math.degrees(math.atan2(0.55 * min(cell, box.width), box.width)),
            rotation_mode="default",
            linespacing=1.05,
            parse_math=False,
            path_effects=[withStroke(linewidth=0.8, foreground=(0, 0, 0, 0.42))],
            clip_on=True,
        )
        extent = words.get_window_extent()
        words.set_fontsize(10 * min(0.94 * box.width / extent.width, 0.86 * cell / extent.height))
