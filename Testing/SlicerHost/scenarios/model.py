"""The steps "Case", "Clinical values" and "Model" in the states that a reader should see, on the simulated case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Wait = Callable[[Callable[[], bool]], None]
Save = Callable[[str], None]


def photograph_model(widget: Any, case: Path, wait: Wait, save: Save) -> None:
    """Load CT, PET and spine of a simulated case; pictures of the findings, the filled form, and the model's card.

    `case` is a folder that `memory-survival simulate case` wrote, `wait` lets the event loop run until something is so,
    `save` takes the picture's name. The real worker answers.
    """
    from scenes import load_volume

    ui, parameters = widget.ui, widget._parameters
    parameters.ct = load_volume(case / "ct.nrrd", "Simulated CT")
    parameters.pet = load_volume(case / "pet.nrrd", "Simulated PET (SUVbw)")
    widget.parts.enter()
    wait(lambda: bool(widget.parts.case.warnings.findings) and bool(ui.deviceStateLabel.text))
    wait(lambda: any(each["topic"] == "alignment" for each in widget.parts.case.warnings.findings))
    save("slicer-case-findings")
    ui.covariatesSection.collapsed = False
    parameters.covariates = str(case / "covariates.csv")
    wait(lambda: bool(widget.parts.covariates.form.origins["age_years"].text))
    editors = widget.parts.covariates.form.editors
    editors["calcium_mg_dl"].text = "9.6"
    editors["haemoglobin_g_dl"].text = "105"
    save("slicer-clinical-values")
    editors["haemoglobin_g_dl"].text = "10.5"
    ui.bundleCardSection.collapsed = False
    wait(lambda: bool(ui.modelTimeLabel.text))
    save("slicer-model")
