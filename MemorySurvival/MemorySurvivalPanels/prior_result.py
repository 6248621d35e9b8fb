"""What a comparison with a prior study gave, in the scene and as rows of tables."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.localised import NOTHING, show_number

PRIOR = "MemorySurvival.Prior"
"""Attribute of the text node that holds a comparison; its value is the version of what the text holds."""
VERSION = 1
ROLES = ("ct", "pet", "prior_ct", "prior_pet")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def store_comparison(nodes: Mapping[str, Any], result: Mapping[str, Any], name: str) -> slicer.vtkMRMLTextNode:
    """Keep a comparison with the images that it is of; an earlier one of the same images is replaced."""
    node = find_comparison(nodes) or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", name)
    node.SetText(json.dumps(result, ensure_ascii=False))
    node.SetAttribute(PRIOR, str(VERSION))
    for role in ROLES:
        node.SetNodeReferenceID(role, nodes[role].GetID())
    return node


def find_comparison(nodes: Mapping[str, Any]) -> slicer.vtkMRMLTextNode | None:
    """The comparison of these images, where one is in the scene."""
    if any(nodes.get(role) is None for role in ROLES):
        return None
    for node in slicer.util.getNodesByClass("vtkMRMLTextNode"):
        of_ours = node.GetAttribute(PRIOR) == str(VERSION)
        if of_ours and all(node.GetNodeReferenceID(role) == nodes[role].GetID() for role in ROLES):
            return node
    return None


def read_comparison(node: slicer.vtkMRMLTextNode | None) -> dict[str, Any] | None:
    """What a node holds; None where it was edited by hand so that it cannot be read."""
    try:
        content = json.loads(node.GetText() or "") if node is not None else None
    except json.JSONDecodeError:
        return None
    return content if isinstance(content, dict) and {"match", "comparison", "notes"} <= set(content) else None


def prior_to_current_ras(result: Mapping[str, Any]) -> np.ndarray:
    """The rigid move, 4 x 4, that takes a RAS point of the prior study to the current one."""
    current_to_prior = np.asarray(result["match"]["current_to_prior"], dtype=float)
    return _LPS_TO_RAS @ np.linalg.inv(current_to_prior) @ _LPS_TO_RAS


def value_titles() -> list[str]:
    """Columns of the table of values."""
    return [_("Measurement"), _("Prior"), _("Current"), _("Change")]


def describe_value(value: Mapping[str, Any]) -> list[str]:
    """The cells of one value."""
    names = {
        "liver SUVmean": _("Liver SUVmean"),
        "blood pool SUVmean": _("Blood pool SUVmean"),
        "marrow SUV": _("Marrow SUV"),
        "hottest focal lesion SUVmax": _("Hottest focal lesion, SUVmax"),
        "focal lesions": _("Focal lesions"),
        "focal MTV": _("Focal MTV (ml)"),
        "focal TLG": _("Focal TLG (g)"),
    }
    name = str(value["name"])
    digits = 0 if name == "focal lesions" else 2
    change = value.get("change_percent")
    return [
        names.get(name, name),
        show_number(value.get("prior"), digits),
        show_number(value.get("current"), digits),
        _("{n} %").format(n=show_number(change, 0, sign=True)) if change is not None else NOTHING,
    ]


def lesion_titles() -> list[str]:
    """Columns of the table of lesions."""
    return [_("Bone"), _("Seen"), _("Prior SUVmax"), _("Current SUVmax")]


def describe_lesion(lesion: Mapping[str, Any]) -> list[str]:
    """The cells of one lesion."""
    fates = {"in both": _("in both"), "only now": _("only now"), "only before": _("only before")}
    return [
        str(lesion["site"]).replace("_", " "),
        fates.get(str(lesion["fate"]), str(lesion["fate"])),
        show_number(lesion.get("prior_suv_max"), 1),
        show_number(lesion.get("current_suv_max"), 1),
    ]


def describe_comparison(result: Mapping[str, Any]) -> list[str]:
    """What to know before reading the tables, a sentence each; that it is no response assessment comes first."""
    match, notes = result["match"], [str(note) for note in result["notes"]]
    days = result.get("days_between")
    fit = _("Registered by the spine: the two spines overlap by {n} %.").format(
        n=show_number(100 * float(match["spine_dice"]), 0)
    )
    apart = [_("The studies are {n} days apart.").format(n=days)] if isinstance(days, int) else []
    return [*notes[:1], fit, *apart, *notes[1:]]
