"""The frames of the rotating view as the worker made them, and where each of them stands in the patient (RAS, mm)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError


@dataclass(frozen=True, eq=False)
class MipFrames:
    """Maximum projections of half a turn, (frame, v, u), and how deep each pixel's maximum lies towards the viewer.

    The other half of the turn is the mirror image. `centre_ras` lies in the middle of every frame; u runs to the right
    of the picture and v upwards.
    """

    frames: np.ndarray
    depth_mm: np.ndarray
    centre_ras: np.ndarray
    spacing_mm: float

    @property
    def count(self) -> int:
        """Frames of the whole turn."""
        return 2 * len(self.frames)

    def picture(self, number: int) -> np.ndarray:
        """The values (v, u) of one frame of the whole turn."""
        return self._turned(self.frames, number)

    def axes(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors (RAS) of a frame: right, up, towards the viewer. Frame 0 is seen from the front."""
        angle = 2 * np.pi * (number % self.count) / self.count
        right = np.array([-np.cos(angle), -np.sin(angle), 0.0])
        return right, np.array([0.0, 0.0, 1.0]), np.array([-np.sin(angle), np.cos(angle), 0.0])

    def find_point(self, number: int, on_plane: np.ndarray) -> tuple[float, float, float] | None:
        """The point (RAS) of the maximum behind a point of the picture; None beside the picture."""
        right, up, towards = self.axes(number)
        depth = self._turned(self.depth_mm, number)
        if number % self.count >= len(self.frames):
            depth = -depth
        aside = np.asarray(on_plane) - self.centre_ras
        height, width = depth.shape
        u = round(float(aside @ right) / self.spacing_mm + (width - 1) / 2)
        v = round(float(aside @ up) / self.spacing_mm + (height - 1) / 2)
        if not (0 <= u < width and 0 <= v < height):
            return None
        across = (u - (width - 1) / 2) * self.spacing_mm
        above = (v - (height - 1) / 2) * self.spacing_mm
        r, a, s = self.centre_ras + across * right + above * up + depth[v, u] * towards
        return float(r), float(a), float(s)

    def _turned(self, half_turn: np.ndarray, number: int) -> np.ndarray:
        frame = number % self.count
        if frame < len(half_turn):
            return half_turn[frame]
        return half_turn[frame - len(half_turn)][:, ::-1]


def read_frames(result: Mapping[str, Any], files: Mapping[str, str | None]) -> MipFrames:
    """The frames of a finished job. Raises UserError where they cannot be read."""
    try:
        arrays = [np.load(Path(files[name] or ""), allow_pickle=False) for name in ("frames", "depth_mm")]
        x, y, z = result["centre_mm"]
        spacing = float(result["spacing_mm"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(_("The rotating view cannot be read; open the reading layout again.")) from error
    if arrays[0].ndim != 3 or arrays[0].shape != arrays[1].shape:
        raise UserError(_("The rotating view cannot be read; open the reading layout again."))
    return MipFrames(arrays[0], arrays[1], np.array([-x, -y, z]), spacing)
