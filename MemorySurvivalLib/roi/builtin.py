"""The built-in CT segmenter: body, bones, spinal canal and vertebrae by geometry, without any download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.body import find_body
from MemorySurvivalLib.roi.bones import AIR_HU, Bones, find_bones, measure_pockets
from MemorySurvivalLib.roi.canal import GRID_MM, CanalPath, draw_canal, find_canal
from MemorySurvivalLib.roi.column import (
    Column,
    ColumnFrame,
    extend_column,
    is_vertebra,
    measure_column,
    measure_density,
    measure_wings,
    place_in_column,
)
from MemorySurvivalLib.roi.levels import NUMBERED, Levels, find_levels
from MemorySurvivalLib.roi.pelvis import fill_sacrum, has_pelvis
from MemorySurvivalLib.roi.segmentation import DEFAULT_CONFIG, BuiltinSegmentation, SegmenterConfig
from MemorySurvivalLib.roi.working_grid import Image, Mask, Spacing, isotropic_grid, refine_mask, shrink, spread_labels

__all__ = ["BuiltinSegmentation", "SegmenterConfig", "segment_builtin"]

NO_SPINE = "No spine was found in this image."
NO_BONE = "No bone was found in this image."
NO_BODY = "No patient was found in this image."

SACRUM_MM = 45.0
"""How far below the canal's followed end the column is continued to reach the sacrum's upper part."""

BRAIN_MM2 = 6000.0
"""The brain's section; no other cavity within bone is as large."""

LEAST_METAL_ML = 1.0

STAGE = "segmenting the CT"


@dataclass(frozen=True, eq=False)
class _Spine:
    """Canal, sacral marrow (both bool) and numbered vertebrae (uint8) on the working grid."""

    canal: Mask
    sacral_marrow: Mask
    vertebrae: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def segment_builtin(
    ct: Volume, config: SegmenterConfig = DEFAULT_CONFIG, progress: ProgressCallback = ignore_progress
) -> BuiltinSegmentation:
    """Segment a CT (HU, any orientation, spacing and part of the body) on the CPU.

    The work is done towards LPS on a grid of about `config.working_spacing_mm` and refined on the CT's own grid, so
    that the same patient gives the same masks however the file's axes run. What was not found is empty and said in
    `notes`. Raises InputError for voxels that are not finite numbers.
    """
    if not np.issubdtype(ct.voxels.dtype, np.number) or not np.isfinite(ct.voxels.sum(dtype=np.float64)):
        raise InputError("The CT holds voxels that are not finite numbers; export it again in Hounsfield units.")
    steps = iter(track(range(4), STAGE, 4, progress))
    next(steps)
    straight = ct.reoriented()
    coarse = shrink(straight, config.working_spacing_mm)
    hu, spacing = coarse.voxels.astype(np.float32, copy=False), _zyx(coarse)
    body = find_body(hu, spacing)
    next(steps)
    bones = find_bones(hu, body, spacing, config)
    next(steps)
    spine = _find_spine(coarse, body, bones, config)
    next(steps)
    skeleton = (bones.filled | spine.sacral_marrow) & ~spine.canal
    result = _on_ct_grid(ct, straight, coarse, body, skeleton, spine, bones.edge_hu)
    next(steps, None)
    return result


def _zyx(volume: Volume) -> Spacing:
    x, y, z = volume.spacing_mm
    return z, y, x


def _find_spine(coarse: Volume, body: Mask, bones: Bones, config: SegmenterConfig) -> _Spine:
    """Follow the canal and cut the column around it into vertebrae, on a cubic grid; hand back on the working grid."""
    notes: tuple[str, ...] = ()
    if bones.metal_ml >= LEAST_METAL_ML:
        notes = (f"{bones.metal_ml:.0f} ml of metal were found; check the bones around it.",)
    if not bones.dense.any():
        return _no_spine(coarse.shape, (NO_BONE if body.any() else NO_BODY, NO_SPINE, *notes))
    cube = isotropic_grid(coarse, GRID_MM)
    hu = cube.voxels.astype(np.float32, copy=False)

    def on_cube(mask: Mask) -> Mask:
        share: Mask = isotropic_grid(coarse.with_voxels(mask.astype(np.float32)), GRID_MM).voxels >= 0.5
        return share

    dense, sealed = on_cube(bones.dense), on_cube(bones.sealed)
    filled = on_cube(bones.filled)
    path = find_canal(hu, dense, filled, sealed, bones.tissue_hu, config.shortest_spine_mm)
    if path is None:
        return _no_spine(coarse.shape, (NO_SPINE, *notes))
    canal = draw_canal(path, hu.shape)
    followed = measure_column(hu, filled, canal, path)
    pelvis = has_pelvis(filled, followed)
    column = extend_column(followed, round(SACRUM_MM / GRID_MM)) if pelvis else followed
    marrow = np.zeros(hu.shape, dtype=np.bool_)
    if pelvis:
        marrow = fill_sacrum(filled, hu > AIR_HU, followed) & ~canal
    frame = place_in_column(column, _reach(column, hu.shape))
    levels = find_levels(
        measure_density(column, frame, np.clip((hu - bones.tissue_hu) / 250.0, 0, 1).astype(np.float32)),
        measure_wings(column, frame, filled | marrow),
        np.repeat(column.unit_height, 2),
        2 * (followed.first - column.first),
        pelvis=pelvis,
        skull=_skull_above(path, dense),
    )
    zone = np.zeros(hu.shape, dtype=np.uint8)
    number = _number(levels, frame, column)
    from_sacrum = len(levels.names) - number.astype(np.int64) if pelvis else np.full(number.shape, -1)
    zone[frame.index] = np.where(is_vertebra(column, frame, from_sacrum), number, 0)

    def back(voxels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        return spread_labels(cube.with_voxels(voxels.astype(np.uint8)), coarse)

    canal_coarse = (back(canal) > 0) & ~bones.dense
    sacral = (back(marrow) > 0) & ~canal_coarse
    vertebrae = np.where((bones.filled | sacral) & ~canal_coarse, back(zone), 0).astype(np.uint8)
    vertebrae, names = _drop_empty(_drop_loose(vertebrae, _zyx(coarse)), levels.names)
    return _Spine(canal_coarse, sacral, vertebrae, names, (levels.note, *notes))


def _no_spine(shape: tuple[int, ...], notes: tuple[str, ...]) -> _Spine:
    empty = np.zeros(shape, dtype=np.bool_)
    return _Spine(empty, empty, empty.astype(np.uint8), (), notes)


def _reach(column: Column, shape: tuple[int, ...]) -> Mask:
    """A generous box around the column in every slice."""
    mask = np.zeros(shape, dtype=np.bool_)
    wide, ahead, behind = (round(v / GRID_MM) for v in (66.0, 66.0, 84.0))
    last = column.first + len(column.canal_yx) - 1
    for z in range(max(0, column.first - 4), min(shape[0], last + 5)):
        cy, cx = column.canal_yx[int(np.clip(z - column.first, 0, len(column.canal_yx) - 1))]
        mask[z, max(0, round(cy) - ahead) : round(cy) + behind, max(0, round(cx) - wide) : round(cx) + wide] = True
    return mask


def _skull_above(path: CanalPath, dense: Mask) -> bool:
    """Whether bone surrounds a cavity as large as a brain's above the canal's upper end."""
    above = dense[path.last + 1 : path.last + 1 + round(80.0 / GRID_MM)]
    if above.size == 0:
        return False
    return float(measure_pockets(above, 0, (GRID_MM, GRID_MM, GRID_MM)).max()) > BRAIN_MM2


def _number(levels: Levels, frame: ColumnFrame, column: Column) -> npt.NDArray[np.uint8]:
    """The number of the vertebra (1 at the top) at every place; arches hang below their bodies by a quarter unit."""
    unit = np.interp(frame.along, np.arange(len(column.half_width)), column.unit_height)
    hang = 0.25 * unit * np.clip(frame.back / 10.0, 0, 1)
    step = frame.along * 2 + hang * 2 / GRID_MM
    order = np.searchsorted(np.asarray(levels.cuts), step)
    number = len(levels.names) - order
    number[(step < levels.bottom) | (number < 1)] = 0
    return number.astype(np.uint8)


def _drop_loose(vertebrae: npt.NDArray[np.uint8], spacing_mm: Spacing) -> npt.NDArray[np.uint8]:
    """Remove pieces below one millilitre: cut-off rib and iliac tips."""
    labels, _ = ndimage.label(vertebrae > 0, np.ones((3, 3, 3)))
    keep = np.bincount(labels.ravel()) * float(np.prod(spacing_mm)) / 1000.0 >= 1.0
    keep[0] = False
    return np.where(keep[labels], vertebrae, 0).astype(np.uint8)


def _drop_empty(
    vertebrae: npt.NDArray[np.uint8], names: tuple[str, ...]
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Close the gaps in the numbering that pieces without a voxel leave."""
    present = np.bincount(vertebrae.ravel(), minlength=len(names) + 1)[1 : len(names) + 1] > 0
    renumber = np.zeros(256, dtype=np.uint8)
    renumber[1 : len(names) + 1] = np.where(present, np.cumsum(present), 0)
    kept = tuple(name for name, here in zip(names, present, strict=True) if here)
    if kept and kept[0].startswith(NUMBERED):
        kept = tuple(f"{NUMBERED} {n}" for n in range(1, len(kept) + 1))
    return renumber[vertebrae], kept


def _on_ct_grid(
    ct: Volume, straight: Volume, coarse: Volume, body: Mask, skeleton: Mask, spine: _Spine, edge_hu: Image
) -> BuiltinSegmentation:
    """Refine every mask on the CT's own grid and turn it back to the CT's orientation."""
    canal = spread_labels(coarse.with_voxels(spine.canal.astype(np.uint8)), straight)
    bones = refine_mask(coarse.with_voxels(skeleton.astype(np.uint8)), straight, edge_hu)
    bones[canal != 0] = 0
    labels = spread_labels(coarse.with_voxels(_grow_labels(spine.vertebrae, skeleton)), straight)
    labels[bones == 0] = 0
    body_fine = spread_labels(coarse.with_voxels(body.astype(np.uint8)), straight)
    back = ct.affine.orientation

    def volume(voxels: npt.NDArray[np.uint8]) -> Volume:
        turned = Volume(voxels, straight.affine).reoriented(back)
        return Volume(turned.voxels, ct.affine)

    return BuiltinSegmentation(
        volume(body_fine), volume(bones), volume(labels), volume(canal), spine.names, spine.notes
    )


def _grow_labels(labels: npt.NDArray[np.uint8], skeleton: Mask) -> npt.NDArray[np.uint8]:
    """Labels one voxel larger outside bone, so that a refined edge finds the label of its vertebra."""
    return np.where(skeleton, labels, ndimage.grey_dilation(labels, size=(3, 3, 3))).astype(np.uint8)
