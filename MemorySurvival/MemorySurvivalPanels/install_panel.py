"""The section "Installation": what is there, the folder with wheels, Install, Repair; and the one question before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.install_tools import SlicerTools
from MemorySurvivalPanels.installing import Ask, Installer, Plan, describe_plan
from MemorySurvivalPanels.part import Part


def ask_to_install(plan: Plan) -> bool:
    """The one dialog: what will be installed, how large it is, from where. No is what closing it means."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(_("Memory Survival: install Python packages"))
    box.setTextFormat(qt.Qt.PlainText)
    if plan.repair:
        box.setText(_("Some packages cannot be imported. This will be installed again:"))
    else:
        box.setText(_("Scoring and masks need this, which Slicer does not have yet:"))
    lines = "\n".join(f"• {line}" for line in describe_plan(plan))
    box.setInformativeText(f"{lines}\n\n{_source(plan)}")
    install = box.addButton(_("Install"), qt.QMessageBox.AcceptRole)
    later = box.addButton(_("Not now"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(install)
    box.setEscapeButton(later)
    box.exec()
    return box.clickedButton() == install


def _source(plan: Plan) -> str:
    if plan.wheels is not None:
        return _("All of it is taken from {folder}; nothing is downloaded. Slicer's own Python is changed.").format(
            folder=plan.wheels
        )
    return _(
        "It is downloaded from the internet into Slicer's own Python, which takes minutes. No image and nothing about "
        "a patient is sent. Without internet, choose a folder with wheels in the section Installation first."
    )


class InstallPanel(Part):
    """Shows how the packages stand and lets the user install, check, or repair them.

    `installed` is called when packages have come in, so that what could not be asked of the worker is asked again.
    """

    def __init__(
        self,
        desk: Desk,
        installed: Callable[[], None] = lambda: None,
        installer: Installer | None = None,
        ask: Ask = ask_to_install,
    ) -> None:
        self._ui = ui = desk.ui
        self._worker = desk.worker
        self._installed = installed
        self._installer = installer or Installer(SlicerTools())
        self._installer.tell = self.show
        self.ask = ask
        ui.installButton.clicked.connect(self._install)
        ui.repairButton.clicked.connect(self._repair)
        ui.wheelsSelector.currentPathChanged.connect(self._choose_wheels)
        ready = self._installer.ready
        ui.installButton.enabled = not ready
        ui.installSection.collapsed = ready
        if ready:
            self.show(_("All Python packages are installed."))
        else:
            self.show(_("Python packages are missing. They are installed when first needed, or now with Install."))

    @property
    def ready(self) -> bool:
        """Whether the packages are there, by what is on disk."""
        return self._installer.ready

    def ensure(self) -> str | None:
        """Ask and install where packages are missing; None when they are there, else the sentence that says why not."""
        return None if self._installer.ready else self._work(self._installer.ensure)

    def show(self, sentence: str) -> None:
        """Say what is going on; drawn at once, because what follows may take a while."""
        self._ui.installLabel.text = sentence
        self._ui.installLabel.repaint()

    def _choose_wheels(self, *_ignored: Any) -> None:
        chosen = str(self._ui.wheelsSelector.currentPath).strip()
        self._installer.wheels = Path(chosen) if chosen else None

    def _install(self, *_ignored: Any) -> None:
        self._work(self._installer.ensure)

    def _repair(self, *_ignored: Any) -> None:
        self._work(self._installer.repair)

    def _work(self, work: Callable[[Ask], Any]) -> str | None:
        worker = self._worker()
        if worker.busy:
            return self._stop_with(_("A job is under way; wait until it is over, or cancel it."))
        # A warm worker has the old packages in it, and on Windows it holds their files.
        worker.cancel_background()
        worker.close()
        before = self._installer.ready
        self._ui.repairButton.enabled = self._ui.installButton.enabled = False
        try:
            work(self.ask)
        except UserError as error:
            return self._stop_with(str(error))
        finally:
            self._ui.repairButton.enabled = True
            self._ui.installButton.enabled = not self._installer.ready
        if not before:
            self._installed()
        return None

    def _stop_with(self, sentence: str) -> str:
        self.show(sentence)
        self._ui.installSection.collapsed = False
        return sentence
