"""From an axial slice to the square picture the backbone reads, and back from its pixels to voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate, pad

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.roi.boxes import SliceBox

# ImageNet statistics, as SAM 2 and MedSAM2 normalise their input.
_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@dataclass(frozen=True)
class SliceFrame:
    """How axial slices of one grid map into the model's square picture.

    The whole slice is fitted into `image_size` x `image_size` pixels with its proportions in millimetres kept (the
    shorter side is padded with the window's lower end), so that a narrow field of view or non-square pixels do not
    distort the anatomy. For square slices of square pixels this is MedSAM2's plain resize.
    """

    image_size: int
    rows: int
    columns: int
    height: int
    width: int
    top: int
    left: int

    @classmethod
    def of(cls, grid: Volume, image_size: int) -> SliceFrame:
        """The frame of the axial slices of `grid` (axes running to LPS)."""
        _, rows, columns = grid.shape
        spacing_x, spacing_y, _ = grid.spacing_mm
        side_mm = max(columns * spacing_x, rows * spacing_y)
        height = min(image_size, max(1, round(image_size * rows * spacing_y / side_mm)))
        width = min(image_size, max(1, round(image_size * columns * spacing_x / side_mm)))
        return cls(image_size, rows, columns, height, width, (image_size - height) // 2, (image_size - width) // 2)

    def picture(self, pixels: npt.NDArray[np.float32], window: Window) -> torch.Tensor:
        """Turn slices (n, rows, columns) in HU or SUVbw into normalised pictures (n, 3, size, size), float32."""
        values = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))[:, None]
        unit = ((values - window.low) / (window.high - window.low)).clamp(0, 1)
        if (self.height, self.width) != (self.rows, self.columns):
            unit = interpolate(unit, (self.height, self.width), mode="bilinear", antialias=True, align_corners=False)
        bottom = self.image_size - self.height - self.top
        right = self.image_size - self.width - self.left
        square = pad(unit, (self.left, right, self.top, bottom))
        return (square.expand(-1, 3, -1, -1) - _MEAN) / _STD

    def box(self, box: SliceBox) -> torch.Tensor:
        """A prompt box in picture pixels: (x0, y0, x1, y1), float32."""
        across, down = self.width / self.columns, self.height / self.rows
        return torch.tensor(
            [
                self.left + box.x0 * across,
                self.top + box.y0 * down,
                self.left + box.x1 * across,
                self.top + box.y1 * down,
            ]
        )
