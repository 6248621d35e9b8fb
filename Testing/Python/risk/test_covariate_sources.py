"""Values of a form, a file and DICOM tags: who wins, what is said of it, and what is never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import SCHEMA
from pydicom.dataset import Dataset

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariate_fields import CovariateField, find_problem, is_missing, take_known
from MemorySurvivalLib.risk.covariate_sources import GivenCovariate, gather_covariates, read_dicom_covariates
from MemorySurvivalLib.risk.covariates import encode_covariates


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "one.csv"
    path.write_text("patient_id,Age_years,sex\n4711,60,female\n", encoding="utf-8")
    return path


def test_nothing_given_is_nothing() -> None:
    assert gather_covariates(None, {}) == (None, ())


def test_a_form_alone() -> None:
    values, notes = gather_covariates(None, {"age_years": GivenCovariate("63", "typed")})
    assert values == {"age_years": "63"}
    assert notes == ("Covariates typed: Age 63 years.",)


def test_what_is_typed_wins_and_is_said(table: Path) -> None:
    values, notes = gather_covariates(table, {"age_years": GivenCovariate("63", "typed")})
    assert values == {"patient_id": "4711", "Age_years": "63", "sex": "female"}
    assert notes[0] == "The covariate Age was typed as 63, which is used instead of the file's 60."


def test_the_same_value_is_no_contradiction(table: Path) -> None:
    _values, notes = gather_covariates(table, {"age_years": GivenCovariate("60", "DICOM")})
    assert notes == ("Covariates DICOM: Age 60 years.",)


def test_a_value_can_be_taken_away(table: Path) -> None:
    values, notes = gather_covariates(table, {"age_years": GivenCovariate("", "typed")})
    assert values is not None and values["Age_years"] == ""
    assert "as no value, which is used instead of the file's 60" in notes[0]


def test_blanks_alone_are_nothing() -> None:
    assert gather_covariates(None, {"age_years": GivenCovariate(" ", "typed")})[0] is None


def test_the_file_must_be_readable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        gather_covariates(tmp_path / "none.csv", {})


def header(**tags: object) -> Dataset:
    dataset = Dataset()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"PatientAge": "061Y", "PatientSex": "M"}, {"age_years": "61", "sex": "male"}),
        ({"PatientAge": "018M", "PatientSex": "O"}, {}),
        ({"PatientBirthDate": "19600229", "StudyDate": "20230228"}, {"age_years": "62"}),
        ({"PatientBirthDate": "19600228", "StudyDate": "20230228"}, {"age_years": "63"}),
        ({"PatientBirthDate": "19600229"}, {}),
        ({"PatientAge": "000Y"}, {}),
    ],
)
def test_tags_fill_what_they_say(tags: dict[str, str], expected: dict[str, str]) -> None:
    assert read_dicom_covariates(header(**tags), SCHEMA.fields) == expected


def test_weight_and_height_come_in_the_fields_unit() -> None:
    fields = (
        CovariateField("weight_kg", "kg", 30, 250),
        CovariateField("height_cm", "cm", 100, 230),
        CovariateField("weight_stone", "stone", 4, 40),
    )
    found = read_dicom_covariates(header(PatientWeight=71.5, PatientSize=1.75), fields)
    assert found == {"weight_kg": "71.5", "height_cm": "175"}


@pytest.mark.parametrize(
    ("name", "unit", "title"),
    [
        ("haemoglobin_g_dl", "g/dL", "Haemoglobin"),
        ("platelets_10e9_l", "10^9/L", "Platelets"),
        ("r_iss", "", "R-ISS stage"),
        ("light_chain_ratio", "involved/uninvolved", "Free light chain ratio"),
        ("years", "years", "Years"),
    ],
)
def test_titles_leave_the_unit_out(name: str, unit: str, title: str) -> None:
    assert CovariateField(name, unit).title == title


def test_names_match_in_any_spelling_but_units_do_not() -> None:
    fields = (CovariateField("haemoglobin_g_dl", "g/dL", 3, 22), CovariateField("age_years", "years", 18, 110))
    given = {"Haemoglobin_g_dL": "11", "AGE years": " 60 ", "haemoglobin_g_l": "110"}
    assert take_known(fields, given) == {"haemoglobin_g_dl": "11", "age_years": "60"}
    assert take_known(fields, {"age_years": "n/a"}) == {}


@pytest.mark.parametrize(("text", "words"), [("2", "outside 3 to 22"), ("nan", "outside"), ("1,1", "not a number")])
def test_one_check_for_forms_and_heads(text: str, words: str) -> None:
    assert words in (find_problem(CovariateField("haemoglobin_g_dl", "g/dL", 3, 22), text) or "")


def test_levels_are_checked_in_any_case() -> None:
    field = CovariateField("sex", levels=("male", "female"))
    assert find_problem(field, "Female") is None
    assert "use one of male, female" in (find_problem(field, "F") or "")
    assert is_missing(" Unknown ")


def test_a_head_takes_what_the_form_shows_in_any_spelling() -> None:
    encoded = encode_covariates(SCHEMA, {"AGE years": "60", "Sex": "Male", "other": "1"})
    assert encoded.used == {"age_years": "60", "sex": "Male"}
    assert encoded.ignored == ("other",)


def test_one_field_under_two_names_is_refused() -> None:
    with pytest.raises(InputError, match="given twice"):
        encode_covariates(SCHEMA, {"AGE years": "60", "age_years": "61"})
    assert encode_covariates(SCHEMA, {"AGE years": "60", "age_years": ""}).used == {"age_years": "60"}
