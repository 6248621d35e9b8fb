"""The pictures of docs/tutorial.md: `python Testing/SlicerHost/tutorial.py OUT [WORK]`.

Simulated patients are made (or found in WORK), and one is read from the review list to the report as a person would,
with the real worker. Takes some minutes. The pictures go to OUT/tutorial, the report's first page (drawn by poppler's
pdftoppm) to OUT. The folder of an export is shown, so WORK should be a place that names nobody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "Testing" / "Python")]

SCENARIO = "main"
CASES = {"patient-a": 6, "patient-b": 7}
SPACING_MM = 3.0
GREYS = COLOURS = 128
NEARLY_GREY = 12
"""How far red, green and blue of a grey may lie apart, of 255."""
PAGE_DPI = 110


def main(out: Path, work: Path) -> None:
    """Walk through the tutorial and leave its pictures in `out`."""
    from slicer_host.application import start
    from slicer_host.loading import load_module, unload_module

    cases = make_cases(work)
    (out / "tutorial").mkdir(parents=True, exist_ok=True)
    start()
    _python, widget, panel = load_module(ROOT / "MemorySurvival" / "MemorySurvival.py")
    panel.setAttribute(sys.modules["qt"].Qt.WA_DontShowOnScreen)
    panel.resize(470, 940)
    panel.show()
    panel.select()
    try:
        walk(widget, panel, cases, out, work)
    finally:
        unload_module("MemorySurvival")
    for picture in (*(out / "tutorial").glob("*.png"), out / "report-page-1.png"):
        reduce_colours(picture)


def make_cases(work: Path) -> Path:
    """A folder of simulated patients with CT, PET and clinical values, as somebody hands them over."""
    cases = work / "cases"
    for name, seed in CASES.items():
        if not (cases / name / "ct.nrrd").is_file():
            made = work / f"simulated-{seed}"
            command = ["simulate", "case", "--scenario", SCENARIO, "--seed", str(seed)]
            command += ["--spacing-mm", str(SPACING_MM), "--out", str(made)]
            subprocess.run([sys.executable, "-m", "MemorySurvivalLib.cli", *command], check=True, cwd=ROOT)
            (cases / name).mkdir(parents=True)
            for file in ("ct.nrrd", "pet.nrrd", "covariates.csv"):
                shutil.copy(made / file, cases / name / file)
    return cases


def walk(widget: Any, panel: Any, cases: Path, out: Path, work: Path) -> None:
    """Every step of the tutorial, with its picture."""
    from person import Person
    from scenarios.again import check_stability

    results, exported = work / "results", work / "export-patient-a"
    for folder in (results, exported):
        shutil.rmtree(folder, ignore_errors=True)
    person = Person(widget, panel, out / "tutorial")
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
    ui.measureCheckBox.checked = True
    person.photograph("6-model", ui.modelSection)
    person.score(measure=True)
    check_stability(widget, person.wait)
    ui.showBoxesCheck.checked = False
    ui.lesionTable.setCurrentCell(0, 0)
    person.photograph("7-score", ui.resultSection)
    person.explain()
    ui.nextHotspotButton.click()
    person.photograph("8-explain", ui.explainSection)
    confirm_marrow(person)
    person.photograph("9-findings", ui.findingsSection)
    review_lesions(person)
    person.photograph("9-lesions", ui.findingsLesionsCaption)
    ui.findingsSection.collapsed = True
    person.save_and_reopen(results / "case.mrb")
    person.wait(lambda: widget.parts.reading.mip.node is not None)
    person.photograph("10-reopened", ui.resultSection)
    export(person, exported)
    draw_page(exported / "report.pdf", out / "report-page-1.png")
    person.finish_case()
    person.wait(lambda: widget.parts.reading.mip.node is not None)
    person.photograph("12-next", ui.reviewSection)


def confirm_marrow(person: Any) -> None:
    """Confirm what is suggested of the marrow."""
    findings = person.widget.parts.findings
    person.ui.findingsSection.collapsed = False
    person.wait(lambda: person.ui.findingsFrame.visible)
    findings.form.row("marrow_deauville").tick.checked = True


def review_lesions(person: Any) -> None:
    """Say which lesions were looked at, and show the staging scores of the patient's own values."""
    import qt

    table = person.ui.findingsLesionTable
    for row in range(table.rowCount):
        table.item(row, 0).setCheckState(qt.Qt.Checked)
    table.setCurrentCell(1, 0)
    person.ui.stagingGroup.collapsed = False


def export(person: Any, folder: Path) -> None:
    """Choose in the dialog, picture it over the views, and export."""
    from scenarios.report import fill_dialog

    ui = person.ui
    ui.reportSection.collapsed = False
    chosen = fill_dialog(person.widget, folder)
    person.photograph("11-export", ui.reportSection)
    lay_over(person.pictures / "11-export.png", person.widget.parts.report.dialog.window)
    chosen.exportStartButton.click()
    person.wait_for_job()


def lay_over(picture: Path, window: Any) -> None:
    """Paint a dialog with its title into the middle of the views of a picture."""
    from PySide6 import QtCore, QtGui

    image, form = QtGui.QImage(str(picture)), window.grab().toImage()
    bar = 26
    left, top = 470 + (image.width() - 470 - form.width()) // 2, (image.height() - form.height() + bar) // 2
    painter = QtGui.QPainter(image)
    title = QtCore.QRect(left, top - bar, form.width(), bar)
    painter.fillRect(title.adjusted(-1, -1, 1, form.height() + 1), QtGui.QColor("#5b7083"))
    painter.setPen(QtGui.QColor("white"))
    painter.drawText(title, QtCore.Qt.AlignmentFlag.AlignCenter, window.windowTitle)
    painter.drawImage(left, top, form)
    painter.end()
    if not image.save(str(picture)):
        raise OSError(f"{picture} cannot be written")


def draw_page(document: Path, picture: Path) -> None:
    """The first page of a PDF as a PNG."""
    command = ["pdftoppm", "-png", "-r", str(PAGE_DPI), "-f", "1", "-singlefile"]
    subprocess.run([*command, str(document), str(picture.with_suffix(""))], check=True)


def reduce_colours(picture: Path) -> None:
    """Write a PNG again with a palette, half of it greys, so that the repository stays small and PET stays smooth."""
    import numpy as np
    from PIL import Image
    from scipy.spatial import cKDTree

    with Image.open(picture) as image:
        full = image.convert("RGB")
    pixels = np.asarray(full).reshape(-1, 3)
    coloured = pixels[np.ptp(pixels, axis=1) > NEARLY_GREY]
    greys = np.repeat(np.linspace(0, 255, GREYS).round().astype(np.uint8)[:, np.newaxis], 3, axis=1)
    colours = Image.fromarray(coloured[np.newaxis]).quantize(COLOURS, method=Image.Quantize.FASTOCTREE).getpalette()
    palette = np.concatenate([greys, np.reshape(colours, (-1, 3))[:COLOURS]]).astype(np.uint8)
    # Pillow's own search for the nearest colour is coarse: white would become grey.
    different, places = np.unique(pixels, axis=0, return_inverse=True)
    nearest = cKDTree(palette).query(different)[1].astype(np.uint8)
    reduced = Image.fromarray(nearest[places.ravel()].reshape(full.height, full.width))
    reduced.putpalette(palette.ravel().tolist())
    reduced.save(picture, optimize=True)


if __name__ == "__main__":
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="tutorial-"))
    main(Path(sys.argv[1]), folder)
