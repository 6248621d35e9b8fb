"""What Slicer's and CTK's own CMake macros make of our lists, and that every layout works from a foreign folder.

With MEMORYSURVIVAL_SLICER_SOURCE and MEMORYSURVIVAL_CTK_SOURCE (checkouts, or folders with their CMake) the real macros
build and install the package. slicer_layout.json records where they put things; without the checkouts a package is laid
out by that record.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import ROOT

RECORD = json.loads(Path(__file__).with_name("slicer_layout.json").read_text(encoding="utf-8"))
PLACES: dict[str, str] = RECORD["places"]

SLICER_WITH_REAL_MACROS = """
set(CTK_CMAKE_DIR "{ctk}/CMake")
list(APPEND CMAKE_MODULE_PATH "{ctk}/CMake" "{slicer}/CMake")
set(PYTHONINTERP_FOUND TRUE)
set(PYTHONLIBS_FOUND TRUE)
set(PYTHON_EXECUTABLE "{python}")
set(PYTHON_LIBRARIES "{python}")
set(Slicer_USE_PYTHONQT TRUE)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "{folder}")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "{folder}")
include(ctkFunctionExtractOptimizedLibrary)
include(ctkMacroCompilePythonScript)
include(SlicerMacroBuildScriptedModule)
set(Slicer_USE_FILE "${{CMAKE_CURRENT_LIST_DIR}}/nothing.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${{CMAKE_CURRENT_LIST_DIR}}/nothing.cmake")
set(Slicer_EXTENSION_CPACK "${{CMAKE_CURRENT_LIST_DIR}}/nothing.cmake")
"""


def listed_files() -> dict[str, str]:
    """Every file that CMake lists name, relative to the repository, and where the record has it be installed."""
    cmake = {
        "": (ROOT / "MemorySurvivalLib" / "files.cmake").read_text(encoding="utf-8"),
        "MemorySurvival/": (ROOT / "MemorySurvival" / "CMakeLists.txt").read_text(encoding="utf-8"),
    }
    found = {}
    for folder, text in cmake.items():
        for block in re.findall(r"^set\(\w+\n(.*?)\)", text, re.DOTALL | re.MULTILINE):
            for entry in block.split():
                source = f"{folder}{entry}"
                place = next(each for each in PLACES if source == each or source.startswith(f"{each}/"))
                found[source] = PLACES[place] + source[len(place) :]
    return {source: target for source, target in found.items() if (ROOT / source).is_file()}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripted-modules folder of an installed extension: by the real macros, or by the record of what they do."""
    top = tmp_path_factory.mktemp("an installed Slicer")
    slicer, ctk = (os.environ.get(f"MEMORYSURVIVAL_{name}_SOURCE", "").strip() for name in ("SLICER", "CTK"))
    if slicer and ctk:
        install_with_macros(Path(slicer).resolve(), Path(ctk).resolve(), top)
    else:
        for source, target in listed_files().items():
            place = top / RECORD["folder"] / target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    return top / RECORD["folder"]


def install_with_macros(slicer: Path, ctk: Path, prefix: Path) -> None:
    """Configure, build and install with the macros of these checkouts."""
    cmake = shutil.which("cmake")
    assert cmake is not None, "the checkouts are there, but cmake is not installed"
    # CMake names its targets and files after paths; the build itself must not lie in a folder with a space.
    build = prefix.parent / "build"
    config = prefix.parent / "config"
    config.mkdir()
    (config / "nothing.cmake").touch()
    text = SLICER_WITH_REAL_MACROS.format(ctk=ctk, slicer=slicer, python=sys.executable, folder=RECORD["folder"])
    (config / "SlicerConfig.cmake").write_text(text, encoding="utf-8")
    for arguments in (
        ["-S", str(ROOT), "-B", str(build), f"-DSlicer_DIR={config}", "-Wno-dev"],
        ["--build", str(build)],
        ["--install", str(build), "--prefix", str(prefix), "--component", "RuntimeLibraries"],
    ):
        done = subprocess.run([cmake, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_listed_file_is_installed_where_the_record_says(package: Path) -> None:
    installed = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    installed = {each for each in installed if not each.endswith(".pyc")}  # the macros compile too
    assert installed == set(listed_files().values())


ASK = """
import sys, types
i18n = types.ModuleType("slicer.i18n")
i18n.tr = lambda text: text
sys.modules |= {"slicer": types.ModuleType("slicer"), "slicer.i18n": i18n}
sys.path.insert(0, sys.argv[1])
from MemorySurvivalPanels import locations
"""
WHERE = """
print(locations.library_root())
print(locations.locate_resource("UI/MemorySurvival.ui"))
print(locations.locate_resource("Report/report.css"))
print(*locations.shipped_bundles())
"""
OTHER_VERSION = """
import MemorySurvivalLib
MemorySurvivalLib.__version__ = "9.9.9"
from MemorySurvivalPanels.errors import UserError
try:
    locations.locate_resource("UI")
except UserError as error:
    print(error)
"""
PURGE = """
locations.locate_resource("UI")
import MemorySurvivalPanels.errors, MemorySurvivalLib.resources
sys.modules["MemorySurvivalLibrary"] = sys
locations.purge_packages()
print(sorted(name for name in sys.modules if name.startswith("MemorySurvival")))
"""


def ask(folder: Path, script: str, cwd: Path) -> list[str]:
    """What a fresh Python with the module's folder on its path prints, run elsewhere."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASK + script, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment | {"PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A working folder with a decoy of everything that is looked for."""
    for name in ("MemorySurvivalLib", "MemorySurvivalPanels"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('the decoy')", encoding="utf-8")
    (tmp_path / "Resources" / "Bundles").mkdir(parents=True)
    return tmp_path


def test_the_source_tree_from_a_foreign_folder(foreign: Path) -> None:
    root, panel, style, bundles = ask(ROOT / "MemorySurvival", WHERE, foreign)
    assert Path(root) == ROOT
    assert Path(panel) == ROOT / "Resources" / "UI" / "MemorySurvival.ui"
    assert Path(style) == ROOT / "Resources" / "Report" / "report.css"
    assert "demonstration" in bundles.split()


def test_the_installed_extension_from_a_foreign_folder(package: Path, foreign: Path) -> None:
    root, panel, style, bundles = ask(package, WHERE, foreign)
    assert Path(root) == package
    assert Path(panel) == package / "Resources" / "UI" / "MemorySurvival.ui"
    assert Path(style) == package / "Resources" / "Report" / "report.css"
    assert "demonstration" in bundles.split()


def test_a_wheel_from_a_foreign_folder(package: Path, foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """pyproject.toml's force-include puts Resources inside the library, and nothing lies beside it."""
    import tomllib

    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    site = tmp_path_factory.mktemp("site-packages")
    for name in wheel["packages"]:
        shutil.copytree(package / name, site / name)
    for source, target in wheel["force-include"].items():
        shutil.copytree(package / source, site / target)
    script = "from MemorySurvivalLib.resources import locate_resource; print(locate_resource('Bundles'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, sys.argv[1]); {script}", str(site)],
        capture_output=True,
        text=True,
        check=False,
        cwd=foreign,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.stdout.strip() == str(site / "MemorySurvivalLib" / "_resources" / "Bundles"), done.stderr


def test_another_version_is_refused(package: Path, foreign: Path) -> None:
    (sentence,) = ask(package, OTHER_VERSION, foreign)
    assert sentence.startswith(f"MemorySurvivalLib 9.9.9 from {package / 'MemorySurvivalLib'} is already loaded")
    assert sentence.endswith("remove the other copy and restart Slicer.")


def test_reload_forgets_both_packages_and_nothing_else(package: Path, foreign: Path) -> None:
    assert ask(package, PURGE, foreign) == ["['MemorySurvivalLibrary']"]
