"""No end of a scene, a module or the viewer leaves a process or a file behind."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from trials import Listener, is_running, trial_client

posix = pytest.mark.skipif(os.name == "nt", reason="signals and modes")


def wait_for_end(processes: list[int], seconds: float) -> bool:
    """Whether all of them have ended in time."""
    end = time.monotonic() + seconds
    while any(is_running(each) for each in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@posix
@pytest.mark.parametrize("job", ["tool", "stuck"])
def test_a_viewer_that_is_killed_leaves_no_process_and_its_folder_is_swept(
    application: Any, panel: Any, tmp_path: Path, job: str
) -> None:
    """Nobody can catch this kill, so the worker has to notice by itself, with all that it started."""
    from MemorySurvivalPanels.scratch import ScratchFolder

    viewer = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("doomed_viewer.py")), str(tmp_path), job],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert viewer.stdout is not None
    with viewer.stdout:
        processes = json.loads(viewer.stdout.readline())
        assert len(processes) >= 2 and all(is_running(each) for each in processes)
        (left,) = tmp_path.iterdir()
        ScratchFolder(tmp_path)
        assert left.exists(), "it lives, so nobody sweeps it"
        viewer.kill()
        viewer.wait()
    assert wait_for_end(processes, 10)
    ScratchFolder(tmp_path)
    assert list(tmp_path.iterdir()) == []


@posix
def test_closing_the_scene_in_mid_run_ends_the_whole_tree(panel: Any, tmp_path: Path) -> None:
    import slicer

    logic = panel.widget.logic
    logic.worker.close()
    logic.worker = trial_client(logic.scratch.new_folder)
    listener = Listener()
    logic.worker.submit("stuck", {"out": str(logic.scratch.new_folder() / "result")}, listener)
    panel.wait_until(lambda: bool(listener.children))
    processes = [*logic.worker.process_ids, *listener.children]
    assert any(file.name == "half" for file in panel.scratch_files())
    begin = time.monotonic()
    slicer.mrmlScene.Clear()
    assert time.monotonic() - begin < 2.0
    assert wait_for_end(processes, 2)
    assert panel.scratch_files() == []
    assert listener.outcomes == []


@posix
def test_temporary_files_of_the_worker_are_private_and_end_with_it(panel: Any) -> None:
    """Programs that the worker starts put patients' images into the temporary folder."""
    from MemorySurvivalPanels.worker_client import library_worker_command

    folder = panel.widget.logic.scratch.new_folder()
    command = library_worker_command(Path(__file__).resolve().parents[2], folder)
    assert {command.environment[name] for name in ("TMPDIR", "TEMP", "TMP")} == {str(folder)}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    client = trial_client(lambda: folder)
    listener = Listener()
    client.submit("count", {"steps": 1}, listener)
    panel.wait_until(lambda: bool(listener.outcomes))
    (folder / "image").touch()
    client.close()
    assert not folder.exists()


@posix
def test_where_there_are_no_locks_the_process_number_tells(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems know no locks."""
    import fcntl

    from MemorySurvivalPanels.scratch import ScratchFolder

    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    living = ScratchFolder(tmp_path)
    mine = living.new_folder()
    host = (mine.parent / "lock").read_text().split()[1]
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    for name, text in [("dead", f"{finished.pid} {host}"), ("elsewhere", f"{finished.pid} other"), ("odd", "")]:
        (tmp_path / f"memory-survival-{name}").mkdir()
        (tmp_path / f"memory-survival-{name}" / "lock").write_text(text)
    ScratchFolder(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {mine.parent.name, "memory-survival-elsewhere", "memory-survival-odd"}
    living.clear()
    assert not mine.exists()


def test_names_tell_nothing(panel: Any, tmp_path: Path) -> None:
    from MemorySurvivalPanels.scratch import ScratchFolder

    scratch = ScratchFolder(tmp_path / "Üser 1")
    folders = {scratch.new_folder().name for _ in range(5)}
    assert len(folders) == 5
    assert all(len(name) >= 8 and name.replace("_", "").isalnum() for name in folders)
    scratch.clear()
