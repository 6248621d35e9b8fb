"""From importing the module to a panel that is ready, in a fresh process after Slicer's own imports."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS = 5
LIMIT_S = 1.0
HEAVY = ("torch", "sam2", "scipy", "pydicom", "highdicom", "matplotlib", "pandas")
"""Packages that take long to import and that the panel has no need of."""

SCRIPT = """
import json, sys, time
from pathlib import Path
root = Path(sys.argv[1])
sys.path.insert(0, str(root / "Testing" / "SlicerHost"))
from slicer_host.application import start
application = start()
import numpy, SimpleITK, slicer.util, vtk, vtk.util.numpy_support  # what Slicer has imported by itself
from slicer_host.loading import load_module
before = set(sys.modules)
begin = time.perf_counter()
_python, widget, panel = load_module(root / "MemorySurvival" / "MemorySurvival.py")
ready = time.perf_counter()
panel.setAttribute(sys.modules["qt"].Qt.WA_DontShowOnScreen)
panel.show()
application.processEvents()
shown = time.perf_counter()
heavy = [name for name in sys.argv[2:] if name in sys.modules and name not in before]
widget.logic.close()
print(json.dumps({"ready_s": ready - begin, "shown_s": shown - begin, "heavy": heavy}))
"""


def run() -> dict[str, Any]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", SCRIPT, str(ROOT), *HEAVY]
    runs = []
    for _run in range(RUNS):
        output = subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout
        runs.append(json.loads(output.splitlines()[-1]))
    median_s = statistics.median(each["ready_s"] for each in runs)
    heavy = sorted({name for each in runs for name in each["heavy"]})
    return {
        "ready_s": [round(each["ready_s"], 3) for each in runs],
        "median_s": round(median_s, 3),
        "median_until_drawn_s": round(statistics.median(each["shown_s"] for each in runs), 3),
        "heavy_imports": heavy,
        "goal": f"median of {RUNS} fresh processes under {LIMIT_S:g} s (Slicer test host, offscreen); none of "
        f"{', '.join(HEAVY)} imported by it",
        "ok": median_s < LIMIT_S and not heavy,
    }
