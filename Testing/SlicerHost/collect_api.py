"""Write api_allow_list.json: what Python can see of the ctk and Slicer classes that the module may use.

    python Testing/SlicerHost/collect_api.py SLICER CTK [--slicer-revision REF] [--ctk-revision REF]

SLICER and CTK are git checkouts or bare git directories. Names come from the headers: PythonQt shows properties,
signals, public slots, Q_INVOKABLE methods and registered enumerations, and nothing else. A new widget: add it to
CLASSES. From the Python files come the parameters of the functions in FUNCTIONS.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUT = Path(__file__).with_name("api_allow_list.json")

CLASSES = (
    "ctkCheckBox",
    "ctkCheckablePushButton",
    "ctkCollapsibleButton",
    "ctkColorPickerButton",
    "ctkComboBox",
    "ctkDICOMBrowser",
    "ctkDICOMDatabase",
    "ctkDirectoryButton",
    "ctkDoubleSlider",
    "ctkDoubleSpinBox",
    "ctkExpandableWidget",
    "ctkFittedTextBrowser",
    "ctkMenuButton",
    "ctkMessageBox",
    "ctkPathLineEdit",
    "ctkRangeWidget",
    "ctkSliderWidget",
    "ctkVTKRenderView",
    "ctkVTKSliceView",
    "qMRMLCheckableNodeComboBox",
    "qMRMLColorTableComboBox",
    "qMRMLLayoutManager",
    "qMRMLNodeComboBox",
    "qMRMLPlotView",
    "qMRMLRangeWidget",
    "qMRMLSegmentEditorWidget",
    "qMRMLSegmentSelectorWidget",
    "qMRMLSegmentsTableView",
    "qMRMLSliceControllerWidget",
    "qMRMLSliceView",
    "qMRMLSliceWidget",
    "qMRMLSliderWidget",
    "qMRMLSubjectHierarchyTreeView",
    "qMRMLTableView",
    "qMRMLThreeDView",
    "qMRMLThreeDViewControllerWidget",
    "qMRMLThreeDWidget",
    "qMRMLWidget",
    "qSlicerApplication",
    "qSlicerCoreIOManager",
    "qSlicerExtensionsManagerModel",
    "qSlicerIOManager",
    "qSlicerLayoutManager",
    "qSlicerMainWindow",
    "qSlicerModuleManager",
    "qSlicerModuleSelectorToolBar",
    "qSlicerScriptedLoadableModule",
    "qSlicerScriptedLoadableModuleWidget",
    "qSlicerSegmentEditorAbstractEffect",
    "qSlicerWebWidget",
)

FUNCTIONS = {
    "slicer.packaging": ("Base/Python/slicer/packaging.py", ("pip_install", "pip_ensure", "pip_check")),
    "slicer.testing": ("Base/Python/slicer/testing.py", ("runUnitTest",)),
    "SampleData.SampleDataLogic": (
        "Modules/Scripted/SampleData/SampleData.py",
        ("registerCustomSampleDataCategory", "registerCustomSampleDataSource"),
    ),
}


@dataclass
class Api:
    """What Python sees of one class, without what it inherits."""

    bases: list[str] = field(default_factory=list)
    properties: set[str] = field(default_factory=set)
    signals: set[str] = field(default_factory=set)
    methods: dict[str, str] = field(default_factory=dict)
    """The class of the object that a method returns a pointer to; empty for everything else."""
    constants: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """Sorted plain values; what is empty is left out."""
        values = {
            "bases": self.bases,
            "constants": sorted(self.constants),
            "methods": dict(sorted(self.methods.items())),
            "properties": sorted(self.properties),
            "signals": sorted(self.signals),
        }
        return {name: value for name, value in values.items() if value}


class Repository:
    """The files of one revision."""

    def __init__(self, place: Path, revision: str) -> None:
        inside = place / ".git"
        self._git = ["git", f"--git-dir={inside if inside.exists() else place}"]
        self.revision = self._run("rev-parse", f"{revision}^{{commit}}").strip()
        self._headers: dict[str, str] = {}
        for path in self._run("ls-tree", "-r", "--name-only", self.revision).splitlines():
            if path.endswith(".h"):
                self._headers.setdefault(path.rpartition("/")[2], path)

    def header_of(self, name: str) -> str | None:
        """The text of a class's header."""
        path = self._headers.get(f"{name}.h")
        return None if path is None else self.read(path)

    def read(self, path: str) -> str:
        """The text of a file."""
        return self._run("show", f"{self.revision}:{path}")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self._git, *arguments], capture_output=True, check=True)
        return done.stdout.decode(errors="replace")


def without_comments(text: str) -> str:
    """C++ without comments, texts (an address has two slashes too) and preprocessor lines."""
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', " ", text, flags=re.DOTALL)
    return re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.MULTILINE)


def parse_class(text: str, name: str) -> Api | None:
    """The API of a class in a header; None where it only is mentioned."""
    text = without_comments(text)
    head = re.search(rf"\bclass\s+(?:\w+\s+)?{name}\s*(?:final\s*)?(?::([^{{;]*))?\{{", text)
    if head is None:
        return None
    api = Api(bases=re.findall(r"public\s+(?:virtual\s+)?(\w+)", head.group(1) or ""))
    body = _braced(text, head.end() - 1)
    enums = {match.group(1): match for match in re.finditer(r"\benum\s+(?:class\s+)?(\w+)\s*(?::\s*\w+\s*)?\{", body)}
    registered = set(re.findall(r"\bQ_(?:ENUMS?|FLAGS?)\s*\(\s*(\w+)", body))
    registered |= set(re.findall(r"\bQ_DECLARE_FLAGS\s*\(\s*\w+\s*,\s*(\w+)\s*\)", body))
    for enum, match in enums.items():
        if enum in registered:
            items = _braced(body, match.end() - 1).split(",")
            api.constants |= {item.partition("=")[0].strip() for item in items} - {""}
    section = "private"
    for statement in _statements(body):
        heading = re.match(
            r"\s*(?:(public|protected|private)\s*(slots|Q_SLOTS)?|(signals|Q_SIGNALS))\s*:(?!:)", statement
        )
        while heading:
            section = "signals" if heading.group(3) else heading.group(1) + (" slots" if heading.group(2) else "")
            statement = statement[heading.end() :]
            heading = re.match(
                r"\s*(?:(public|protected|private)\s*(slots|Q_SLOTS)?|(signals|Q_SIGNALS))\s*:(?!:)", statement
            )
        for found in re.finditer(r"\bQ_PROPERTY\s*\(([^)]*?)\bREAD\b", statement):
            api.properties.add(re.findall(r"\w+", found.group(1))[-1])
        _take_function(api, _without_macros(statement), section)
    return api


def _take_function(api: Api, statement: str, section: str) -> None:
    invokable = "Q_INVOKABLE" in statement
    if section not in ("signals", "public slots") and not invokable:
        return
    found = re.match(r"\s*(.*?)\b(\w+)\s*\(", statement.replace("Q_INVOKABLE", " "), re.DOTALL)
    if found is None:
        return
    kind, name = found.group(1), found.group(2)
    if section == "signals":
        api.signals.add(name)
    else:
        pointed = re.search(r"\b((?:ctk|q)\w+)\s*\*", kind)
        api.methods[name] = pointed.group(1) if pointed else ""


def _without_macros(statement: str) -> str:
    """Leave out Q_PROPERTY(...), Q_OBJECT and their like, which end in no semicolon."""
    statement = re.sub(r"\bQ_(?!INVOKABLE)[A-Z_]+\s*\((?:[^()]|\([^()]*\))*\)", " ", statement)
    statement = re.sub(r"\b(?:Q_(?!INVOKABLE)[A-Z_]+|QVTK_OBJECT)\b", " ", statement)
    return re.sub(r"^\s*template\s*<[^>]*>", "", statement)


def _statements(body: str) -> list[str]:
    """The declarations of a class body; bodies in braces are dropped."""
    inner = re.sub(r"^\{|\}$", "", body.strip())
    while True:
        shorter = re.sub(r"\{[^{}]*\}", ";", inner)
        if shorter == inner:
            return inner.split(";")
        inner = shorter


def _braced(text: str, start: int) -> str:
    """From an opening brace to its closing one, both included for a class; only the inside for an enumeration."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[start + 1 : index]
    raise ValueError(f"a brace is not closed: {text[start - 80 : start + 400]}")


def collect(repositories: list[Repository]) -> dict[str, Any]:
    """Every class of CLASSES with the ctk and Slicer classes that it inherits from."""
    found: dict[str, Any] = {}
    waiting = list(CLASSES)
    while waiting:
        name = waiting.pop()
        texts = [text for each in repositories if (text := each.header_of(name)) is not None]
        api = next((api for text in texts if (api := parse_class(text, name)) is not None), None)
        if api is None:
            if name in CLASSES:
                raise SystemExit(f"{name} is in no header")
            continue
        found[name] = api.as_json()
        waiting += [base for base in api.bases if base not in found and re.match(r"ctk|q(MRML|Slicer)", base)]
    return dict(sorted(found.items()))


def collect_functions(slicer: Repository) -> dict[str, list[str]]:
    """Parameters of Python functions by dotted name."""
    found = {}
    for module, (path, names) in FUNCTIONS.items():
        for node in ast.walk(ast.parse(slicer.read(path))):
            if isinstance(node, ast.FunctionDef) and node.name in names:
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                found[f"{module}.{node.name}"] = [each.arg for each in given]
    return dict(sorted(found.items()))


def main() -> None:
    """Read both repositories and write the list."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slicer", type=Path)
    parser.add_argument("ctk", type=Path)
    parser.add_argument("--slicer-revision", default="HEAD")
    parser.add_argument("--ctk-revision", default="HEAD")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    slicer = Repository(options.slicer, options.slicer_revision)
    ctk = Repository(options.ctk, options.ctk_revision)
    content = {
        "slicer": {"reference": options.slicer_revision, "revision": slicer.revision},
        "ctk": {"reference": options.ctk_revision, "revision": ctk.revision},
        "classes": collect([slicer, ctk]),
        "functions": collect_functions(slicer),
    }
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    # One line a list keeps the file readable and its differences small.
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda match: "[" + re.sub(r"\s*\n\s*", " ", match.group(1)) + "]", text)
    options.out.write_text(text, encoding="utf-8")
    print(f"{options.out}: {len(content['classes'])} classes")


if __name__ == "__main__":
    main()
