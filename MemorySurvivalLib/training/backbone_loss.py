"""What the backbone is trained to do on a batch of clips: masks from prompts, masks from memory, and its losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, cross_entropy, interpolate, l1_loss

from MemorySurvivalLib.memory.prompts import PointPrompt, box_prompt
from MemorySurvivalLib.training.clips import CLASS_COUNT, LESION_CLASS, Clip

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

PromptName = Literal["box", "points", "mask"]

FOCAL_POWER = 2.0
FOCAL_WEIGHT = 2.0
CLASSES_WEIGHT = 0.5
MEMORY_WEIGHT = 5.0
LESION_CHANNELS = 4
RARE = 10.0
"""A cell with a lesion counts so many times one without: a percent of the cells hold one."""
SURROUNDINGS = 4.0
"""A pixel outside counts so many times less than one inside. That favours masks a little too large; with 2 a young
network fell back towards empty masks (docs/backbone.md)."""

_LOSS_STRIDE = 2
"""Masks are compared on half the picture's grid: twice as fine as the decoder's own, at a quarter of the price."""


class TissueHead(torch.nn.Module):
    """A map of tissue classes from the encoder's three feature maps; used in training only, then thrown away.

    Prompted masks say little about a picture; naming every cell's tissue gives an encoder without pre-training
    something to learn from everywhere.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = torch.nn.ModuleList(torch.nn.Conv2d(width, CLASS_COUNT, 1) for width in channels)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Logits (n, classes, h, w) on the grid of the finest map; `maps` are finest first."""
        side = maps[0].shape[-2:]
        each = [level(one) for level, one in zip(self.levels, maps, strict=True)]
        total: torch.Tensor = torch.stack(
            [
                interpolate(one, side, mode="bilinear", align_corners=False) if one.shape[-2:] != side else one
                for one in each
            ]
        ).sum(dim=0)
        return total


class TrainingHeads(torch.nn.Module):
    """What is used in training only, then thrown away: `tissues` on the encoder's maps, `lesions` on the memories.

    A memory made of a slice and a mask need not tell what the mask holds. One linear number a cell, which has to say
    whether a lesion lies in it, makes it do so, and in such a way that a mean over cells counts them. It is made of the
    first `LESION_CHANNELS` channels alone: few columns of an embedding can be weighed by few patients.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.tissues = TissueHead(channels)
        self.lesions = torch.nn.Conv2d(LESION_CHANNELS, 1, 1)


def training_heads_for(model: SAM2Base) -> TrainingHeads:
    """The heads that fit the widths of the model's feature maps and memories."""
    decoder = model.sam_mask_decoder
    widths = (decoder.conv_s0.out_channels, decoder.conv_s1.out_channels, int(model.hidden_dim))
    return TrainingHeads(widths)


@dataclass(frozen=True)
class Task:
    """How the first frame is prompted, and whether three masks are offered for a box too (as for a point)."""

    prompt: PromptName
    several: bool = False


def run_clips(
    model: SAM2Base, heads: TrainingHeads, clips: list[Clip], task: Task, rng: np.random.Generator
) -> tuple[torch.Tensor, dict[str, float]]:
    """Loss of a batch of clips of one shape, and what to write in the log: its parts, and the Dice of the masks chosen
    on prompted slices and on tracked ones. Slices after the first are tracked through memory, without a prompt."""
    count, frames, structures = len(clips), clips[0].pictures.shape[0], clips[0].masks.shape[1]
    encoded = model.forward_image(torch.cat([clip.pictures for clip in clips]))
    maps, positions = encoded["backbone_fpn"], encoded["vision_pos_enc"]
    parts = {"classes": _class_loss(heads.tissues(maps), torch.cat([clip.classes for clip in clips]))}
    lesions = torch.cat([clip.lesion_cells for clip in clips])
    masks = torch.stack([clip.masks for clip in clips]).transpose(0, 1).flatten(1, 2)[:, :, None]
    boxes = torch.cat([clip.boxes for clip in clips])
    history: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    losses: list[dict[str, torch.Tensor]] = []
    found: list[torch.Tensor] = []
    dices: list[float] = []
    for t in range(frames):
        rows = torch.arange(t, count * frames, frames).repeat_interleave(structures)
        frame = {
            "backbone_fpn": [one[rows] for one in maps],
            "vision_pos_enc": [one[:1].expand(len(rows), -1, -1, -1) for one in positions],
        }
        _, features, places, sizes = model._prepare_backbone_features(frame)
        points = _points(task.prompt, boxes, masks[0], rng) if t == 0 else None
        given = masks[0] if t == 0 and task.prompt == "mask" else None
        with _masks_offered(model, task.several):
            output, sam, _, _ = model._track_step(
                t, t == 0, features, places, sizes, points, given, history, frames, False, None
            )
        many, _, ious, _, chosen, pointer, presence = sam
        if given is None:
            losses.append(_frame_loss(many, ious, presence, masks[t]))
            dices.append(_mean_dice(chosen.detach(), masks[t]))
        memory, memory_places = model._encode_new_memory(features, sizes, chosen, presence, points is not None)
        found.append(_lesion_loss(heads.lesions(memory[:, :LESION_CHANNELS])[:, 0], lesions[rows]))
        if frames > 1:
            output.update(maskmem_features=memory, maskmem_pos_enc=memory_places, obj_ptr=pointer)
            history["cond_frame_outputs" if t == 0 else "non_cond_frame_outputs"][t] = output
    for name in losses[0]:
        parts[name] = torch.stack([one[name] for one in losses]).mean()
    parts["lesions"] = torch.stack(found).mean()
    loss = (
        FOCAL_WEIGHT * parts["focal"]
        + parts["dice"]
        + parts["iou"]
        + parts["presence"]
        + CLASSES_WEIGHT * parts["classes"]
        + MEMORY_WEIGHT * parts["lesions"]
    )
    logged = {name: part.detach().item() for name, part in parts.items()}
    logged["loss"] = loss.detach().item()
    tracked = dices if task.prompt == "mask" else dices[1:]
    if task.prompt != "mask":
        logged["dice_prompted"] = dices[0]
    if tracked:
        logged["dice_tracked"] = float(np.mean(tracked))
    return loss, logged


def _points(
    prompt: PromptName, boxes: torch.Tensor, masks: torch.Tensor, rng: np.random.Generator
) -> Mapping[str, torch.Tensor] | None:
    """The prompt in the way SAM 2 takes it: a box's corners, or one to three points inside each mask."""
    if prompt == "mask":
        return None
    given = box_prompt(boxes)
    if prompt == "points":
        number = int(rng.integers(1, 4))
        chosen = []
        for mask in masks[:, 0]:
            inside = torch.nonzero(mask)
            chosen.append(inside[torch.from_numpy(rng.integers(len(inside), size=number))].flip(1).float())
        given = PointPrompt(torch.stack(chosen), torch.ones(len(chosen), number, dtype=torch.int32))
    return {"point_coords": given.points, "point_labels": given.labels}


@contextmanager
def _masks_offered(model: SAM2Base, several: bool) -> Iterator[None]:
    """Within this the decoder offers three masks for a box as well.

    In use it offers one, and falls back on the best of the three where that one is not stable; so they must have
    learned boxes too.
    """
    before = model.multimask_max_pt_num
    model.multimask_max_pt_num = 2 if several else before
    try:
        yield
    finally:
        model.multimask_max_pt_num = before


def _frame_loss(
    many: torch.Tensor, ious: torch.Tensor, presence: torch.Tensor, truth: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Focal and Dice loss of the best of the offered masks (n, m, h, w), its predicted IoU, and object presence."""
    here = (truth.sum(dim=(1, 2, 3)) > 0).float()
    # Where the model says that nothing is there it gives no mask, and nothing can be learned about one.
    shown = here * (presence[:, 0].detach() > 0).float()
    side = truth.shape[-1] // _LOSS_STRIDE
    logits = interpolate(many, (side, side), mode="bilinear", align_corners=False).clamp(-30, 30)
    target = avg_pool2d(truth, _LOSS_STRIDE).expand_as(logits)
    probability = logits.sigmoid()
    raw = binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = raw * (probability - target).abs() ** FOCAL_POWER
    area = target.sum(dim=(2, 3))
    # Structures fill a few percent of a picture: unless both sides count alike, the empty mask is a trap from which a
    # network without pre-training does not come out (SAM 2's plain focal loss starts from a trained encoder). What
    # is far outside is soon easy, so the outside is taken relative to the structure's surroundings, not the picture.
    inside = (focal * target).sum(dim=(2, 3)) / area.clamp(min=1)
    outside = (focal * (1 - target)).sum(dim=(2, 3)) / (SURROUNDINGS * area).clamp(min=0.02 * side * side)
    balanced = inside + outside
    overlap = (probability * target).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum(dim=(2, 3)) + area + 1)
    best = (FOCAL_WEIGHT * balanced + dice).detach().argmin(dim=1)
    rows = torch.arange(len(best))
    weight = shown / shown.sum().clamp(min=1)
    hard, true = logits.detach() > 0, target > 0.5
    true_iou = (hard & true).sum(dim=(2, 3)) / (hard | true).sum(dim=(2, 3)).clamp(min=1)
    # Every offered mask learns how good it is: the choice among them hangs on that.
    return {
        "focal": (balanced[rows, best] * weight).sum(),
        "dice": (dice[rows, best] * weight).sum(),
        "iou": (l1_loss(ious, true_iou, reduction="none").mean(dim=1) * weight).sum(),
        "presence": binary_cross_entropy_with_logits(presence[:, 0], here),
    }


def _class_loss(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    if not (classes >= 0).any():
        return logits.sum() * 0
    weights = torch.ones(CLASS_COUNT)
    weights[LESION_CLASS] = RARE
    return cross_entropy(logits, classes, weights, ignore_index=-1)


def _lesion_loss(said: torch.Tensor, lesions: torch.Tensor) -> torch.Tensor:
    """Squared error of numbers (n, h, w) against 1 where a cell holds a lesion and 0 where not; -1 is not known."""
    known = (lesions >= 0).float()
    weight = known * torch.where(lesions > 0, RARE, 1.0)
    return ((said - lesions) ** 2 * weight).sum() / known.sum().clamp(min=1)


def _mean_dice(logits: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean Dice over the structures that are there."""
    first, second = logits > 0, truth > 0.5
    area = second.sum(dim=(1, 2, 3))
    both = (first & second).sum(dim=(1, 2, 3))
    each = 2 * both / (first.sum(dim=(1, 2, 3)) + area).clamp(min=1)
    return float(each[area > 0].mean()) if (area > 0).any() else 0.0
