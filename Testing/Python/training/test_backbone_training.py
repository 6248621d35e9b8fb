"""The backbone's training step: clips are what they say, a step learns, an interrupted training goes on as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import make_patient

from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.training.backbone import BackboneTraining, train_backbone
from MemorySurvivalLib.training.clips import ClipSource, draw_clip

WINDOWS = {"CT": Window(-200, 1000), "PET": Window(0, 10)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ClipSource:
    patient = make_patient(tmp_path_factory.mktemp("patient"))
    speck = np.zeros(patient.ct.shape, dtype=np.bool_)
    speck[3, 4, 4] = True
    return ClipSource.of(patient.ct, patient.pet, [patient.spine.voxels > 0, patient.ct.voxels > 200, speck])


def test_structures_too_small_to_prompt_are_left_out(source: ClipSource) -> None:
    assert len(source.structures) == 2


def test_clips_hold_the_structure_and_a_box_around_it(source: ClipSource) -> None:
    for seed in range(5):
        clip = draw_clip([source], WINDOWS, 64, 2, np.random.default_rng(seed))
        assert clip.pictures.shape == (2, 3, 64, 64)
        assert clip.masks.shape == (2, 1, 64, 64)
        rows, columns = np.nonzero(clip.masks[0, 0].numpy())
        x0, y0, x1, y1 = clip.box.tolist()
        assert abs((x0 + x1) / 2 - columns.mean()) <= 6
        assert abs((y0 + y1) / 2 - rows.mean()) <= 6


def test_learns_and_resumes_exactly(source: ClipSource, tmp_path: Path) -> None:
    stage = BackboneTraining(image_size=64, steps=4, batch=2, frames=2, learning_rate=1e-3)
    whole = train_backbone(None, [source], WINDOWS, stage, tmp_path / "whole.pt")
    # An interrupted training: the checkpoint is written at step 4 of 4 there, at step 2 here.
    import MemorySurvivalLib.training.backbone as module

    class Interrupted(Exception):
        pass

    saved = module._save

    def save_then_stop(path: Path, *state: object) -> None:
        saved(path, *state)  # type: ignore[arg-type]
        raise Interrupted

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    monkeypatch.setattr(module, "_save", save_then_stop)
    with pytest.raises(Interrupted):
        train_backbone(None, [source], WINDOWS, stage, tmp_path / "parts.pt")
    monkeypatch.undo()
    resumed = train_backbone(None, [source], WINDOWS, stage, tmp_path / "parts.pt")
    for (name, first), second in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(first, second), name
