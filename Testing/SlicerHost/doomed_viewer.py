"""A viewer in a process of its own that starts a job with children and is then killed: `python FILE FOLDER JOB`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from slicer_host.application import start
from trials import Listener, trial_client

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "MemorySurvival")]


def main(folder: Path, job: str) -> None:
    """Start the job, say which processes run, and wait for the end."""
    application = start()
    scratch = importlib.import_module("MemorySurvivalPanels.scratch").ScratchFolder(folder)
    client = trial_client(scratch.new_folder)
    listener = Listener()
    client.submit(job, {"out": str(scratch.new_folder() / "result")}, listener)
    while not listener.children:
        application.processEvents()
    print(json.dumps([*client.process_ids, *listener.children]), flush=True)
    application.exec()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
