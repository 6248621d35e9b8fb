"""The reading layout as a person uses it: one click there and back, its rows and looks, the cursor, mishaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading_case import (
    HOT_RAS,
    SIZE,
    add_ct,
    add_pet,
    background,
    composite,
    displays,
    foreground,
    grid,
    hand_out_frames,
    hidden_volumes,
    open_reading,
    slice_node,
)
from scenes import add_segmentation, add_volume, rotation


@pytest.fixture
def frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What the fake worker hands out as the rotating view of a PET."""
    return lambda pet, suv_per_unit=1.0: hand_out_frames(pet, tmp_path, monkeypatch, suv_per_unit)


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


def test_volumes_that_are_laid_into_all_views_do_not_stay_in_these(panel: Any, frames: Any) -> None:
    import slicer

    ct, pet = add_ct(grid("plain")), add_pet(grid("plain"))
    frames(pet)
    reading = open_reading(panel, ct, pet)
    slicer.util.setSliceViewerLayers(background=ct, foreground=pet, foregroundOpacity=0.3)
    panel.widget.parts.update()
    reading.mip.turn(1)
    assert background("Upper", "pet") is not ct
    assert background("Upper", "pet").GetImageData() is pet.GetImageData()
    assert foreground("Lower", "pet") is None
    assert foreground("Lower", "fused") not in (None, pet)
    shown = reading.layout.mip_widget.sliceLogic().GetSliceCompositeNode()
    assert shown.GetBackgroundVolumeID() == reading.mip.node.GetID()
    assert shown.GetForegroundVolumeID() is None


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
