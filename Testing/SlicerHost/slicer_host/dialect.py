"""The PythonQt dialect on PySide6: the module `qt`, properties as values, connect by signature, no new attributes."""

from __future__ import annotations

import ctypes
import sys
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

_OWN_PACKAGES = ("PySide6.", "slicer_host.")

_VIRTUAL = ("sizeHint", "minimumSizeHint")
"""Properties read by a virtual function: a property that asks Qt would ask itself again and again."""


def install_qt() -> types.ModuleType:
    """Patch PySide6's classes and make the result importable as `qt`."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    if sys.version_info < (3, 12):
        _keep_constants_alive()
    qt = types.ModuleType("qt")
    for source in (QtCore, QtGui, QtWidgets):
        for name in dir(source):
            if not name.startswith("_"):
                setattr(qt, name, getattr(source, name))
    for name in dir(qt):
        each = getattr(qt, name)
        if isinstance(each, type) and issubclass(each, QtCore.QObject):
            speak_pythonqt(each)
    sys.modules["qt"] = qt
    return qt


def speak_pythonqt(cls: type) -> type:
    """Make the class's own Qt properties plain values, and its instances connect by signature text."""
    if "staticMetaObject" not in vars(cls):
        return cls
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        # A stand-in's own QtCore.Property is a plain value already; in QTimer PythonQt lets the static function win.
        if not isinstance(vars(cls).get(name), QtCore.Property) and (cls, name) != (QtCore.QTimer, "singleShot"):
            setattr(cls, name, _qt_property(name, vars(cls)[name] if name in _VIRTUAL else None))
    cls.__setattr__ = _set_known_attribute
    cls.name = _qt_property("objectName")
    cls.className = lambda self: type(self).__name__
    cls.delete = lambda self: self.deleteLater()
    original = vars(cls).get("__init__")
    if original is not None:

        def construct(self: Any, *arguments: Any, _original: Any = original, **named: Any) -> None:
            _original(self, *arguments, **named)
            adopt(self)

        cls.__init__ = construct
    return cls


def adopt(instance: Any) -> Any:
    """Give one object PythonQt's connect and disconnect: PySide ties its own to the instance, so this must too."""
    if instance is not None:
        instance.__dict__["connect"] = types.MethodType(_connect, instance)
        instance.__dict__["disconnect"] = types.MethodType(_disconnect, instance)
    return instance


def has_qt_property(cls: type, name: str) -> bool:
    """Whether instances have this Qt property.

    Asked of the Python class: PySide6's meta objects die with the first instance that was asked for its own.
    """
    known = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    return isinstance(known, property | QtCore.Property)


def _keep_constants_alive() -> None:
    """Keep PySide6 6.12 from freeing None, True and False.

    It drops one reference to them at each call of a slot, which ends the process on the Pythons where they are still
    counted (before 3.12). The count is the first field of every object of CPython.
    """
    for constant in (None, True, False):
        ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


def _qt_property(name: str, read: Callable[[Any], Any] | None = None) -> property:
    return property(read or (lambda self: self.property(name)), lambda self, value: _set_qt_property(self, name, value))


def _set_qt_property(instance: Any, name: str, value: Any) -> None:
    if isinstance(value, tuple):  # PythonQt takes any sequence for a list
        value = list(value)
    if name == "visible" and hasattr(instance.parent(), "_want_child"):
        instance.parent()._want_child(instance, value)
    elif not instance.setProperty(name, value):
        raise AttributeError(f"{type(instance).__name__}.{name} cannot be set to {value!r}")


def _set_known_attribute(self: Any, name: str, value: Any) -> None:
    """Refuse what PythonQt refuses: attributes that the class does not have, and methods."""
    cls = type(self)
    known = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    if isinstance(known, QtCore.Property):
        _set_qt_property(self, name, value)
    elif hasattr(type(known), "__set__"):
        known.__set__(self, value)
    elif (
        name.startswith("_")
        or not f"{cls.__module__}.".startswith(_OWN_PACKAGES)
        or isinstance(value, QtCore.SignalInstance)  # PySide keeps a bound signal on the instance
    ):
        self.__dict__[name] = value
    elif isinstance(value, QtCore.QObject) and value.property("objectName") == name:
        return  # PySide's QUiLoader offers children as attributes; PythonQt has none such
    else:
        raise AttributeError(f"{cls.__name__} has no attribute {name!r} that can be set")


def _signal(sender: Any, signature: str) -> Any:
    name, _, arguments = signature.partition("(")
    types_named = tuple(part.strip() for part in arguments.rstrip(")").split(",") if part.strip())
    signal = getattr(sender, name, None)
    try:
        if not isinstance(signal, QtCore.SignalInstance):
            raise KeyError(name)
        return signal[types_named if len(types_named) > 1 else types_named[0]] if types_named else signal
    except (KeyError, IndexError) as error:
        raise AttributeError(f"{type(sender).__name__} has no signal {signature!r}") from error


def _connect(sender: Any, signature: str, slot: Callable[..., Any]) -> bool:
    _signal(sender, signature).connect(slot)
    return True


def _disconnect(sender: Any, signature: str, slot: Callable[..., Any]) -> bool:
    return bool(_signal(sender, signature).disconnect(slot))
