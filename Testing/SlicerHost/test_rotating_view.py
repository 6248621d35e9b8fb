"""The rotating PET: it turns, a click leads to what one sees, it follows the PET, and says when it cannot be made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading_case import (
    HOT_RAS,
    add_ct,
    add_pet,
    background,
    click_mip,
    crosshair,
    grid,
    hand_out_frames,
    open_reading,
    slice_node,
)


@pytest.fixture
def frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What the fake worker hands out as the rotating view of a PET."""
    return lambda pet, suv_per_unit=1.0: hand_out_frames(pet, tmp_path, monkeypatch, suv_per_unit)


@pytest.mark.parametrize("kind", ["plain", "flipped", "permuted", "oblique"])
def test_a_click_on_the_rotating_view_goes_to_the_hot_spot(panel: Any, frames: Any, kind: str) -> None:
    ct, pet = add_ct(grid(kind)), add_pet(grid(kind))
    frames(pet)
    reading = open_reading(panel, ct, pet)
    for number in (0, 3, 6):
        reading.mip.turn_to(number)
        click_mip(reading, np.zeros(3) + 40)
        click_mip(reading, HOT_RAS)
        assert np.abs(crosshair() - HOT_RAS).max() <= 3.0, (kind, number)  # the middle of the hottest voxel
        assert slice_node("Upper", "ct").GetSliceOffset() == pytest.approx(crosshair()[2], abs=1e-6)
        assert slice_node("Lower", "fused").GetSliceOffset() == pytest.approx(crosshair()[1], abs=1e-6)


def test_a_drag_or_a_click_with_shift_or_beside_is_no_click(panel: Any, frames: Any) -> None:
    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    reading = open_reading(panel, ct, pet)
    before = crosshair()
    interactor = reading.layout.mip_widget.sliceView().interactor()
    interactor.SetEventInformation(100, 100, 0, 0)
    interactor.InvokeEvent("LeftButtonPressEvent")
    interactor.SetEventInformation(130, 100, 0, 0)
    interactor.InvokeEvent("LeftButtonReleaseEvent")
    interactor.SetEventInformation(100, 100, 0, 1)
    interactor.InvokeEvent("LeftButtonPressEvent")
    interactor.InvokeEvent("LeftButtonReleaseEvent")
    click_mip(reading, np.array([500.0, 0.0, 0.0]))
    assert (crosshair() == before).all()


def test_the_view_turns_by_itself_by_wheel_and_by_slider(panel: Any, frames: Any) -> None:
    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    reading = open_reading(panel, ct, pet)
    assert not reading.mip.playing
    panel.ui.mipPlayButton.checked = True
    panel.wait_until(lambda: reading.mip.number >= 2)
    panel.representation.leave()
    assert not reading.mip.playing
    panel.representation.select()
    assert reading.mip.playing
    interactor = reading.layout.mip_widget.sliceView().interactor()
    reading.mip.turn_to(0)
    interactor.InvokeEvent("MouseWheelForwardEvent")
    assert (reading.mip.number, reading.mip.playing) == (1, False)
    interactor.InvokeEvent("MouseWheelBackwardEvent")
    interactor.InvokeEvent("MouseWheelBackwardEvent")
    assert reading.mip.number == 7
    panel.ui.mipSlider.value = 4
    assert reading.mip.number == 4


def test_left_is_on_the_right_from_the_front_and_on_the_left_from_behind(panel: Any, frames: Any) -> None:
    import slicer

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"), np.array([-25.0, 0.0, 10.0]))  # the patient's left
    frames(pet)
    reading = open_reading(panel, ct, pet)
    for number, on_the_right in ((0, True), (4, False)):
        reading.mip.turn_to(number)
        picture = slicer.util.arrayFromVolume(reading.mip.node)[0]
        row, column = np.unravel_index(int(picture.argmax()), picture.shape)
        assert bool(column > picture.shape[1] / 2) is on_the_right
        assert row > picture.shape[0] / 2  # upwards is towards the head


def test_copies_follow_a_transform_and_another_pet_is_projected_anew(panel: Any, frames: Any) -> None:
    import slicer

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    reading = open_reading(panel, ct, pet)
    first = reading.mip.node
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[0, 3] = 12.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    pet.SetAndObserveTransformNodeID(transform.GetID())
    frames(pet)
    assert background("Upper", "pet").GetTransformNodeID() == transform.GetID()
    panel.wait_until(lambda: reading.mip.node is not None and reading.mip.node is not first)
    panel.ui.mipPlayButton.checked = False
    click_mip(reading, HOT_RAS + np.array([12, 0, 0]))
    assert np.abs(crosshair() - HOT_RAS - [12, 0, 0]).max() <= 3.0


def test_no_suv_scale_says_why(panel: Any, frames: Any) -> None:
    from MemorySurvivalPanels.step import StepState

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet, None)
    reading = open_reading(panel, ct, pet)
    step = reading.step()
    assert step.state is StepState.ATTENTION
    assert "no dose" in step.sentence


def test_a_failing_worker_leaves_the_slices(panel: Any) -> None:
    from MemorySurvivalPanels.step import StepState

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    reading = open_reading(panel, ct, pet, wait=False, scenario="failure")
    assert reading.step().state is StepState.DONE
    assert "is being made" in reading.step().sentence
    panel.wait_until(lambda: reading.step().state is StepState.ATTENTION)
    assert '"PET of the case" is not in SUV units' in reading.step().sentence  # the node's name, not the file's
    assert reading.layout.shown
    assert background("Upper", "pet").GetImageData() is pet.GetImageData()
    assert [path for path in panel.scratch_files() if path.suffix in (".nrrd", ".npy")] == []
