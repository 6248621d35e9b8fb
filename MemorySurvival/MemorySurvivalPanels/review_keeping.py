"""What a review list keeps of a case in its folder of results: the mask as the person left it, and the result."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.segmentations import REGION_FILL

MASKS = "masks"
PREPARED = "prepared"
PICTURES = "pictures"


def mask_file(out: Path, folder: str) -> Path:
    """Where the mask of a case is kept; `folder` is the name of its result folder."""
    return out / MASKS / f"{folder}.seg.nrrd"


def prepared_folder(out: Path, folder: str) -> Path:
    """Where masks made ahead of time lie."""
    return out / PREPARED / folder


def keep_mask(node: slicer.vtkMRMLSegmentationNode, place: Path) -> None:
    """Write a segmentation, whole or not at all; the node keeps no trace of it. Raises UserError."""
    with busy.phase(_("Keeping the mask")):
        storage = slicer.vtkMRMLSegmentationStorageNode()
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=place.parent))
        except OSError as error:
            raise _cannot_write(place) from error
        try:
            storage.SetFileName(str(folder / place.name))
            if not storage.WriteData(node):
                raise _cannot_write(place)
            (folder / place.name).replace(place)
        except OSError as error:
            raise _cannot_write(place) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def load_mask(place: Path, name: str) -> slicer.vtkMRMLSegmentationNode:
    """The segmentation that was kept. Raises UserError."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name))
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(place))
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(node)
        raise UserError(_("The mask {place} cannot be read; move it away to start anew.").format(place=place))
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetOpacity2DFill(REGION_FILL)
    return node


def keep_results(source: Path, place: Path) -> None:
    """Copy a result folder over the one that was kept before, whole or not at all. Raises UserError."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=place.parent))
        shutil.copytree(source, folder / "new")
        if place.exists():
            place.rename(folder / "old")
        (folder / "new").rename(place)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(place) from error


def amend_results(source: Path, place: Path) -> None:
    """Bring a kept result to what the same run says by now, whole or not at all. Raises UserError.

    Nothing is done where nothing, or another run, is kept. What only the kept one holds stays, since a scene leaves out
    large files; but for pictures, which are all drawn anew.
    """
    if _read_created(source) is None or _read_created(source) != _read_created(place):
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=place.parent))
        try:
            shutil.copytree(place, folder / "new")
            if (source / PICTURES).is_dir():
                shutil.rmtree(folder / "new" / PICTURES, ignore_errors=True)
            shutil.copytree(source, folder / "new", dirs_exist_ok=True)
            place.rename(folder / "old")
            try:
                (folder / "new").rename(place)
            except OSError:
                (folder / "old").rename(place)
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(place) from error


def _read_created(folder: Path) -> str | None:
    """When the result of a folder was made; None where it holds none that can be read."""
    try:
        return str(json.loads((folder / "result.json").read_text(encoding="utf-8"))["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ask_about_mask(case: str) -> str:
    """Keep the changed mask ("keep"), lose the changes ("discard"), or stay with the case ("stay")."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Warning)
    box.setWindowTitle(_("Mask not kept"))
    box.setText(_("The mask of {case} was changed and is not kept yet.").format(case=case))
    keep = box.addButton(_("Keep it"), qt.QMessageBox.AcceptRole)
    discard = box.addButton(_("Lose the changes"), qt.QMessageBox.DestructiveRole)
    stay = box.addButton(_("Stay with this case"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(keep)
    box.setEscapeButton(stay)
    box.exec_()
    clicked = box.clickedButton()
    if clicked == keep:
        return "keep"
    return "discard" if clicked == discard else "stay"


AskMask = Callable[[str], str]


def _cannot_write(place: Any) -> UserError:
    return UserError(
        _("{place} cannot be written; choose another folder for the results or free some space.").format(place=place)
    )
