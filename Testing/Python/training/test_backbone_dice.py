"""The measure of a backbone's masks: which slices it takes, and what Dice it gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone
from MemorySurvivalLib.training import backbone_dice
from MemorySurvivalLib.training.backbone import WINDOWS
from MemorySurvivalLib.training.backbone_data import StoredCase, read_case, write_case
from MemorySurvivalLib.training.backbone_dice import SliceRun, measure_run, prompted_masks, take_run, tracked_masks
from MemorySurvivalLib.training.clips import Structure


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> StoredCase:
    labels = np.zeros((20, 16, 16), np.uint8)
    labels[4:16, 4:9, 6:12] = 1
    labels[18, 0, 0] = 1  # too small to ask for
    images: dict[Modality, np.ndarray] = {"CT": np.where(labels, 800, 0)}
    folder = tmp_path_factory.mktemp("cases") / "one"
    write_case(folder, "one", (4, 4, 5), images, {"labels": labels}, {}, (1,), simulated=False)
    return read_case(folder)


def take(case: StoredCase, slices: int, structure: Structure) -> SliceRun | None:
    return take_run(case, "CT", structure, WINDOWS["CT"], image_size=64, slices=slices, step=2)


def test_slices_run_to_the_feet_around_the_middle(case: StoredCase) -> None:
    run = take(case, 4, Structure(labels=(1,)))
    assert run is not None
    assert len(run.pictures) == 4
    assert (run.masks[:, 17:35, 25:47] == 1).all()
    assert run.masks.sum() <= 4 * 20 * 24
    assert run.boxes[0].tolist() == [24, 16, 48, 36]
    assert take(case, 4, Structure(labels=(2,))) is None


def test_dice_of_a_perfect_model_and_of_the_box(case: StoredCase, monkeypatch: pytest.MonkeyPatch) -> None:
    run = take(case, 4, Structure(labels=(1,)))
    assert run is not None
    half = torch.zeros_like(run.masks)
    half[:, 16:26, 24:48] = 1  # the upper half of the box
    run = SliceRun(run.pictures, half, run.boxes)
    empty = np.zeros(half.shape, dtype=np.bool_)
    monkeypatch.setattr(backbone_dice, "prompted_masks", lambda *_: half.numpy() > 0)
    monkeypatch.setattr(backbone_dice, "tracked_masks", lambda *_: empty)
    found = measure_run(build_backbone(BackboneSpec("sam2.1-compact", 64)), run)
    assert (found.prompted, found.tracked) == (1.0, 0.0)
    assert found.box == pytest.approx(2 / 3)
    assert found.first_box == pytest.approx(2 / 3)


def test_prompted_slices_stand_alone_and_tracked_ones_do_not(case: StoredCase) -> None:
    """The last slice's mask hangs on the first slice's box when tracked, and only on its own box when prompted."""
    run = take(case, 3, Structure(labels=(1,)))
    assert run is not None
    model = build_backbone(BackboneSpec("sam2.1-compact", 64), seed=1)
    elsewhere = run.boxes.clone()
    elsewhere[0] = torch.tensor([0.0, 0.0, 10.0, 10.0])
    moved = SliceRun(run.pictures, run.masks, elsewhere)
    assert np.array_equal(prompted_masks(model, run)[1:], prompted_masks(model, moved)[1:])
    assert not np.array_equal(tracked_masks(model, run)[1:], tracked_masks(model, moved)[1:])
