"""Covering every result and heatmap of the scene in a reader study, and uncovering them again; it survives saving."""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import slicer

from MemorySurvivalPanels.display import hide_heatmap
from MemorySurvivalPanels.explanation import ATTRIBUTE, LABEL_ATTRIBUTE
from MemorySurvivalPanels.scored_cases import CT, PET, RESULT

COVERED = "MemorySurvival.Covered"
"""Attribute of a covered node; its value holds, as text that nobody reads by eye, what was taken off it."""
SEEN = "MemorySurvival.SeenInStudy"
"""Attribute of results and heatmaps that the reader may see: they were shown after the own estimate."""

_TEXT_ATTRIBUTES = (RESULT, "MemorySurvival.PartOf", "MemorySurvival.Findings")
_MAP_ATTRIBUTES = (ATTRIBUTE, LABEL_ATTRIBUTE)
_SEED = 20260


def cover_all() -> int:
    """Cover what has not been shown to the reader; how many nodes were covered now."""
    texts = [each for each in _texts() if each.GetAttribute(RESULT) is not None and each.GetAttribute(SEEN) is None]
    parts = [part for each in texts for part in _parts(each)]
    maps = [
        each
        for each in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if any(each.GetAttribute(name) is not None for name in _MAP_ATTRIBUTES) and each.GetAttribute(SEEN) is None
    ]
    if maps:
        hide_heatmap()
        _take_out_of_views({each.GetID() for each in maps})
    for node in (*texts, *parts):
        _cover(node, _TEXT_ATTRIBUTES)
        node.SetText(_pack(node.GetText() or ""))
    for node in maps:
        _cover(node, _MAP_ATTRIBUTES)
        _shuffle(node, back=False)
    return len(texts) + len(maps)


def uncover_all(ct: slicer.vtkMRMLNode | None = None, pet: slicer.vtkMRMLNode | None = None) -> int:
    """Give back what was covered, and say how many results: of these images, which then counts as seen, or of all."""
    wanted = None if ct is None or pet is None else (ct.GetID(), pet.GetID())
    results = [each for each in _texts() if _is_covered(each) and RESULT in _taken(each)]
    chosen = [each for each in results if wanted is None or _images(each) == wanted]
    maps = [
        each
        for each in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if _is_covered(each) and (wanted is None or each.GetNodeReferenceID("MemorySurvival.CT") == wanted[0])
    ]
    for node in [*chosen, *(part for each in chosen for part in _parts(each))]:
        node.SetText(_unpack(node.GetText() or ""))
        _uncover(node)
    for node in maps:
        _shuffle(node, back=True)
        _uncover(node)
    if wanted is not None:
        for node in (*chosen, *maps):
            node.SetAttribute(SEEN, "1")
    return len(chosen)


def mark_seen(ct: slicer.vtkMRMLNode, pet: slicer.vtkMRMLNode) -> None:
    """What there is of these images now is shown to the reader."""
    for node in _texts():
        if node.GetAttribute(RESULT) is not None and _images(node) == (ct.GetID(), pet.GetID()):
            node.SetAttribute(SEEN, "1")
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        mine = node.GetNodeReferenceID("MemorySurvival.CT") == ct.GetID()
        if mine and any(node.GetAttribute(name) is not None for name in _MAP_ATTRIBUTES):
            node.SetAttribute(SEEN, "1")


def forget_seen() -> None:
    """Another reader or another session begins: nothing was shown yet."""
    for node in (*_texts(), *slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")):
        if node.GetAttribute(SEEN) is not None:
            node.SetAttribute(SEEN, None)


def covered_answer(ct: slicer.vtkMRMLNode, pet: slicer.vtkMRMLNode) -> dict[str, Any] | None:
    """What the newest covered result of these images says, for the record of its reveal; None where there is none."""
    found = [each for each in _texts() if _is_covered(each) and _images(each) == (ct.GetID(), pet.GetID())]
    found = [each for each in found if RESULT in _taken(each)]
    if not found:
        return None
    newest = max(found, key=lambda node: node.GetAttribute("MemorySurvival.Created") or "")
    try:
        return answer_of(json.loads(_unpack(newest.GetText() or ""))["result"])
    except (ValueError, KeyError, TypeError):  # changed by hand: it will not be shown either
        return None


def answer_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a result says, as the study records it."""
    bundle = result.get("bundle") or {}
    return {
        "log_risk": float(result["log_risk"]),
        "position": result.get("position"),
        "risk_group": result.get("risk_group"),
        "bundle": " ".join(str(bundle[key]) for key in ("name", "version") if bundle.get(key)),
        "labels": list((result.get("risk") or {}).get("labels") or filter(None, [result.get("label")])),
    }


def _texts() -> list[Any]:
    return list(slicer.util.getNodesByClass("vtkMRMLTextNode"))


def _parts(result: Any) -> list[Any]:
    parts = [result.GetNodeReference(role) for role in ("report", "files", "findings")]
    return [part for part in parts if part is not None]


def _images(node: Any) -> tuple[str | None, str | None]:
    return node.GetNodeReferenceID(CT), node.GetNodeReferenceID(PET)


def _is_covered(node: Any) -> bool:
    return node.GetAttribute(COVERED) is not None


def _cover(node: Any, names: Iterable[str]) -> None:
    taken = {name: node.GetAttribute(name) for name in names if node.GetAttribute(name) is not None}
    hidden = bool(node.GetHideFromEditors())
    node.SetAttribute(COVERED, _pack(json.dumps({"attributes": taken, "hidden": hidden})))
    for name in taken:
        node.SetAttribute(name, None)
    node.SetHideFromEditors(True)


def _uncover(node: Any) -> None:
    stored = json.loads(_unpack(node.GetAttribute(COVERED) or ""))
    for name, value in stored["attributes"].items():
        node.SetAttribute(name, value)
    node.SetHideFromEditors(bool(stored["hidden"]))
    node.SetAttribute(COVERED, None)


def _taken(node: Any) -> Mapping[str, str]:
    try:
        return dict(json.loads(_unpack(node.GetAttribute(COVERED) or ""))["attributes"])
    except (ValueError, KeyError, TypeError):
        return {}


def _take_out_of_views(identifiers: set[str]) -> None:
    for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if view.GetForegroundVolumeID() in identifiers:
            view.SetForegroundVolumeID(None)
        if view.GetBackgroundVolumeID() in identifiers:
            view.SetBackgroundVolumeID(None)
        if view.GetLabelVolumeID() in identifiers:
            view.SetLabelVolumeID(None)


def _shuffle(node: Any, *, back: bool) -> None:
    """Put a map's voxels into an order that shows nothing, or back; their number is all that the order needs."""
    voxels = slicer.util.arrayFromVolume(node)
    order = np.random.default_rng(_SEED).permutation(voxels.size)
    flat = voxels.reshape(-1).copy()
    if back:
        flat[order] = flat.copy()
    else:
        flat = flat[order]
    voxels[:] = flat.reshape(voxels.shape)
    slicer.util.arrayFromVolumeModified(node)


def _pack(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 1)).decode("ascii")


def _unpack(text: str) -> str:
    """Raises ValueError for what was not packed."""
    try:
        return zlib.decompress(base64.b64decode(text, validate=True)).decode("utf-8", "surrogatepass")
    except (binascii.Error, zlib.error) as error:
        raise ValueError("not packed") from error
