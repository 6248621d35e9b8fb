"""Everything clicked in the wrong order: a seeded crawler over the panel, and mishaps that a person can cause."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl import Crawler, answered_dialogs

FIRST, LAST, STEPS = (int(each) for each in os.environ.get("MEMORYSURVIVAL_CRAWL", "0 2 300").split())
"""Seeds and steps; a longer crawl is a matter of this environment variable."""


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, panel: Any) -> Path:
    """What the worker hands out, and a review list of two cases."""
    import SimpleITK as sitk
    import slicer
    from made_masks import make_masks
    from reading_case import hand_out_frames
    from scenes import CT_IJK_TO_RAS, add_volume

    masks = make_masks(tmp_path / "made-masks", CT_IJK_TO_RAS)
    monkeypatch.setenv("MEMORYSURVIVAL_FAKE_MASKS", str(masks.parent))
    (tmp_path / "frames").mkdir()
    pet = add_volume(np.ones((6, 8, 10), np.float32), CT_IJK_TO_RAS, "PET")
    hand_out_frames(pet, tmp_path / "frames", monkeypatch, 1.0)
    slicer.mrmlScene.Clear()
    for name in ("anna", "clara"):
        for image, kind in (("ct", np.int16), ("pet", np.float32)):
            path = tmp_path / "cases" / name / f"{image}.nrrd"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(np.ones((6, 8, 10), kind)), str(path))
    return tmp_path


@pytest.mark.parametrize("seed", range(FIRST, LAST + 1))
def test_no_order_of_clicks_breaks_the_panel(
    panel: Any, prepared: Path, seed: int, slot_errors: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    from made_explanation import make_explanation
    from scenes import CT_IJK_TO_RAS

    if seed % 2:
        folder = make_explanation(prepared / "made-explanation", CT_IJK_TO_RAS)
        monkeypatch.setenv("MEMORYSURVIVAL_FAKE_EXPLANATION", str(folder))
    crawler = Crawler(panel, seed, prepared, slot_errors)
    crawler.widget._parameters.worklist = str(prepared / "cases")
    crawler.widget._parameters.worklist_out = str(prepared / "out")
    with answered_dialogs(crawler, prepared):
        try:
            crawler.crawl(STEPS)
            finish_well(crawler)
        except BaseException as error:
            error.add_note("\n".join(crawler.trace[-40:]))
            raise (slot_errors.pop() if slot_errors else error) from error


def finish_well(crawler: Crawler) -> None:
    """Whatever happened before: a case can be scored, and a closed scene leaves nothing."""
    import slicer
    from scenes import add_small_case

    panel = crawler.panel
    crawler.calm_down()
    slicer.mrmlScene.Clear()
    assert panel.scratch_files() == []
    parameters = crawler.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    parameters.score_without_accepting = True
    crawler.worker.mood = "success"
    ui = crawler.widget.ui
    assert ui.scoreButton.enabled, ui.scoreButton.toolTip
    ui.scoreButton.click()
    while crawler.worker.work() != "nothing to do":
        panel.application.processEvents()
    assert not crawler.widget.parts.run_panel.running
    assert ui.logRiskValue.text == "+0.421"
    slicer.mrmlScene.Clear()
    assert panel.scratch_files() == []
    assert not [node for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode") if node.GetImageData() is not None]


@pytest.fixture
def room(panel: Any, prepared: Path) -> Any:
    """The review list of two cases, read, with the first case open; the worker waits to be told."""
    import random

    from crawl_worker import CrawlWorker

    panel.widget.logic.worker.close()
    panel.widget.logic.worker = worker = CrawlWorker(random.Random(0))
    worker.mood = "success"
    panel.representation.select()
    panel.ui.reviewListPath.currentPath = str(prepared / "cases")
    panel.ui.reviewOutPath.currentPath = str(prepared / "out")
    panel.ui.reviewReadButton.click()
    work(worker)
    panel.ui.reviewTable.setCurrentCell(0, 0)
    panel.ui.reviewOpenButton.click()
    work(worker)
    assert panel.widget._parameters.worklist_case == "anna"
    return panel


def work(worker: Any) -> None:
    while worker.work() != "nothing to do":
        pass


def test_a_listed_case_that_is_scored_while_another_module_is_open_is_kept(room: Any, prepared: Path) -> None:
    from MemorySurvivalLib.worklist.status import read_status

    room.ui.scoreButton.click()
    room.representation.leave()
    work(room.widget.logic.worker)
    assert read_status(prepared / "out").of("anna").state == "scored"
    room.representation.select()
    assert room.ui.logRiskValue.text == "+0.421"


def test_a_study_whose_series_are_known_too_late_is_not_opened_behind_another_module(room: Any) -> None:
    room.widget.parts.review._open({"case": "dora", "files": {"study": "nowhere"}, "folder": "dora"})
    _kind, listener = room.widget.logic.worker.waiting[0].kind, room.widget.logic.worker.waiting[0].listener
    room.representation.leave()
    listener.job_finished({"series": {}}, {})
    assert room.ui.messageLabel.text == "Another module was opened meanwhile; open dora again."
