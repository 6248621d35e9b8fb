"""What the viewer does itself is named, has a wait cursor, and is timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_a_phase_is_named_where_the_stage_stands_and_everything_is_put_back(panel: Any) -> None:
    import qt
    from MemorySurvivalPanels import busy

    label = panel.ui.stageLabel
    before = label.text
    with busy.phase("Handing the CT over"):
        assert (label.text, label.isVisible()) == ("Handing the CT over", True)
        assert qt.QApplication.overrideCursor().shape() == qt.Qt.WaitCursor
        with busy.phase("Reading"):
            assert label.text == "Reading"
        assert label.text == "Handing the CT over"
    assert label.text == before
    assert qt.QApplication.overrideCursor() is None
    assert [phase.name for phase in busy.past_phases()[-2:]] == ["Reading", "Handing the CT over"]
    assert busy.past_phases()[-1].seconds >= busy.past_phases()[-2].seconds


def test_a_phase_that_fails_is_over_too(panel: Any) -> None:
    import qt
    from MemorySurvivalPanels import busy

    before = panel.ui.stageLabel.text
    with pytest.raises(ValueError, match="broken"), busy.phase("Reading"):
        raise ValueError("broken")
    assert panel.ui.stageLabel.text == before
    assert qt.QApplication.overrideCursor() is None


def test_images_that_are_written_are_phases_and_files_that_are_passed_are_not(panel: Any, tmp_path: Path) -> None:
    import slicer
    from MemorySurvivalPanels import busy, volumes
    from scenes import add_small_case, load_volume

    ct, _pet, _roi = add_small_case()
    shown: list[str] = []
    stop = busy.watch(shown.append)
    path = volumes.volume_file(ct, "CT", tmp_path)
    assert shown == ["Handing the CT over", ""]
    shown.clear()
    volumes.volume_file(load_volume(path, "Again"), "CT", tmp_path)
    assert shown == []
    volumes.fill_volume(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Back"), path)
    assert shown == ["Reading the result", ""]
    stop()
    volumes.volume_file(ct, "CT", tmp_path)
    assert shown == ["Reading the result", ""]


def test_a_phase_leaves_no_trace_after_the_module_is_gone(panel: Any) -> None:
    from MemorySurvivalPanels import busy
    from slicer_host.loading import unload_module

    unload_module("MemorySurvival")
    with busy.phase("Reading"):
        assert panel.ui.stageLabel.text != "Reading"
