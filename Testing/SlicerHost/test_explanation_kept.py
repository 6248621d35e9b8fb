"""An explanation made after the score becomes part of the result that the scene keeps, of its report and its copies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


class Ward:
    """The panel with a scored case, and a worker that only remembers."""

    def __init__(self, panel: Any, folder: Path) -> None:
        from dicom_nodes import Recorder
        from made_explanation import make_explanation
        from measured_result import make_result, write_files
        from scenes import CT_IJK_TO_RAS, add_small_case

        self.panel, self.ui, self.parts = panel, panel.ui, panel.widget.parts
        self.parameters = panel.widget._parameters
        self.parameters.ct, self.parameters.pet, self.parameters.roi = add_small_case()
        self.parameters.score_without_accepting = True
        panel.widget.logic.worker.close()
        panel.widget.logic.worker = self.worker = Recorder()
        self.made = make_explanation(folder / "made", CT_IJK_TO_RAS)
        self.told = json.loads((self.made / "explanation.json").read_text(encoding="utf-8"))["result"]
        self.ui.scoreButton.click()
        self.scored = folder / "scored"
        self.scored.mkdir()
        files = write_files(self.scored)
        for name in ("result.json", "report.json"):
            (self.scored / name).write_text(json.dumps({"created": "2026-11-22", "of": name}), encoding="utf-8")
        self.parts.score.job_finished({**make_result(), "seconds": {"score": 1.0}, "heatmap": None}, files)
        self.before = folder / "before"  # what a review list kept of it
        shutil.copytree(self.scored, self.before)

    @property
    def case(self) -> Any:
        return self.parts.result.case

    def explain(self) -> tuple[dict[str, Any], Any]:
        """Click; what was handed to the worker, and who waits for it."""
        self.ui.explainButton.click()
        return next((job, listener) for kind, job, listener in self.worker.asked if kind == "explain")

    def answer(self, job: dict[str, Any], listener: Any, **changes: Any) -> None:
        """The worker has made the maps and put them into the result."""
        out, result = Path(job["out"]), Path(job["result"])
        shutil.copytree(self.made, out)
        shutil.copyfile(out / "heatmap.nrrd", result / "heatmap.nrrd")
        (result / "pictures").mkdir(exist_ok=True)
        (result / "pictures" / "hotspot-1.png").write_bytes(b"picture")
        (result / "report.html").write_text("<p>explained</p>", encoding="utf-8")
        record = {"created": "2026-11-22", "heatmap": self.told["heatmap"]}
        (result / "result.json").write_text(json.dumps(record), encoding="utf-8")
        seconds = {"score": 1.0, "explain": 9.0}
        maps = {"heatmap": "heatmap.nrrd", "heatmap_PET": None}
        amended = {"heatmap": self.told["heatmap"], "seconds": seconds, "maps": maps}
        files = {name: str(out / f"{name}.nrrd") for name in ("heatmap", "heatmap_PET", "heatmap_CT", "agreement")}
        listener.job_finished({**self.told, "amended": amended, "not_kept": "", **changes}, {**files, "gradient": None})


@pytest.fixture
def ward(panel: Any, tmp_path: Path) -> Ward:
    return Ward(panel, tmp_path)


def test_it_is_in_the_result_the_report_and_tomorrows_scene(ward: Ward, tmp_path: Path) -> None:
    from MemorySurvivalPanels.report_panel import find_facts
    from MemorySurvivalPanels.scored_cases import HEATMAP
    from mrml_bundles import open_bundle, save_bundle

    node, age = ward.case.node, ward.case.created
    assert not find_facts(ward.case).heatmap
    job, listener = ward.explain()
    assert json.loads(Path(job["result"], "result.json").read_text(encoding="utf-8"))["of"] == "result.json"
    assert Path(job["result"]).parent == Path(job["out"]).parent
    ward.answer(job, listener)
    assert ward.ui.explainMessageLabel.text == "" and not Path(job["result"]).exists()
    heatmap = ward.parameters.heatmap
    assert ward.case.node is node and ward.case.created == age and ward.case.of(HEATMAP) is heatmap
    assert ward.case.result["heatmap"]["patches"] == 120 and ward.case.result["seconds"]["explain"] == 9.0
    assert ward.case.files["heatmap"] == "heatmap.nrrd" and ward.case.files["heatmap_PET"] is None
    assert find_facts(ward.case).heatmap and not ward.parts.result.stale
    assert ward.ui.heatmapValue.text
    save_bundle(tmp_path / "case.mrb")
    open_bundle(tmp_path / "case.mrb")
    ward.panel.widget.initializeParameterNode()
    report = ward.parts.result.report
    assert report is not None and report.read_text(encoding="utf-8") == "<p>explained</p>"
    assert (report.parent / "pictures" / "hotspot-1.png").is_file() and (report.parent / "heatmap.nrrd").is_file()
    assert "heatmap" in json.loads((report.parent / "result.json").read_text(encoding="utf-8"))
    assert (report.parent / "lesions.nrrd").is_file(), "what was there stays"


def test_a_map_too_large_for_the_scene_is_written_from_its_volume(
    ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MemorySurvivalPanels import scored_cases

    job, listener = ward.explain()
    monkeypatch.setattr(scored_cases, "MOST_BYTES", (ward.made / "heatmap.nrrd").stat().st_size - 1)
    ward.answer(job, listener)
    assert "heatmap.nrrd" in ward.case.left_out
    monkeypatch.setattr("MemorySurvivalPanels.report_panel.time.strftime", lambda _pattern: "saved")
    assert (ward.parts.report.copy_results(tmp_path) / "heatmap.nrrd").is_file()


def test_why_the_report_does_not_hold_it_is_said_and_the_map_is_shown(ward: Ward) -> None:
    before = ward.case.result
    job, listener = ward.explain()
    ward.answer(job, listener, amended=None, not_kept=f"No space is left to write {job['ct']}.")
    said = 'The heatmap is in the scene, but not in the report: No space is left to write "CT of the case".'
    assert ward.ui.explainMessageLabel.text == said
    assert ward.parameters.heatmap is not None and ward.case.result == before
    assert ward.ui.explainButton.enabled, "it can be tried again"


@pytest.mark.parametrize("how", ["removed", "covered", "changed"])
def test_a_result_that_is_not_there_any_more_is_not_amended(ward: Ward, how: str) -> None:
    import slicer
    from MemorySurvivalPanels.scored_cases import RESULT, amend_result

    job, listener = ward.explain()
    node = ward.case.node
    if how == "removed":
        slicer.mrmlScene.RemoveNode(node)
    elif how == "covered":
        node.SetAttribute(RESULT, None)
    else:
        amend_result(ward.case, {**ward.case.result, "log_risk": 0.5}, ward.scored)
    before = node.GetText()
    ward.answer(job, listener)
    assert node.GetText() == before
    assert slicer.mrmlScene.GetFirstNodeByName("Heatmap of CT of the case (SIMULATED MODEL)") is not None
    assert ("changed meanwhile" in ward.ui.explainMessageLabel.text) is (how == "changed")


def test_without_its_files_a_result_is_explained_all_the_same(ward: Ward) -> None:
    import slicer

    slicer.mrmlScene.RemoveNode(ward.case.node.GetNodeReference("files"))
    before = ward.case.result
    ward.ui.explainButton.click()
    job, listener = next((job, listener) for kind, job, listener in ward.worker.asked if kind == "explain")
    assert job["result"] is None
    out = Path(job["out"])
    shutil.copytree(ward.made, out)
    listener.job_finished({**ward.told, "amended": None, "not_kept": ""}, {"heatmap": str(out / "heatmap.nrrd")})
    assert ward.parameters.heatmap is not None and ward.case.result == before
    assert ward.ui.explainMessageLabel.text == ""


def test_stability_and_explanation_wait_for_each_other(ward: Ward) -> None:
    """Both change the result: the second would lose what the first added."""
    job, listener = ward.explain()
    assert not ward.ui.stabilityButton.enabled
    assert ward.ui.stabilityButton.toolTip == "The case is being explained; wait or cancel it first."
    ward.answer(job, listener)
    assert ward.ui.stabilityButton.enabled
    ward.ui.stabilityButton.click()
    assert ward.parts.stability.running and not ward.ui.explainButton.enabled
    assert "A stability is being checked" in ward.ui.explainButton.toolTip
    handed = next(each for kind, each, _ in ward.worker.asked if kind == "stability")
    assert Path(handed["result"], "heatmap.nrrd").is_file(), "it goes on from the explained result"


def test_the_copy_of_a_review_list_has_it_too(ward: Ward) -> None:
    from MemorySurvivalPanels.review_keeping import amend_results

    (ward.before / "pictures").mkdir()
    (ward.before / "pictures" / "hotspot-9.png").write_bytes(b"of an earlier map")
    (ward.before / "large.nrrd").write_bytes(b"left out of the scene")
    ward.parts.explain.watch(lambda ct, folder: amend_results(folder, ward.before))
    ward.answer(*ward.explain())
    assert (ward.before / "report.html").read_text(encoding="utf-8") == "<p>explained</p>"
    assert [each.name for each in (ward.before / "pictures").iterdir()] == ["hotspot-1.png"]
    assert (ward.before / "heatmap.nrrd").is_file() and (ward.before / "large.nrrd").is_file()
    assert not [each for each in ward.before.parent.iterdir() if each.name.startswith(".partial")]
