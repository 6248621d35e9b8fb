"""Bundles by name: the shipped ones and the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from MemorySurvivalLib.bundle import registry
from MemorySurvivalLib.bundle.registry import find_bundle, list_bundles
from MemorySurvivalLib.errors import BundleError


@pytest.fixture
def shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of shipped and own bundles, with a file in each."""
    shipped, own = tmp_path / "Resources" / "Bundles", tmp_path / "data" / "bundles"
    for folder, names in ((shipped, ("demonstration",)), (own, ("demonstration", "munich", "athens"))):
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.msbundle").touch()
        (folder / "notes.txt").touch()
    monkeypatch.setattr(registry, "resource_root", lambda: tmp_path / "Resources")
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return shipped, own


def test_shipped_bundles_come_first_and_are_not_replaced(shelves: tuple[Path, Path]) -> None:
    shipped, own = shelves
    assert list(list_bundles().items()) == [
        ("demonstration", shipped / "demonstration.msbundle"),
        ("athens", own / "athens.msbundle"),
        ("munich", own / "munich.msbundle"),
    ]


def test_a_bundle_by_name(shelves: tuple[Path, Path]) -> None:
    shipped, own = shelves
    assert find_bundle("demonstration") == shipped / "demonstration.msbundle"
    assert find_bundle("munich") == own / "munich.msbundle"


def test_a_bundle_by_path(shelves: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "renamed.zip"
    other.touch()
    assert find_bundle(str(other)) == other
    assert find_bundle("elsewhere/new.msbundle") == Path("elsewhere/new.msbundle")


def test_a_folder_of_the_same_name_is_not_the_bundle(shelves: tuple[Path, Path]) -> None:
    """Such as the one that an earlier `--out demonstration` left in the current folder."""
    Path("demonstration").mkdir()
    assert find_bundle("demonstration") == shelves[0] / "demonstration.msbundle"


def test_an_unknown_name(shelves: tuple[Path, Path]) -> None:
    with pytest.raises(BundleError) as caught:
        find_bundle("boston")
    assert str(caught.value) == (
        "There is no model bundle named 'boston' (known: demonstration, athens, munich); give a name or a file."
    )


def test_no_bundle_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "resource_root", lambda: tmp_path)
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "nothing"))
    with pytest.raises(BundleError) as caught:
        find_bundle("boston")
    assert str(caught.value) == (
        "There is no model bundle named 'boston' (known: none installed); give a name or a file."
    )
