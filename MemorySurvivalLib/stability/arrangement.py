"""A change applied to a case: the images, boxes and prompts that are then read."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes, raise_step
from MemorySurvivalLib.roi.dilation import ROUNDING_MM, dilate_mm, measure_distance_mm
from MemorySurvivalLib.stability.changes import Change, grow, shift_pet
from MemorySurvivalLib.stability.odd_boxes import place_boxes

Steps = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Arrangement:
    """What a pass over a changed case reads. `pet_steps` are the voxels (x, y, z) that the PET is moved by.

    `done` is the change in words, with the millimetres that the voxels allowed.
    """

    change: Change
    done: str
    mask: Volume
    boxes: tuple[SliceBox, ...]
    config: PropagationConfig
    pet_steps: Steps


class NotApplicable(InputError):
    """A change that this case or this bundle does not allow; the text says why."""


def arrange(change: Change, case: Case, mask: Volume, config: PropagationConfig) -> Arrangement:
    """Apply `change` to a case and the mask (bool, on the case's grid, axes running to LPS) of its region.

    Masks grow by the asked millimetres or by one voxel in the plane, whatever is more; the PET moves by the nearest
    whole voxels, at least one, so that nothing is interpolated again. Raises NotApplicable with one sentence.
    """
    if "jitter" in change.prompt and config.prompt.kind != "box":
        raise NotApplicable(f"The model is prompted with {config.prompt.kind}, so there are no boxes to jitter.")
    if "padding_mm" in change.prompt and config.prompt.kind != "box":
        raise NotApplicable(f"The model is prompted with {config.prompt.kind}, so there are no boxes to pad.")
    done = change.family
    if change.grow_mm:
        by_mm = float(np.sign(change.grow_mm)) * max(abs(change.grow_mm), *case.ct.spacing_mm[:2])
        mask = grown(mask, by_mm)
        if by_mm != change.grow_mm:
            done = grow(by_mm).family
        if not mask.voxels.any():
            raise NotApplicable(f"Nothing of the mask is left when it is eroded by {-by_mm:.3g} mm.")
    steps = whole_steps(change.pet_shift_mm, case.ct.spacing_mm)
    if any(steps):
        moved_mm = np.asarray(steps) * case.ct.spacing_mm
        if np.abs(moved_mm - change.pet_shift_mm).max() > ROUNDING_MM:
            done = shift_pet(*moved_mm.tolist()).family
    every = prompt_boxes(mask, 1)
    step = change.slice_step or raise_step(len(every), config.slice_step, config.most_slices)
    if change.first_slice and step == 1:
        raise NotApplicable("The model reads every slice, so there are no slices between those used.")
    boxes = every[change.first_slice :: step]
    if not boxes:
        raise NotApplicable("The region lies in one slice, so there are no slices between those used.")
    prompt = msgspec.structs.replace(config.prompt, **change.prompt)
    changed = msgspec.structs.replace(
        config,
        slice_step=change.slice_step or config.slice_step,
        direction=change.direction or config.direction,
        mode=change.mode or config.mode,
        prompt=prompt,
    )
    return Arrangement(change, done, mask, place_boxes(boxes, change.boxes, case.ct, change.seed), changed, steps)


def grown(mask: Volume, by_mm: float) -> Volume:
    """The mask (bool) dilated by millimetres, or eroded for a negative number: what stays is farther than that from
    every voxel outside the mask. What lies beyond the image does not erode it."""
    if by_mm > 0:
        return mask.with_voxels(dilate_mm(mask, by_mm).voxels.astype(np.bool_))
    result = np.zeros_like(mask.voxels)
    boxes = ndimage.find_objects(mask.voxels.astype(np.uint8))
    if not boxes:
        return mask.with_voxels(result)
    # One voxel around the mask is enough to measure from, and spares a distance map of the whole body.
    box = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in boxes[0])
    x, y, z = mask.spacing_mm
    result[box] = measure_distance_mm(~mask.voxels[box], (z, y, x)) > -by_mm + ROUNDING_MM
    return mask.with_voxels(result)


def whole_steps(shift_mm: tuple[float, float, float], spacing_mm: tuple[float, float, float]) -> Steps:
    """The whole voxels nearest to a shift, at least one where it is not zero."""
    x, y, z = (
        int(np.sign(by) * max(1, round(abs(by) / each))) if by else 0
        for by, each in zip(shift_mm, spacing_mm, strict=True)
    )
    return x, y, z


def moved(image: Volume, steps: Steps) -> Volume:
    """The voxels moved along x, y and z on the same grid; zero where nothing comes from."""
    result = np.zeros_like(image.voxels)
    to, source = [], []
    for by, size in zip(reversed(steps), image.shape, strict=True):
        to.append(slice(max(by, 0), max(size + min(by, 0), 0)))
        source.append(slice(max(-by, 0), max(size - max(by, 0), 0)))
    result[tuple(to)] = image.voxels[tuple(source)]
    return image.with_voxels(result)
