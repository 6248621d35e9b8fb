"""A scene copy holds the case's images, masks and heatmap where they lie, no name of anybody, and touches nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.privacy.scan import find_identifiers
from MemorySurvivalLib.privacy.scene import PLACEHOLDER, find_in_scene, place_scene
from MemorySurvivalLib.report.subject import Subject

WHO = (
    Identifier("name", "Quastenflosser^Jane"),
    Identifier("ID", "QX-4711"),
    Identifier("date", "19620301"),
    Identifier("text", "Quastenflosser PET of spring"),
    Identifier("UID", "1.2.3.44.5.6"),
)


@pytest.fixture
def case(panel: Any, tmp_path: Path) -> Any:
    """A scored case with a heatmap in a scene that names its patient wherever a scene can."""
    import slicer
    from measured_result import make_measurements, make_result, write_files
    from scenes import add_small_case, rotation
    from test_scored_cases import write_heatmap

    ct, pet, roi = add_small_case()
    ct.SetName("Quastenflosser Jane CT 2026")
    pet.SetName("Quastenflosser PET of spring")
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = ct, pet, roi
    roi.SetName("Regions of Quastenflosser Jane CT 2026")
    roi.GetSegmentation().GetNthSegment(0).SetName("L3")
    roi.GetSegmentation().AddEmptySegment("Quastenflosser", "lesion of Quastenflosser")
    ct.SetAttribute("DICOM.instanceUIDs", "1.2.3.44.5.6")
    ct.SetDescription("born 1962-03-01")
    ct.GetImageData().GetPointData().GetScalars().SetName("Quastenflosser")
    note = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "letter to Quastenflosser")
    note.SetText("QX-4711")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Quastenflosser, Jane (QX-4711)")
    known = slicer.vtkMRMLSubjectHierarchyConstants
    for name, value in (
        (known.GetDICOMPatientNameAttributeName(), "Quastenflosser^Jane"),
        (known.GetDICOMPatientIDAttributeName(), "QX-4711"),
        (known.GetDICOMPatientBirthDateAttributeName(), "19620301"),
    ):
        hierarchy.SetItemAttribute(patient, name, value)
    hierarchy.CreateItem(patient, ct)
    turned = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turned for Quastenflosser")
    turned.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(rotation(2, 30.0)))
    for node in (pet, roi):
        node.SetAndObserveTransformNodeID(turned.GetID())
    (tmp_path / "run").mkdir()
    result = {**make_result(measurements=make_measurements()), "label": "SIMULATED MODEL"}
    result["heatmap"] = {"unit": "change of log-risk", "limit": 0.25}
    panel.ui.scoreButton.click()
    files = {**write_files(tmp_path / "run"), "heatmap": str(write_heatmap(tmp_path / "run"))}
    panel.widget.parts.score.job_finished(result, files)
    return panel.widget.parts.result.case


def write(case: Any, folder: Path) -> Path:
    from MemorySurvivalPanels.scene_copy import write_scene_copy

    folder.mkdir()
    write_scene_copy(case, folder / "scene.mrb")
    return folder / "scene.mrb"


def fingerprint(node: Any, number: int) -> tuple[bytes, bytes] | None:
    """A segment's voxels and place."""
    from MemorySurvivalPanels.segmentations import segment_voxels

    found = segment_voxels(node, node.GetSegmentation().GetNthSegmentID(number))
    return None if found is None else (found.voxels.tobytes(), found.ijk_to_ras.tobytes())


def open_copy(path: Path) -> Any:
    """What is in a bundle, as a scene of its own."""
    import slicer

    scene, cache, manager = slicer.vtkMRMLScene(), slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(path.parent / "opened"))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    messages = slicer.vtkMRMLMessageCollection()
    assert scene.ReadFromMRB(str(path), True, messages), messages.GetAllMessagesAsString()
    return scene


def test_the_copy_names_nobody_shows_the_same_and_touches_nothing(case: Any, tmp_path: Path) -> None:
    import slicer
    from mrml_bundles import save_bundle
    from scenes import snapshot

    (tmp_path / "own").mkdir()
    save_bundle(tmp_path / "own" / "all.mrb")
    assert {each.kind for each in find_in_scene(tmp_path / "own" / "all.mrb", WHO)} >= {"name", "ID", "date", "UID"}
    nodes = [(each.GetID(), each.GetName()) for each in slicer.util.getNodesByClass("vtkMRMLNode")]
    before = [snapshot(case.of(role)) for role in ("ct", "pet", "heatmap")]
    regions = [fingerprint(case.of("roi"), number) for number in range(2)]
    assert regions[0] is not None
    stored = case.of("ct").GetStorageNode().GetFileName()
    path = write(case, tmp_path / "copy")
    assert [(each.GetID(), each.GetName()) for each in slicer.util.getNodesByClass("vtkMRMLNode")] == nodes
    assert [snapshot(case.of(role)) for role in ("ct", "pet", "heatmap")] == before
    assert [fingerprint(case.of("roi"), number) for number in range(2)] == regions
    assert case.of("ct").GetStorageNode().GetFileName() == stored
    assert find_in_scene(path, WHO) == () and find_identifiers([path], WHO) == ()
    words = [Identifier("text", part) for part in (*tmp_path.parts, "research", "device", "model") if len(part) > 4]
    assert find_in_scene(path, words) == (), "paths of this computer"
    everything_lies_where_it_lay(case, path)
    case.of("pet").SetAttribute("DICOM.instanceUIDs", "1.2.3.44.5.7")
    assert open_copy(write(case, tmp_path / "counts")).GetFirstNodeByName("PET (units of the scanner, not SUV)")
    case.of("pet").SetAttribute("DICOM.MeasurementUnitsCodeValue", "{SUVbw}g/ml")
    pet = open_copy(write(case, tmp_path / "suv")).GetFirstNodeByName("PET")
    assert pet.GetVoxelValueUnits().GetCodeValue() == "{SUVbw}g/ml"


def everything_lies_where_it_lay(case: Any, path: Path) -> None:
    import slicer
    from MemorySurvivalPanels.segmentations import segment_voxels
    from scenes import ijk_to_ras

    scene = open_copy(path)
    for role, name in (("ct", "CT"), ("pet", "PET"), ("heatmap", "Heatmap (SIMULATED MODEL)")):
        mine, theirs = case.of(role), scene.GetFirstNodeByName(name)
        assert np.array_equal(slicer.util.arrayFromVolume(mine), slicer.util.arrayFromVolume(theirs)), name
        assert np.allclose(world(mine), world(theirs)), name
    assert not np.allclose(ijk_to_ras(case.of("pet")), world(case.of("pet"))), "or the transform was not tried"
    own, copied = case.of("roi"), scene.GetFirstNodeByName("Regions")
    ours, theirs = (segment_voxels(each, each.GetSegmentation().GetNthSegmentID(0)) for each in (own, copied))
    assert ours is not None and theirs is not None and ours.voxels.any() and np.array_equal(ours.voxels, theirs.voxels)
    assert np.allclose(ours.ijk_to_ras, theirs.ijk_to_ras)
    names = [copied.GetSegmentation().GetNthSegment(n).GetName() for n in range(2)]
    assert names == ["L3", "segment 2"]
    display = scene.GetFirstNodeByName("Heatmap (SIMULATED MODEL)").GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-0.25, 0.25)
    assert display.GetColorNode().GetNumberOfColors() == 255
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(scene.GetFirstNodeByName("CT"))
    assert hierarchy.GetItemName(hierarchy.GetItemParent(item)) == PLACEHOLDER


def world(node: Any) -> np.ndarray:
    from MemorySurvivalPanels.volumes import ijk_to_world

    return ijk_to_world(node, "")


def test_the_exported_copy_has_the_code_and_is_refused_where_it_names_somebody(
    case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer
    from MemorySurvivalPanels import scene_copy

    assert scene_copy.SUBJECT == PLACEHOLDER
    found = [Identifier(**each) for each in scene_copy.list_identifiers(case)]
    assert {each.kind for each in found} == {"name", "ID", "date", "text"}
    target = tmp_path / "out.mrb"
    place_scene(write(case, tmp_path / "copy"), target, Subject("pseudonym", patient_id="CASE & 9"), (*WHO, *found))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(open_copy(target))
    assert hierarchy.GetItemByName("CASE & 9") and not hierarchy.GetItemByName(PLACEHOLDER)
    monkeypatch.setattr(scene_copy, "_is_anatomy", lambda name: True)
    path = write(case, tmp_path / "named")
    with pytest.raises(
        InputError, match=r"nothing was exported\. Scene copy: a person's name in .*Leave it out"
    ) as said:
        place_scene(path, tmp_path / "no.mrb", Subject(), WHO)
    assert "uastenflosser" not in str(said.value) and not (tmp_path / "no.mrb").exists()


def test_the_dialog_hands_the_copy_over_and_a_bending_transform_is_a_sentence(
    case: Any, panel: Any, tmp_path: Path
) -> None:
    import slicer
    import vtk
    from dicom_nodes import Recorder
    from MemorySurvivalPanels.errors import UserError
    from MemorySurvivalPanels.report_choices import ExportChoices, ExportFacts

    panel.widget.logic.worker = worker = Recorder()
    panel.ui.exportButton.click()
    dialog = panel.widget.parts.report.dialog.ui
    dialog.exportSceneCheck.checked = True
    assert "scene without names" in dialog.exportSummaryLabel.text and "the face" in dialog.exportSummaryLabel.text
    dialog.exportHeadCheck.checked = True
    assert "shows the head" in dialog.exportProblemLabel.text and not dialog.exportStartButton.enabled
    dialog.exportHeadCheck.checked = False
    named = ExportChoices(identity="identified", scene=True, folder="somewhere")
    assert "save the scene itself" in named.problem(ExportFacts(True, False, True, True))
    dialog.exportStartButton.click()
    job = worker.job
    with zipfile.ZipFile(job["scene"]) as bundle:
        assert "scene/scene.mrml" in bundle.namelist()
    assert {"kind": "ID", "text": "QX-4711"} in job["scene_identifiers"]
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "bent")
    bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    case.of("pet").SetAndObserveTransformNodeID(bent.GetID())
    assert not bent.IsTransformToWorldLinear()
    with pytest.raises(UserError, match="deforming"):
        write(case, tmp_path / "bent")
