"""Draw the picture of the simulated patient for Slicer's Sample Data: `python Testing/SlicerHost/draw_thumbnail.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
OUT = ROOT / "Resources" / "Icons" / "SimulatedPatient.png"
SUV_SHOWN = 7.0


def main() -> None:
    """260 x 280 pixels, as Slicer's template asks: the PET's maximum from the front in inverted grey, labelled."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from MemorySurvivalLib.simulation.case import simulate_case

    pet = simulate_case(2, spacing_mm=(2.5, 2.5, 3.0)).pet
    figure = pyplot.figure(figsize=(2.6, 2.8), dpi=100, facecolor="white")
    axes = figure.add_axes((0.0, 0.08, 1.0, 0.92))
    x, _y, z = pet.spacing_mm
    axes.imshow(pet.voxels.max(axis=1)[::-1], cmap="gray_r", vmin=0, vmax=SUV_SHOWN, aspect=z / x)
    axes.axis("off")
    figure.text(0.5, 0.03, "simulated, not a person", ha="center", fontsize=8, color="black")
    figure.savefig(OUT, dpi=100)


if __name__ == "__main__":
    main()
