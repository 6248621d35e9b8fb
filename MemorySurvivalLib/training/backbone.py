"""Training the compact backbone: promptable masks and one step of propagation through memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.backbone import COMPACT, BackboneSpec, build_backbone, load_weights
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.training.clips import Clip, ClipSource, draw_clip

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

_LOG = logging.getLogger(__name__)

SAVE_EVERY = 50


@dataclass(frozen=True)
class BackboneTraining:
    """One stage: picture size, length and rate; `frames` 2 means a prompted slice and one tracked through memory."""

    image_size: int
    steps: int
    batch: int
    frames: int
    learning_rate: float
    seed: int = 20


def train_backbone(
    start: Mapping[str, torch.Tensor] | None,
    sources: list[ClipSource],
    windows: dict[Modality, Window],
    config: BackboneTraining,
    checkpoint: Path,
    progress: ProgressCallback = ignore_progress,
) -> SAM2Base:
    """Train one stage of the compact network; saved every SAVE_EVERY steps, resumed where `checkpoint` exists.

    Starts from the weights `start`, or from seeded random ones. No parameter depends on the picture size, so an early
    stage can use small pictures. Every step draws its clips from a generator seeded by (seed, step), so an interrupted
    training continues with the material it would have seen. Returns the model in evaluation mode.
    """
    spec = BackboneSpec(COMPACT.architecture, config.image_size)
    model = build_backbone(spec, seed=config.seed)
    if start is not None:
        load_weights(model, start)
    model.requires_grad_(True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=config.learning_rate, total_steps=config.steps + 1, pct_start=0.1
    )
    first = _resume(checkpoint, model, optimiser, schedule)
    model.train()
    meter = Meter(f"backbone {config.image_size}", config.steps - first, progress)
    for step in range(first, config.steps):
        torch.manual_seed(config.seed * 1_000_003 + step)
        rng = np.random.default_rng((config.seed, step))
        clips = [draw_clip(sources, windows, spec.image_size, config.frames, rng) for _ in range(config.batch)]
        loss, dice = clip_loss(model, clips)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        _LOG.info("step %d loss %.4f Dice of prompted, tracked slices %s", step, loss.detach().item(), dice)
        meter.step()
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == config.steps:
            _save(checkpoint, model, optimiser, schedule, step + 1)
    model.requires_grad_(False)
    return model.eval()


def clip_loss(model: SAM2Base, clips: list[Clip]) -> tuple[torch.Tensor, list[float]]:
    """Mean loss over the frames of a batch of clips, and the Dice of the chosen masks per frame."""
    count = len(clips)
    frames = clips[0].pictures.shape[0]
    pictures = torch.stack([clip.pictures for clip in clips])
    masks = torch.stack([clip.masks for clip in clips])
    boxes = torch.stack([clip.box for clip in clips])
    history: dict[str, Any] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    losses, dices = [], []
    for t in range(frames):
        _, features, positions, sizes = model._prepare_backbone_features(model.forward_image(pictures[:, t]))
        prompt = None
        if t == 0:
            labels = torch.tensor([2, 3], dtype=torch.int32).expand(count, 2)
            prompt = {"point_coords": boxes.reshape(count, 2, 2), "point_labels": labels}
        output, sam, _, _ = model._track_step(
            t, t == 0, features, positions, sizes, prompt, None, history, frames, False, None
        )
        _, many, ious, _, chosen, pointer, presence = sam
        losses.append(_frame_loss(many, ious, presence, masks[:, t]))
        dices.append(float(_dice(chosen.detach() > 0, masks[:, t] > 0.5).mean()))
        memory, memory_position = model._encode_new_memory(features, sizes, chosen, presence, t == 0)
        output.update(maskmem_features=memory, maskmem_pos_enc=memory_position, obj_ptr=pointer)
        history["cond_frame_outputs" if t == 0 else "non_cond_frame_outputs"][t] = output
    return torch.stack(losses).mean(), [round(value, 3) for value in dices]


def _frame_loss(many: torch.Tensor, ious: torch.Tensor, presence: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Balanced cross-entropy + Dice of the best of the offered masks, its predicted IoU, and object presence."""
    target = truth.expand(-1, many.shape[1], -1, -1)
    raw = binary_cross_entropy_with_logits(many, target, reduction="none")
    probability = many.sigmoid()
    # Structures fill a few percent of a slice: unless both sides count alike, the empty mask is a trap from which a
    # network without pre-training does not come out (SAM 2's focal loss starts from a trained encoder).
    inside = (raw * target).sum(dim=(2, 3)) / target.sum(dim=(2, 3)).clamp(min=1)
    outside = (raw * (1 - target)).sum(dim=(2, 3)) / (1 - target).sum(dim=(2, 3)).clamp(min=1)
    balanced = (inside + outside) / 2
    overlap = (probability * target).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3)) + 1)
    mask_loss = balanced + dice
    best = mask_loss.argmin(dim=1)
    rows = torch.arange(len(best))
    hard = many.detach() > 0
    union = (hard | (target > 0.5)).sum(dim=(2, 3)).clamp(min=1)
    true_iou = (hard & (target > 0.5)).sum(dim=(2, 3)) / union
    here = (truth.sum(dim=(1, 2, 3)) > 0).float()
    return (
        (mask_loss[rows, best] * here).mean()
        + l1_loss(ious[rows, best], true_iou[rows, best])
        + binary_cross_entropy_with_logits(presence[:, 0], here)
    )


def _dice(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    both = (first & second).sum(dim=(1, 2, 3))
    return (2 * both + 1) / (first.sum(dim=(1, 2, 3)) + second.sum(dim=(1, 2, 3)) + 1)


def _save(path: Path, model: SAM2Base, optimiser: Any, schedule: Any, step: int) -> None:
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
    with atomic_file(path) as temporary:
        torch.save({**state, "step": step}, temporary)


def _resume(path: Path, model: SAM2Base, optimiser: Any, schedule: Any) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])
