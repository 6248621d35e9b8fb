"""Boxes that do not fit the region: one for all slices, at random places, beside the region."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.imaging.case import BODY_THRESHOLD_HU
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.boxes import SliceBox

BoxRule = Literal["region", "coarse", "random", "beside"]
"""`region`: the tight box of each slice. `coarse`: on every slice the one box around the region of all slices.
`random`: a box of the slice's size at a random place in the image. `beside`: the same with its centre in the body
and no overlap with the slice's own box."""


def place_boxes(boxes: tuple[SliceBox, ...], rule: BoxRule, ct: Volume, seed: int = 0) -> tuple[SliceBox, ...]:
    """The boxes of another rule for the slices of `boxes`; `ct` is in HU with axes running to LPS.

    Places are drawn from `seed` and the slice's index. Where nothing in the body is clear of the slice's own box, the
    place in the image that overlaps it least is taken.
    """
    if rule == "region" or not boxes:
        return boxes
    if rule == "coarse":
        x0, y0 = min(box.x0 for box in boxes), min(box.y0 for box in boxes)
        x1, y1 = max(box.x1 for box in boxes), max(box.y1 for box in boxes)
        return tuple(SliceBox(box.z, x0, y0, x1, y1) for box in boxes)
    return tuple(_place(box, rule, ct, np.random.default_rng((seed, box.z))) for box in boxes)


def _place(box: SliceBox, rule: BoxRule, ct: Volume, rng: np.random.Generator) -> SliceBox:
    _, rows, columns = ct.shape
    width, height = box.x1 - box.x0, box.y1 - box.y0
    if rule == "random":
        x0, y0 = int(rng.integers(columns - width + 1)), int(rng.integers(rows - height + 1))
        return SliceBox(box.z, x0, y0, x0 + width, y0 + height)
    # All places of the box's corner: y0 down the rows, x0 along the columns.
    y, x = np.indices((rows - height + 1, columns - width + 1))
    overlap = _shared(y, box.y0, height) * _shared(x, box.x0, width)
    allowed = overlap == 0
    in_body = allowed & (ct.voxels[box.z][y + height // 2, x + width // 2] > BODY_THRESHOLD_HU)
    candidates = in_body if in_body.any() else allowed if allowed.any() else overlap == overlap.min()
    y0, x0 = (int(one) for one in rng.choice(np.argwhere(candidates)))
    return SliceBox(box.z, x0, y0, x0 + width, y0 + height)


def _shared(start: npt.NDArray[np.int_], own: int, size: int) -> npt.NDArray[np.int_]:
    """The length that two spans of `size` have in common."""
    shared: npt.NDArray[np.int_] = np.maximum(size - np.abs(start - own), 0)
    return shared
