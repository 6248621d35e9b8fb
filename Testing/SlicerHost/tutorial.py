"""The pictures of docs/tutorial.md: `python Testing/SlicerHost/tutorial.py OUT [WORK]`.

Simulated patients are made (or found in WORK), and one is read from the review list to the report as a person would,
with the real worker. Takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "Testing" / "Python")]

CASES = {"patient-a": 2, "patient-b": 7}
SPACING_MM = 3.0


def main(out: Path, work: Path) -> None:
    """Walk through the tutorial and leave its pictures in `out`."""
    from slicer_host.application import start
    from slicer_host.loading import load_module, unload_module

    cases = make_cases(work)
    out.mkdir(parents=True, exist_ok=True)
    start()
    _python, widget, panel = load_module(ROOT / "MemorySurvival" / "MemorySurvival.py")
    panel.setAttribute(sys.modules["qt"].Qt.WA_DontShowOnScreen)
    panel.resize(470, 940)
    panel.show()
    panel.select()
    try:
        walk(widget, panel, cases, out, work / "results")
    finally:
        unload_module("MemorySurvival")


def make_cases(work: Path) -> Path:
    """A folder of simulated patients with CT, PET and clinical values, as somebody hands them over."""
    cases = work / "cases"
    for name, seed in CASES.items():
        if not (cases / name / "ct.nrrd").is_file():
            made = work / f"simulated-{seed}"
            command = ["simulate", "case", "--seed", str(seed), "--spacing-mm", str(SPACING_MM), "--out", str(made)]
            subprocess.run([sys.executable, "-m", "MemorySurvivalLib.cli", *command], check=True, cwd=ROOT)
            (cases / name).mkdir(parents=True)
            for file in ("ct.nrrd", "pet.nrrd", "covariates.csv"):
                shutil.copy(made / file, cases / name / file)
    return cases


def walk(widget: object, panel: object, cases: Path, out: Path, results: Path) -> None:
    """Every step of the tutorial, with its picture."""
    from person import Person

    shutil.rmtree(results, ignore_errors=True)
    person = Person(widget, panel, out)
    ui = person.ui
    person.open_list(cases, results)
    person.photograph("1-open", ui.reviewSection)
    person.read()
    person.photograph("2-read", ui.caseSection)
    person.make_masks()
    person.photograph("3-masks", ui.maskSection)
    person.correct_mask()
    person.photograph("4-correct", ui.maskSection)
    person.accept()
    person.photograph("5-accept", ui.maskSection)
    person.photograph("6-model", ui.modelSection)
    person.score(measure=True)
    ui.showBoxesCheck.checked = False
    ui.lesionTable.setCurrentCell(0, 0)
    person.photograph("7-score", ui.resultSection)
    person.explain()
    ui.nextHotspotButton.click()
    person.photograph("8-explain", ui.explainSection)
    person.save_and_reopen(results / "case.mrb")
    person.wait(lambda: widget.parts.reading.mip.node is not None)
    person.photograph("9-reopened", ui.resultSection)
    person.export(results / "exported")
    person.photograph("10-report", ui.reportSection)
    person.finish_case()
    person.wait(lambda: widget.parts.reading.mip.node is not None)
    person.photograph("11-next", ui.reviewSection)


if __name__ == "__main__":
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="tutorial-"))
    main(Path(sys.argv[1]), folder)
