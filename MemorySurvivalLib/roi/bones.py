"""Bone with its marrow, told from contrast agent, calcifications and metal streaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.roi.dilation import ROUNDING_MM, measure_distance_mm
from MemorySurvivalLib.roi.segmentation import SegmenterConfig
from MemorySurvivalLib.roi.working_grid import Image, Mask, Spacing

SURE_HOLE_MM2, LARGEST_HOLE_MM2 = 1000.0, 2800.0
"""A pocket up to the first size is marrow if any plane shows it closed, up to the second if two planes do (a femoral
head measures 2000 mm2); skull and pelvis enclose more."""
LEAST_CORTEX_ML = 0.08
CORE_DEPTH_MM, LEAST_CORE_ML = 4.5, 0.2
"""A core lies this deep inside dense tissue (deeper where voxels are coarse); ribs and thin cortex have none."""
DENSEST_CONTRAST_HU, MOST_CONTRAST_SD_HU, LEAST_CORTEX_RISE_HU, CONTRAST_SPREAD_HU = 300.0, 30.0, 60.0, 60.0
"""What tells contrast agent from bone: its level above soft tissue, its unevenness (spongy bone: 40 HU and more), how
far bone's cortex rises above the core, and how far contrast agent's own voxels do."""
FINE_TO_COARSE_MM = (3.0, 4.3)
"""Voxel sizes between which the edge's level moves: thin cortex fills a share of a larger voxel only."""
LEAST_ENHANCED_HU, POOL_MM, POOL_DEPTH_MM, LEAST_POOL_ML, LEAST_AWAY = 45.0, 4.0, 4.0, 10.0, 0.6
"""Enhanced blood and organs: how far above soft tissue, on what grid they are looked for, how thick and how large they
are, and the share of them beyond the reach of cortex (marrow has less than half of itself there)."""
ROOM_MM, BLOCK = 16.0, 12
"""Around the body's box: filters reach less far; the second is a multiple of all block sizes up to POOL_MM."""
MOST_NOISE_HU = 40.0
TYPICAL_TISSUE_HU = 45.0
DENSEST_CORTEX_HU = 1500.0
"""Above soft tissue; what is denser is metal."""
AIR_HU = -150.0
"""Marrow, even pure fat, is denser."""


@dataclass(frozen=True, eq=False)
class Bones:
    """Masks are bool (z, y, x): `dense` holds voxels at bone density, `enclosed` the small pockets that they surround.

    `filled` is both without the blur around the cortex: its edge lies where density has fallen to `edge_hu`. `sealed`
    is what `dense` surrounds in at least two planes, whatever its size: marrow cavities (and the skull's inside), but
    not the spinal canal, a tunnel that is open between the vertebrae. `metal_ml` is the volume too dense for bone.
    """

    dense: Mask
    enclosed: Mask
    filled: Mask
    sealed: Mask
    edge_hu: Image
    tissue_hu: float
    metal_ml: float


def find_tissue_peak(ct_hu: Image, body: Mask) -> float:
    """The commonest HU of soft tissue (water to enhanced muscle): the zero from which density is judged."""
    counts, edges = np.histogram(ct_hu[body], bins=140, range=(-20.0, 120.0))
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), 4.0)
    rises = np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:])) + 1
    if len(rises) == 0:  # a noisy image of mostly fat: its tail hides the peak
        return TYPICAL_TISSUE_HU
    return float(edges[rises[int(np.argmax(smooth[rises]))]] + 0.5)


def smooth_noise(ct_hu: Image, body: Mask, tissue_hu: float, spacing_mm: Spacing) -> Image:
    """The CT smoothed just enough that noise in soft tissue stays below MOST_NOISE_HU; else unchanged."""
    result = ct_hu
    for sigma_mm in (0.0, 0.8, 1.2, 1.8, 2.5):
        if sigma_mm:
            result = ndimage.gaussian_filter(ct_hu, [sigma_mm / step for step in spacing_mm])
        if _measure_noise(result, body, tissue_hu) <= MOST_NOISE_HU:
            break
    return result


def _measure_noise(ct_hu: Image, body: Mask, tissue_hu: float) -> float:
    """Standard deviation of soft tissue from its spread above the peak, where neither fat nor air adds to it."""
    values = ct_hu[body]
    above = values[(values > tissue_hu) & (values < tissue_hu + 200)]
    return 1.48 * float(np.median(above - tissue_hu)) if above.size else 0.0


def find_bones(ct_hu: Image, body: Mask, spacing_mm: Spacing, config: SegmenterConfig) -> Bones:
    """Find bone on a CT (HU) inside `body`, all arrays (z, y, x).

    A voxel is dense when it passes the bone threshold and something as dense as cortex is near; small pieces are
    dropped. Holes are then looked for in all three planes.
    """
    box = _box_around(body, spacing_mm)
    inside = _find_bones(ct_hu[box], body[box], spacing_mm, config)

    def whole(part: npt.NDArray[Any], outside: float = 0.0) -> npt.NDArray[Any]:
        image = np.full(ct_hu.shape, outside, dtype=part.dtype)
        image[box] = part
        return image

    return Bones(
        whole(inside.dense),
        whole(inside.enclosed),
        whole(inside.filled),
        whole(inside.sealed),
        whole(inside.edge_hu, inside.tissue_hu + config.bone_above_tissue_hu),
        inside.tissue_hu,
        inside.metal_ml,
    )


def _box_around(body: Mask, spacing_mm: Spacing) -> tuple[slice, slice, slice]:
    """The columns and rows that hold the body, with room for every filter; all slices, because the ends are walls.

    Starts are multiples of BLOCK, so that blocks of voxels are the same ones as in the whole image.
    """
    sides = []
    for axis, step in ((1, spacing_mm[1]), (2, spacing_mm[2])):
        places = np.flatnonzero(body.any(axis=(0, 3 - axis)))
        room = int(np.ceil(ROOM_MM / step))
        low, high = (int(places[0]) - room, int(places[-1]) + room + 1) if len(places) else (0, body.shape[axis])
        sides.append(slice(max(0, low) // BLOCK * BLOCK, min(body.shape[axis], -(-high // BLOCK) * BLOCK)))
    return slice(None), sides[0], sides[1]


def _find_bones(ct_hu: Image, body: Mask, spacing_mm: Spacing, config: SegmenterConfig) -> Bones:
    tissue_hu = find_tissue_peak(ct_hu, body)
    metal_ml = float(np.count_nonzero(ct_hu[body] > config.metal_hu) * np.prod(spacing_mm)) / 1000.0
    ct_hu = smooth_noise(ct_hu, body, tissue_hu, spacing_mm)
    threshold_hu = tissue_hu + config.bone_above_tissue_hu
    cortex = body & (ct_hu > tissue_hu + config.cortex_above_tissue_hu)
    dense = body & (ct_hu > threshold_hu)
    cortex = drop_small(cortex, LEAST_CORTEX_ML, spacing_mm)  # noise in an enhanced vessel is no cortex
    dense &= measure_distance_mm(cortex, spacing_mm) <= config.cortex_reach_mm + ROUNDING_MM
    dense &= ~find_contrast(ct_hu, dense, tissue_hu, spacing_mm)
    dense &= ~(find_enhanced(ct_hu, cortex, tissue_hu, spacing_mm, config) & ~cortex)
    dense = drop_small(dense, config.smallest_bone_ml, spacing_mm)
    sealed = np.zeros(dense.shape, dtype=np.uint8)
    marrow = np.zeros(dense.shape, dtype=np.uint8)
    for axis in range(3):
        area_mm2 = measure_pockets(dense, axis, spacing_mm)
        sealed += area_mm2 > 0
        marrow += (area_mm2 > 0) & (area_mm2 <= LARGEST_HOLE_MM2)
        marrow += 2 * ((area_mm2 > 0) & (area_mm2 <= SURE_HOLE_MM2)).astype(np.uint8)
    enclosed = marrow >= 2
    enclosed &= ct_hu > AIR_HU
    edge_hu = find_edge_level(ct_hu, tissue_hu, threshold_hu, spacing_mm, choose_edge_share(spacing_mm, config))
    filled = dense | enclosed
    rim = filled & ~ndimage.binary_erosion(filled, border_value=1)
    filled &= ~(rim & (ct_hu < edge_hu))
    return Bones(dense, enclosed, filled, sealed >= 2, edge_hu, tissue_hu, metal_ml)


def find_contrast(ct_hu: Image, dense: Mask, tissue_hu: float, spacing_mm: Spacing) -> Mask:
    """Enhanced vessels, organs and bowel among `dense`: thick, even, no denser than spongy bone, without a cortex.

    Around spongy bone density rises to the cortex before it falls; around contrast agent it only falls.
    """
    depth_mm = measure_distance_mm(~dense, spacing_mm)
    core_depth_mm = max(CORE_DEPTH_MM, 1.6 * max(spacing_mm))
    cores, count = ndimage.label(depth_mm > core_depth_mm + ROUNDING_MM)
    result = np.zeros(dense.shape, dtype=np.bool_)
    sizes_ml = np.bincount(cores.ravel(), minlength=count + 1) * float(np.prod(spacing_mm)) / 1000.0
    margin = [int(np.ceil(2 * core_depth_mm / step)) + 1 for step in spacing_mm]
    for number, found in enumerate(ndimage.find_objects(cores), start=1):
        if sizes_ml[number] < LEAST_CORE_ML:
            continue
        box = tuple(slice(max(0, part.start - m), part.stop + m) for part, m in zip(found, margin, strict=True))
        core = cores[box] == number
        level_hu = float(np.median(ct_hu[box][core]))
        if level_hu > tissue_hu + DENSEST_CONTRAST_HU or float(np.std(ct_hu[box][core])) > MOST_CONTRAST_SD_HU:
            continue
        away_mm = measure_distance_mm(core, spacing_mm)
        shell = dense[box] & ~core & (away_mm <= core_depth_mm + ROUNDING_MM)
        if shell.any() and np.percentile(ct_hu[box][shell], 90) < level_hu + LEAST_CORTEX_RISE_HU:
            found_contrast = (
                dense[box] & (away_mm <= 2 * core_depth_mm + ROUNDING_MM) & (ct_hu[box] < level_hu + CONTRAST_SPREAD_HU)
            )
            # Coarse voxels melt two end plates and their disc into one even block, but marrow follows on both sides.
            inner = found_contrast & (depth_mm[box] > max(spacing_mm) + ROUNDING_MM)
            if float(np.std(ct_hu[box][inner])) <= MOST_CONTRAST_SD_HU:
                result[box] |= found_contrast
    return result


def find_enhanced(ct_hu: Image, cortex: Mask, tissue_hu: float, spacing_mm: Spacing, config: SegmenterConfig) -> Mask:
    """Where enhanced blood and organs less dense than cortex lie (with a margin of a voxel); False without contrast.

    An enhanced aorta passes the bone threshold and lies within the reach of a vertebra's cortex, but it is thick and
    goes on, as one piece, to where no bone is near; marrow does not. Looked for on a grid of about POOL_MM.
    """
    steps = [max(1, int(POOL_MM / step)) for step in spacing_mm]
    sampling = (spacing_mm[0] * steps[0], spacing_mm[1] * steps[1], spacing_mm[2] * steps[2])
    mean_hu = _reduce_blocks(ct_hu, steps, np.mean)
    away_mm = measure_distance_mm(_reduce_blocks(cortex, steps, np.max), sampling)
    smooth = ndimage.gaussian_filter(mean_hu, [POOL_DEPTH_MM / 1.6 / step for step in sampling])
    within = (smooth > tissue_hu + LEAST_ENHANCED_HU) & (mean_hu < tissue_hu + config.cortex_above_tissue_hu)
    pools, count = ndimage.label(measure_distance_mm(~within, sampling) > POOL_DEPTH_MM + ROUNDING_MM)
    sizes = np.bincount(pools.ravel(), minlength=count + 1)
    away = np.bincount(pools[away_mm > config.cortex_reach_mm], minlength=count + 1) / np.maximum(sizes, 1)
    kept = (sizes * float(np.prod(sampling)) / 1000.0 >= LEAST_POOL_ML) & (away >= LEAST_AWAY)
    kept[0] = False
    if not kept.any():
        return np.zeros(ct_hu.shape, dtype=np.bool_)
    near = measure_distance_mm(kept[pools], sampling) <= POOL_DEPTH_MM + min(sampling) + ROUNDING_MM
    whole = near.repeat(steps[0], 0).repeat(steps[1], 1).repeat(steps[2], 2)
    result: Mask = whole[: ct_hu.shape[0], : ct_hu.shape[1], : ct_hu.shape[2]]
    return result


def _reduce_blocks(
    voxels: npt.NDArray[Any], steps: list[int], reduce: Callable[..., npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    """One value for every block of `steps` voxels; blocks that the border cuts repeat its last voxels."""
    if max(steps) == 1:
        return voxels
    rest = [(0, -size % step) for size, step in zip(voxels.shape, steps, strict=True)]
    whole = np.pad(voxels, rest, mode="edge")
    split = [part for size, step in zip(whole.shape, steps, strict=True) for part in (size // step, step)]
    return reduce(whole.reshape(split), axis=(1, 3, 5))


def choose_edge_share(spacing_mm: Spacing, config: SegmenterConfig) -> float:
    """The share of the peak that bounds bone on voxels of this size (edge of the cube of the same volume)."""
    voxel_mm = float(np.prod(spacing_mm)) ** (1 / 3)
    return float(np.interp(voxel_mm, FINE_TO_COARSE_MM, (config.edge_share, config.coarse_edge_share)))


def find_edge_level(ct_hu: Image, tissue_hu: float, least_hu: float, spacing_mm: Spacing, share: float) -> Image:
    """The HU that bounds bone at every voxel: `share` of the way from soft tissue to the densest voxel within 4 mm.

    A cortex of 1500 HU blurs into its surroundings further than one of 300 HU; one threshold would swell it.
    """
    clipped = np.minimum(ct_hu, tissue_hu + DENSEST_CORTEX_HU)
    peak = clipped
    for axis, step in enumerate(spacing_mm):
        size = 2 * max(1, int(4.0 / step)) + 1
        peak = np.maximum(peak, ndimage.maximum_filter1d(clipped, size, axis=axis))
    level: Image = np.maximum(least_hu, tissue_hu + share * (peak - tissue_hu)).astype(np.float32)
    return level


def drop_small(mask: Mask, least_ml: float, spacing_mm: Spacing) -> Mask:
    """Remove pieces (26-connected) below `least_ml`."""
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    keep = np.bincount(labels.ravel()) * float(np.prod(spacing_mm)) / 1000.0 >= least_ml
    keep[0] = False
    kept: Mask = keep[labels]
    return kept


def measure_pockets(mask: Mask, axis: int, spacing_mm: Spacing) -> Image:
    """Area (mm2) of the pocket of background that holds a voxel, where `mask` surrounds it in the plane across `axis`.

    Zero elsewhere. In sagittal and coronal planes the image's first and last slice count as walls: a bone that the
    image cuts is still closed there. The other borders are open.
    """
    structure = ndimage.generate_binary_structure(3, 1)
    for end in (0, 2):
        structure[tuple(end if a == axis else 1 for a in range(3))] = False
    labels, count = ndimage.label(~mask, structure)
    area_mm2 = np.bincount(labels.ravel(), minlength=count + 1) * (float(np.prod(spacing_mm)) / spacing_mm[axis])
    area_mm2[0] = 0
    for other in range(1, 3):
        if other != axis:
            for border in (0, -1):
                area_mm2[np.unique(np.take(labels, border, axis=other))] = 0
    result: Image = area_mm2.astype(np.float32)[labels]
    return result
