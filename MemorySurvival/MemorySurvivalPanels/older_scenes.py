"""Parameter nodes of other versions of this module: what this version cannot read is set back before it is read."""

import enum
import re
import typing

import slicer

from MemorySurvivalPanels.parameters import ScoreParameters


def repair_parameters(node: slicer.vtkMRMLScriptedModuleNode) -> list[str]:
    """Remove values that this version does not know; the names of the fields that then take their defaults.

    Missing fields take their defaults by themselves, and unknown ones are left for the version that knows them. A
    choice that no longer exists, a truth value that is none, and a reference to a node of another kind would stop
    Slicer's parameterNodeWrapper, and the panel with it.
    """
    repaired = []
    kinds = typing.get_type_hints(ScoreParameters)
    for name in ScoreParameters.allParameters:
        kind = kinds[name]
        text = node.GetParameter(name) if node.HasParameter(name) else None
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            wrong = text is not None and text not in kind.__members__
        elif kind is bool:
            wrong = text is not None and text not in ("True", "False")
        else:
            wrong = _points_elsewhere(node, name, _node_classes(kind))
        if wrong:
            _forget(node, name)
            repaired.append(name)
    return repaired


def _node_classes(kind: object) -> tuple[type, ...]:
    kinds = typing.get_args(kind) if typing.get_origin(kind) is typing.Union else (kind,)
    return tuple(each for each in kinds if isinstance(each, type) and issubclass(each, slicer.vtkMRMLNode))


def _points_elsewhere(node: slicer.vtkMRMLScriptedModuleNode, name: str, classes: tuple[type, ...]) -> bool:
    """Whether a reference, stored under the name or under the name and a number, is of none of the classes."""
    found = [node.GetNodeReference(role) for role in _roles(node, name)] if classes else []
    return any(each is not None and not isinstance(each, classes) for each in found)


def _roles(node: slicer.vtkMRMLScriptedModuleNode, name: str) -> list[str]:
    known: list[str] = []
    node.GetNodeReferenceRoles(known)
    return [role for role in known if re.fullmatch(rf"{re.escape(name)}(\.\d+)?", role)]


def _forget(node: slicer.vtkMRMLScriptedModuleNode, name: str) -> None:
    for role in _roles(node, name):
        node.UnsetParameter(role)
        node.RemoveNodeReferenceIDs(role)
    node.UnsetParameter(name)
