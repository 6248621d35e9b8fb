"""The question that is asked before a person's corrections are replaced by freshly made masks."""

import enum
from collections.abc import Callable

import qt
from slicer.i18n import tr as _


class Answer(enum.Enum):
    """What to do with a segmentation that a person corrected when masks are made again."""

    NEW = "new"
    REPLACE = "replace"
    CANCEL = "cancel"


AskCallback = Callable[[str, list[str]], Answer]
"""Is given the segmentation's name and the names of its corrected segments."""


def ask_about_edits(name: str, segments: list[str]) -> Answer:
    """Ask in a dialog; keeping the corrections is the default, and what closing the dialog comes closest to."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Warning)
    box.setWindowTitle(_("Corrected masks"))
    box.setText(
        _('You corrected {segments} in "{name}". Keep it and put the new masks into another segmentation?').format(
            segments=", ".join(segments), name=name
        )
    )
    keep = box.addButton(_("Keep mine"), qt.QMessageBox.AcceptRole)
    replace = box.addButton(_("Replace my corrections"), qt.QMessageBox.DestructiveRole)
    cancel = box.addButton(_("Cancel"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(keep)
    box.setEscapeButton(cancel)
    box.exec_()
    clicked = box.clickedButton()
    if clicked == keep:
        return Answer.NEW
    return Answer.REPLACE if clicked == replace else Answer.CANCEL
