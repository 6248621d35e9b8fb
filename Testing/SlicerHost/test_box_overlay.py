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
def test_slabs_enclose_their_voxels_and_no_slice_between(scene: Any, name: str) -> None:
    import vtk
    from MemorySurvivalPanels.box_overlay import BoxOverlay
    from scenes import voxel_points
    from vtk.util.numpy_support import vtk_to_numpy

    matrix = matrices()[name]
    voxels = np.zeros((16, 24, 20), np.uint8)
    voxels[5:9, 10:18, 4:11] = 1
    voxels[9:12, 12:16, 6:9] = 1
    placed = boxes_of(matrix, voxels)
    overlay = BoxOverlay()
    overlay.show(placed)
    surface = overlay.node.GetPolyData()
    assert surface.GetNumberOfPoints() == 8 * len(placed)
    # The surface is closed and its faces look outwards: every mask voxel on a prompted slice is inside, others not.
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(surface)
    normals.ConsistencyOff()
    normals.SplittingOff()
    normals.ComputePointNormalsOff()
    normals.ComputeCellNormalsOn()
    normals.Update()
    middle = vtk_to_numpy(surface.GetPoints().GetData()).reshape(-1, 8, 3).mean(axis=1)
    centres = vtk.vtkCellCenters()
    centres.SetInputData(surface)
    centres.Update()
    out = vtk_to_numpy(centres.GetOutput().GetPoints().GetData()).reshape(-1, 6, 3) - middle[:, None]
    facing = vtk_to_numpy(normals.GetOutput().GetCellData().GetNormals()).reshape(-1, 6, 3)
    handed = np.sign(np.linalg.det(np.array(placed[0]["corners_lps_mm"])[[1, 2, 4]] - placed[0]["corners_lps_mm"][0]))
    assert ((out * facing).sum(axis=2) * handed > 0).all()
    inside = vtk.vtkSelectEnclosedPoints()
    points = vtk.vtkPoints()
    for point in voxel_points(voxels, matrix):
        points.InsertNextPoint(*point)
    cloud = vtk.vtkPolyData()
    cloud.SetPoints(points)
    inside.SetInputData(cloud)
    inside.SetSurfaceData(surface)
    inside.Update()
    found = np.array([bool(inside.IsInside(n)) for n in range(points.GetNumberOfPoints())])
    heights = np.argwhere(voxels)[:, 1 if name == "permuted" else 0]  # along the body
    prompted = set(heights[found].tolist())
    assert len(prompted) == len(placed)
    assert (found == np.isin(heights, list(prompted))).all()


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

    overlay = BoxOverlay()
    overlay.show(())
    assert overlay.node is None
    overlay.hide()
    assert scene.GetNumberOfNodesByClass("vtkMRMLModelNode") == 0
