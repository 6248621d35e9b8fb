"""Training of the lesion reader: it is shown memories and how much of each cell is lesion, as the phantoms say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.memory.lesion_reader import KINDS, LesionReader
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track

LESION = 0.3
"""A cell counts as one with a lesion where so much of it is."""


class ReaderRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is trained: `slices` a step, half of them with a lesion; AdamW with one cycle of the learning rate."""

    steps: int = 3000
    slices: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2
    seed: int = 2026


@dataclass(frozen=True, eq=False)
class ReaderSlices:
    """Slices of many phantoms: memories (n, channels, h, w) by modality, which cells count (n, 1, h, w), shares of
    lesion (n, kinds, h, w), and whose slice each is (n,)."""

    memories: Mapping[Modality, torch.Tensor]
    counted: torch.Tensor
    shares: torch.Tensor
    owners: torch.Tensor


class ReaderFound(msgspec.Struct, frozen=True):
    """What a reader finds on phantoms it never saw, by kind: the share of cells with a lesion, the average precision,
    and in how many of the `patients` with such lesions the cell it is surest of is one, or beside one."""

    prevalence: dict[str, float]
    average_precision: dict[str, float]
    surest_at_lesion: dict[str, float]
    patients: dict[str, int]


def train_reader(
    slices: ReaderSlices, recipe: ReaderRecipe, progress: ProgressCallback = ignore_progress
) -> LesionReader:
    """A reader for every modality. Raises InputError where no slice shows a lesion."""
    torch.manual_seed(recipe.seed)
    reader = LesionReader(slices.memories["PET"].shape[1])
    for modality in MODALITIES:
        _train(reader, modality, slices, recipe, progress)
    return reader.eval().requires_grad_(False)


def _train(
    reader: LesionReader, modality: Modality, slices: ReaderSlices, recipe: ReaderRecipe, progress: ProgressCallback
) -> None:
    memories, counted = slices.memories[modality], slices.counted
    with_lesion = ((slices.shares * counted).amax(dim=(1, 2, 3)) > LESION).nonzero()[:, 0]
    if not len(with_lesion):
        raise InputError("No slice shows a lesion, so there is nothing to learn; take more patients.")
    some = memories[:: max(1, len(memories) // 4000)].float()
    reader.set_scale(modality, some.mean(dim=(0, 2, 3)), some.std(dim=(0, 2, 3)).clamp_min(1e-6))
    draws = torch.Generator().manual_seed(recipe.seed)
    network = reader.networks[modality].train()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=recipe.steps)
    half = recipe.slices // 2
    for _ in track(range(recipe.steps), f"lesion reader {modality}", recipe.steps, progress):
        chosen = torch.cat(
            [
                torch.randint(len(memories), (recipe.slices - half,), generator=draws),
                with_lesion[torch.randint(len(with_lesion), (half,), generator=draws)],
            ]
        )
        batch = (memories[chosen], counted[chosen].float(), slices.shares[chosen])
        if torch.rand((), generator=draws) < 0.5:  # left and right are alike
            batch = (batch[0].flip(3), batch[1].flip(3), batch[2].flip(3))
        loss = binary_cross_entropy_with_logits(reader.logits(batch[0], modality), batch[2], reduction="none")
        loss = (loss * batch[1]).sum() / batch[1].sum() / len(KINDS)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


def judge_reader(reader: LesionReader, slices: ReaderSlices) -> dict[str, ReaderFound]:
    """What it finds by modality."""
    # Imported here: a training extra.
    from sklearn.metrics import average_precision_score

    found: dict[str, ReaderFound] = {}
    counted = slices.counted[:, 0].numpy().astype(np.bool_)
    owners = slices.owners.numpy()
    for modality in MODALITIES:
        said = (reader.shares(slices.memories[modality], modality) * slices.counted).numpy()
        prevalence, precision, surest, patients = {}, {}, {}, {}
        for number, kind in enumerate(KINDS):
            share = slices.shares[:, number].numpy()
            truth = share[counted] > LESION
            hits = [
                _beside(said[owners == owner, number], share[owners == owner])
                for owner in np.unique(owners[((share > LESION) & counted).any(axis=(1, 2))])
            ]
            prevalence[kind] = round(float(truth.mean()), 5)
            precision[kind] = round(float(average_precision_score(truth, said[:, number][counted])), 3) if hits else 0.0
            surest[kind] = round(float(np.mean(hits)), 3) if hits else 0.0
            patients[kind] = len(hits)
        found[modality] = ReaderFound(prevalence, precision, surest, patients)
    return found


def _beside(said: npt.NDArray[np.float32], share: npt.NDArray[np.float32]) -> bool:
    """Whether the cell with the highest of `said` (slices, h, w) is one of lesion, or next to one."""
    place = np.unravel_index(int(said.argmax()), said.shape)
    around = tuple(slice(max(0, int(k) - 1), int(k) + 2) for k in place)
    return bool(share[around].max() > LESION)
