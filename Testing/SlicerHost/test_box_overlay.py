"""The prompt boxes over the views: exact in the patient, on their own slices alone, however the CT is turned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def scene(panel: Any) -> Any:
    """An empty scene, with the module's packages on the path."""
    import slicer

    return slicer.mrmlScene


def boxes_of(ijk_to_ras: np.ndarray, voxels: np.ndarray) -> list[dict[str, Any]]:
    """What the worker's job says of a mask on a CT."""
    from MemorySurvivalLib.checking import find_boxes, place_boxes
    from MemorySurvivalLib.imaging.volume import Affine, Volume
    from MemorySurvivalLib.memory.prompts import PromptConfig

    mask = Volume(voxels, Affine(np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_ras))
    grid = mask.with_voxels(mask.voxels != 0).reoriented()
    placed = place_boxes(find_boxes(mask, grid, 2), grid, PromptConfig())
    return [{"z": box.z, "corners_lps_mm": box.corners_lps_mm} for box in placed]


def matrices() -> dict[str, np.ndarray]:
    from scenes import CT_IJK_TO_RAS, rotation

    flipped = CT_IJK_TO_RAS @ np.array([[-1.0, 0, 0, 19], [0, 1, 0, 0], [0, 0, -1, 15], [0, 0, 0, 1]])
    permuted = CT_IJK_TO_RAS[:, [1, 2, 0, 3]]
    return {
        "plain": CT_IJK_TO_RAS,
        "flipped": flipped,
        "permuted": permuted,
        "oblique": rotation(0, 17) @ rotation(2, -25) @ CT_IJK_TO_RAS,
    }


@pytest.mark.parametrize("name", ["plain", "flipped", "permuted", "oblique"])
def test_a_plane_through_a_prompted_slice_cuts_its_box_and_no_plane_between(scene: Any, name: str) -> None:
    import vtk
    from MemorySurvivalPanels.box_overlay import BoxOverlay
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    matrix = matrices()[name]
    along = 1 if name == "permuted" else 0  # of k, j, i: which runs along the body
    voxels = np.zeros((16, 24, 20), np.uint8)
    voxels[5:9, 10:18, 4:11] = 1
    voxels[9:12, 12:16, 6:9] = 1
    overlay = BoxOverlay()
    overlay.show(boxes_of(matrix, voxels))
    # The surface in voxel indices, where the boxes run along the axes.
    surface = vtk.vtkPolyData()
    surface.DeepCopy(overlay.node.GetPolyData())
    points = vtk_to_numpy(surface.GetPoints().GetData())
    inverse = np.linalg.inv(matrix)
    surface.GetPoints().SetData(numpy_to_vtk(points @ inverse[:3, :3].T + inverse[:3, 3], deep=True))

    slices = np.flatnonzero(voxels.any(axis=tuple(each for each in range(3) if each != along)))
    head_first = matrix[2, 2 - along] > 0
    prompted = set((slices[::-1] if head_first else slices)[::2].tolist())
    for index in range(voxels.shape[along]):
        plane = vtk.vtkPlane()
        origin, normal = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        origin[2 - along], normal[2 - along] = float(index), 1.0
        plane.SetOrigin(origin)
        plane.SetNormal(normal)
        cutter = vtk.vtkCutter()
        cutter.SetCutFunction(plane)
        cutter.SetInputData(surface)
        cutter.Update()
        cut = cutter.GetOutput()
        assert (cut.GetNumberOfPoints() > 0) == (index in prompted)
        if index not in prompted:
            continue
        inside = np.argwhere(np.take(voxels, [index], axis=along))[:, ::-1]
        expected = np.stack([inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5])
        expected[:, 2 - along] = index
        assert np.allclose(np.array(cut.GetBounds()).reshape(3, 2).T, expected, atol=1e-2)


def test_the_outline_is_drawn_where_the_box_is(scene: Any, tmp_path: Path) -> None:
    import slicer
    from MemorySurvivalPanels.box_overlay import BoxOverlay
    from scenes import CT_IJK_TO_RAS, add_volume
    from slicer_host.slice_view import SliceView

    ct = add_volume(np.zeros((16, 24, 20), np.int16), CT_IJK_TO_RAS, "CT")
    voxels = np.zeros((16, 24, 20), np.uint8)
    voxels[5:9, 10:18, 4:11] = 1
    overlay = BoxOverlay()
    overlay.show(boxes_of(CT_IJK_TO_RAS, voxels))
    view = SliceView("Red", "Axial", 200, 240)
    slicer.util.setSliceViewerLayers(background=ct)

    def yellow(k: int) -> int:
        centre = CT_IJK_TO_RAS @ [10, 12, k, 1.0]
        view.show(tuple(centre[:3]))
        view.save(tmp_path / f"{k}.png")
        import SimpleITK as sitk

        rgb = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{k}.png"))).astype(int)
        return int(((rgb[..., 0] > 150) & (rgb[..., 1] > 120) & (rgb[..., 2] < 80)).sum())

    drawn = {k: yellow(k) for k in (8, 7, 6, 5, 4)}
    assert drawn[8] > 100 and drawn[6] > 100
    assert drawn[7] == drawn[5] == drawn[4] == 0
    overlay.hide()
    assert yellow(8) == 0


def test_nothing_to_show_is_no_node(scene: Any) -> None:
    from MemorySurvivalPanels.box_overlay import BoxOverlay

    before = scene.GetNumberOfNodesByClass("vtkMRMLModelNode")  # slice views that were opened have models of their own
    overlay = BoxOverlay()
    overlay.show(())
    assert overlay.node is None
    overlay.hide()
    assert scene.GetNumberOfNodesByClass("vtkMRMLModelNode") == before
