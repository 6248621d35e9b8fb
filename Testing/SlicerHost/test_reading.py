"""The reading layout as a person uses it: one click there and back, the rotating PET, the cursor, mishaps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import add_segmentation, add_volume, rotation

HOT_RAS = np.array([21.0, 12.0, -33.0])
SIZE = (30, 24, 44)


def grid(kind: str) -> np.ndarray:
    """An IJK to RAS matrix whose grid lies around the origin."""
    turned = {
        "plain": np.diag([-1.0, -1.0, 1.0, 1.0]),
        "flipped": np.diag([1.0, -1.0, -1.0, 1.0]),
        "permuted": np.eye(4)[[2, 0, 1, 3]],
        "oblique": rotation(0, 20) @ rotation(2, -15) @ np.diag([-1.0, -1.0, 1.0, 1.0]),
    }[kind]
    matrix = turned @ np.diag([4.0, 5.0, 3.5, 1.0])
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(SIZE) - 1) / 2)
    return matrix


def add_pet(matrix: np.ndarray, hot_ras: np.ndarray = HOT_RAS) -> Any:
    """A warm ball with one hot spot."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SIZE), indexing="ij"), axis=-1)
    points = index @ matrix[:3, :3].T + matrix[:3, 3]
    warm = (np.linalg.norm(points, axis=-1) < 52).astype(np.float32)
    hot = 8 * np.exp(-((points - hot_ras) ** 2).sum(axis=-1) / (2 * 5.0**2))
    return add_volume((warm + hot).astype(np.float32).transpose(2, 1, 0), matrix, "PET of the case")


def add_ct(matrix: np.ndarray) -> Any:
    voxels = np.arange(np.prod(SIZE), dtype=np.int16).reshape(SIZE[::-1]) % 1000
    return add_volume(voxels.astype(np.int16), matrix, "CT of the case")


@pytest.fixture
def frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, float | None], None]:
    """Have the fake worker hand out the rotating view of a PET as the library makes it."""

    def make(pet: Any, suv_per_unit: float | None = 1.0) -> None:
        from MemorySurvivalPanels.volumes import volume_file

        from MemorySurvivalLib.imaging.projection import project_rotating
        from MemorySurvivalLib.imaging.reading import read_volume

        made = project_rotating(read_volume(volume_file(pet, "PET", tmp_path), "PET"), half_turn_frames=4)
        np.save(tmp_path / "frames.npy", made.frames)
        np.save(tmp_path / "depth_mm.npy", made.depth_mm)
        result = {"centre_mm": made.centre_mm, "spacing_mm": made.spacing_mm, "suv_per_unit": suv_per_unit}
        (tmp_path / "mip.json").write_text(json.dumps({**result, "why_no_suv": "no dose"}), encoding="utf-8")
        monkeypatch.setenv("MEMORYSURVIVAL_FAKE_MIP", str(tmp_path))

    return make


def open_reading(panel: Any, ct: Any, pet: Any, *, wait: bool = True, scenario: str = "success") -> Any:
    """Choose the images, click, and wait for the rotating view."""
    panel.use_worker(scenario)
    panel.representation.select()
    panel.widget._parameters.ct, panel.widget._parameters.pet = ct, pet
    panel.ui.readingButton.click()
    reading = panel.widget.parts.reading
    if wait:
        panel.wait_until(lambda: reading.mip.node is not None)
        panel.ui.mipPlayButton.checked = False
    return reading


def composite(row: str, role: str) -> Any:
    import slicer
    from MemorySurvivalPanels.reading_layout import view_name

    return slicer.app.layoutManager().sliceWidget(view_name(row, role)).sliceLogic().GetSliceCompositeNode()


def background(row: str, role: str) -> Any:
    import slicer

    return slicer.mrmlScene.GetNodeByID(composite(row, role).GetBackgroundVolumeID())


def foreground(row: str, role: str) -> Any:
    import slicer

    return slicer.mrmlScene.GetNodeByID(composite(row, role).GetForegroundVolumeID())


def slice_node(row: str, role: str) -> Any:
    import slicer
    from MemorySurvivalPanels.reading_layout import view_name

    return slicer.app.layoutManager().sliceWidget(view_name(row, role)).mrmlSliceNode()


def hidden_volumes() -> list[Any]:
    import slicer

    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetHideFromEditors()]


def displays(*nodes: Any) -> list[tuple[Any, ...]]:
    """What the user sees of their own volumes."""
    found = []
    for node in nodes:
        display = node.GetDisplayNode()
        found.append((node.GetMTime(), display.GetColorNodeID(), display.GetWindow(), display.GetLevel()))
    return found


def click_mip(reading: Any, ras: np.ndarray) -> None:
    """Click where a point (RAS) is seen in the rotating view."""
    import slicer

    widget = reading.layout.mip_widget
    inverse = np.linalg.inv(slicer.util.arrayFromVTKMatrix(widget.mrmlSliceNode().GetXYToRAS()))
    x, y = (round(each) for each in (inverse @ [*ras, 1.0])[:2])
    interactor = widget.sliceView().interactor()
    interactor.SetEventInformation(x, y, 0, 0)
    interactor.InvokeEvent("LeftButtonPressEvent")
    interactor.InvokeEvent("LeftButtonReleaseEvent")


def crosshair() -> np.ndarray:
    from MemorySurvivalPanels.views import crosshair_node

    return np.array(crosshair_node().GetCrosshairRAS())


def test_one_click_there_and_one_back(panel: Any, frames: Any) -> None:
    import slicer

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    layout = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    before = displays(ct, pet)
    open_reading(panel, ct, pet)
    assert len(slicer.app.layoutManager().sliceViewNames()) == 7
    for row in ("Upper", "Lower"):
        assert background(row, "ct").GetImageData() is ct.GetImageData()
        assert background(row, "pet").GetImageData() is pet.GetImageData()
        assert foreground(row, "fused").GetImageData() is pet.GetImageData()
        assert foreground(row, "fused") is not background(row, "pet")
    assert slice_node("Upper", "pet").GetOrientation() == "Axial"
    assert slice_node("Lower", "pet").GetOrientation() == "Coronal"
    panel.ui.readingButton.click()
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
    assert displays(ct, pet) == before
    assert hidden_volumes() == []


def test_copies_are_not_saved_or_offered(panel: Any, frames: Any, tmp_path: Path) -> None:
    import slicer

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    open_reading(panel, ct, pet)
    for node in hidden_volumes():
        assert not node.GetSaveWithScene()
        assert not node.GetDisplayNode().GetSaveWithScene()
    scene = tmp_path / "scene.mrml"
    slicer.mrmlScene.SetURL(str(scene))
    slicer.mrmlScene.Commit()
    text = scene.read_text(encoding="utf-8")
    assert "CT of the case" in text
    assert "(fused)" not in text
    assert "Rotating PET" not in text


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


def test_views_of_a_row_move_together_and_rows_alone(panel: Any, frames: Any) -> None:
    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    open_reading(panel, ct, pet)
    coronal = slice_node("Lower", "ct").GetSliceOffset()
    slice_node("Upper", "pet").SetSliceOffset(17.5)
    assert [slice_node("Upper", role).GetSliceOffset() for role in ("ct", "pet", "fused")] == [17.5] * 3
    assert slice_node("Lower", "ct").GetSliceOffset() == coronal
    slice_node("Upper", "fused").SetFieldOfView(60.0, 60.0, 1.0)
    assert slice_node("Upper", "ct").GetFieldOfView()[1] == pytest.approx(60.0)
    panel.ui.lowerRowCombo.currentIndex = 1
    assert slice_node("Lower", "pet").GetOrientation() == "Sagittal"
    assert slice_node("Upper", "pet").GetOrientation() == "Axial"


def test_windows_by_key(panel: Any, frames: Any) -> None:
    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet, 0.5)  # a unit of the volume is half an SUV
    reading = open_reading(panel, ct, pet)
    keys = {each.key: each for each in panel.widget.parts.shortcuts.listed}
    shown = [background("Upper", "pet"), foreground("Upper", "fused")]
    for key, upper in (("F5", 5), ("F6", 7), ("F7", 10), ("F8", 15)):
        panel.widget.parts.shortcuts.press(keys[key])
        for node in (*shown, reading.mip.node):
            display = node.GetDisplayNode()
            assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, upper / 0.5)
    seen = background("Lower", "ct").GetDisplayNode()
    assert (seen.GetWindow(), seen.GetLevel()) == (400, 40)
    panel.widget.parts.shortcuts.press(keys["C"])
    assert (seen.GetWindow(), seen.GetLevel()) == (1800, 400)
    panel.widget.parts.shortcuts.press(keys["F9"])
    assert not reading.layout.shown


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


def test_cursor_readout(panel: Any, frames: Any) -> None:
    import slicer
    from MemorySurvivalPanels.views import crosshair_node

    matrix = grid("oblique")
    ct, pet = add_ct(matrix), add_pet(matrix)
    voxels = np.zeros(SIZE[::-1], np.uint8)
    voxels[20:24, 10:14, 12:18] = 1
    region = add_segmentation(voxels, ct, "Regions", "spine")
    frames(pet, 0.5)
    reading = open_reading(panel, ct, pet)
    panel.widget._parameters.roi = region
    ui = panel.ui

    def values() -> tuple[str, str, str, str]:
        labels = (ui.cursorSuvValue, ui.cursorHuValue, ui.cursorRegionValue, ui.cursorEffectValue)
        return tuple(label.text for label in labels)

    i, j, k = 14, 12, 21
    ras = (matrix @ [i, j, k, 1])[:3]
    crosshair_node().SetCursorPositionRAS(ras)
    uptake = slicer.util.arrayFromVolume(pet)[k, j, i] * 0.5
    assert values() == (f"{uptake:.2f}", str(slicer.util.arrayFromVolume(ct)[k, j, i]), "spine", "–")
    crosshair_node().SetCursorPositionRAS([900.0, 0.0, 0.0])
    assert values() == ("–",) * 4
    # Over the rotating view it is the value of the maximum behind the mouse.
    node = reading.layout.mip_widget.mrmlSliceNode()
    inverse = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()))
    x, y = (inverse @ [*HOT_RAS, 1.0])[:2]
    crosshair_node().SetCursorPositionXYZ([x, y, 0.0], node)
    assert float(values()[0]) > 2.5
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(rotation(1, 30)))
    for each in (ct, region):
        each.SetAndObserveTransformNodeID(transform.GetID())
    crosshair_node().SetCursorPositionRAS((rotation(1, 30) @ [*ras, 1])[:3])
    assert values()[1:3] == (str(slicer.util.arrayFromVolume(ct)[k, j, i]), "spine")
    panel.representation.leave()
    assert values() == ("–",) * 4


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


def test_a_scene_that_was_saved_in_this_layout(panel: Any, frames: Any) -> None:
    import slicer

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    panel.use_worker("success")
    panel.representation.select()
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    reading = panel.widget.parts.reading
    node.SetViewArrangement(5160)  # as reading a scene sets it
    slicer.mrmlScene.InvokeEvent(slicer.mrmlScene.EndImportEvent)
    assert node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    panel.widget._parameters.ct, panel.widget._parameters.pet = ct, pet
    node.SetViewArrangement(5160)
    slicer.mrmlScene.InvokeEvent(slicer.mrmlScene.EndImportEvent)
    assert reading.layout.shown
    assert background("Upper", "ct").GetImageData() is ct.GetImageData()


def test_wrong_order(panel: Any, frames: Any) -> None:
    import slicer

    panel.use_worker("success")
    panel.representation.select()
    assert not panel.ui.readingButton.enabled
    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    reading = open_reading(panel, ct, pet)
    # Slicer's own layout menu, instead of the button.
    layout = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert not panel.ui.readingButton.checked
    assert hidden_volumes() == []
    # The PET goes away while it is shown, and comes back.
    panel.ui.readingButton.click()
    panel.wait_until(lambda: reading.mip.node is not None)
    slicer.mrmlScene.RemoveNode(pet)
    panel.wait_until(lambda: reading.mip.node is None)
    assert all(node.GetName().startswith("Rotating") is False for node in hidden_volumes())
    pet = add_pet(grid("plain"))
    panel.widget._parameters.pet = pet
    panel.wait_until(lambda: reading.mip.node is not None)
    # The scene goes away while the layout is shown.
    slicer.mrmlScene.Clear()
    assert not reading.layout.shown
    assert hidden_volumes() == []
    panel.ui.readingButton.checked = True  # nothing is chosen
    assert not reading.layout.shown


def test_the_layout_is_left_when_the_module_is_unloaded(panel: Any, frames: Any) -> None:
    import slicer

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    reading = open_reading(panel, ct, pet)
    panel.widget.cleanup()
    assert not reading.layout.shown
    assert hidden_volumes() == []
    assert not reading.mip.playing
    assert slicer.app.layoutManager().layoutLogic().GetLayoutNode().GetViewArrangement() != 5160


def test_a_jump_centres_the_users_views_and_moves_the_others_only_at_need(panel: Any, frames: Any) -> None:
    import slicer
    from MemorySurvivalPanels.views import jump_views

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    reading = open_reading(panel, ct, pet)
    coronal, mip = slice_node("Lower", "ct"), reading.layout.mip_widget.mrmlSliceNode()

    def place(node: Any) -> np.ndarray:
        return slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())

    before, still = place(coronal), place(mip)
    jump_views((5.0, 7.0, -6.0))
    assert np.allclose(place(coronal)[[0, 2]], before[[0, 2]])  # another plane, at the same place in the view
    assert coronal.GetSliceOffset() == pytest.approx(7.0)
    assert np.allclose(place(mip), still)
    jump_views((5.0, 7.0, 400.0))
    assert coronal.GetSliceToRAS().GetElement(2, 3) == pytest.approx(400.0)
    user = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    assert [user.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)] == pytest.approx([5, 7, 400])


def test_overlays_stay_off_the_pet(panel: Any, frames: Any) -> None:
    from MemorySurvivalPanels.views import show_overlay

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    heatmap = add_volume(np.zeros(SIZE[::-1], np.float32), grid("plain"), "effect")
    frames(pet)
    reading = open_reading(panel, ct, pet)
    background = composite("Upper", "ct").GetBackgroundVolumeID()
    show_overlay(background=ct, foreground=heatmap, opacity=0.7)
    assert composite("Upper", "ct").GetForegroundVolumeID() == heatmap.GetID()
    assert composite("Upper", "ct").GetBackgroundVolumeID() == background
    assert composite("Upper", "pet").GetForegroundVolumeID() is None
    assert composite("Lower", "fused").GetForegroundVolumeID() != heatmap.GetID()
    assert reading.layout.mip_widget.sliceLogic().GetSliceCompositeNode().GetForegroundVolumeID() is None
