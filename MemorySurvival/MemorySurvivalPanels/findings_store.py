"""The physician's reading of a scored case and the lesions looked at: kept in the scene beside their result."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.scored_cases import RESULT, ScoredCase

if TYPE_CHECKING:
    from MemorySurvivalLib.clinical.record import VisualReading

FINDINGS = "findings"
"""Role in which a result points to its findings."""

_ATTRIBUTE = "MemorySurvival.Findings"
"""Attribute of the text node; its value is the version of what the text holds."""
_VERSION = "1"


@dataclass(frozen=True)
class CaseFindings:
    """The form of one result, the numbers of the lesions that a person looked at, and whether answers were carried
    over from an earlier result of the same images."""

    reading: "VisualReading"
    reviewed: tuple[int, ...] = ()
    carried: bool = False


def load_findings(case: ScoredCase) -> CaseFindings | None:
    """What is kept with a result; None where nothing is. UserError where it cannot be read."""
    from MemorySurvivalLib.clinical.plain_reading import from_plain
    from MemorySurvivalLib.errors import InputError

    node = case.of(FINDINGS)
    if node is None:
        return None
    if node.GetAttribute(_ATTRIBUTE) != _VERSION:
        raise UserError(_("The stored findings are of another version of this module; fill in the form again."))
    try:
        stored = json.loads(node.GetText() or "")
        reviewed = tuple(sorted({int(each) for each in stored["reviewed"]}))
        return CaseFindings(from_plain(stored["reading"]), reviewed, bool(stored["carried"]))
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise UserError(_("The stored findings cannot be read; fill in the form again.")) from error


def keep_findings(case: ScoredCase, findings: CaseFindings) -> None:
    """Keep findings with their result; nothing happens where the result has left the scene."""
    from MemorySurvivalLib.clinical.plain_reading import to_plain

    if case.node.GetScene() is None:
        return
    content = {"reading": to_plain(findings.reading), "reviewed": findings.reviewed, "carried": findings.carried}
    text = json.dumps(content, ensure_ascii=False)
    node = case.of(FINDINGS)
    if node is None:
        node = slicer.vtkMRMLTextNode()
        node.SetName(slicer.mrmlScene.GenerateUniqueName(_("Findings of {name}").format(name=case.node.GetName())))
        node.SetHideFromEditors(True)
        # Short texts would be written into the scene file itself; one way for all is tried every time.
        node.SetForceCreateStorageNode(slicer.vtkMRMLTextNode.CreateStorageNodeAlways)
        node.SetText(text)
        node = slicer.mrmlScene.AddNode(node)
        node.SetUndoEnabled(case.node.GetUndoEnabled())
        case.attach(FINDINGS, node)
    node.SetAttribute(_ATTRIBUTE, _VERSION)
    if node.GetText() != text:
        node.SetText(text)


def drop_orphans() -> None:
    """Remove findings whose result the user has removed: they name a reader, and nobody would see them any more."""
    texts = slicer.util.getNodesByClass("vtkMRMLTextNode")
    owned = {node.GetNodeReferenceID(FINDINGS) for node in texts if node.GetAttribute(RESULT) is not None}
    for node in texts:
        if node.GetAttribute(_ATTRIBUTE) is not None and node.GetID() not in owned:
            slicer.mrmlScene.RemoveNode(node)
