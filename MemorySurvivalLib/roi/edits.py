"""What an edit changed: voxels, and the prompt boxes that are all the model sees of a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes, raise_step
from MemorySurvivalLib.roi.fingerprint import crop_to_content

ALIGNED_VOXELS = 0.01
"""Two grids are one lattice where their voxel centres agree to this share of a voxel."""


@dataclass(frozen=True)
class EditSummary:
    """How an edited mask differs from the generated one.

    Counts are voxels of the generated mask's lattice, or of the edited one's where that is finer. `slices_touched`
    counts axial slices. `resampled` is true where the masks lie on different lattices: the counts then include what
    nearest-neighbour resampling moved along the edges.
    """

    voxels_added: int
    voxels_removed: int
    ml_added: float
    ml_removed: float
    slices_touched: int
    resampled: bool

    @property
    def voxels_changed(self) -> int:
        """Voxels added and removed together."""
        return self.voxels_added + self.voxels_removed

    @property
    def sentence(self) -> str:
        """The same for the user."""
        if self.voxels_changed == 0:
            return "No voxel of the generated mask was changed."
        added = f"{_count(self.voxels_added, 'voxel')} ({self.ml_added:.2g} ml)"
        removed = f"{self.voxels_removed} ({self.ml_removed:.2g} ml)"
        text = f"The edit added {added} and removed {removed}, on {_count(self.slices_touched, 'axial slice')}"
        if self.resampled:
            return f"{text}; the masks lie on different grids, so edges moved by resampling are counted too."
        return f"{text}."


@dataclass(frozen=True)
class BoxesChanged:
    """Which slices' prompts an edit moved, added or removed (slice numbers of the common grid, head to feet)."""

    slices_before: int
    slices_after: int
    slices_moved: tuple[int, ...]
    slices_added: tuple[int, ...]
    slices_removed: tuple[int, ...]
    largest_move_mm: float
    slice_step: int

    @property
    def total(self) -> int:
        """Number of slices whose prompt is another one now."""
        return len(self.slices_moved) + len(self.slices_added) + len(self.slices_removed)

    @property
    def sentence(self) -> str:
        """The same for the user; also when nothing changed."""
        if self.total == 0:
            return "The edit leaves every prompt box as it was."
        moved, added, removed = len(self.slices_moved), len(self.slices_added), len(self.slices_removed)
        parts = []
        if moved:
            parts.append(f"{moved} moved by up to {self.largest_move_mm:.3g} mm")
        if added:
            parts.append(f"{added} new")
        if removed:
            parts.append(f"{removed} gone")
        text = f"The edit changes the prompt boxes of {_count(self.total, 'slice')} ({', '.join(parts)}; "
        text += f"{self.slices_after} slices are prompted)"
        if self.slice_step > 1 and added and removed:
            return f"{text}; with one of every {self.slice_step} slices used, others are used than before."
        return f"{text}."


def describe_edit(generated: Volume, edited: Volume) -> EditSummary:
    """Compare two masks (any integer type, any grids; not zero is inside).

    Grids that share a lattice but not their extent (Slicer crops) are compared voxel by voxel; others by resampling
    to the finer one with nearest neighbour, which `EditSummary.resampled` says.
    """
    before, after = _tight(generated), _tight(edited)
    resampled = False
    if before.voxels.size and after.voxels.size and not _aligned(before, after):
        resampled = True
        finer = min(before, after, key=lambda volume: float(np.prod(volume.spacing_mm)))
        grid = _extended(finer, after if finer is before else before)
        before, after = (resample_onto(volume, grid, linear=False) for volume in (before, after))
    old, new, spacing_mm = _on_one_grid(before, after)
    added, removed = new & ~old, old & ~new
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    count_added, count_removed = int(np.count_nonzero(added)), int(np.count_nonzero(removed))
    touched = int((added | removed).any(axis=(1, 2)).sum())
    return EditSummary(count_added, count_removed, count_added * voxel_ml, count_removed * voxel_ml, touched, resampled)


def boxes_changed(old_mask: Volume, new_mask: Volume, slice_step: int, most_slices: int | None = None) -> BoxesChanged:
    """Compare the prompt boxes of two masks (bool, LPS) on the CT's grid, one of every `slice_step` ROI slices.

    Where `most_slices` raises the step, the one kept is that of the new mask. Raises InputError where the masks lie on
    different grids.
    """
    if not old_mask.same_grid(new_mask):
        raise InputError("The prompts of two masks can only be compared on one grid; bring both onto the CT's.")
    old = {box.z: box for box in prompt_boxes(old_mask, slice_step, most_slices)}
    new = {box.z: box for box in prompt_boxes(new_mask, slice_step, most_slices)}
    moved = tuple(z for z in new if z in old and new[z] != old[z])
    x_mm, y_mm, _ = new_mask.spacing_mm
    return BoxesChanged(
        slices_before=len(old),
        slices_after=len(new),
        slices_moved=moved,
        slices_added=tuple(z for z in new if z not in old),
        slices_removed=tuple(z for z in old if z not in new),
        largest_move_mm=max((move_mm(old[z], new[z], x_mm, y_mm) for z in moved), default=0.0),
        slice_step=raise_step(int(new_mask.voxels.any(axis=(1, 2)).sum()), slice_step, most_slices),
    )


def move_mm(old: SliceBox, new: SliceBox, x_mm: float, y_mm: float) -> float:
    """How far the edge that moved most lies from where it was."""
    across = max(abs(new.x0 - old.x0), abs(new.x1 - old.x1)) * x_mm
    along = max(abs(new.y0 - old.y0), abs(new.y1 - old.y1)) * y_mm
    return max(across, along)


def _tight(mask: Volume) -> Volume:
    binary = mask.with_voxels((mask.voxels != 0).astype(np.uint8))
    return crop_to_content(binary.reoriented())


def _aligned(first: Volume, second: Volume) -> bool:
    """Whether the voxel centres of both lie on one lattice (both run to LPS)."""
    z, y, x = second.shape
    corners = [(i, j, k) for i in (0, x) for j in (0, y) for k in (0, z)]
    there = first.affine.indices(second.affine.points_mm(corners))
    offsets = there - np.asarray(corners, dtype=np.float64)
    return bool(np.abs(offsets - np.round(offsets[0])).max() <= ALIGNED_VOXELS)


def _extended(grid: Volume, other: Volume) -> Volume:
    """An empty volume on the lattice of `grid` that holds both volumes' voxels."""
    z, y, x = other.shape
    corners = [(i, j, k) for i in (-0.5, x - 0.5) for j in (-0.5, y - 0.5) for k in (-0.5, z - 0.5)]
    there = grid.affine.indices(other.affine.points_mm(corners))
    start = np.minimum(np.floor(there.min(axis=0)), 0).astype(int)
    stop = np.maximum(np.ceil(there.max(axis=0)) + 1, np.asarray(grid.shape[::-1])).astype(int)
    shape = tuple(int(n) for n in (stop - start)[::-1])
    return Volume(np.zeros(shape, dtype=np.uint8), grid.affine.shifted(start))


def _on_one_grid(
    before: Volume, after: Volume
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], tuple[float, float, float]]:
    """Both masks (bool, z, y, x) in one box of their common lattice, and its spacing (x, y, z)."""
    if before.voxels.size == 0 or after.voxels.size == 0:
        full = before if before.voxels.size else after
        empty = np.zeros(full.shape, dtype=np.bool_)
        inside = full.voxels != 0
        return (inside, empty, full.spacing_mm) if full is before else (empty, inside, full.spacing_mm)
    offset = np.round(before.affine.indices(after.affine.origin_mm)).astype(int)[::-1]
    low = np.minimum(offset, 0)
    high = np.maximum(offset + after.shape, before.shape)
    old = np.zeros(tuple(high - low), dtype=np.bool_)
    new = np.zeros_like(old)
    old[_box(-low, before)] = before.voxels != 0
    new[_box(offset - low, after)] = after.voxels != 0
    return old, new, before.spacing_mm


def _box(start: npt.NDArray[np.int_], volume: Volume) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(a) + n) for a, n in zip(start, volume.shape, strict=True))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
