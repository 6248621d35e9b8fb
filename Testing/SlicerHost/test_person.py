"""From real DICOM to the report as a person would, with the real worker: nothing in between is skipped or faked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from person import Person

pytestmark = pytest.mark.real_data


def write_mask(folder: Path, place: Path) -> None:
    """A block of tissue in the middle of the CT, as somebody's mask file."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    ct = reader.Execute()
    voxels = np.zeros(ct.GetSize()[::-1], np.uint8)
    depth, height, width = voxels.shape
    voxels[depth // 3 : depth // 3 + 12, height // 2 : height // 2 + 24, width // 2 : width // 2 + 24] = 1
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(ct)
    sitk.WriteImage(mask, str(place))


def test_one_case_from_dicom_to_the_next(panel: Any, real_data: Path, tmp_path: Path) -> None:
    import slicer
    from MemorySurvivalPanels.case_opening import case_of
    from scenes import snapshot

    studies = real_data / "petct_sts_dicom"
    write_mask(studies / "STS_002" / "CT" / "image", tmp_path / "block.nrrd")
    panel.representation.select()
    person = Person(panel.widget, panel.representation, tmp_path)
    ui, parameters = panel.ui, panel.widget._parameters
    person.open_list(studies, tmp_path / "out")
    assert parameters.worklist_case == "STS_002"
    assert ui.petSourceLabel.text == "PET: SUVbw from DICOM tags"
    assert "STS" in ui.patientLabel.text
    person.photograph("1-open", ui.reviewSection)
    before = [snapshot(node) for node in (parameters.ct, parameters.pet)]

    person.read()
    person.photograph("2-read", ui.readingSection)

    person.make_masks(tmp_path / "block.nrrd")
    person.photograph("3-mask", ui.maskSection)
    parameters.score_without_accepting = False
    assert not ui.scoreButton.enabled  # a mask that nobody has accepted
    person.correct_mask()
    assert ui.maskPromptLabel.text
    person.photograph("4-correct", ui.maskSection)
    ui.allowOtherRoiCheckBox.checked = True
    person.accept()
    person.photograph("5-accept", ui.maskSection)

    person.score(measure=False)
    assert ui.logRiskValue.text
    person.photograph("6-score", ui.scoreSection)
    score = ui.logRiskValue.text
    kept = json.loads((tmp_path / "out" / "STS_002" / "result.json").read_text())
    assert f"{kept['risk']['log_risk']:+.3f}" == score
    assert kept["acquisition"]["origin"]["PET"].startswith("DICOM series")

    person.explain()
    assert parameters.heatmap is not None
    assert ui.explainMessageLabel.text == ""
    explained = json.loads((tmp_path / "out" / "STS_002" / "result.json").read_text())
    assert {**explained, "heatmap": None, "seconds": None} == {**kept, "seconds": None} and explained["heatmap"]
    person.photograph("7-explain", ui.explainSection)
    if ui.hotspotTable.rowCount:
        ui.nextHotspotButton.click()
        assert ui.hotspotTable.currentRow() == 0
    person.photograph("8-hotspot", ui.explainSection)
    assert [snapshot(node) for node in (parameters.ct, parameters.pet)] == before

    person.save_and_reopen(tmp_path / "case.mrb")
    parameters = panel.widget._parameters
    assert ui.logRiskValue.text == score
    assert parameters.roi is not None
    assert parameters.heatmap is not None
    assert ui.acceptButton.text
    person.photograph("9-reopened", ui.scoreSection)

    place = person.export(tmp_path / "exported")
    assert (place / "report.html").is_file() and (place / "heatmap.nrrd").is_file()
    assert json.loads((place / "report.json").read_text())["record"]["heatmap"]["hotspots"] is not None
    person.photograph("10-export", ui.reportSection)

    person.finish_case()
    assert parameters.worklist_case == "STS_041"
    assert case_of(parameters.roi) in ("", "STS_041")  # what was made ahead, where anything was found
    assert (tmp_path / "out" / "masks" / "STS_002.seg.nrrd").is_file()
    person.photograph("11-next", ui.reviewSection)
    assert len(person.taken) == 11
    slicer.mrmlScene.Clear()
    assert {file.name for file in panel.scratch_files()} <= {"lock"}  # the module is open and has asked anew
