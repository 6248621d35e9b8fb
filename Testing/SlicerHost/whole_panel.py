"""Every section of the panel in use: a case scored, measured, explained and compared, with a list beside it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np


def fill_panel(widget: Any, folder: Path, process_events: Any) -> Any:
    """Have an in-process worker answer everything; it is handed back. The module has to be open.

    MEMORYSURVIVAL_FAKE_EXPLANATION has to name an explanation of the small case.
    """
    import SimpleITK as sitk
    from crawl_worker import CrawlWorker, Told
    from made_prior import compared
    from measured_result import make_measurements, make_result, write_files
    from scenes import add_small_case
    from test_covariates_panel import CLINICAL
    from test_result_card import validated_risk

    widget.logic.worker.close()
    widget.logic.worker = worker = CrawlWorker(random.Random(0))
    worker.mood = "success"
    result = {**make_result(measurements=make_measurements(), troubled=True), "risk": validated_risk()}
    (folder / "result").mkdir()
    worker.prepared = {
        "score": Told(result, write_files(folder / "result"), []),
        "prior": Told(compared(), {}, []),
    }
    for name in ("anna", "clara"):
        for image, kind in (("ct", np.int16), ("pet", np.float32)):
            path = folder / "cases" / name / f"{image}.nrrd"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(np.ones((6, 8, 10), kind)), str(path))

    def work() -> None:
        while worker.work() != "nothing to do":
            process_events()
        process_events()

    ui, parameters = widget.ui, widget._parameters
    for each in vars(ui).values():
        if each.inherits("ctkCollapsibleButton"):
            each.collapsed = False
    parameters.worklist, parameters.worklist_out = str(folder / "cases"), str(folder / "out")
    work()
    ui.reviewReadButton.click()
    work()
    widget.parts.model.take_bundles([CLINICAL])
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    parameters.prior_ct, parameters.prior_pet, _roi = add_small_case()
    parameters.score_without_accepting = parameters.measure = True
    form = widget.parts.covariates.form
    form.editors["haemoglobin_g_dl"].text = "10.5"
    form.editors["haemoglobin_g_dl"].editingFinished.emit()
    work()
    for button in (ui.scoreButton, ui.explainButton, ui.priorCompareButton):
        button.click()
        work()
    return worker
