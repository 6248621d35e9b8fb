"""The pictures of figures: heatmaps over a simulated patient with the planted lesions, and what each readout sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.report.colours import shade_ct, shade_pet

LESION, HOTSPOT = "#00b8a9", "#111111"
EFFECTS = "RdBu_r"


def draw_maps(
    ct: Volume, pet: Volume, region: Volume, lesions: Volume, maps: Mapping[str, Volume], limit: float, path: Path
) -> None:
    """The PET seen from the front beside each map: in every column of the picture the effect that is largest in depth.

    The volumes lie on the CT's grid along LPS, the maps anywhere on it (they are cropped to the region); planted
    lesions are outlined. Colours are full at `limit`, or at the strongest effect where that is less.
    """
    keep = np.flatnonzero(region.voxels.any(axis=(1, 2)))
    rows = slice(max(0, keep[0] - 12), keep[-1] + 12)
    sides = np.flatnonzero(region.voxels.any(axis=(0, 1)))
    columns = slice(max(0, sides[0] - 30), sides[-1] + 30)
    x_mm, _y_mm, z_mm = ct.spacing_mm
    high, wide = (rows.stop - rows.start) * z_mm, (columns.stop - columns.start) * x_mm
    figure = Figure(figsize=(0.9 + 2.3 * (len(maps) + 1), 0.9 + 2.3 * high / wide), dpi=130, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels: Sequence[Axes] = figure.subplots(1, len(maps) + 1)
    extent = (0.0, wide, 0.0, high)
    front = _seen(lesions, rows, columns).max(axis=1) > 0
    panels[0].imshow(shade_pet(_seen(pet, rows, columns).max(axis=1)), origin="lower", extent=extent)
    panels[0].set_title("PET (SUVbw 0 to 7), maximum", fontsize=8)
    bone = shade_ct(_seen(ct, rows, columns).max(axis=1).clip(None, 900))
    limit = min(limit, max(float(np.abs(effects.voxels).max()) for effects in maps.values()))
    norm = TwoSlopeNorm(0.0, -limit, limit)
    for panel, (name, effects) in zip(panels[1:], maps.items(), strict=True):
        values = _seen(resample_onto(effects, ct, linear=False), rows, columns)
        deepest = np.take_along_axis(values, np.abs(values).argmax(axis=1)[:, None], axis=1)[:, 0]
        panel.imshow(0.45 + 0.55 * bone, origin="lower", extent=extent)
        shown = np.ma.masked_where(np.abs(deepest) < 0.02 * limit, deepest)
        panel.imshow(shown, origin="lower", extent=extent, cmap=EFFECTS, norm=norm, interpolation="nearest")
        panel.set_title(name, fontsize=8)
    for panel in panels:
        panel.contour(front, [0.5], colors=LESION, linewidths=1.1, origin="lower", extent=extent)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.text(0.02, 0.5, "R", transform=panel.transAxes, fontsize=8, color=HOTSPOT)
    bar = figure.colorbar(ScalarMappable(norm, EFFECTS), ax=list(panels), fraction=0.03, aspect=50)
    bar.set_label("change of log-risk by this tissue", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.supxlabel(
        f"Simulated patient; green lines: planted lesions, also FDG-negative ones. {RESEARCH_USE}.", fontsize=7
    )
    _write(canvas, path)


def draw_readouts(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One table of colours a backbone: a line per mode and readout, a column per tenth of the spine."""
    backbones = list(dict.fromkeys(row["backbone"] for row in rows))
    figure = Figure(figsize=(9.5, 0.8 + 0.27 * len(rows) / len(backbones)), dpi=130, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(backbones), sharey=True, squeeze=False)[0]
    names = [name for name in rows[0] if name.startswith("tenth_")]
    everything = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
    norm = LogNorm(1e-6, max(float(everything.max()), 1e-5), clip=True)
    for panel, backbone in zip(panels, backbones, strict=True):
        own = [row for row in rows if row["backbone"] == backbone]
        changes = np.array([[row[name] for name in names] for row in own], dtype=np.float64)
        panel.set_facecolor("white")
        image = panel.imshow(np.ma.masked_equal(changes, 0.0), norm=norm, cmap="viridis", aspect="auto")
        for line, column in np.argwhere(changes == 0):
            panel.text(column, line, "0", ha="center", va="center", fontsize=7)
        panel.set_title(backbone, fontsize=8)
        panel.set_xticks(range(len(names)), [str(number + 1) for number in range(len(names))], fontsize=7)
        panel.set_xlabel("tenth of the spine, head to feet", fontsize=8)
        panel.set_yticks(range(len(own)), [f"{row['mode']}, {row['readout']}" for row in own], fontsize=7)
    bar = figure.colorbar(image, ax=list(panels), fraction=0.03, aspect=40)
    bar.set_label("change of the embedding (relative L2); 0 is exactly nothing", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _write(canvas, path)


def _seen(volume: Volume, rows: slice, columns: slice) -> Any:
    return np.asarray(volume.voxels[rows, :, columns])


def _write(canvas: FigureCanvasAgg, path: Path) -> None:
    with atomic_file(path) as temporary:
        canvas.figure.savefig(temporary, format="png")
