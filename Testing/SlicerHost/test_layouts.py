"""The panel opens from an installed extension's folder, and with nothing but what Slicer brings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

OPEN_THE_PANEL = """
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

here, module = sys.argv[1:]
sys.path.insert(0, here)

FOREIGN = {"torch", "sam2", "hydra", "omegaconf", "msgspec", "safetensors", "matplotlib", "jinja2", "platformdirs",
           "tqdm", "PIL", "iopath"}

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FOREIGN:
            raise ModuleNotFoundError(f"the panel imports {name}, which Slicer does not bring")

from slicer_host.application import start
application = start()
sys.meta_path.insert(0, Refuse())
from slicer_host.loading import load_module, unload_module
python, widget, representation = load_module(Path(module))
import MemorySurvivalLib
from MemorySurvivalPanels.locations import locate_resource
print(Path(MemorySurvivalLib.__file__).parent)
if widget.ui is None:
    print(widget.layout.itemAt(0).widget().text)
else:
    print(widget.ui.researchUseLabel.text)
    print(locate_resource("UI/MemorySurvival.ui"))
unload_module("MemorySurvival")
"""


def open_panel(module: Path) -> list[str]:
    """Open the module's panel in a fresh Python; where its library is, what it says, where its .ui file is."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN_THE_PANEL, str(HERE), str(module)],
        capture_output=True,
        text=True,
        check=False,
        cwd=module.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.usefixtures("application")
def test_source_tree() -> None:
    library, said, panel = open_panel(ROOT / "MemorySurvival" / "MemorySurvival.py")
    assert said == "Research use only, not a medical device"
    assert Path(library) == ROOT / "MemorySurvivalLib"
    assert Path(panel) == ROOT / "Resources" / "UI" / "MemorySurvival.ui"


@pytest.mark.usefixtures("application")
def test_installed_extension(tmp_path: Path) -> None:
    ignore: Any = shutil.ignore_patterns("__pycache__")
    package = tmp_path / "qt-scripted-modules"
    shutil.copytree(ROOT / "MemorySurvival", package, ignore=ignore)
    for name in ("MemorySurvivalLib", "Resources"):
        shutil.copytree(ROOT / name, package / name, ignore=ignore)
    library, said, panel = open_panel(package / "MemorySurvival.py")
    assert said == "Research use only, not a medical device"
    assert Path(library) == package / "MemorySurvivalLib"
    assert Path(panel) == package / "Resources" / "UI" / "MemorySurvival.ui"


@pytest.mark.usefixtures("application")
def test_incomplete_installation_is_one_sentence(tmp_path: Path) -> None:
    package = tmp_path / "qt-scripted-modules"
    shutil.copytree(ROOT / "MemorySurvival", package)
    shutil.copytree(ROOT / "MemorySurvivalLib", package / "MemorySurvivalLib")
    library, said = open_panel(package / "MemorySurvival.py")
    assert said == (
        f"The Resources folder is missing beside {library}; reinstall MemorySurvival so that it is complete."
    )
