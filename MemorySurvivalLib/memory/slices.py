"""From an axial slice to the square picture the backbone reads, and back from its pixels to voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate, pad

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Window

# ImageNet statistics, as SAM 2 and MedSAM2 normalise their input.
_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

_RASTER_MM = 16.0

_Places = npt.NDArray[np.floating[Any]]


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
class Field:
    """The part of every slice that is shown: rows `y0` up to `y1`, columns `x0` up to `x1`."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def rows(self) -> int:
        return self.y1 - self.y0

    @property
    def columns(self) -> int:
        return self.x1 - self.x0

    def take(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The field of slices (n, rows, columns)."""
        return pixels[:, self.y0 : self.y1, self.x0 : self.x1]


def close_up(mask: Volume, margin_mm: float) -> Field:
    """The field that shows a mask (bool, axes running to LPS) on all its slices, with `margin_mm` around it.

    One field for all slices, so that a millimetre is as long on each. Its edges lie on a raster of 16 mm counted from
    the slice's first voxel, so that small corrections of the mask leave the picture as it was. The whole slice where
    the mask is empty.
    """
    edges = []
    for axis, spacing_mm in ((1, mask.spacing_mm[1]), (2, mask.spacing_mm[0])):
        found = np.flatnonzero(mask.voxels.any(axis=(0, 3 - axis)))
        if not len(found):
            return Field(0, mask.shape[1], 0, mask.shape[2])
        low = _RASTER_MM * np.floor((found[0] * spacing_mm - margin_mm) / _RASTER_MM)
        high = _RASTER_MM * np.ceil(((found[-1] + 1) * spacing_mm + margin_mm) / _RASTER_MM)
        edges += [max(round(low / spacing_mm), 0), min(round(high / spacing_mm), mask.shape[axis])]
    return Field(*edges)


@dataclass(frozen=True)
class SliceFrame:
    """How axial slices of one grid map into the model's square picture.

    The field, by default the whole slice of `rows` x `columns` voxels, is fitted into a square of `image_size` pixels
    with its proportions in millimetres kept (the shorter side is padded with the window's lower end), so that a narrow
    field of view or non-square pixels do not distort the anatomy. For square slices of square pixels this is MedSAM2's
    plain resize.
    """

    image_size: int
    rows: int
    columns: int
    height: int
    width: int
    top: int
    left: int
    field: Field

    @classmethod
    def of(cls, grid: Volume, image_size: int, field: Field | None = None) -> SliceFrame:
        """The frame of the axial slices of `grid` (axes running to LPS), or of a part of each."""
        _, rows, columns = grid.shape
        field = field or Field(0, rows, 0, columns)
        spacing_x, spacing_y, _ = grid.spacing_mm
        side_mm = max(field.columns * spacing_x, field.rows * spacing_y)
        # Never one pixel: torch 2.13's antialiased resizing to a width of 1 gives wrong values.
        height = min(image_size, max(2, round(image_size * field.rows * spacing_y / side_mm)))
        width = min(image_size, max(2, round(image_size * field.columns * spacing_x / side_mm)))
        top, left = (image_size - height) // 2, (image_size - width) // 2
        return cls(image_size, rows, columns, height, width, top, left, field)

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
        values = torch.from_numpy(np.ascontiguousarray(self.field.take(pixels), dtype=np.float32)).to(device)[:, None]
        return self._fit(((values - window.low) / (window.high - window.low)).clamp(0, 1))

    def box(self, box: Edges) -> torch.Tensor:
        """A prompt box in picture pixels: (x0, y0, x1, y1), float32."""
        (x0, x1), (y0, y1) = self.places(np.array((box.x0, box.x1)), np.array((box.y0, box.y1)))
        return torch.tensor([x0, y0, x1, y1], dtype=torch.float32)

    def places(self, x: _Places, y: _Places) -> tuple[_Places, _Places]:
        """Where voxel edges (a voxel's centre is half a voxel after its edge) lie in the picture: across, down."""
        across = self.left + (x - self.field.x0) * (self.width / self.field.columns)
        return across, self.top + (y - self.field.y0) * (self.height / self.field.rows)

    def mask(self, pixels: npt.NDArray[np.bool_]) -> torch.Tensor:
        """A slice's mask (rows, columns) in picture pixels (size, size), float32, 0 or 1.

        A pixel is set when at least half of it is covered, as in SAM 2's `add_new_mask`. Where a thin mask would
        vanish at that, its most covered pixel stays, so that a slice with ROI is never told to hold nothing.
        """
        covered = self.cover(pixels[None])[0, 0]
        inside = covered >= min(0.5, float(covered.max())) if pixels.any() else covered > 0
        return inside.float()

    def cover(self, masks: npt.NDArray[np.bool_]) -> torch.Tensor:
        """How much of each picture pixel the masks (n, rows, columns) cover, 0 to 1: (n, 1, size, size), float32."""
        covered = torch.from_numpy(self.field.take(masks).astype(np.float32))[:, None]
        return self._fit(covered).clamp(0, 1)

    def points(self, pixels_xy: npt.NDArray[np.int64]) -> torch.Tensor:
        """The centres of a slice's pixels (n, 2), x then y, in picture pixels, float32."""
        across, down = self.places(pixels_xy[:, 0] + 0.5, pixels_xy[:, 1] + 0.5)
        # SAM's prompt encoder adds half a pixel to reach a picture pixel's centre.
        return torch.from_numpy(np.stack([across, down], axis=1) - 0.5).float()

    def _fit(self, values: torch.Tensor) -> torch.Tensor:
        """Values (n, 1, rows, columns) of the field, resized and padded: (n, 1, size, size)."""
        if (self.height, self.width) != (self.field.rows, self.field.columns):
            size = (self.height, self.width)
            values = interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)
        right, bottom = self.image_size - self.width - self.left, self.image_size - self.height - self.top
        return pad(values, (self.left, right, self.top, bottom))
