"""`inspect` as a user types it: the table, the JSON, the reasons, and the exit code."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import save, write_series
from pydicom.dataset import Dataset

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands import inspect
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.volume import Affine, Volume


def make_volume() -> Volume:
    voxels = np.random.default_rng(1).integers(-1000, 2000, (6, 4, 3)).astype(np.int16)
    return Volume(voxels, Affine.from_parts((1.5, 2.0, 3.0), np.eye(3), (0, 0, 0)))


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    inspect.register(parser.add_subparsers())
    options = parser.parse_args(["inspect", *arguments])
    return int(options.run(options))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A CT, a corrected and an uncorrected PET, contours, and a file that is not DICOM."""
    folder = tmp_path / "study"
    write_series(folder / "ct", make_volume(), patient="Secret")
    write_series(folder / "pet", make_volume(), "PT", patient="Secret")
    uncorrected = {"CorrectedImage": ["NORM", "DECY"], "SeriesDescription": "WB PET NAC"}
    write_series(folder / "nac", make_volume(), "PT", patient="Secret", series="nac", tags=uncorrected)
    struct = Dataset()
    struct.Modality, struct.SOPClassUID = "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3"
    save(struct, folder / "rs.dcm")
    (folder / "readme.txt").write_text("x")
    return folder


def test_the_table_says_what_was_found_and_why(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(study)) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0] == (f"{study}: 3 DICOM image series, other DICOM files: 1 RTSTRUCT, 1 files that are not DICOM.")
    assert lines[2].split() == [
        *("use", "modality", "description", "date", "slices", "matrix", "spacing", "mm", "axes", "corrections", "units")
    ]
    rows = {line.split()[0]: line for line in lines if line.startswith(("CT ", "PET "))}
    assert rows["CT"].split()[1:] == [
        "CT",
        "WB",
        "CT",
        "2020-01-31",
        "6",
        "3",
        "x",
        "4",
        "1.5",
        "x",
        "2",
        "x",
        "3",
        "LPS",
        "-",
        "HU",
    ]
    assert rows["PET"].split()[-2:] == ["NORM,DTIM,ATTN,SCAT,DECY,RAN", "BQML"]
    assert "       + the PET's frame of reference" in lines
    assert "       - It is not attenuation-corrected (Corrected Image lists no ATTN)." in lines
    assert lines[-2].endswith("can be used.")
    assert lines[-1] == f"{RESEARCH_USE}."
    assert "Secret" not in printed


def test_identifiers_only_when_asked_for(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(study), "--identifiers") == 0
    assert "patient ID Secret, name Secret^Made up, born 1960-01-01" in capsys.readouterr().out
    assert run(str(study), "--json") == 0
    assert "Secret" not in capsys.readouterr().out
    assert run(str(study), "--json", "--identifiers") == 0
    patient = json.loads(capsys.readouterr().out)["series"][0]["patient"]
    assert patient == {"id": "Secret", "name": "Secret^Made up", "birth_date": "19600101"}


def test_json_holds_the_same(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(study), "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["usable"]
    assert record["research_use"] == RESEARCH_USE
    assert record["ignored_files"] == 1
    assert [other["kind"] for other in record["other_files"]] == ["RTSTRUCT"]
    chosen = {series["chosen_as"]: series for series in record["series"]}
    assert (chosen["CT"]["key"], chosen["PET"]["key"]) == (record["ct"], record["pet"])
    assert chosen["CT"]["shape_zyx"] == [6, 4, 3]
    assert chosen["CT"]["spacing_mm"] == [1.5, 2.0, 3.0]
    assert chosen["PET"]["units"] == "BQML"
    (nac,) = [series for series in record["series"] if series["description"] == "WB PET NAC"]
    assert "ATTN" in nac["unusable"]
    assert not nac["usable"]


def test_nothing_usable_is_exit_code_two(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(study / "ct")) == 2
    printed = capsys.readouterr().out
    assert "No PET series was found" in printed
    assert printed.endswith(f"{RESEARCH_USE}.\n")
    assert run(str(study / "ct"), "--json") == 2
    record = json.loads(capsys.readouterr().out)
    assert not record["usable"]
    assert record["ct"] is None
    assert "No PET series was found" in record["refusal"]


def test_a_series_that_cannot_be_read_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path, make_volume(), skip=(2,))
    assert run(str(tmp_path)) == 2
    assert "- 1 slice of 3.00 mm is missing between slice 2 (3.0 mm)" in capsys.readouterr().out


def test_choosing_and_confirming(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(study / "other", make_volume(), patient="Other", study="other", tags={"SeriesDescription": "Other CT"})
    (other,) = scan(study / "other").series
    assert run(str(study), "--ct-series", other.key, "--pet-series", scan(study / "pet").series[0].key) == 2
    assert "seem to be of different patients" in capsys.readouterr().out
    options = ("--ct-series", other.key, "--pet-series", scan(study / "pet").series[0].key, "--confirm-identity")
    assert run(str(study), *options) == 0
    printed = capsys.readouterr().out
    assert "note: Confirmed by the user although: The CT and the PET seem to be of different patients" in printed
    assert "+ asked for" in printed


def test_it_says_how_the_pet_would_become_suv(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(study)) == 0
    printed = capsys.readouterr().out
    assert "       SUV: activity concentration (BQML), decay-corrected to the scan's start" in printed
    assert "       SUV: The PET is not attenuation-corrected" in printed
    assert printed.count("SUV: ") == 2, "the CT has none"


def test_a_pet_that_lacks_values_is_not_usable_until_they_are_supplied(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(study / "pet")
    write_series(study / "pet", make_volume(), "PT", patient="Secret", tags={"PatientWeight": None})
    assert run(str(study)) == inspect.EXIT_NOTHING_USABLE
    printed = capsys.readouterr().out
    assert "weight (0010,1030)" in printed and "--pet-weight-kg" in printed
    assert "can be used" not in printed
    assert run(str(study), "--json", "--pet-weight-kg", "70") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["usable"] is True
    assert any("activity concentration" in series["details"].get("SUV", "") for series in record["series"])


def test_a_damaged_file_is_shown(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = study / "ct" / "image00000.dcm"
    damaged.write_bytes(damaged.read_bytes()[:600])
    assert run(str(study)) == 0
    printed = capsys.readouterr().out
    assert f"The DICOM file {damaged} is damaged or cut short; copy or export it again." in printed
    assert "1 RTSTRUCT, 1 unreadable" in printed
    assert "If it belongs to the CT or the PET, a slice is missing." in printed


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; check the path"):
        run(str(tmp_path / "nowhere"))


@pytest.mark.real_data
def test_a_real_study(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(real_data / "petct_sts_dicom" / "STS_002")) == 0
    printed = capsys.readouterr().out
    assert "2 RTSTRUCT" in printed
    assert "GML" in printed
    assert run(str(real_data / "petct_sts_dicom")) == 2
    assert "There are 2 studies with a CT and a PET" in capsys.readouterr().out
