"""The section "Installation": what is there, the folder with wheels, Install, Repair; and the one question before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.installing import Ask, Installer, Plan, describe_plan


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


class InstallPanel:
    """Shows how the packages stand and lets the user install, check, or repair them."""

    def __init__(self, ui: Any, installer: Installer, ask: Ask = ask_to_install) -> None:
        self._ui = ui
        self._installer = installer
        self.ask = ask
        installer.tell = self.show
        ui.installButton.clicked.connect(self._install)
        ui.repairButton.clicked.connect(self._repair)
        ui.wheelsSelector.currentPathChanged.connect(self._choose_wheels)
        self.update()
        ui.installSection.collapsed = installer.ready

    def ensure(self) -> bool:
        """Whether the packages are there, after asking and installing where they are not; call it before a job."""
        if self._installer.ready:
            return True
        return self._work(lambda: self._installer.ensure(self.ask))

    def show(self, sentence: str) -> None:
        """Say what is going on; drawn at once, because what follows may take a while."""
        self._ui.installLabel.text = sentence
        self._ui.installLabel.repaint()

    def update(self) -> None:
        """Show how it stands, by what is on disk."""
        ready = self._installer.ready
        self._ui.installButton.enabled = not ready
        if ready:
            self.show(_("All Python packages are installed."))
        else:
            self.show(_("Python packages are missing. They are installed when first needed, or now with Install."))

    def _choose_wheels(self, *_ignored: Any) -> None:
        chosen = str(self._ui.wheelsSelector.currentPath).strip()
        self._installer.wheels = Path(chosen) if chosen else None

    def _install(self, *_ignored: Any) -> None:
        self._work(lambda: self._installer.ensure(self.ask))

    def _repair(self, *_ignored: Any) -> None:
        self._work(lambda: self._installer.repair(self.ask))

    def _work(self, work: Callable[[], Any]) -> bool:
        self._ui.repairButton.enabled = self._ui.installButton.enabled = False
        sentence = ""
        try:
            work()
        except UserError as error:
            sentence = str(error)
        self._ui.repairButton.enabled = True
        ready = self._installer.ready
        self._ui.installButton.enabled = not ready
        if sentence:
            self.show(sentence)
            self._ui.installSection.collapsed = False
        return ready and not sentence
