"""The backbone's training: clips are what they say, steps learn, an interrupted training goes on as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.backbone import COMPACT, BackboneSpec, build_backbone, load_weights, weights_sha256
from MemorySurvivalLib.memory.inside import CELL
from MemorySurvivalLib.training.backbone import CHECKPOINT, LOG, WEIGHTS, WINDOWS, BackboneTraining, Stage
from MemorySurvivalLib.training.backbone import train_backbone as train
from MemorySurvivalLib.training.backbone_card import backbone_card_section, read_backbone_card
from MemorySurvivalLib.training.backbone_data import SKELETON, SPINE_DILATED, StoredCase, read_case, write_case
from MemorySurvivalLib.training.backbone_loss import Task, run_clips, training_heads_for
from MemorySurvivalLib.training.clips import CLASS_STRIDE, LESION_CLASS, ClipShape, Structure, draw_clip, structures_on

TINY = BackboneTraining(
    steps=4, stages=(Stage(0.7, 64, 2, 2), Stage(1.0, 96, 2, 2)), clips_share=0.5, warm_up=0.2, cases=0
)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> StoredCase:
    """A long bright body off the middle, with a region in its lower half and a lesion that shows brighter in PET."""
    shape = (20, 40, 48)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    body = np.broadcast_to(((y - 14) / 9) ** 2 + ((x - 30) / 12) ** 2 <= 1, shape)
    labels = np.where(body, 41, 2).astype(np.uint8)
    lesions = (((y - 14) / 3) ** 2 + ((x - 33) / 3) ** 2 + ((z - 8) / 4) ** 2 <= 1).astype(np.uint8)
    regions = (SPINE_DILATED * (body & (y > 14))).astype(np.uint8)
    folder = tmp_path_factory.mktemp("case") / "one"
    images: dict[Modality, np.ndarray] = {
        "CT": np.where(body, 900, -150),
        "PET": np.where(lesions > 0, 9.0, np.where(body, 6.0, 0.5)),
    }
    structures = {"labels": labels, "regions": regions, "lesions": lesions}
    write_case(folder, "one", (4.0, 4.0, 5.0), images, structures, {"bones": (41, 42)}, (41,), simulated=True)
    return read_case(folder)


def test_a_case_on_disk_is_what_was_kept(case: StoredCase) -> None:
    assert case.lesion_slices == tuple(range(4, 13))
    assert case.slices == tuple(range(20))
    assert case.images["CT"][3, 14, 30] == 900
    every = slice(None)
    bone = Structure(labels=(41,)).mask(case, [8], every, every)[0]
    assert np.array_equal(bone, case.images["CT"][8] == 900)
    assert Structure(lesion=1).mask(case, [8, 0], every, every).sum(axis=(1, 2)).tolist() == [29, 0]
    assert Structure(lesion=-1).mask(case, [8], every, every).sum() == 29
    assert not Structure(region=SKELETON).mask(case, [8], every, every).any()
    assert set(structures_on(case, 8)) == {"region", "group", "single", "lesion"}
    assert set(structures_on(case, 0)) == {"region", "group", "single"}


def test_a_damaged_case_is_one_sentence(case: StoredCase, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_case(tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_pictures_masks_and_classes_stay_together(case: StoredCase, seed: int) -> None:
    """Whatever crop, flip and change of grey values was drawn: the body is bright, and where its mask is."""
    clip = draw_clip([case], WINDOWS, ClipShape(96, 3, 4), np.random.default_rng(seed))
    assert clip.pictures.shape == (3, 3, 96, 96)
    assert clip.masks.shape == (3, 4, 96, 96)
    body = torch.nn.functional.interpolate((clip.classes == 11).float()[:, None], size=96)[:, 0] > 0
    lesion = torch.nn.functional.interpolate((clip.classes == 16).float()[:, None], size=96)[:, 0] > 0
    inside = body | lesion
    assert clip.pictures[:, 0][inside].mean() > clip.pictures[:, 0][~inside].mean() + 1
    for mask, box in zip(clip.masks[0], clip.boxes, strict=True):
        assert (inside & (mask > 0)).sum() > 0.7 * mask.sum()
        rows, columns = np.nonzero(mask.numpy())
        extent = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        sides = np.tile(extent[2:] - extent[:2], 2)
        assert (np.abs(box.numpy() - extent) <= 0.26 * sides).all()


def test_memory_cells_with_a_lesion_are_marked(case: StoredCase) -> None:
    """As the map of tissue classes has it, which is finer but takes the nearest voxel; of real images nobody knows."""
    shape = ClipShape(96, 3, 4)
    clips = [draw_clip([case], WINDOWS, shape, np.random.default_rng(seed)) for seed in range(12)]
    marked = torch.cat([clip.lesion_cells for clip in clips]) > 0
    lesions = torch.cat([clip.classes for clip in clips]) == LESION_CLASS
    held = torch.nn.functional.max_pool2d(lesions.float(), CELL // CLASS_STRIDE) > 0
    assert marked.shape == (36, 6, 6)
    assert (marked & held).sum() > 0.8 * max(marked.sum(), held.sum())
    assert 20 < marked.sum() < 0.5 * marked.numel()
    real = draw_clip([replace(case, simulated=False)], WINDOWS, shape, np.random.default_rng(0))
    assert (real.lesion_cells == -1).all()


def test_an_interrupted_training_goes_on_to_the_bit(case: StoredCase, tmp_path: Path) -> None:
    whole = train(TINY, [case], tmp_path / "whole")
    assert (whole.steps, whole.finished) == (4, True)
    asked: list[int] = []

    def stop_at_2() -> bool:
        asked.append(0)
        return len(asked) > 2

    first = train(TINY, [case], tmp_path / "parts", stop=stop_at_2)
    assert (first.steps, first.finished) == (2, False)
    log = tmp_path / "parts" / LOG
    log.write_text('{"step": 2}\n{"step": 3}\n', encoding="utf-8")  # as if it had been stopped after its checkpoint
    train(TINY, [case], tmp_path / "parts")
    kept = [safetensors.torch.load_file(tmp_path / part / CHECKPOINT) for part in ("whole", "parts")]
    assert kept[0].keys() == kept[1].keys()
    for name, tensor in kept[0].items():
        assert torch.equal(tensor, kept[1][name]), name
    assert [json.loads(line)["step"] for line in log.read_text(encoding="utf-8").splitlines()] == [2, 4]
    card = read_backbone_card(tmp_path / "parts")
    model = build_backbone(COMPACT)
    load_weights(model, safetensors.torch.load_file(tmp_path / "parts" / WEIGHTS))
    assert card["weights_sha256"] == weights_sha256(model)
    assert (card["steps"], card["simulated_cases"], card["real_cases"]) == (4, ["one"], [])
    with pytest.raises(InputError, match="another recipe"):
        train(replace(TINY, seed=5), [case], tmp_path / "parts")


def test_the_card_says_what_was_learned_from() -> None:
    card = {
        "what": "Small network",
        "steps": 30,
        "of": 60,
        "seconds": 7200,
        "threads": 1,
        "simulated_cases": ["a", "b"],
        "real_cases": [],
        "licences": None,
        "begun_with": "seeded random weights",
        "weights_sha256": "abc",
    }
    text = backbone_card_section(card)
    assert "30 steps of the 60 that the recipe has: it was not finished, 2.0 hours" in text
    assert "2 simulated patients and on no patient's images" in text
    text = backbone_card_section({**card, "steps": 60, "real_cases": ["r"], "licences": "CC BY 3.0"})
    assert "not finished" not in text
    assert "1 real image series of patients (r; CC BY 3.0)" in text


def test_a_folder_without_a_training_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no training"):
        read_backbone_card(tmp_path)


def test_the_loss_can_be_learned_away(case: StoredCase) -> None:
    """On one batch of clips, prompted and tracked masks come to fit: the gradient reaches what makes them."""
    model = build_backbone(BackboneSpec("sam2.1-compact", 64), seed=3)
    model.requires_grad_(True)
    head = training_heads_for(model)
    rng = np.random.default_rng(0)
    clips = [draw_clip([case], WINDOWS, ClipShape(64, 2, 2), rng) for _ in range(2)]
    optimiser = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=2e-3)
    seen = []
    for _ in range(16):
        loss, logged = run_clips(model, head, clips, Task("box"), np.random.default_rng(0))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        seen.append(logged)
    assert seen[-1]["classes"] < 0.7 * seen[0]["classes"]
    assert seen[-1]["lesions"] < 0.7 * seen[0]["lesions"]
    assert seen[-1]["dice_prompted"] > seen[0]["dice_prompted"] + 0.2
    assert seen[-1]["dice_tracked"] > seen[0]["dice_tracked"] + 0.2
    memory = [p for name, p in model.named_parameters() if name.startswith(("memory_attention", "memory_encoder"))]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in memory if p.ndim > 1)


def test_the_rate_rises_and_falls() -> None:
    recipe = BackboneTraining(steps=1000)
    assert recipe.rate(0) < recipe.rate(15) < recipe.rate(30) == pytest.approx(recipe.learning_rate)
    assert recipe.rate(999) < 0.03 * recipe.learning_rate
    assert [recipe.stage(step).image_size for step in (0, 500, 600, 999)] == [128, 256, 256, 256]
