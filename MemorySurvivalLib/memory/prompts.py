"""What the model is told about a slice: the box of its ROI, the ROI mask itself, or points inside the ROI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.roi.boxes import SliceBox

PromptKind = Literal["box", "mask", "points"]

MAX_JITTER = 0.1
MAX_POINTS = 32

_INSIDE = 1
_CORNERS = (2, 3)  # SAM's prompt encoder takes a box as two points with these labels: its corners


class PromptConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a used slice is prompted: part of a model bundle.

    `box` is the paper's: the tight box of the ROI. `padding_mm` moves its edges outwards; `jitter` then moves each
    edge by a random share of the box's side, at most this share, drawn anew for every slice from `seed` and the
    slice's index, so that it does not depend on the other slices, the direction or the modality. `mask` gives the ROI
    pixels themselves, `points` this many points inside the ROI.
    """

    kind: PromptKind = "box"
    padding_mm: Annotated[float, msgspec.Meta(ge=0, le=500)] = 0.0
    jitter: Annotated[float, msgspec.Meta(ge=0, le=MAX_JITTER)] = 0.0
    points: Annotated[int, msgspec.Meta(ge=1, le=MAX_POINTS)] = 1
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        if not 0 <= self.padding_mm <= 500:
            raise InputError(f"The box padding must be 0 to 500 mm, got {self.padding_mm:g}.")
        if not 0 <= self.jitter <= MAX_JITTER:
            raise InputError(f"The box jitter must be 0 to {MAX_JITTER} of the box's side, got {self.jitter:g}.")
        if not 1 <= self.points <= MAX_POINTS:
            raise InputError(f"A points prompt needs 1 to {MAX_POINTS} points a slice, got {self.points}.")


@dataclass(frozen=True)
class PromptBox:
    """The box that slice `z` is prompted with, in voxel edges; between voxels after padding or jitter."""

    z: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, eq=False)
class PointPrompt:
    """Points (n, p, 2) as x, y in picture pixels and their labels (n, p), int32: 1 inside, 2 and 3 a box's corners."""

    points: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """Masks (n, 1, size, size) in picture pixels, float32, 0 or 1."""

    masks: torch.Tensor


Prompt = PointPrompt | MaskPrompt


def box_prompt(boxes: torch.Tensor) -> PointPrompt:
    """Boxes (n, 4) as x0, y0, x1, y1 in picture pixels, in the way SAM 2 takes them."""
    count = boxes.shape[0]
    labels = torch.tensor(_CORNERS, dtype=torch.int32).expand(count, 2)
    return PointPrompt(boxes.reshape(count, 2, 2), labels)


def split_prompt(prompt: Prompt, part: slice) -> Prompt:
    """The prompt of some of its slices."""
    if isinstance(prompt, PointPrompt):
        return PointPrompt(prompt.points[part], prompt.labels[part])
    return MaskPrompt(prompt.masks[part])


@dataclass(frozen=True, eq=False)
class Prompter:
    """Makes the prompts of one pass. `mask` (bool, z, y, x, axes running to LPS) is needed for masks and points."""

    config: PromptConfig
    frame: SliceFrame
    spacing_mm: tuple[float, float, float]
    mask: Volume | None = None

    def __post_init__(self) -> None:
        if self.config.kind != "box" and self.mask is None:
            raise InputError(f"A {self.config.kind} prompt needs the ROI mask, not only its boxes; pass the mask.")
        if self.mask is not None and self.mask.shape[1:] != (self.frame.rows, self.frame.columns):
            raise InputError(
                f"The ROI's slices have {self.mask.shape[1:]} pixels, the image's "
                f"{(self.frame.rows, self.frame.columns)}; bring the mask onto the image's grid."
            )

    def edges(self, box: SliceBox) -> PromptBox:
        """The box after padding and jitter, cut at the image's border; never thinner than 0.8 of what it was."""
        x0, y0, x1, y1 = float(box.x0), float(box.y0), float(box.x1), float(box.y1)
        if self.config.padding_mm:
            across, down = (self.config.padding_mm / self.spacing_mm[axis] for axis in (0, 1))
            x0, y0, x1, y1 = x0 - across, y0 - down, x1 + across, y1 + down
        if self.config.jitter:
            shares = np.random.default_rng((self.config.seed, box.z)).uniform(-1, 1, 4) * self.config.jitter
            moves = shares * ((x1 - x0), (y1 - y0), (x1 - x0), (y1 - y0))
            x0, y0, x1, y1 = (float(edge + move) for edge, move in zip((x0, y0, x1, y1), moves, strict=True))
        columns, rows = self.frame.columns, self.frame.rows
        return PromptBox(box.z, max(x0, 0.0), max(y0, 0.0), min(x1, float(columns)), min(y1, float(rows)))

    def prompt(self, boxes: Sequence[PromptBox]) -> Prompt:
        """The prompt of the slices of `boxes`, which `edges` made."""
        if self.mask is None or self.config.kind == "box":
            return box_prompt(torch.stack([self.frame.box(box) for box in boxes]))
        pixels = [self.mask.voxels[box.z] for box in boxes]
        for box, slice_pixels in zip(boxes, pixels, strict=True):
            if not slice_pixels.any():
                raise InputError(
                    f"Slice {box.z} has a box but no ROI pixels to make a {self.config.kind} prompt of; "
                    "make the boxes from the same mask."
                )
        if self.config.kind == "mask":
            return MaskPrompt(torch.stack([self.frame.mask(one) for one in pixels])[:, None])
        chosen = [self._points(box.z, one) for box, one in zip(boxes, pixels, strict=True)]
        points = torch.stack([self.frame.points(one) for one in chosen])
        return PointPrompt(points, torch.full(points.shape[:2], _INSIDE, dtype=torch.int32))

    def _points(self, z: int, pixels: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """ROI pixels (points, 2) as x, y: first the one deepest inside, then random ones, all different if it can be.

        The deepest pixel is the one farthest from what is not ROI in millimetres (what lies beyond the image is not
        ROI); of several the first in reading order.
        """
        spacing_x, spacing_y, _ = self.spacing_mm
        depth = ndimage.distance_transform_edt(np.pad(pixels, 1), sampling=(spacing_y, spacing_x))[1:-1, 1:-1]
        first = int(np.argmax(depth))
        others = np.setdiff1d(np.flatnonzero(pixels), [first])
        wanted = self.config.points - 1
        order = np.random.default_rng((self.config.seed, z)).permutation(others)
        chosen = np.resize(np.concatenate([[first], order[:wanted]]), wanted + 1)  # a small ROI repeats its pixels
        rows, columns = np.unravel_index(chosen, pixels.shape)
        return np.stack([columns, rows], axis=1).astype(np.int64)
