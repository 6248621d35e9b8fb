"""How well a backbone's masks overlap the truth: prompted on every slice, and followed from one box through memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.prompts import box_prompt
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.training.backbone_data import StoredCase
from MemorySurvivalLib.training.clips import LEAST_VOXELS, Structure

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


@dataclass(frozen=True, eq=False)
class SliceRun:
    """Slices of one structure in one modality, `step` apart and running to the feet, in the model's pictures.

    `pictures` (n, 3, s, s); `masks` (n, s, s) the truth; `boxes` (n, 4) tight around it.
    """

    pictures: torch.Tensor
    masks: torch.Tensor
    boxes: torch.Tensor


@dataclass(frozen=True)
class DiceOf:
    """Mean Dice over the slices of a run: a mask from a box on every slice; masks followed from the first slice's box
    (over the slices after it); and what the box itself reaches, filled: the slice's own, and the first one kept."""

    prompted: float
    tracked: float
    box: float
    first_box: float


def take_run(
    case: StoredCase,
    modality: Modality,
    structure: Structure,
    window: Window,
    *,
    image_size: int,
    slices: int,
    step: int,
    start: float = 0.5,
) -> SliceRun | None:
    """`slices` slices of a structure, their middle at the share `start` of its extent from the feet; None where it
    shows on fewer than three of them."""
    rows, columns = (slice(0, size) for size in case.labels.shape[1:])
    every = list(range(case.labels.shape[0]))
    mask = structure.mask(case, every, rows, columns)
    shown = np.flatnonzero(mask.sum(axis=(1, 2)) >= LEAST_VOXELS)
    if not len(shown):
        return None
    centre = float(np.quantile(shown, start))
    top = int(min(shown[-1], round(centre + step * (slices - 1) / 2)))
    chosen = [z for z in range(top, top - step * slices, -step) if z in set(shown.tolist())]
    if len(chosen) < 3:
        return None
    grid = Volume(
        np.broadcast_to(np.uint8(0), (1, *mask.shape[1:])), Affine.from_parts(case.spacing_mm, np.eye(3), (0.0,) * 3)
    )
    frame = SliceFrame.of(grid, image_size)
    pictures = frame.picture(case.images[modality][chosen].astype(np.float32), window)
    masks = torch.stack([frame.mask(mask[z]) for z in chosen])
    boxes = torch.stack([_box(one) for one in masks])
    return SliceRun(pictures, masks, boxes)


@torch.inference_mode()
def measure_run(model: SAM2Base, run: SliceRun) -> DiceOf:
    """Dice of the model on one run, on the picture's grid. The model is in evaluation mode, as scoring uses it."""
    prompted, tracked = prompted_masks(model, run), tracked_masks(model, run)
    filled = torch.stack([_fill(box, run.masks.shape[-1]) for box in run.boxes])
    first = filled[:1].expand_as(filled)
    later = slice(1, None)
    return DiceOf(
        prompted=_dice(prompted, run.masks),
        tracked=_dice(tracked[later], run.masks[later]),
        box=_dice(filled, run.masks),
        first_box=_dice(first[later], run.masks[later]),
    )


@torch.inference_mode()
def prompted_masks(model: SAM2Base, run: SliceRun) -> npt.NDArray[np.bool_]:
    """Masks (n, s, s) of slices that are each given their own box, alone: mode `boxed`."""
    found = [
        _step(model, picture[None], box[None], None, 0, 1)[0]
        for picture, box in zip(run.pictures, run.boxes, strict=True)
    ]
    return np.stack(found)


@torch.inference_mode()
def tracked_masks(model: SAM2Base, run: SliceRun) -> npt.NDArray[np.bool_]:
    """Masks (n, s, s) where only the first slice is given its box: mode `tracked`."""
    history: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    found = []
    for position, picture in enumerate(run.pictures):
        box = run.boxes[:1] if position == 0 else None
        mask, output = _step(model, picture[None], box, history, position, len(run.pictures))
        history["cond_frame_outputs" if position == 0 else "non_cond_frame_outputs"][position] = output
        found.append(mask)
    return np.stack(found)


def _step(
    model: SAM2Base,
    picture: torch.Tensor,
    box: torch.Tensor | None,
    history: Mapping[str, dict[int, Any]] | None,
    position: int,
    count: int,
) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    _, features, places, sizes = model._prepare_backbone_features(model.forward_image(picture))
    prompt = None if box is None else box_prompt(box)
    output: dict[str, Any] = model.track_step(
        frame_idx=position,
        is_init_cond_frame=position == 0,
        current_vision_feats=features,
        current_vision_pos_embeds=places,
        feat_sizes=sizes,
        point_inputs=None if prompt is None else {"point_coords": prompt.points, "point_labels": prompt.labels},
        mask_inputs=None,
        output_dict=history or {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}},
        num_frames=count,
        run_mem_encoder=history is not None,
    )
    return (output["pred_masks_high_res"][0, 0] > 0).numpy(), output


def _box(mask: torch.Tensor) -> torch.Tensor:
    ys, xs = (torch.nonzero(mask.any(dim=axis))[:, 0] for axis in (1, 0))
    return torch.stack([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]).float()


def _fill(box: torch.Tensor, side: int) -> torch.Tensor:
    filled = torch.zeros(side, side, dtype=torch.bool)
    x0, y0, x1, y1 = (int(edge) for edge in box)
    filled[y0:y1, x0:x1] = True
    return filled


def _dice(found: npt.NDArray[np.bool_] | torch.Tensor, truth: torch.Tensor) -> float:
    """Mean over slices; the truth is on each."""
    first, second = np.asarray(found, dtype=np.bool_), truth.numpy() > 0.5
    both = (first & second).sum(axis=(1, 2))
    return float(np.mean(2 * both / (first.sum(axis=(1, 2)) + second.sum(axis=(1, 2)))))
