"""Results in the scene: one text node for each, which points to the images that it is of, and is saved with them."""

import base64
import binascii
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy, locations
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.scored_inputs import ScoredInputs

RESULT = "MemorySurvival.Result"
"""Attribute of a result's text node; its value is the version of what the text holds."""
VERSION = 1

CT, PET, ROI, HEATMAP, LESIONS = "ct", "pet", "roi", "heatmap", "lesions"
"""Roles in which a result points to other nodes of the scene; Slicer keeps them right when a scene is read again."""
_REPORT, _FILES = "report", "files"

_DIGEST = "MemorySurvival.Sha256"
_CREATED = "MemorySurvival.Created"
_OWNER = "MemorySurvival.PartOf"

MOST_BYTES = 8_000_000
"""A larger file of a result is left out of the scene, as a heatmap in full size, which is a volume there anyway."""
_MOST_IN_ALL = 64_000_000


@dataclass(frozen=True)
class ScoredCase:
    """One result: its node, the content of result.json as the worker handed it out, and what it was made from.

    `files` names the result's files, relative to their folder; `left_out` those that are too large for a scene.
    """

    node: slicer.vtkMRMLTextNode
    created: str
    result: Mapping[str, Any]
    inputs: ScoredInputs
    files: Mapping[str, str | None]
    left_out: tuple[str, ...] = ()

    def of(self, role: str) -> slicer.vtkMRMLNode | None:
        """The node in a role; None where it was removed."""
        return self.node.GetNodeReference(role)

    def attach(self, role: str, node: slicer.vtkMRMLNode | None) -> None:
        """Remember a node that belongs to this result, such as its heatmap."""
        if self.node.GetScene() is not None:
            self.node.SetNodeReferenceID(role, node.GetID() if node is not None else None)


def store_result(
    nodes: Mapping[str, slicer.vtkMRMLNode | None],
    inputs: ScoredInputs,
    result: Mapping[str, Any],
    files: Mapping[str, str | None],
    name: str,
) -> ScoredCase:
    """Put a result into the scene, with the files that it came with.

    `nodes` are what was scored ("ct", "pet", "roi"); those that were removed meanwhile are left out. Raises UserError
    where the files are not there any more.
    """
    with busy.phase(_("Keeping the result")):
        report, packed, left_out = _pack(files)
        content = {
            "schema": "memory-survival-scored-case",
            "version": VERSION,
            "module": locations.library_version(),
            "created": datetime.now(UTC).isoformat(),
            "result": dict(result),
            "inputs": inputs.as_json(),
            "files": _relative(files),
            "left_out": left_out,
        }
        node = _add_text(name, json.dumps(content, ensure_ascii=False))
        node.SetAttribute(RESULT, str(VERSION))
        node.SetAttribute(_CREATED, content["created"])
        node.SetAttribute(_DIGEST, _digest(node.GetText()))
        there = {role: each for role, each in nodes.items() if each is not None and each.GetScene() is not None}
        for role, each in there.items():
            node.SetNodeReferenceID(role, each.GetID())
        parts = {_REPORT: (_("Report of {name}"), report), _FILES: (_("Files of {name}"), packed)}
        for role, (title, text) in parts.items():
            if text:
                part = _add_text(title.format(name=name), text, hidden=True)
                part.SetAttribute(_OWNER, "result")
                node.SetNodeReferenceID(role, part.GetID())
                there[role] = part
        # MRML wants nodes that point to each other to be undone together, so a result follows its images.
        undone = bool(nodes) and all(each is not None and each.GetUndoEnabled() for each in map(nodes.get, (CT, PET)))
        for each in (node, *(there[role] for role in parts if role in there)):
            each.SetUndoEnabled(undone)
        _drop_orphans()
    return read_result(node)


def amend_result(
    case: ScoredCase, result: Mapping[str, Any], folder: Path, files: Mapping[str, str | None] | None = None
) -> ScoredCase:
    """Put a result in the place of what the scene keeps, with its files as they are in `folder` now.

    `files` are names that are new or gone (None), relative to `folder`. The result's inputs and its age stay. Raises
    UserError where the scene does not hold this result any more as it was read.
    """
    with busy.phase(_("Keeping the result")):
        node = case.node
        if node.GetScene() is None or node.GetAttribute(RESULT) is None or read_result(node).result != case.result:
            raise UserError(_("The result was removed or changed meanwhile."))
        named = {**case.files, **(files or {})}
        there = {name: str(folder / path) for name, path in named.items() if path is not None}
        report, packed, left_out = _pack(there)
        content = json.loads(node.GetText())
        content |= {"result": dict(result), "files": named}
        # What was left out before was not restored, unless it was made anew.
        content["left_out"] = sorted({*(each for each in case.left_out if not (folder / each).is_file()), *left_out})
        node.SetText(json.dumps(content, ensure_ascii=False))
        node.SetAttribute(_DIGEST, _digest(node.GetText()))
        for role, text in ((_REPORT, report), (_FILES, packed)):
            part = case.of(role)
            if part is not None and text:
                part.SetText(text)
    return read_result(node)


def find_results(ct: slicer.vtkMRMLNode | None, pet: slicer.vtkMRMLNode | None) -> list[slicer.vtkMRMLTextNode]:
    """The nodes of all results of these two images, the newest first."""
    if ct is None or pet is None:
        return []
    found = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLTextNode")
        if node.GetAttribute(RESULT) is not None and _is_of(node, CT, ct) and _is_of(node, PET, pet)
    ]
    return sorted(found, key=lambda node: node.GetAttribute(_CREATED) or "", reverse=True)


def read_result(node: slicer.vtkMRMLTextNode) -> ScoredCase:
    """A result as it was stored. Raises UserError with one sentence where it cannot be trusted or understood."""
    text, name = node.GetText() or "", node.GetName()
    version = node.GetAttribute(RESULT) or ""
    if version.isdigit() and int(version) > VERSION:
        raise UserError(
            _('The stored result "{name}" is of a newer version of this module; update it, or score again.').format(
                name=name
            )
        )
    if _digest(text) != node.GetAttribute(_DIGEST):
        raise UserError(
            _('The stored result "{name}" was changed after scoring and is not shown; score the case again.').format(
                name=name
            )
        )
    try:
        content = json.loads(text)
        return ScoredCase(
            node,
            str(content["created"]),
            dict(content["result"]),
            ScoredInputs.from_json(content["inputs"]),
            {str(key): path if path is None else str(path) for key, path in dict(content["files"]).items()},
            tuple(str(each) for each in content.get("left_out") or ()),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            _('The stored result "{name}" cannot be read; score the case again.').format(name=name)
        ) from error


def restore_files(case: ScoredCase, folder: Path) -> dict[str, str | None]:
    """Write the stored files into an empty folder; the paths by the worker's names, None for what is not there.

    Raises UserError where the scene does not hold them any more or the folder cannot be written.
    """
    gone = UserError(_("The files of this result are no longer in the scene; score the case again."))
    report, packed = case.of(_REPORT), case.of(_FILES)
    if report is None and packed is None:
        raise gone
    try:
        if packed is not None:
            _unpack(packed.GetText() or "", folder)
        if report is not None and case.files.get("report"):
            target = folder / _inside(case.files["report"] or "")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(report.GetText() or "", encoding="utf-8", newline="")
    except (ValueError, zipfile.BadZipFile, binascii.Error, NotImplementedError) as error:
        raise gone from error
    except OSError as error:
        raise UserError(
            _("The files cannot be written to {folder}; free some disk space there.").format(folder=folder)
        ) from error
    paths = {name: None if path is None else folder / _inside(path) for name, path in case.files.items()}
    return {name: str(path) if path is not None and path.is_file() else None for name, path in paths.items()}


def _is_of(node: slicer.vtkMRMLNode, role: str, wanted: slicer.vtkMRMLNode) -> bool:
    there = node.GetNodeReference(role)
    return there is not None and there.GetID() == wanted.GetID()


def _add_text(name: str, text: str, *, hidden: bool = False) -> slicer.vtkMRMLTextNode:
    node = slicer.vtkMRMLTextNode()
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    node.SetHideFromEditors(hidden)  # before it is in the scene, or the subject hierarchy lists it
    node.SetText(text)
    # Short texts would be written into the scene file itself; one way for all is tried every time.
    node.SetForceCreateStorageNode(slicer.vtkMRMLTextNode.CreateStorageNodeAlways)
    return slicer.mrmlScene.AddNode(node)


def _drop_orphans() -> None:
    """Remove reports and files whose result the user has removed."""
    owned = set()
    for node in slicer.util.getNodesByClass("vtkMRMLTextNode"):
        if node.GetAttribute(RESULT) is not None:
            owned |= {node.GetNodeReferenceID(_REPORT), node.GetNodeReferenceID(_FILES)}
    for node in slicer.util.getNodesByClass("vtkMRMLTextNode"):
        if node.GetAttribute(_OWNER) is not None and node.GetID() not in owned:
            slicer.mrmlScene.RemoveNode(node)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _folder(files: Mapping[str, str | None]) -> Path | None:
    """The folder of a result: that of its report."""
    report = files.get("report")
    return Path(report).parent if report else None


def _relative(files: Mapping[str, str | None]) -> dict[str, str | None]:
    folder, found = _folder(files), {}
    for name, path in files.items():
        inside = path is not None and folder is not None and Path(path).is_relative_to(folder)
        found[name] = Path(path).relative_to(folder).as_posix() if inside else None
    return found


def _pack(files: Mapping[str, str | None]) -> tuple[str, str, list[str]]:
    """The report, the other files of its folder as base64 of a zip archive, and the names that are too large."""
    folder = _folder(files)
    if folder is None:
        return "", "", []
    archive, left_out, total, count = io.BytesIO(), [], 0, 0
    try:
        report = Path(files["report"] or "").read_text(encoding="utf-8")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                if path == Path(files["report"] or ""):
                    continue
                size = path.stat().st_size
                if size > MOST_BYTES or total + size > _MOST_IN_ALL:
                    left_out.append(path.relative_to(folder).as_posix())
                    continue
                packed.write(path, path.relative_to(folder).as_posix())
                total, count = total + size, count + 1
    except (OSError, ValueError) as error:
        raise UserError(_("The files of the result are no longer there; score the case again.")) from error
    return report, base64.b64encode(archive.getvalue()).decode("ascii") if count else "", left_out


def _unpack(text: str, folder: Path) -> None:
    """Write the files of an archive; nothing outside the folder, and not more than was packed."""
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(text, validate=True))) as packed:
        if sum(each.file_size for each in packed.infolist()) > _MOST_IN_ALL:
            raise ValueError("too large")
        for each in packed.infolist():
            target = folder / _inside(each.filename)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(packed.read(each))


def _inside(name: str) -> Path:
    """A relative path that stays inside its folder. Raises ValueError for any other."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in name or "\\" in name:
        raise ValueError(f"{name!r} leaves its folder")
    return Path(*path.parts)
