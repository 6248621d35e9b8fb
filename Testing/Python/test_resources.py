"""Where shipped files and the user's own are found, in each of the three layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import ROOT

from MemorySurvivalLib import resources
from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.resources import data_folder, locate_resource, resource_root


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed library without anything beside it."""
    folder = tmp_path / "site" / "MemorySurvivalLib"
    folder.mkdir(parents=True)
    monkeypatch.setattr(resources, "_LIBRARY", folder)
    return folder


def test_the_source_tree() -> None:
    assert resource_root() == ROOT / "Resources"


@pytest.mark.parametrize("place", ["../Resources", "_resources"])
def test_slicers_folder_and_a_wheel(library: Path, place: str) -> None:
    folder = library / place
    (folder / "Bundles").mkdir(parents=True)
    (folder / "Bundles" / "demonstration.msbundle").touch()
    assert resource_root().resolve() == folder.resolve()
    assert locate_resource("Bundles/demonstration.msbundle").name == "demonstration.msbundle"


def test_a_wheel_does_not_take_a_foreign_resources_folder(library: Path) -> None:
    """Another package may put a folder named Resources beside the library."""
    (library.parent / "Resources" / "Bundles").mkdir(parents=True)
    (library / "_resources" / "Bundles").mkdir(parents=True)
    assert resource_root() == library / "_resources"


def test_an_incomplete_installation(library: Path) -> None:
    (library.parent / "Resources").mkdir()
    with pytest.raises(MemorySurvivalError) as caught:
        resource_root()
    assert str(caught.value) == (
        f"The Resources folder is missing beside {library}; reinstall MemorySurvival so that it is complete."
    )


def test_a_missing_resource(library: Path) -> None:
    (library / "_resources" / "Bundles").mkdir(parents=True)
    with pytest.raises(MemorySurvivalError) as caught:
        locate_resource("Bundles/no.msbundle")
    path = library / "_resources" / "Bundles" / "no.msbundle"
    assert str(caught.value) == f"{path} is missing; reinstall MemorySurvival so that it is complete."


def test_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "mine"))
    assert data_folder() == tmp_path / "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", "~/mine")
    assert data_folder() == tmp_path / "mine"


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_the_platforms_folder(monkeypatch: pytest.MonkeyPatch, blank: str | None) -> None:
    if blank is None:
        monkeypatch.delenv("MEMORYSURVIVAL_DATA", raising=False)
    else:
        monkeypatch.setenv("MEMORYSURVIVAL_DATA", blank)
    assert data_folder().name == "MemorySurvival"
    assert data_folder().is_absolute()
