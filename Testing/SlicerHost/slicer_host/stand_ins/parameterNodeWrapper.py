"""Stand-in for slicer.parameterNodeWrapper: typed values on a parameter node, bound to widgets by name.

Types: nodes (alone or in a Union), bool, str, Enum. Anything else is refused, so that a test cannot pass with a type
that was never tried. Values are stored the way Slicer stores them: texts as parameters, nodes as references.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import ctk  # noqa: F401  (a widget class of ctk must be known before any panel is bound)
import qt
import slicer
import vtk


def parameterNodeWrapper(cls: type) -> type:
    """Turn the annotated attributes of a class into properties that live on a parameter node."""
    parameters = {}
    for name, kind in typing.get_type_hints(cls, include_extras=True).items():
        default = cls.__dict__.get(name, _own_default(kind))
        parameters[name] = (kind, default)
        setattr(cls, name, _parameter(name, kind))
    return type(cls.__name__, (_Wrapper, cls), {"allParameters": parameters, "__doc__": cls.__doc__})


class _Wrapper:
    allParameters: typing.ClassVar[dict[str, tuple[Any, Any]]]

    def __init__(self, parameter_node: Any) -> None:
        self.parameterNode = parameter_node
        self._bindings: dict[int, tuple[list[_Binding], int]] = {}
        self._updating = False
        for name, (_kind, default) in self.allParameters.items():
            if not parameter_node.HasParameter(name):
                setattr(self, name, default)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name != "parameterNode" and name not in self.allParameters:
            raise AttributeError(f"{type(self).__name__} has no parameter {name!r}")
        super().__setattr__(name, value)

    def AddObserver(self, event: Any, callback: Callable[..., None], priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def connectGui(self, gui: Any) -> int:
        """Bind every widget that names a parameter in its property SlicerParameterName."""
        bindings = []
        for widget in vars(gui).values():
            name = widget.property("SlicerParameterName")
            if name:
                if name not in self.allParameters:
                    raise ValueError(f"{widget.name} names the unknown parameter {name!r}")
                bindings.append(_Binding(self, name, widget, self.allParameters[name][0]))
        tag = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())
        self._bindings[tag] = (bindings, tag)
        self._show()
        for binding in bindings:
            binding.connect()
        return tag

    def disconnectGui(self, tag: int) -> None:
        """Undo connectGui."""
        bindings, observer = self._bindings.pop(tag)
        self.parameterNode.RemoveObserver(observer)
        for binding in bindings:
            binding.disconnect()

    def _show(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for bindings, _tag in self._bindings.values():
                for binding in bindings:
                    binding.show()
        finally:
            self._updating = False


class _Binding:
    """One widget that shows and changes one parameter."""

    def __init__(self, wrapper: _Wrapper, name: str, widget: Any, kind: Any) -> None:
        self._wrapper = wrapper
        self._name = name
        self._widget = widget
        self._choices: list[enum.Enum] = []
        if type(widget) is slicer.qMRMLNodeComboBox and _node_types(kind):
            widget.nodeTypes = [each.__name__ for each in _node_types(kind)]
            self._signal = widget.currentNodeChanged
        elif type(widget) is qt.QCheckBox and kind is bool:
            self._signal = widget.stateChanged
        elif type(widget) is qt.QLineEdit and kind is str:
            self._signal = widget.textChanged
        elif type(widget) is qt.QComboBox and _is_enum(kind):
            self._choices = list(kind)
            widget.clear()
            for choice in self._choices:
                widget.addItem(kind.label(choice) if hasattr(kind, "label") else choice.name)
            self._signal = widget.currentIndexChanged
        else:
            raise RuntimeError(f"{type(widget).__name__} cannot show the parameter {name!r} of type {kind}")

    def connect(self) -> None:
        self._signal.connect(self._changed)

    def disconnect(self) -> None:
        self._signal.disconnect(self._changed)

    def show(self) -> None:
        value = getattr(self._wrapper, self._name)
        if self._choices:
            self._widget.currentIndex = self._choices.index(value)
        elif isinstance(value, bool):
            self._widget.checked = value
        elif isinstance(value, str):
            if self._widget.text != value:  # setting it anew would move the cursor of a person who types
                self._widget.text = value
        else:
            self._widget.setCurrentNode(value)

    def _changed(self, *_ignored: Any) -> None:
        if self._wrapper._updating:
            return
        if self._choices:
            value: Any = self._choices[self._widget.currentIndex]
        elif type(self._widget) is qt.QCheckBox:
            value = self._widget.checked
        elif type(self._widget) is qt.QLineEdit:
            value = self._widget.text
        else:
            value = self._widget.currentNode()
        setattr(self._wrapper, self._name, value)


def _parameter(name: str, kind: Any) -> property:
    def read(self: _Wrapper) -> Any:
        if _node_types(kind):
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        if kind is bool:
            return text == "True"
        return kind[text] if _is_enum(kind) else text

    def write(self: _Wrapper, value: Any) -> None:
        expected = (*_node_types(kind), type(None)) if _node_types(kind) else kind
        if not isinstance(value, expected):
            raise TypeError(f"parameter {name!r} cannot be {value!r}")
        with slicer.util.NodeModify(self.parameterNode):
            if _node_types(kind):
                self.parameterNode.SetParameter(name, "")
                self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
            else:
                self.parameterNode.SetParameter(name, value.name if _is_enum(kind) else str(value))

    return property(read, write)


def _own_default(kind: Any) -> Any:
    if _node_types(kind):
        return None
    return next(iter(kind)) if _is_enum(kind) else kind()


def _node_types(kind: Any) -> tuple[type, ...]:
    """The node classes of a parameter type; empty when it is something else."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) is typing.Union else (kind,)
    nodes = tuple(each for each in kinds if isinstance(each, type) and issubclass(each, slicer.vtkMRMLNode))
    if not nodes and kind not in (bool, str) and not _is_enum(kind):
        raise TypeError(f"the host does not know parameters of type {kind}")
    return nodes


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)
