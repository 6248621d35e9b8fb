"""A small case for the reading layout's tests, and ways to look into its views."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import add_volume, rotation

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

    identifier = composite(row, role).GetForegroundVolumeID()
    return slicer.mrmlScene.GetNodeByID(identifier) if identifier else None


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


def hand_out_frames(pet: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, suv_per_unit: float | None) -> None:
    """Have the fake worker hand out the rotating view of a PET as the library makes it."""
    from MemorySurvivalPanels.volumes import volume_file

    from MemorySurvivalLib.imaging.projection import project_rotating
    from MemorySurvivalLib.imaging.reading import read_volume

    made = project_rotating(read_volume(volume_file(pet, "PET", folder), "PET"), half_turn_frames=4)
    np.save(folder / "frames.npy", made.frames)
    np.save(folder / "depth_mm.npy", made.depth_mm)
    result = {"centre_mm": made.centre_mm, "spacing_mm": made.spacing_mm, "suv_per_unit": suv_per_unit}
    (folder / "mip.json").write_text(json.dumps({**result, "why_no_suv": "no dose"}), encoding="utf-8")
    monkeypatch.setenv("MEMORYSURVIVAL_FAKE_MIP", str(folder))
