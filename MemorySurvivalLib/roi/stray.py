"""Stray pieces: a few voxels far from the rest of a mask that would stretch a prompt box or prompt a slice alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes
from MemorySurvivalLib.roi.edits import move_mm
from MemorySurvivalLib.roi.fingerprint import crop_to_content


@dataclass(frozen=True)
class StrayConfig:
    """What counts as stray: tiny, far from everything that is not tiny, and felt by a prompt box."""

    most_ml: float = 0.1
    most_voxels: int = 3
    """Where voxels are large, this many still count as tiny."""
    least_distance_mm: float = 10.0
    least_stretch_mm: float = 5.0


DEFAULT_CONFIG = StrayConfig()


@dataclass(frozen=True)
class StrayPiece:
    """One tiny piece: a voxel of it (LPS mm), its size, its distance to the rest, and what it does to the prompts.

    `slices` are the axial slices (numbers of the mask's grid towards LPS) whose box it stretches or makes.
    `box_stretch_mm` is how far it moves the edge of a box; None where it only prompts slices that the rest does not
    reach.
    """

    position_lps_mm: tuple[float, float, float]
    voxels: int
    volume_ml: float
    distance_mm: float
    slices: tuple[int, ...]
    box_stretch_mm: float | None

    @property
    def sentence(self) -> str:
        """The piece for the user: where (as Slicer's Data Probe says it), how far, what harm, what to do."""
        one = self.voxels == 1
        what = "A stray voxel" if one else f"{self.voxels} stray voxels"
        count = "1 slice" if len(self.slices) == 1 else f"{len(self.slices)} slices"
        if self.box_stretch_mm is None:
            harm = f"{'prompts' if one else 'prompt'} {count} on which the rest of the mask has no voxel"
        else:
            harm = f"{'stretches' if one else 'stretch'} the prompt box by {self.box_stretch_mm:.0f} mm on {count}"
        return (
            f"{what} at {_place(self.position_lps_mm)}, {self.distance_mm:.0f} mm from the rest of the mask, {harm}; "
            f"erase {'it' if one else 'them'} unless meant."
        )


def _place(position_lps_mm: tuple[float, float, float]) -> str:
    """Such as "L 12, P 40, S 103 mm"."""
    letters = (("L", "R"), ("P", "A"), ("S", "I"))
    named = zip(position_lps_mm, letters, strict=True)
    return ", ".join(f"{plus if value >= 0 else minus} {abs(value):.0f}" for value, (plus, minus) in named) + " mm"


def find_stray(mask: Volume, config: StrayConfig = DEFAULT_CONFIG) -> tuple[StrayPiece, ...]:
    """Find the stray pieces of a mask (any grid; not zero is inside), largest harm first.

    Pieces are 26-connected. A separate bone is none of them: it is larger than `most_ml`, or close to its neighbours,
    or inside the box anyway. The largest piece of a mask is never stray.
    """
    content = _tight(mask)
    pieces = _tiny_pieces(content, config)
    if not pieces:
        return ()
    rest = content.voxels.copy()
    for index in pieces:
        rest[tuple(index.T)] = False
    boxes = {box.z: box for box in prompt_boxes(content.with_voxels(rest), 1)}
    offset_z = _slice_offset(mask, content)
    spacing_zyx = np.asarray(content.spacing_mm[::-1])
    found = []
    for index in pieces:
        stretch_mm, slices = _harm(content, index, boxes, config.least_stretch_mm)
        distance_mm = _distance_mm(rest, index, spacing_zyx) if slices else 0.0
        if distance_mm < config.least_distance_mm:
            continue
        middle = index[np.argmin(np.linalg.norm((index - index.mean(axis=0)) * spacing_zyx, axis=1))]
        x, y, z = content.affine.points_mm(middle[::-1])
        found.append(
            StrayPiece(
                (float(x), float(y), float(z)),
                len(index),
                len(index) * float(np.prod(spacing_zyx)) / 1000.0,
                distance_mm,
                tuple(number + offset_z for number in slices),
                stretch_mm,
            )
        )
    return tuple(sorted(found, key=lambda piece: -(piece.box_stretch_mm or 0.0)))


def remove_stray(mask: Volume, pieces: Iterable[StrayPiece]) -> Volume:
    """The mask without the pieces that the user chose from `find_stray`; the mask given is not changed."""
    labels, _ = ndimage.label(mask.voxels != 0, np.ones((3, 3, 3)))
    voxels = mask.voxels.copy()
    for piece in pieces:
        x, y, z = np.round(mask.affine.indices(piece.position_lps_mm)).astype(int)
        if labels[z, y, x]:
            voxels[labels == labels[z, y, x]] = 0
    return mask.with_voxels(voxels)


def _tiny_pieces(content: Volume, config: StrayConfig) -> list[npt.NDArray[np.int_]]:
    """The voxels (n, 3 as z, y, x) of each piece that is tiny, but never of the largest piece."""
    labels, _ = ndimage.label(content.voxels, np.ones((3, 3, 3)))
    inside = np.flatnonzero(labels)  # a hundredth of a whole-body CT: everything below is quick
    if inside.size == 0:
        return []
    numbers = labels.ravel()[inside]
    sizes = np.bincount(numbers)
    voxel_ml = float(np.prod(content.spacing_mm)) / 1000.0
    tiny = (sizes * voxel_ml <= config.most_ml) | (sizes <= config.most_voxels)
    tiny[int(np.argmax(sizes))] = False
    chosen = tiny[numbers]
    numbers, voxels = numbers[chosen], np.stack(np.unravel_index(inside[chosen], labels.shape), axis=1)
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order])) + 1
    return [each for each in np.split(voxels[order], starts) if len(each)]


def _distance_mm(
    rest: npt.NDArray[np.bool_], index: npt.NDArray[np.int_], spacing_zyx: npt.NDArray[np.float64]
) -> float:
    """From a piece to the nearest voxel of the rest, looked for in boxes that grow until they hold it."""
    reach_mm = 30.0
    while True:
        margin = np.ceil(reach_mm / spacing_zyx).astype(int)
        low = np.maximum(index.min(axis=0) - margin, 0)
        high = np.minimum(index.max(axis=0) + margin + 1, rest.shape)
        near = np.argwhere(rest[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]) + low
        whole = bool((low == 0).all() and (high == rest.shape).all())
        if len(near):
            distance_mm = float(cKDTree(index * spacing_zyx).query(near * spacing_zyx)[0].min())
            if distance_mm <= reach_mm or whole:
                return distance_mm
        elif whole:
            return 0.0
        reach_mm *= 2


def _harm(
    content: Volume, index: npt.NDArray[np.int_], boxes: dict[int, SliceBox], least_mm: float
) -> tuple[float | None, tuple[int, ...]]:
    """How far a piece (z, y, x indices) moves box edges, and on which slices it does or makes a box of its own."""
    x_mm, y_mm, _ = content.spacing_mm
    worst_mm: float | None = None
    slices = []
    for z in np.unique(index[:, 0]):
        rows, columns = index[index[:, 0] == z, 1], index[index[:, 0] == z, 2]
        box = boxes.get(int(z))
        if box is None:
            slices.append(int(z))
            continue
        wide = SliceBox(
            box.z,
            min(box.x0, int(columns.min())),
            min(box.y0, int(rows.min())),
            max(box.x1, int(columns.max()) + 1),
            max(box.y1, int(rows.max()) + 1),
        )
        stretch_mm = move_mm(box, wide, x_mm, y_mm)
        if stretch_mm > least_mm:
            slices.append(int(z))
            worst_mm = max(worst_mm or 0.0, stretch_mm)
    return worst_mm, tuple(slices)


def _tight(mask: Volume) -> Volume:
    return crop_to_content(mask.with_voxels(mask.voxels != 0).reoriented())


def _slice_offset(mask: Volume, content: Volume) -> int:
    """Number of the content's first slice on the mask's own grid towards LPS."""
    return round(float(mask.reoriented().affine.indices(content.affine.origin_mm)[2]))
