"""Lesions of the testing generator: clusters of buds around one place, cold inside where they are big."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.simulation.canvas import Box, Canvas, inside
from MemorySurvivalLib.simulation.disease import Disease, Focus
from MemorySurvivalLib.simulation.lesions import PlacedFocus
from MemorySurvivalLib.simulation.shapes import Array, Ellipsoid, Union
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue

_BUDS = 4
_OUTSIDE_BONE: tuple[tuple[Tissue, float], ...] = (
    (Tissue.LIVER, 0.3),
    (Tissue.MUSCLE, 0.35),
    (Tissue.VISCERAL_FAT, 0.15),
    (Tissue.SPLEEN, 0.1),
    (Tissue.FAT, 0.1),
)


def place_second_foci(canvas: Canvas, disease: Disease, rng: np.random.Generator) -> tuple[PlacedFocus, ...]:
    """A place for every focus: focal lesions in the marrow of their bone, paramedullary masses on a vertebra's surface,
    others in soft tissue of the trunk. A lesion whose tissue is not in the field of view is left out."""
    placed = []
    for focus in disease.foci:
        found = _find_voxel(canvas, focus, rng)
        if found is None:
            continue
        (z, y, x), site = found
        jitter = (rng.random(3) - 0.5) * canvas.affine.spacing_mm
        centre = np.asarray([canvas.x[x], canvas.y[y], canvas.z[z]], dtype=np.float64) + jitter
        radii = focus.diameter_mm / 2 * rng.uniform(0.85, 1.2, 3)
        axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        cx, cy, cz = (float(v) for v in centre)
        rx, ry, rz = (float(v) for v in radii)
        placed.append(PlacedFocus(focus.kind, (cx, cy, cz), (rx, ry, rz), axes, focus.suv_bw, focus.lytic, site))
    return tuple(placed)


def _find_voxel(canvas: Canvas, focus: Focus, rng: np.random.Generator) -> tuple[npt.NDArray[np.intp], Tissue] | None:
    site = focus.site
    if site is None and focus.kind == "paramedullary":
        site = VERTEBRAE[int(rng.integers(7, len(VERTEBRAE)))]
    elif site is None:
        names, shares = zip(*_OUTSIDE_BONE, strict=True)
        site = names[int(rng.choice(len(names), p=shares))]
    if site in BONES:
        chosen = np.argwhere(canvas.labels == site)
        if len(chosen):
            share = canvas.marrow[chosen[:, 0], chosen[:, 1], chosen[:, 2]]
            wanted = share < 0.5 if focus.kind == "paramedullary" else share >= min(0.6, float(share.max()))
            chosen = chosen[wanted] if wanted.any() else chosen
    else:
        chosen = np.argwhere(canvas.labels[::3, ::3, ::3] == site) * 3
        chosen = chosen[(canvas.z[chosen[:, 0]] > -120) & (canvas.z[chosen[:, 0]] < 540)]
    if not len(chosen):
        return None
    return np.asarray(chosen[int(rng.integers(len(chosen)))]), site


def grow_shape(
    focus: PlacedFocus, x: Array, y: Array, z: Array, voxel_mm: float, labels: npt.NDArray[np.uint8]
) -> tuple[Box, Array]:
    """Box (z, y, x) of a lesion and the share of each voxel that it fills; its buds depend on its place alone."""
    shape = _buds(focus)
    low, high = shape.bounds()
    sz, sy, sx = (
        slice(
            int(np.searchsorted(axis, low[i] - voxel_mm)), int(np.searchsorted(axis, high[i] + voxel_mm, side="right"))
        )
        for i, axis in ((2, z), (1, y), (0, x))
    )
    part = inside(shape.distance(x[sx], y[sy], z[sz]), voxel_mm)
    here = labels[sz, sy, sx]
    allowed = here >= Tissue.C1 if focus.kind == "focal" else here > Tissue.OUTSIDE
    return (sz, sy, sx), np.asarray(part * allowed, dtype=np.float32)


def heat_shape(focus: PlacedFocus, x: Array, y: Array, z: Array, box: Box) -> Array:
    """How hot each voxel of `box` is against the lesion's rim: big lesions have a cold core."""
    sz, sy, sx = box
    size = float(np.mean(focus.radii_mm))
    core = Ellipsoid(focus.centre_mm, (0.55 * size,) * 3)
    depth = -core.distance(x[sx], y[sy], z[sz])
    cold = np.clip((size - 11) / 20, 0, 0.6)
    return np.asarray(1 - cold * np.clip(depth / 4 + 0.5, 0, 1), dtype=np.float32)


def _buds(focus: PlacedFocus) -> Union:
    """One body and some buds on it, drawn from the place so that CT and PET agree."""
    text = ",".join(f"{value:.3f}" for value in (*focus.centre_mm, *focus.radii_mm))
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))
    radii = np.asarray(focus.radii_mm)
    rx, ry, rz = (float(v) for v in 0.85 * radii)
    parts = [Ellipsoid(focus.centre_mm, (rx, ry, rz), focus.axes)]
    for _ in range(_BUDS):
        direction = rng.standard_normal(3)
        direction = direction / np.linalg.norm(direction)
        bx, by, bz = np.asarray(focus.centre_mm) + focus.axes @ (direction * 0.6 * radii)
        size = float(np.mean(radii) * rng.uniform(0.35, 0.6))
        parts.append(Ellipsoid((float(bx), float(by), float(bz)), (size, size, size)))
    return Union(tuple(parts), 3.0, 6.0)
