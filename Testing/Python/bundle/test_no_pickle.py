"""No way leads from a file to running code: the library neither unpickles nor evaluates what it reads."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from made_up import ROOT

FORBIDDEN_IMPORTS = {"dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "os.system"}
SOURCES = sorted((*(ROOT / "MemorySurvivalLib").rglob("*.py"), *(ROOT / "MemorySurvival").rglob("*.py")))


def find_violations(source: str) -> list[str]:
    """What a source file does that it must not, as short texts."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module.split(".")[0]]
            if node.module in {"pickle", "_pickle"} and {alias.name for alias in node.names} - {"UnpicklingError"}:
                found.append("from pickle import")
        found += [f"import {name}" for name in names if name in FORBIDDEN_IMPORTS]
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if call in FORBIDDEN_CALLS or call.endswith("Unpickler"):
            found.append(call)
        if call.endswith("torch.load") and "safetensors" not in call and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if keywords.get("allow_pickle", "False") != "False":
            found.append("allow_pickle")
        if keywords.get("shell", "False") != "False":
            found.append("shell")
    return found


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 50


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_unpickles(path: Path) -> None:
    assert find_violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b)",
        "from pickle import loads",
        "import torch\ntorch.load(p)",
        "import torch\ntorch.load(p, weights_only=False)",
        "np.load(p, allow_pickle=True)",
        "import joblib",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "pickle.Unpickler(f).load()",
    ],
)
def test_the_check_finds_what_it_looks_for(source: str) -> None:
    assert find_violations(source) != []
