"""From an axial slice to the square picture the backbone reads, and back from its pixels to voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate, pad

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Window

# ImageNet statistics, as SAM 2 and MedSAM2 normalise their input.
_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


class Edges(Protocol):
    """A box in voxel edges, whole (`SliceBox`) or between voxels (`PromptBox`)."""

    @property
    def x0(self) -> float: ...
    @property
    def y0(self) -> float: ...
    @property
    def x1(self) -> float: ...
    @property
    def y1(self) -> float: ...


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
        # Never one pixel: torch 2.13's antialiased resizing to a width of 1 gives wrong values.
        height = min(image_size, max(2, round(image_size * rows * spacing_y / side_mm)))
        width = min(image_size, max(2, round(image_size * columns * spacing_x / side_mm)))
        return cls(image_size, rows, columns, height, width, (image_size - height) // 2, (image_size - width) // 2)

    def picture(
        self, pixels: npt.NDArray[np.float32], window: Window, device: torch.device | None = None
    ) -> torch.Tensor:
        """Turn slices (n, rows, columns) in HU or SUVbw into normalised pictures (n, 3, size, size), float32.

        Made on `device`: a GPU would otherwise wait for the processor to resize its slices.
        """
        return (self.greys(pixels, window, device).expand(-1, 3, -1, -1) - _MEAN.to(device)) / _STD.to(device)

    def greys(
        self, pixels: npt.NDArray[np.float32], window: Window, device: torch.device | None = None
    ) -> torch.Tensor:
        """Slices (n, rows, columns) in HU or SUVbw, 0 to 1 between the window's ends: (n, 1, size, size)."""
        values = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).to(device)[:, None]
        unit = ((values - window.low) / (window.high - window.low)).clamp(0, 1)
        if (self.height, self.width) != (self.rows, self.columns):
            unit = interpolate(unit, (self.height, self.width), mode="bilinear", antialias=True, align_corners=False)
        return pad(unit, self._margins)

    def box(self, box: Edges) -> torch.Tensor:
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

    def mask(self, pixels: npt.NDArray[np.bool_]) -> torch.Tensor:
        """A slice's mask (rows, columns) in picture pixels (size, size), float32, 0 or 1.

        A pixel is set when at least half of it is covered, as in SAM 2's `add_new_mask`. Where a thin mask would
        vanish at that, its most covered pixel stays, so that a slice with ROI is never told to hold nothing.
        """
        covered = torch.from_numpy(pixels.astype(np.float32))
        if (self.height, self.width) != (self.rows, self.columns):
            covered = interpolate(
                covered[None, None], (self.height, self.width), mode="bilinear", antialias=True, align_corners=False
            )[0, 0]
        inside = covered >= min(0.5, float(covered.max())) if pixels.any() else covered > 0
        return pad(inside.float(), self._margins)

    def points(self, pixels_xy: npt.NDArray[np.int64]) -> torch.Tensor:
        """The centres of a slice's pixels (n, 2), x then y, in picture pixels, float32."""
        scale = torch.tensor([self.width / self.columns, self.height / self.rows])
        corner = torch.tensor([float(self.left), float(self.top)])
        # SAM's prompt encoder adds half a pixel to reach a picture pixel's centre.
        return corner + (torch.from_numpy(pixels_xy).float() + 0.5) * scale - 0.5

    @property
    def _margins(self) -> tuple[int, int, int, int]:
        """Padding around the fitted slice: left, right, top, bottom."""
        bottom = self.image_size - self.height - self.top
        return self.left, self.image_size - self.width - self.left, self.top, bottom
