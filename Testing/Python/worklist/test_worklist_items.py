"""Which cases a folder or a table holds, and what is said of those that cannot be worked on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import write_series

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.worklist.items import CaseFiles, folder_name, read_worklist


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_every_folder_is_a_case(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "CT_image.nii.gz", tmp_path / "b" / "PET_image.nii.gz", tmp_path / "b" / "CT_mask.nii.gz")
    touch(tmp_path / "a" / "ct.nrrd", tmp_path / "a" / "pet-suv.nrrd", tmp_path / "a" / "covariates.csv")
    touch(tmp_path / "a" / "spine_dilated.nrrd", tmp_path / "a" / "skeleton.nrrd", tmp_path / ".hidden" / "ct.nrrd")
    touch(tmp_path / "notes.txt")
    first, second = read_worklist(tmp_path, "spine_dilated")
    a, b = tmp_path / "a", tmp_path / "b"
    assert first.files == CaseFiles(
        None, a / "ct.nrrd", a / "pet-suv.nrrd", a / "spine_dilated.nrrd", a / "covariates.csv"
    )
    assert second.files == CaseFiles(ct=b / "CT_image.nii.gz", pet=b / "PET_image.nii.gz")
    assert [first.case, first.problem, second.case, second.problem] == ["a", "", "b", ""]
    assert read_worklist(tmp_path)[0].files.roi is None


def test_a_folder_of_dicom_is_a_study(tmp_path: Path) -> None:
    volume = Volume(np.zeros((2, 4, 4), np.int16), Affine.from_parts((1.0, 1.0, 3.0), np.eye(3), (0.0, 0.0, 0.0)))
    write_series(tmp_path / "one" / "series", volume)
    (item,) = read_worklist(tmp_path)
    assert item.files == CaseFiles(study=tmp_path / "one")


def test_what_cannot_be_worked_on_stays_in_the_list(tmp_path: Path) -> None:
    touch(
        tmp_path / "a" / "ct.nrrd",
        tmp_path / "b" / "letter.txt",
        tmp_path / "c" / "ct.nrrd",
        tmp_path / "c" / "ct 2.nrrd",
    )
    touch(tmp_path / "c" / "pet.nrrd")
    a, b, c = read_worklist(tmp_path)
    assert a.problem.endswith("it has 1 that says CT and 0 that says PET.")
    assert b.problem == f"{tmp_path / 'b'} holds neither DICOM nor a CT and a PET as image files."
    assert c.problem.endswith("it has 2 that says CT and 1 that says PET.")


def test_a_table_names_files_relative_to_itself(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "ct.nrrd", tmp_path / "x" / "pet.nrrd")
    (tmp_path / "dicom").mkdir()
    table = tmp_path / "list.csv"
    table.write_text(
        "\ufeffCase,Study,CT,PET,ROI,age\nMüller 1,,x/ct.nrrd,x/pet.nrrd,,61\n,dicom,,,,\nno mask,dicom,,,x/m.nrrd,\n"
        "both,dicom,x/ct.nrrd,,,\n",
        encoding="utf-8",
    )
    one, two, three, four = read_worklist(table)
    assert (one.case, one.files) == ("Müller 1", CaseFiles(ct=tmp_path / "x/ct.nrrd", pet=tmp_path / "x/pet.nrrd"))
    assert (two.case, two.files) == ("case-002", CaseFiles(study=tmp_path / "dicom"))
    assert three.problem == f"There is no roi {tmp_path / 'x/m.nrrd'} (row 3)."
    assert four.problem == "Row 4 needs either a study, or a ct and a pet."
    assert folder_name("Müller 1/../2") == "Müller_1_.._2"
    assert folder_name("../..") == "case"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case,ct\na,b\n", "needs a column study, or the columns ct and pet; it has case, ct"),
        ("", "There is no case in"),
        ("case,study\nA b,.\na_B,.\n", "names a_b more than once"),
    ],
)
def test_a_table_that_is_no_worklist(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        read_worklist(tmp_path / "list.csv")


def test_a_place_that_is_no_worklist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no case in"):
        read_worklist(tmp_path)
    with pytest.raises(InputError, match="There is no worklist"):
        read_worklist(tmp_path / "gone")
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00case")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_worklist(tmp_path / "list.csv")
