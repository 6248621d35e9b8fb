"""The question whether images that seem to be of different patients or studies belong together."""

from collections.abc import Sequence

import qt
from slicer.i18n import tr as _


def ask_about_identity(differences: Sequence[str]) -> bool:
    """Ask in a dialog; no is the default and what closing the dialog means."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Warning)
    box.setWindowTitle(_("Do these images belong together?"))
    box.setText("\n".join(differences))
    box.setInformativeText(_("If they do, this one run goes on, and the result records that you confirmed it."))
    together = box.addButton(_("They belong together"), qt.QMessageBox.AcceptRole)
    stop = box.addButton(_("Do not score"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(stop)
    box.setEscapeButton(stop)
    box.exec_()
    return box.clickedButton() == together
