"""Covariates: read from CSV or JSON, checked against their unit and range, encoded as on the training cohort."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from made_up import SCHEMA

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariates import (
    CategoricalCovariate,
    ContinuousCovariate,
    CovariateSchema,
    encode_covariates,
    read_covariates,
)

MYELOMA = CovariateSchema(
    continuous=(
        ContinuousCovariate("creatinine_mg_dl", "mg/dL", 0.1, 20, 1.2, 0.5),
        ContinuousCovariate("haemoglobin_g_dl", "g/dL", 3, 22, 10.5, 2.0),
    ),
    categorical=(
        CategoricalCovariate("isotype", ("IgG", "IgA", "light_chain"), (0.5, 0.2, 0.3)),
        CategoricalCovariate("r_iss", ("I", "II", "III"), (0.3, 0.55, 0.15)),
    ),
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal_of_file(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_covariates(path)
    return str(caught.value)


def refusal_of_value(name: str, text: str) -> str:
    with pytest.raises(InputError) as caught:
        encode_covariates(MYELOMA, {name: text})
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "age_years,sex\n62.5,female\n",
        b"\xef\xbb\xbfage_years,sex\r\n62.5,female\r\n",  # as Excel saves "CSV UTF-8"
        "age_years,sex\r62.5,female\r",
        "\n age_years , sex \n\n 62.5 , female \n,\n",
        '"age_years","sex"\n"62.5","female"',
    ],
)
def test_a_csv_file(tmp_path: Path, content: str | bytes) -> None:
    assert read_covariates(write(tmp_path / "a.csv", content)) == {"age_years": "62.5", "sex": "female"}


@pytest.mark.parametrize(
    "content",
    [
        '{"age_years": 62.5, "sex": "female", "note": null}',
        b'\xef\xbb\xbf{"age_years": "62.5", "sex": "female", "note": ""}',
    ],
)
def test_a_json_file(tmp_path: Path, content: str | bytes) -> None:
    expected = {"age_years": "62.5", "sex": "female", "note": ""}
    assert read_covariates(write(tmp_path / "a.JSON", content)) == expected


def test_letters_of_any_language(tmp_path: Path) -> None:
    assert read_covariates(write(tmp_path / "Müller.csv", "größe\nüber 2 m\n")) == {"größe": "über 2 m"}


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "no.csv"
    assert refusal_of_file(path) == f"The covariates file {path} does not exist; check the path."


def test_a_folder(tmp_path: Path) -> None:
    assert refusal_of_file(tmp_path) == (
        f"The covariates file {tmp_path} cannot be opened (Is a directory); check the path and its permissions."
    )


@pytest.mark.parametrize("content", ["größe\n1\n".encode("latin-1"), "a,b\n1,2\n".encode("utf-16")])
def test_text_in_another_encoding(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.csv", content)
    assert refusal_of_file(path) == (
        f"The covariates file {path} cannot be read as UTF-8 text; save it as CSV or JSON."
    )


@pytest.mark.parametrize(("content", "rows"), [("", 0), ("age_years,sex\n", 1), ("age_years\n62\n63\n", 3)])
def test_not_exactly_one_patient(tmp_path: Path, content: str, rows: int) -> None:
    path = write(tmp_path / "a.csv", content)
    assert refusal_of_file(path) == (
        f"The covariates file {path} must hold one patient (a header row and one row of values); it has {rows} rows."
    )


def test_two_patients_in_json(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '[{"age_years": 62}, {"age_years": 63}]')
    assert refusal_of_file(path) == (
        f"The covariates file {path} is not a JSON object of names and values "
        "(Expected `object`, got `array`); correct it."
    )


@pytest.mark.parametrize("content", ['{"age_years": [62]}', '{"age_years": true}', '{"age_years": 62', "62", ""])
def test_json_of_another_form(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.json", content)
    assert refusal_of_file(path).startswith(f"The covariates file {path} is not a JSON object of names and values (")


def test_a_row_of_another_length(tmp_path: Path) -> None:
    """The usual cause is a decimal comma."""
    path = write(tmp_path / "a.csv", "age_years,sex\n62,5,female\n")
    assert refusal_of_file(path) == f"The covariates file {path} has 2 column names and 3 values; make them match."


def test_a_column_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "age_years,age_years\n62,63\n")
    assert refusal_of_file(path) == f"The covariates file {path} names a column twice; keep one of them."


def test_a_field_without_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "age_years\n" + "6" * 200_000 + "\n")
    assert refusal_of_file(path) == (
        f"The covariates file {path} is not a CSV table (field larger than field limit (131072)); "
        "save it as CSV or JSON."
    )


def test_encoding_equals_the_hand_computation() -> None:
    values = {"isotype": "IgA", "creatinine_mg_dl": "2.2", "haemoglobin_g_dl": "8.5", "r_iss": "III"}
    encoded = encode_covariates(MYELOMA, values)
    # (2.2 - 1.2) / 0.5, (8.5 - 10.5) / 2, one-hot IgA of three, one-hot III of three
    assert encoded.vector == pytest.approx((2.0, -1.0, 0, 1, 0, 0, 0, 1), abs=1e-12)
    assert encoded.missing == encoded.ignored == ()
    assert encoded.used == {
        "creatinine_mg_dl": "2.2",
        "haemoglobin_g_dl": "8.5",
        "isotype": "IgA",
        "r_iss": "III",
    }
    assert len(encoded.vector) == MYELOMA.width
    assert MYELOMA.names == ("creatinine_mg_dl", "haemoglobin_g_dl", "isotype", "r_iss")


@pytest.mark.parametrize("blank", ["", "  ", "NA", "n/a", "NaN", "None", "null", "Unknown", "missing"])
def test_missing_values_take_the_cohort_average(blank: str) -> None:
    encoded = encode_covariates(MYELOMA, {"creatinine_mg_dl": blank, "haemoglobin_g_dl": "12.5", "isotype": blank})
    assert encoded.vector == pytest.approx((0, 1, 0.5, 0.2, 0.3, 0.3, 0.55, 0.15))
    assert encoded.missing == ("creatinine_mg_dl", "isotype", "r_iss")
    assert encoded.used == {"haemoglobin_g_dl": "12.5"}


def test_categories_are_read_in_any_case() -> None:
    assert encode_covariates(MYELOMA, {"isotype": " igg "}).vector[2:5] == (1, 0, 0)


def test_unknown_columns_are_told_not_used() -> None:
    values = {"age_years": "62", "sex": "male", "name": "A", "LDH": "1"}
    assert encode_covariates(SCHEMA, values).ignored == ("name", "LDH")


@pytest.mark.parametrize(
    ("text", "shown"), [("97", "97"), ("0", "0"), ("-1.5", "-1.5"), ("inf", "inf"), ("20.1", "20.1")]
)
def test_a_value_out_of_range_points_at_its_unit(text: str, shown: str) -> None:
    """97 is a creatinine in umol/L."""
    assert refusal_of_value("creatinine_mg_dl", text) == (
        f"The covariate creatinine_mg_dl is {text}, outside 0.1 to 20 mg/dL; check the value and its unit."
    )


@pytest.mark.parametrize("text", ["0.1", "20", "2e0"])
def test_the_range_holds_its_ends(text: str) -> None:
    assert encode_covariates(MYELOMA, {"creatinine_mg_dl": text}).used == {"creatinine_mg_dl": text}


@pytest.mark.parametrize("text", ["1,2", "high", "<0.5", "1.2 mg/dL"])
def test_text_where_a_number_belongs(text: str) -> None:
    assert refusal_of_value("creatinine_mg_dl", text) == (
        f"The covariate creatinine_mg_dl is {text!r}, which is not a number; give it in mg/dL."
    )


def test_an_unknown_category() -> None:
    assert refusal_of_value("isotype", "IgM") == (
        "The covariate isotype has the unknown value 'IgM'; use one of IgG, IgA, light_chain or leave it blank."
    )


def test_semicolons_and_decimal_commas_of_european_spreadsheets(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "age_years;sex\n62,5;female\n")
    assert read_covariates(path) == {"age_years": "62.5", "sex": "female"}


def test_a_logarithmic_scale_is_applied_before_the_z_score() -> None:
    ratio = ContinuousCovariate("light_chain_ratio", "ratio", 0.001, 1e5, 2.0, 0.5, "log")
    schema = CovariateSchema((ratio,), ())
    encoded = encode_covariates(schema, {"light_chain_ratio": "20"})
    assert encoded.vector == pytest.approx(((math.log(20) - 2.0) / 0.5,))
    zero = CovariateSchema((ContinuousCovariate("light_chain_ratio", "ratio", 0, 1e5, 2.0, 0.5, "log"),), ())
    assert zero.find_problem() == "light_chain_ratio is on a logarithmic scale and needs low > 0"
