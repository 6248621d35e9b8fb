"""Slicer's own Python files instead of our stand-ins, from the checkout that MEMORYSURVIVAL_SLICER_SOURCE names.

ScriptedLoadableModule, parameterNodeWrapper, i18n, packaging and testing then are upstream's; slicer.util stays that of
slicer-core, and what C++ brings (slicer.app, slicer.modules, the widgets) stays a stand-in.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtWidgets

VARIABLE = "MEMORYSURVIVAL_SLICER_SOURCE"


def chosen_checkout() -> Path | None:
    """The checkout to take Python files from; None where none is named."""
    named = os.environ.get(VARIABLE, "").strip()
    if not named:
        return None
    folder = Path(named).resolve()
    if not (python_files(folder) / "ScriptedLoadableModule.py").is_file():
        raise FileNotFoundError(f"{VARIABLE} names {folder}, which has no Base/Python/slicer/ScriptedLoadableModule.py")
    return folder


def python_files(checkout: Path) -> Path:
    """Where the package `slicer` lies in a checkout."""
    return checkout / "Base" / "Python" / "slicer"


def use_checkout(checkout: Path) -> None:
    """Let `import slicer.…` find upstream's files behind those of slicer-core."""
    slicer.__path__.append(str(python_files(checkout)))
    _name_what_connectors_mention(python_files(checkout) / "parameterNodeWrapper")


def _name_what_connectors_mention(folder: Path) -> None:
    """The parameter node wrapper compares widgets with classes that the host has none of; each gets a class without
    instances."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    for source, module in (("ctk", sys.modules["ctk"]), ("slicer", slicer)):
        for name in sorted(set(re.findall(rf"\b{source}\.((?:ctk|qMRML|qSlicer)\w+)", text))):
            if not hasattr(module, name):
                setattr(module, name, type(name, (QtWidgets.QWidget,), {"__init__": _refuse}))


def _refuse(self: Any, *_given: Any) -> None:
    raise LookupError(f"the host has no {type(self).__name__}; add a stand-in for it")
