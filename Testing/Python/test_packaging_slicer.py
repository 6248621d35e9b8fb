"""Slicer packages what its CMake lists name, and nothing else: the lists are compared with the tree.

`python Testing/Python/test_packaging_slicer.py` writes both lists anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from MemorySurvivalLib import RESEARCH_USE

ROOT = Path(__file__).resolve().parents[2]
LIBRARY_LIST = ROOT / "MemorySurvivalLib" / "files.cmake"
MODULE_LIST = ROOT / "MemorySurvival" / "CMakeLists.txt"
LISTS = {
    "MemorySurvivalLib_SCRIPTS": LIBRARY_LIST,
    "MemorySurvival_RESOURCES": LIBRARY_LIST,
    "MODULE_PYTHON_SCRIPTS": MODULE_LIST,
}


def files_in_tree(name: str) -> list[str]:
    """What a list should hold, as paths relative to the folder that CMake resolves them against."""
    if name == "MODULE_PYTHON_SCRIPTS":
        folder, found = ROOT / "MemorySurvival", (ROOT / "MemorySurvival").rglob("*.py")
    elif name == "MemorySurvivalLib_SCRIPTS":
        folder, found = ROOT, (ROOT / "MemorySurvivalLib").rglob("*.py")
    else:
        folder, found = ROOT, (each for each in (ROOT / "Resources").rglob("*") if each.is_file())
    return sorted(
        each.relative_to(folder).as_posix()
        for each in found
        if "__pycache__" not in each.parts and (each.name == ".gitkeep" or not each.name.startswith("."))
    )


def files_in_list(name: str) -> list[str]:
    """What a list holds."""
    block = re.search(rf"^set\({name}\n(.*?)\)", LISTS[name].read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block is not None, f"{LISTS[name]} has no list {name}"
    return block.group(1).split()


def write_lists() -> None:
    """Bring every list up to date."""
    for name, path in LISTS.items():
        entries = "".join(f"  {each}\n" for each in files_in_tree(name))
        text = path.read_text(encoding="utf-8")
        path.write_text(
            re.sub(rf"^set\({name}\n.*?\)", f"set({name}\n{entries}  )", text, flags=re.DOTALL | re.MULTILINE),
            encoding="utf-8",
        )


@pytest.mark.parametrize("name", LISTS)
def test_every_file_is_listed(name: str) -> None:
    tree, listed = files_in_tree(name), files_in_list(name)
    add, remove = sorted(set(tree) - set(listed)), sorted(set(listed) - set(tree))
    advice = "\n".join([f"add to {name}: {each}" for each in add] + [f"remove from {name}: {each}" for each in remove])
    command = "python Testing/Python/test_packaging_slicer.py"
    assert not advice, f"{LISTS[name].relative_to(ROOT)} differs from the tree ({command} repairs it):\n{advice}"
    assert len(listed) == len(set(listed))


def test_the_library_has_only_python_files() -> None:
    """Data files belong to Resources: only there do all three layouts find them."""
    others = [
        each.relative_to(ROOT).as_posix()
        for each in (ROOT / "MemorySurvivalLib").rglob("*")
        if each.is_file() and each.suffix not in (".py", ".pyc") and each.name not in ("files.cmake", "py.typed")
    ]
    assert others == []


def extension_metadata() -> dict[str, str]:
    """EXTENSION_* of the root CMakeLists.txt by lower-case name."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return {name.lower(): value for name, value in re.findall(r'^set\(EXTENSION_(\w+) "([^"]*)"\)', text, re.MULTILINE)}


def s4ext() -> dict[str, str]:
    """Keywords of the .s4ext file."""
    lines = (ROOT / "MemorySurvival.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(" ") for line in lines if line.strip() and not line.startswith("#")]
    return {key: value for key, _, value in pairs}


def test_extension_descriptions_agree() -> None:
    cmake, old = extension_metadata(), s4ext()
    catalogue = json.loads((ROOT / "MemorySurvival.json").read_text(encoding="utf-8"))
    for key in ("homepage", "category", "contributors", "description", "iconurl", "screenshoturls", "depends"):
        assert old[key] == cmake[key], key
    assert RESEARCH_USE in cmake["description"]
    assert catalogue["category"] == cmake["category"]
    assert catalogue["build_dependencies"] == cmake["depends"].split()
    assert catalogue["scm_url"] == old["scmurl"]
    assert catalogue["scm_revision"] == old["scmrevision"]
    module = (ROOT / "MemorySurvival" / "MemorySurvival.py").read_text(encoding="utf-8")
    assert f'"{cmake["category"]}"' in module
    assert f'"{cmake["contributors"]}"' in module


def test_catalogue_entry_is_what_slicer_reads() -> None:
    raw = (ROOT / "MemorySurvival.json").read_bytes()
    assert b"\r" not in raw
    entry = json.loads(raw)
    assert {"$schema", "category", "scm_url"} <= entry.keys()
    known = {"scm_revision", "scm_type", "build_dependencies", "build_subdirectory", "enabled", "tier"}
    assert entry.keys() - {"$schema", "category", "scm_url"} <= known
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert isinstance(entry["tier"], int)
    assert 1 <= entry["tier"] <= 5
    assert entry["scm_type"] in ("git", "local")
    assert entry["build_subdirectory"] == s4ext()["build_subdirectory"]
    assert entry.get("enabled", True) is (s4ext()["enabled"] == "1")
    assert s4ext()["scm"] == entry["scm_type"]


def test_what_the_catalogue_shows_is_in_the_repository() -> None:
    cmake = extension_metadata()
    for address in (cmake["iconurl"], *cmake["screenshoturls"].split()):
        assert address.startswith(f"{cmake['homepage']}/")
        path = ROOT / address.removeprefix(f"{cmake['homepage']}/")
        assert path.read_bytes().startswith(b"\x89PNG"), path
    assert "Apache" in (ROOT / "LICENSE.txt").read_text(encoding="utf-8")


def test_the_repository_stays_small() -> None:
    """The catalogue wants a clone below 100 MB: that of the last commit alone (some 0.8 of this again, packed)."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sizes = [(ROOT / name).stat().st_size for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert 0 < sum(sizes) < 52e6


def test_no_file_ends_lines_as_windows_does() -> None:
    """The catalogue asks for it of its own entry; shell scripts and CMake lists want it too."""
    for path in (*ROOT.glob("*.txt"), *ROOT.glob("*.json"), *ROOT.glob("*.s4ext"), ROOT / "Makefile", MODULE_LIST):
        assert b"\r" not in path.read_bytes(), path


def test_icon_has_the_size_that_the_catalogue_asks_for() -> None:
    header = (ROOT / "Resources" / "Icons" / "MemorySurvival.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (128, 128)


STAND_IN_FOR_SLICER = """
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR modules)
function(copy_listed source)
  foreach(each ${ARGN})
    configure_file(${source}/${each} ${CMAKE_BINARY_DIR}/modules/${each} COPYONLY)
  endforeach()
endfunction()
macro(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY "NO_INSTALL_SUBDIR" "TARGET_NAME;SOURCE_DIR;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES"
    ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  copy_listed(${MY_SOURCE_DIR} ${MY_SCRIPTS} ${MY_RESOURCES})
endmacro()
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  copy_listed(${CMAKE_CURRENT_SOURCE_DIR} ${MY_SCRIPTS} ${MY_RESOURCES})
endmacro()
"""


@pytest.mark.system_package
def test_cmake_lays_the_package_out_as_slicer_needs_it(tmp_path: Path) -> None:
    """Configure with a stand-in for Slicer's macros that copies what is listed: module, library, Resources together."""
    cmake = shutil.which("cmake")
    if cmake is None:
        if os.environ.get("CI"):
            pytest.fail("cmake is not installed")
        pytest.skip("cmake is not installed")
    slicer = tmp_path / "slicer"
    slicer.mkdir()
    (slicer / "SlicerConfig.cmake").write_text(STAND_IN_FOR_SLICER, encoding="utf-8")
    (slicer / "nothing.cmake").touch()
    build = tmp_path / "build"
    done = subprocess.run(
        [cmake, "-S", str(ROOT), "-B", str(build), f"-DSlicer_DIR={slicer}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    package = build / "modules"
    assert (package / "MemorySurvival.py").is_file()
    assert (package / "MemorySurvivalPanels" / "worker_client.py").is_file()
    assert (package / "MemorySurvivalLib" / "worker.py").is_file()
    assert (package / "Resources" / "UI" / "MemorySurvival.ui").is_file()
    assert (package / "Resources" / "Bundles").is_dir()


if __name__ == "__main__":
    write_lists()
