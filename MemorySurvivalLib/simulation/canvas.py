"""The grid that tissues are painted on, one over the other, with edges one voxel soft."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.imaging.volume import Affine
from MemorySurvivalLib.simulation.shapes import Array, Shape, span
from MemorySurvivalLib.simulation.tissues import Tissue

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class BoneStuff:
    """What a bone is made of: cortex thickness and attenuation of cortex and of marrow with trabeculae."""

    cortex_mm: float
    cortex_hu: float
    marrow_hu: float


def inside(distance: Array, voxel_mm: float) -> Array:
    """How much of a voxel lies inside a surface at this signed distance (0 to 1)."""
    return np.asarray(np.clip(np.float32(0.5) - distance / np.float32(voxel_mm), 0, 1), dtype=np.float32)


class Canvas:
    """Attenuation, labels and marrow fraction (z, y, x) under construction; later strokes cover earlier ones."""

    def __init__(self, affine: Affine, shape_zyx: tuple[int, int, int]) -> None:
        self.affine = affine
        ox, oy, oz = affine.origin_mm
        sx, sy, sz = affine.spacing_mm
        nz, ny, nx = shape_zyx
        self.x: Array = (ox + sx * np.arange(nx)).astype(np.float32)
        self.y: Array = (oy + sy * np.arange(ny)).astype(np.float32)
        self.z: Array = (oz + sz * np.arange(nz)).astype(np.float32)
        self.voxel_mm = float((sx * sy * sz) ** (1 / 3))
        self.hu: Array = np.full(shape_zyx, -1000, dtype=np.float32)
        self.labels: npt.NDArray[np.uint8] = np.zeros(shape_zyx, dtype=np.uint8)
        self.marrow: Array = np.zeros(shape_zyx, dtype=np.float32)

    def box(self, shape: Shape, margin_mm: float | None = None) -> Box:
        """The voxels that `shape` may touch."""
        margin = self.voxel_mm if margin_mm is None else margin_mm
        low, high = shape.bounds()
        sx, sy, sz = (span(axis, low[i] - margin, high[i] + margin) for i, axis in enumerate((self.x, self.y, self.z)))
        return sz, sy, sx

    def distance(self, shape: Shape, box: Box) -> Array:
        """Signed distance of `shape` in the voxels of `box`."""
        sz, sy, sx = box
        return shape.distance(self.x[sx], self.y[sy], self.z[sz])

    def paint(self, shape: Shape, tissue: Tissue, hu: float, only: tuple[Tissue, ...] = ()) -> None:
        """Fill `shape` with one tissue; with `only`, nothing but voxels of those tissues is covered."""
        box = self.box(shape)
        if self.hu[box].size:
            self.fill(box, self.distance(shape, box), tissue, hu, only)

    def fill(self, box: Box, distance: Array, tissue: Tissue, hu: float, only: tuple[Tissue, ...] = ()) -> None:
        """Like `paint`, with distances already known."""
        part = inside(distance, self.voxel_mm)
        if only:
            part = part * np.isin(self.labels[box], only)
        self.hu[box] += part * (np.float32(hu) - self.hu[box])
        self.marrow[box] *= 1 - part
        self.labels[box][part >= 0.5] = tissue

    def paint_bone(self, shape: Shape, tissue: Tissue, stuff: BoneStuff) -> None:
        """Fill `shape` with a shell of cortex around marrow. Where bones overlap, the first keeps its label."""
        box = self.box(shape)
        if not self.hu[box].size:
            return
        distance = self.distance(shape, box)
        whole = inside(distance, self.voxel_mm)
        marrow = inside(distance + np.float32(stuff.cortex_mm), self.voxel_mm)
        hu = self.hu[box]
        hu *= 1 - whole
        hu += (whole - marrow) * np.float32(stuff.cortex_hu) + marrow * np.float32(stuff.marrow_hu)
        self.marrow[box] = np.maximum(self.marrow[box] * (1 - whole), marrow)
        labels = self.labels[box]
        free = (whole >= 0.5) & ((labels < Tissue.C1) | (labels == tissue))
        labels[free] = tissue
