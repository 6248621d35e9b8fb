"""Draw MemorySurvival.png (128 x 128): a spine in blue-white-red, a survival curve stepping down beside it.

Run as `python Testing/SlicerHost/draw_icon.py`; it writes Resources/Icons/MemorySurvival.png.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 128
OVERSAMPLING = 8
BACKGROUND = (16, 42, 67)
CURVE = (245, 200, 75)
STOPS = np.array([(67, 147, 195), (146, 197, 222), (247, 247, 247), (244, 165, 130), (214, 96, 77), (178, 24, 43)])


def colour(place: float) -> tuple[int, int, int]:
    """Blue at 0, white in the lower middle, red at 1."""
    marks = np.linspace(0, 1, len(STOPS))
    red, green, blue = (int(np.interp(place, marks, STOPS[:, channel])) for channel in range(3))
    return red, green, blue


def draw() -> Image.Image:
    """The icon, drawn large and scaled down so that its edges are smooth."""
    unit = OVERSAMPLING
    image = Image.new("RGBA", (SIZE * unit, SIZE * unit), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((2 * unit, 2 * unit, 126 * unit, 126 * unit), 24 * unit, fill=BACKGROUND)
    vertebrae = 7
    for index in range(vertebrae):
        share = index / (vertebrae - 1)
        centre_x = 32 + 6 * np.sin(share * 2 * np.pi)
        centre_y = 20 + 88 * share
        half_width, half_height = 10 + 4 * share, 5.4
        heat = float(np.exp(-(((share - 0.62) / 0.22) ** 2)))
        fill = colour(0.12 + 0.88 * heat)
        behind = centre_x + half_width + 4
        for left, right, half in (
            (centre_x - half_width, centre_x + half_width, half_height),
            (behind, behind + 8, 2.4),
        ):
            box = [left, centre_y - half, right, centre_y + half]
            pen.rounded_rectangle([value * unit for value in box], min(half, 3.5) * unit, fill=fill)
    steps = [(68, 24), (78, 24), (78, 38), (86, 38), (86, 58), (96, 58), (96, 78), (106, 78), (106, 92), (116, 92)]
    pen.line([(x * unit, y * unit) for x, y in steps], fill=CURVE, width=5 * unit, joint="curve")
    for x, y in (steps[0], steps[-1]):
        pen.ellipse([(x - 2.5) * unit, (y - 2.5) * unit, (x + 2.5) * unit, (y + 2.5) * unit], fill=CURVE)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw().save(Path(__file__).resolve().parents[2] / "Resources" / "Icons" / "MemorySurvival.png", optimize=True)
