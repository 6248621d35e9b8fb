"""Solids in millimetres by their signed distance: negative inside, positive outside, zero on the surface.

Distances are exact for tubes and first-order elsewhere, which is enough for surfaces that are one voxel soft.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Point = tuple[float, float, float]
Bounds = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

FAR_MM = 1e3
"""The distance of points that no part of a union comes near."""


class Shape(Protocol):
    """A solid that knows the box it fills and the signed distance of a grid of points."""

    def bounds(self) -> Bounds:
        """Lowest and highest corner (x, y, z)."""
        ...

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance (z, y, x) at the grid spanned by three coordinate vectors."""
        ...


def span(axis: Array, low: float, high: float) -> slice:
    """The part of a rising coordinate vector that lies in [low, high]."""
    return slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, side="right")))


def blend_min(a: Array, b: Array, blend_mm: float) -> Array:
    """The smaller distance; with `blend_mm` the crease between both surfaces is filled to that radius."""
    if blend_mm <= 0:
        return np.minimum(a, b)
    h = np.maximum(blend_mm - np.abs(a - b), 0) / np.float32(blend_mm)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(blend_mm / 4), dtype=np.float32)


def rotation(direction: Sequence[float], up: Sequence[float] = (0.0, 0.0, 1.0)) -> npt.NDArray[np.float64]:
    """Axes as columns: the third runs along `direction`, the second is as close to posterior as it can be."""
    w = np.asarray(direction, dtype=np.float64)
    w = w / np.linalg.norm(w)
    v = np.array([0.0, 1.0, 0.0]) - w[1] * w
    if np.linalg.norm(v) < 1e-3:
        v = np.asarray(up, dtype=np.float64) - np.dot(up, w) * w
    v = v / np.linalg.norm(v)
    return np.stack([np.cross(v, w), v, w], axis=1)


def local(centre: Point, axes: npt.NDArray[np.float64], x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Coordinates along `axes` (columns) from `centre`, each of shape (z, y, x) or broadcastable to it."""
    dx = (x - centre[0])[None, None, :]
    dy = (y - centre[1])[None, :, None]
    dz = (z - centre[2])[:, None, None]
    if np.allclose(axes, np.eye(3)):
        return dx.astype(np.float32), dy.astype(np.float32), dz.astype(np.float32)
    m = axes.astype(np.float32)
    u, v, w = (np.asarray((m[0, k] * dx + m[1, k] * dy) + m[2, k] * dz, dtype=np.float32) for k in range(3))
    return u, v, w


def _box(centre: Point, axes: npt.NDArray[np.float64], half: Sequence[float]) -> Bounds:
    reach = np.abs(axes) @ np.asarray(half, dtype=np.float64)
    return np.asarray(centre) - reach, np.asarray(centre) + reach


@dataclass(frozen=True)
class Ellipsoid:
    """Half-axes `radii` along `axes` (columns; the patient's axes by default)."""

    centre: Point
    radii: Point
    axes: npt.NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    def bounds(self) -> Bounds:
        reach = np.sqrt((self.axes**2) @ np.square(self.radii))
        return np.asarray(self.centre) - reach, np.asarray(self.centre) + reach

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        u, v, w = local(self.centre, self.axes, x, y, z)
        a, b, c = (np.float32(1 / r) for r in self.radii)
        u, v, w = u * a, v * b, w * c
        k0 = np.sqrt(u * u + v * v + w * w)
        u, v, w = u * a, v * b, w * c
        k1 = np.sqrt(u * u + v * v + w * w) + np.float32(1e-6)
        return np.asarray(k0 * (k0 - 1) / k1, dtype=np.float32)


@dataclass(frozen=True)
class Tube:
    """A round tube along a line of points, its radius running from point to point; both ends are round.

    Distances are known up to `reach_mm` outside.
    """

    points: tuple[Point, ...]
    radii: tuple[float, ...]
    reach_mm: float = 12.0

    def bounds(self) -> Bounds:
        points, radii = np.asarray(self.points), np.asarray(self.radii)[:, None]
        return (points - radii).min(axis=0), (points + radii).max(axis=0)

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        out = np.full((len(z), len(y), len(x)), FAR_MM, dtype=np.float32)
        points = np.asarray(self.points)
        for a, b, r0, r1 in zip(points[:-1], points[1:], self.radii[:-1], self.radii[1:], strict=True):
            reach = max(r0, r1) + self.reach_mm
            low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
            sx, sy, sz = (span(axis, low[i], high[i]) for i, axis in enumerate((x, y, z)))
            part = out[sz, sy, sx]
            if not part.size:
                continue
            line = (b - a).astype(np.float32)
            dx, dy, dz = (x[sx] - a[0])[None, None], (y[sy] - a[1])[None, :, None], (z[sz] - a[2])[:, None, None]
            t = ((line[0] * dx + line[1] * dy) + line[2] * dz) / np.float32(max(line @ line, 1e-6))
            t = np.clip(t, 0, 1).astype(np.float32)
            away = np.sqrt((dx - t * line[0]) ** 2 + (dy - t * line[1]) ** 2 + (dz - t * line[2]) ** 2)
            np.minimum(part, away - (np.float32(r0) + t * np.float32(r1 - r0)), out=part)
        return out


@dataclass(frozen=True)
class Barrel:
    """An elliptic cylinder (`radii` along the first two axes) with a waist and an anterior wedge: a vertebral body.

    `waist` is the fraction by which the middle is narrower, `wedge_mm` how much the front's upper edge is lower.
    """

    centre: Point
    axes: npt.NDArray[np.float64]
    radii: tuple[float, float]
    half_height: float
    waist: float = 0.0
    wedge_mm: float = 0.0

    def bounds(self) -> Bounds:
        return _box(self.centre, self.axes, (*self.radii, self.half_height))

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        u, v, w = local(self.centre, self.axes, x, y, z)
        a, b = self.radii
        narrow = 1 - np.float32(self.waist) * (1 - np.minimum((w / self.half_height) ** 2, 1))
        k = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        side = (k - narrow) * np.float32(min(a, b) * 0.5 + max(a, b) * 0.5)
        top = w - self.half_height
        if self.wedge_mm:
            top = top + np.float32(self.wedge_mm) * np.clip((b - v) / (2 * b), 0, 1)
        ends = np.maximum(top, -w - self.half_height)
        return np.asarray(np.maximum(side, ends), dtype=np.float32)


@dataclass(frozen=True)
class Union:
    """All parts as one solid; creases between them are filled to `blend_mm`.

    Distances are known up to `reach_mm` outside.
    """

    parts: tuple[Shape, ...]
    blend_mm: float = 0.0
    reach_mm: float = 12.0

    def bounds(self) -> Bounds:
        boxes = [part.bounds() for part in self.parts]
        return np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0)

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        out = np.full((len(z), len(y), len(x)), FAR_MM, dtype=np.float32)
        margin = self.reach_mm + self.blend_mm
        for part in self.parts:
            low, high = part.bounds()
            sx, sy, sz = (span(a, low[i] - margin, high[i] + margin) for i, a in enumerate((x, y, z)))
            near = out[sz, sy, sx]
            if near.size:
                near[...] = blend_min(near, part.distance(x[sx], y[sy], z[sz]), self.blend_mm)
        return out


@dataclass(frozen=True)
class Overlap:
    """What all parts share. Bounds are those of the first part."""

    parts: tuple[Shape, ...]

    def bounds(self) -> Bounds:
        return self.parts[0].bounds()

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        out = self.parts[0].distance(x, y, z)
        for part in self.parts[1:]:
            out = np.maximum(out, part.distance(x, y, z))
        return out


@dataclass(frozen=True)
class Without:
    """`solid` with `hole` cut out."""

    solid: Shape
    hole: Shape

    def bounds(self) -> Bounds:
        return self.solid.bounds()

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        return np.maximum(self.solid.distance(x, y, z), -self.hole.distance(x, y, z))


@dataclass(frozen=True)
class Field:
    """A solid given by a function of the three coordinate vectors, inside a stated box."""

    low: Point
    high: Point
    function: Callable[[Array, Array, Array], Array]

    def bounds(self) -> Bounds:
        return np.asarray(self.low), np.asarray(self.high)

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        return self.function(x, y, z)
