"""Checking one mask against its CT before it is scored: the panel's question, answered from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.manifest import Manifest
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto
from MemorySurvivalLib.memory.prompts import PromptConfig, Prompter
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes
from MemorySurvivalLib.roi.review import MaskReview, review_mask

Point = tuple[float, float, float]

_CORNERS = tuple((x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1))


@dataclass(frozen=True)
class ImageGrid:
    """Where a CT's voxels lie, without the CT: voxels along x, y, z and the matrix (4 x 4) from indices to LPS mm."""

    size: tuple[int, int, int]
    index_to_lps: tuple[tuple[float, float, float, float], ...]

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise InputError(f"The CT's grid must have voxels along every axis, got {self.size}.")
        Affine(np.array(self.index_to_lps))

    def volume(self) -> Volume:
        """A volume of this grid; its voxels say nothing."""
        return Volume(np.zeros(self.size[::-1], np.uint8), Affine(np.array(self.index_to_lps)))


@dataclass(frozen=True)
class CheckMaskRequest:
    """The mask, and the CT that it belongs to: as a file, or as its grid alone, because its voxels play no part.

    `generated` is the mask as it was generated, where it was kept; `bundle` the model that will be used; `before` the
    boxes of an earlier check with the same bundle and CT, to compare with.
    """

    mask: Path
    ct: Path | None = None
    grid: ImageGrid | None = None
    generated: Path | None = None
    bundle: str = "demonstration"
    before: tuple[SliceBox, ...] | None = None

    def __post_init__(self) -> None:
        if (self.ct is None) == (self.grid is None):
            raise InputError("A mask is checked against a CT; give its file or its grid.")


@dataclass(frozen=True)
class PlacedBox:
    """What one slice is prompted with, as a slab in the patient.

    `corners_lps_mm` are its eight corners; x runs fastest, then y, then z, which is the slice's whole thickness.
    """

    z: int
    corners_lps_mm: tuple[Point, ...]


@dataclass(frozen=True)
class PromptChange:
    """How many slices' boxes differ, of how many, and from what: the boxes given ("before") or the "generated" mask.

    `same_risk` is true where boxes are all that the model takes of a mask, and none of them differs. It is never true
    of a model that is prompted with the mask, reads memories inside it or measures what it covers.
    """

    changed: int
    prompted: int
    since: str
    same_risk: bool


@dataclass(frozen=True)
class MaskCheck:
    """A mask's review, the boxes it prompts with (slices of the CT towards LPS, head first), and what an edit changed.

    `boxes` are tight, for a later comparison; `placed` are as the model gets them, padding and jitter included.
    """

    review: MaskReview
    boxes: tuple[SliceBox, ...]
    placed: tuple[PlacedBox, ...]
    prompts: PromptChange | None


def check_mask(request: CheckMaskRequest) -> MaskCheck:
    """Read the files and review the mask with the bundle's prompts; nothing is written."""
    manifest = read_archive(find_bundle(request.bundle)).manifest
    config = manifest.propagation
    ct = request.grid.volume() if request.grid is not None else read_volume(_given(request.ct), "CT")
    mask = read_volume(request.mask, "mask")
    generated = None if request.generated is None else read_volume(request.generated, "generated mask")
    review = review_mask(mask, ct, config.slice_step, generated, config.most_slices)
    grid = ct.reoriented()
    boxes = find_boxes(mask, grid, config.slice_step, config.most_slices)
    return MaskCheck(review, boxes, place_boxes(boxes, grid, config.prompt), _compare(request, review, boxes, manifest))


def find_boxes(mask: Volume, grid: Volume, slice_step: int, most_slices: int | None = None) -> tuple[SliceBox, ...]:
    """The boxes that scoring makes of a mask (any grid; not zero is inside) on a CT's grid (axes towards LPS)."""
    binary = mask.with_voxels((mask.voxels > 0).astype(np.uint8)).reoriented()
    there = resample_onto(binary, grid, linear=False)
    return prompt_boxes(there.with_voxels(there.voxels != 0), slice_step, most_slices)


def place_boxes(boxes: tuple[SliceBox, ...], grid: Volume, config: PromptConfig) -> tuple[PlacedBox, ...]:
    """The boxes as the model gets them, in the patient; `grid` runs to LPS and numbers the slices."""
    frame = SliceFrame.of(grid, max(grid.shape[1:]))  # the picture's size plays no part
    prompter = Prompter(msgspec.structs.replace(config, kind="box"), frame, grid.spacing_mm)
    placed = []
    for box in boxes:
        edges = prompter.edges(box)
        low = np.array([edges.x0, edges.y0, edges.z])
        size = np.array([edges.x1 - edges.x0, edges.y1 - edges.y0, 1.0])
        # A voxel's edge lies half a voxel before its centre, which is where indices count from.
        corners = grid.affine.points_mm(low - 0.5 + np.array(_CORNERS) * size)
        placed.append(PlacedBox(box.z, tuple(_point(corner) for corner in corners)))
    return tuple(placed)


def _compare(
    request: CheckMaskRequest, review: MaskReview, boxes: tuple[SliceBox, ...], manifest: Manifest
) -> PromptChange | None:
    config = manifest.propagation
    measured = any(head.spec.statistics for head in manifest.heads)
    whole = config.close_up_mm is None
    boxes_alone = config.prompt.kind == "box" and not config.inside and not measured and whole
    if request.before is not None:
        old = {box.z: box for box in request.before}
        new = {box.z: box for box in boxes}
        changed = sum(old.get(z) != new.get(z) for z in old.keys() | new.keys())
        return PromptChange(changed, len(boxes), "before", boxes_alone and changed == 0)
    if review.boxes is not None:
        changed = review.boxes.total
        return PromptChange(changed, len(boxes), "generated", boxes_alone and changed == 0)
    return None


def _given(path: Path | None) -> Path:
    assert path is not None  # __post_init__ saw to it
    return path


def _point(values: npt.NDArray[np.float64]) -> Point:
    x, y, z = (round(float(value), 4) for value in values)
    return x, y, z
