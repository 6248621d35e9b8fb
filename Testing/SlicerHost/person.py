"""A person at the screen: one case of a review list from DICOM to the report, and on to the next, click by click.

Every step waits for what a person would wait for. The same steps are a test (on real DICOM) and the pictures of the
tutorial (on simulated DICOM); the worker is the real one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer


@dataclass
class Person:
    """Who clicks: the module's widget, the panel that Slicer shows, and where pictures go."""

    widget: Any
    panel: Any
    pictures: Path
    seconds: float = 600.0
    taken: list[str] = field(default_factory=list)

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def parameters(self) -> Any:
        return self.widget._parameters

    def wait(self, reached: Callable[[], bool]) -> None:
        """Look on until something is so."""
        end = time.monotonic() + self.seconds
        while not reached():
            if time.monotonic() > end:
                raise AssertionError(f"waited {self.seconds:g} s in vain; it says {self.ui.messageLabel.text!r}")
            slicer.app.processEvents()
            time.sleep(0.005)

    def wait_for_job(self) -> None:
        """Until the job that was asked for is over."""
        self.wait(lambda: not self.widget.parts.run_panel.running)

    def photograph(self, name: str, section: Any) -> None:
        """A picture of panel and views, the panel scrolled to a section."""
        from slicer_host.layout_picture import draw_window

        for each in (self.ui.caseSection, self.ui.covariatesSection, self.ui.reviewSection, self.ui.modelSection):
            each.collapsed = each is not section  # as a person folds away what is done
        slicer.app.processEvents()
        draw_window(self.pictures / f"{name}.png", self.panel, first=section, width=1500, height=940, panel_width=470)
        self.taken.append(name)

    def open_list(self, place: Path, out: Path) -> None:
        """Choose the folder of cases and open the first."""
        from slicer_host.layout_picture import settle_views

        settle_views()
        self.ui.reviewListPath.currentPath = str(place)
        self.ui.reviewOutPath.currentPath = str(out)
        self.ui.reviewerEdit.text = "Dr Example"
        self.ui.reviewReadButton.click()
        self.wait_for_job()
        self.ui.reviewNextButton.click()
        self.wait(lambda: self.parameters.ct is not None and not self.widget.parts.run_panel.running)

    def read(self) -> None:
        """The reading layout, and its rotating PET."""
        from slicer_host.layout_picture import settle_views

        self.ui.readingButton.click()
        settle_views()
        self.wait(lambda: self.widget.parts.reading.mip.node is not None)
        self.ui.mipPlayButton.checked = False
        self.widget.parts.reading.mip.turn_to(0)
        self.widget.parts.reading.fit()

    def make_masks(self, file: Path | None = None) -> None:
        """Have masks made, or load them from a file."""
        from MemorySurvivalPanels.parameters import MaskLabels, MaskSource

        if file is not None:
            self.parameters.mask_source = MaskSource.FILE
            self.parameters.mask_labels = MaskLabels.ONE_MASK
            self.ui.maskFilePath.currentPath = str(file)
        self.ui.generateButton.click()
        self.wait_for_job()
        self.wait(lambda: self.parameters.roi is not None)
        self.look_at_mask()

    def look_at_mask(self) -> None:
        """Go to the middle of the mask, with its prompt boxes shown."""
        from MemorySurvivalPanels.views import jump_views
        from scenes import ijk_to_ras

        parameters = self.parameters
        self.wait(lambda: self.widget.parts.masks.checker.answer is not None)
        self.ui.showBoxesCheck.checked = True
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, parameters.segment_id, parameters.ct)
        places = np.argwhere(voxels)
        middle = places[np.abs(places - places.mean(axis=0)).sum(axis=1).argmin()]
        x, y, z, _one = ijk_to_ras(parameters.ct) @ [*middle[::-1], 1.0]
        jump_views((float(x), float(y), float(z)))

    def correct_mask(self) -> None:
        """Paint a block beside the mask with the Segment Editor, and wait for what that changes."""
        from MemorySurvivalPanels.views import jump_views
        from scenarios.masks import paint

        before = self.widget.parts.masks.checker.answer
        jump_views(paint(self.widget))
        self.wait(lambda: self.widget.parts.masks.checker.answer not in (None, before))

    def accept(self) -> None:
        """Say that the mask is right."""
        self.ui.correctSection.collapsed = True
        self.ui.acceptButton.click()

    def score(self, *, measure: bool) -> None:
        """Score and wait."""
        self.ui.measureCheckBox.checked = measure
        assert self.ui.scoreButton.enabled, self.ui.scoreButton.toolTip
        self.ui.scoreButton.click()
        self.wait_for_job()

    def explain(self) -> None:
        """Explain and wait."""
        self.wait(lambda: self.ui.explainButton.enabled)
        self.ui.explainButton.click()
        self.wait(lambda: not self.widget.parts.explain.running)

    def save_and_reopen(self, file: Path) -> None:
        """Save the scene, close it, come back tomorrow."""
        from mrml_bundles import open_bundle, save_bundle

        save_bundle(file)
        slicer.mrmlScene.Clear()
        open_bundle(file)
        self.widget.initializeParameterNode()

    def export(self, folder: Path) -> Path:
        """Save the results where the person says; the dialog is answered."""
        import qt

        folder.mkdir(parents=True, exist_ok=True)
        asked = qt.QFileDialog.getExistingDirectory
        qt.QFileDialog.getExistingDirectory = lambda *_given: str(folder)
        try:
            self.ui.saveButton.click()
        finally:
            qt.QFileDialog.getExistingDirectory = asked
        (place,) = folder.iterdir()
        return place

    def finish_case(self) -> None:
        """Done with this case: the list is read again after the scene was reopened, and the next case opens."""
        before = self.parameters.worklist_case
        if not self.widget.parts.review.table.cases:
            self.ui.reviewReadButton.click()
            self.wait_for_job()
        self.ui.reviewDoneButton.click()
        self.wait(lambda: self.parameters.worklist_case != before and not self.widget.parts.run_panel.running)
