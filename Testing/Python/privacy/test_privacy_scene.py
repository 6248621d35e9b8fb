"""A viewer's scene is searched wherever it may name somebody, and gets the code under which a case is exported."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.privacy.scene import PLACEHOLDER, find_in_scene, place_scene
from MemorySurvivalLib.report.subject import Subject

MRML = f'<MRML version="x"><Volume id="v1" name="CT"></Volume><SubjectHierarchyItem name="{PLACEHOLDER}"/></MRML>'
NRRD = b"NRRD0004\ntype: short\nSegment0_Name:=L3\n\n\x1f\x8bQuastenflosser"
WHO = (Identifier("name", "Quastenflosser^Jane"), Identifier("ID", "QX-4711"), Identifier("date", "19620301"))


def make(path: Path, **changes: bytes) -> Path:
    """A scene as the viewer writes it, with other content in some of its files."""
    files = {"scene/scene.mrml": MRML.encode(), "scene/Data/CT.nrrd": NRRD, "scene/Data/colours.csv": b"0,1\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, **{name.replace("__", "/"): each for name, each in changes.items()}}.items():
            archive.writestr(name, content)
    return path


def test_a_clean_scene_is_clean_and_voxels_count_for_nothing(tmp_path: Path) -> None:
    assert find_in_scene(make(tmp_path / "a.mrb"), WHO) == ()


@pytest.mark.parametrize(
    ("changes", "kind", "place"),
    [
        ({"scene__scene.mrml": MRML.replace('"CT"', '"CT of Jane"').encode()}, "name", "scene.mrml"),
        (
            {"scene__scene.mrml": MRML.replace('"CT"', '"x" attributes="born:1962-03-01"').encode()},
            "date",
            "scene.mrml",
        ),
        ({"scene__Data__CT.nrrd": NRRD.replace(b"L3", b"QX-4711")}, "ID", "CT.nrrd"),
        ({"scene__Data__note.txt": b"dear quastenflosser"}, "name", "note.txt"),
        ({"scene__Data__Quastenflosser.nrrd": NRRD}, "name", "the name of a file"),
    ],
)
def test_a_name_is_found_wherever_it_stands(tmp_path: Path, changes: dict[str, bytes], kind: str, place: str) -> None:
    scene = make(tmp_path / "a.mrb", **changes)
    assert {(each.kind, each.place) for each in find_in_scene(scene, WHO)} == {(kind, place)}
    with pytest.raises(InputError, match="would name the patient, so nothing was exported") as said:
        place_scene(scene, tmp_path / "out.mrb", Subject(), WHO)
    assert not (tmp_path / "out.mrb").exists() and "uastenflosser" not in str(said.value)


def test_words_of_paths_that_stand_in_every_scene_tell_nothing(tmp_path: Path) -> None:
    scene = make(tmp_path / "a.mrb")
    words = ("volume", "Hierarchy", "colours", "colour", "research")
    assert find_in_scene(scene, [Identifier("text", word) for word in words]) == ()
    told = make(tmp_path / "b.mrb", scene__scene=b"from roe's volume")
    assert [each.kind for each in find_in_scene(told, [Identifier("text", "roe")])] == ["text"]


@pytest.mark.parametrize(
    ("subject", "code"), [(Subject("pseudonym", patient_id="A & B"), b'"A &amp; B"'), (Subject(), b'"Patient"')]
)
def test_the_patient_gets_the_code(tmp_path: Path, subject: Subject, code: bytes) -> None:
    place_scene(make(tmp_path / "a.mrb"), tmp_path / "out.mrb", subject, WHO)
    with zipfile.ZipFile(tmp_path / "out.mrb") as archive:
        assert code in archive.read("scene/scene.mrml") and PLACEHOLDER.encode() not in archive.read("scene/scene.mrml")
        assert archive.read("scene/Data/CT.nrrd") == NRRD
        assert {info.date_time[0] for info in archive.infolist()} == {1980}, "not the moment"


def test_what_cannot_be_read_or_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.mrb").write_bytes(b"no archive")
    with pytest.raises(InputError, match="cannot be read"):
        find_in_scene(tmp_path / "a.mrb", WHO)
    with pytest.raises(OutputError, match="cannot be written"):
        place_scene(make(tmp_path / "b.mrb"), tmp_path / "gone" / "out.mrb", Subject(), WHO)
