"""A cohort's table is taken as declared or refused with one sentence; exclusions are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohort_tables import take, write_table

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariates import encode_covariates
from MemorySurvivalLib.training.cohort_table import looks_like_date
from MemorySurvivalLib.training.exclusion import Excluded, ExclusionFlow, flow_section
from MemorySurvivalLib.training.intake import take_cohort
from MemorySurvivalLib.training.quantities import CATEGORIES, QUANTITIES, make_schema


def refusal(folder: Path, *changes: dict[str, str], drop: tuple[str, ...] = ()) -> str:
    with pytest.raises(InputError) as caught:
        take(folder, *changes, drop=drop)
    return str(caught.value)


def test_a_plain_table(tmp_path: Path) -> None:
    intake = take(tmp_path, {}, {"event": "no", "time_months": "30", "note": "x"})
    assert [(p.patient_id, p.months, p.event) for p in intake.patients] == [("P1", 24.5, True), ("P2", 30.0, False)]
    assert intake.covariates == ("age_years", "haemoglobin_g_dl", "sex")
    assert intake.ignored == ("note",)
    assert intake.flow.sentence == "2 patients in the table, none excluded, 2 remain."
    assert "treatment_date" in intake.unstated


def test_dates_make_months_and_events(tmp_path: Path) -> None:
    dates = {"scan_date": "2020-01-01", "last_contact_date": "2022-01-01"}
    intake = take(tmp_path, dates | {"progression_date": "2021-01-01"}, dates, drop=("time_months", "event"))
    assert [p.event for p in intake.patients] == [True, False]
    assert [round(p.months, 2) for p in intake.patients] == [12.02, 24.02]


def test_the_earlier_of_progression_and_death_counts(tmp_path: Path) -> None:
    dates = {"scan_date": "2020-01-01", "last_contact_date": "2022-01-01"}
    row = dates | {"progression_date": "2021-01-01", "death_date": "2022-01-01"}
    assert take(tmp_path, row, drop=("time_months", "event")).patients[0].months == pytest.approx(12.02, abs=0.01)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"time_months": "2021-03-04"}, "The time_months of row 2 is the date '2021-03-04'; give months from the scan"),
        ({"time_months": "-3"}, "The time_months of row 2 is -3; a time from the scan cannot be negative"),
        ({"time_months": "soon"}, "The time_months of row 2 is 'soon', which is not a number of months."),
        ({"time_months": "900"}, "The time_months of row 2 is 900, over 600 months; give months, not days."),
        ({"event": "perhaps"}, "The event of row 2 is 'perhaps'; give 1 (progression or death) or 0 (none)."),
        ({"sex": "unclear"}, "sex of row 2 is 'unclear'; use one of male, female or leave it blank."),
        ({"age_years": "old"}, "age_years of row 2 is 'old', which is not a number; correct it."),
        ({"scan_date": "03/04/2021"}, "The scan_date of row 2 is '03/04/2021'; write dates as 2021-03-24."),
        ({"haemoglobin": "11"}, "The column haemoglobin does not say its unit; call it haemoglobin [g/dL] or"),
        ({"calcium [furlong]": "11"}, "The unit 'furlong' of calcium is not known; use one of mg/dL, mmol/L."),
        ({"patient_id": ""}, "Row 2 has no patient_id; give every patient a code."),
        ({"haemoglobin [g/L]": "110"}, "The columns haemoglobin_g_dl and haemoglobin [g/L] hold the same quantity"),
        ({"dose_mbq": "much"}, "dose_mbq of row 2 is 'much', which is not a number; correct it."),
    ],
)
def test_what_is_refused(tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    assert refusal(tmp_path, change).startswith(sentence)


def test_two_rows_of_one_patient(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"patient_id": "A7"}, {}, {"patient_id": "a7"})
    assert said == "Rows 2 and 4 are of one patient; keep the scan before treatment alone."


def test_every_problem_is_told_not_the_first_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        take(tmp_path, {"time_months": "-1"}, {"sex": "?"})
    assert len(caught.value.details["problems"]) == 2
    assert "1 more problem in" in str(caught.value)


def test_no_outcome_columns(tmp_path: Path) -> None:
    assert "does not say what became of the patients" in refusal(tmp_path, {}, drop=("event",))


def test_dates_out_of_order(tmp_path: Path) -> None:
    row = {"scan_date": "2021-01-01", "progression_date": "2020-12-31", "last_contact_date": "2021-06-01"}
    said = refusal(tmp_path, row, drop=("time_months", "event"))
    assert said == "In row 2 the event (2020-12-31) lies before the scan (2021-01-01); correct the dates."


def test_units_declared_for_each_row_are_converted(tmp_path: Path) -> None:
    rows = ({"haemoglobin": "112", "haemoglobin_unit": "g/L"}, {"haemoglobin": "9.5", "haemoglobin_unit": "g/dL"})
    intake = take(tmp_path, *rows, drop=("haemoglobin_g_dl",))
    assert [p.covariates["haemoglobin_g_dl"] for p in intake.patients] == ["11.2", "9.5"]


def test_a_unit_in_brackets_is_converted(tmp_path: Path) -> None:
    intake = take(tmp_path, {"Creatinine [µmol/L]": "88.4", "calcium (mmol/L)": "2.5"})
    assert float(intake.patients[0].covariates["creatinine_mg_dl"]) == pytest.approx(1.0)
    assert float(intake.patients[0].covariates["calcium_mg_dl"]) == pytest.approx(10.02)


def test_mixed_units_are_refused_not_repaired(tmp_path: Path) -> None:
    said = refusal(tmp_path, {}, {"haemoglobin_g_dl": "112"}, {"haemoglobin_g_dl": "98"})
    assert said.startswith(
        "haemoglobin_g_dl is declared in g/dL, but rows 3, 4 would be plausible in g/L only; declare"
    )


def test_an_implausible_value_is_flagged_and_counts_as_missing(tmp_path: Path) -> None:
    intake = take(tmp_path, {"age_years": "610"}, {})
    assert "age_years" not in intake.patients[0].covariates
    said = "age_years of row 2 is 610, outside 18 to 110 years; it counts as missing."
    assert [flag.sentence for flag in intake.flags] == [said]


def test_exclusions_add_up(tmp_path: Path) -> None:
    intake = take(
        tmp_path,
        {},
        {"time_months": "0"},
        {"ct": "", "pet": ""},
        {"pet": "elsewhere.nrrd"},
        {"pet": ""},
        {"time_months": "", "event": ""},
        {"scan_date": "2021-05-02", "treatment_date": "2021-05-01"},
        {"event": ""},
    )
    assert intake.flow.steps == (
        ("no outcome", 2, 6),
        ("no follow-up after the scan", 1, 5),
        ("scanned after treatment began", 1, 4),
        ("no image", 2, 2),
        ("image file missing", 1, 1),
    )
    assert intake.flow.kept == len(intake.patients) == 1


def test_the_flow_names_rows_and_never_patients(tmp_path: Path) -> None:
    intake = take(tmp_path, {}, {"patient_id": "SECRET", "time_months": "0"})
    assert "SECRET" not in repr(flow_section(intake.flow))


def test_a_patient_is_excluded_once() -> None:
    one = Excluded(2, "no outcome", "")
    with pytest.raises(ValueError, match="at most once"):
        ExclusionFlow(3, (one, one))


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    path = write_table(tmp_path, {"time_months": "24,5", "haemoglobin_g_dl": "11,2"}, delimiter=";")
    patient = take_cohort(path).patients[0]
    assert (patient.months, patient.covariates["haemoglobin_g_dl"]) == (24.5, "11.2")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        take_cohort(tmp_path / "none.csv")
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id,ct,pet,months,event\n")
    with pytest.raises(InputError, match="has no patient in it"):
        take_cohort(path)
    path.write_text("patient_id,ct,pet,months,event\nP,a,b,1\n")
    with pytest.raises(InputError, match=r"Row 2 of .* has 4 cells, the header has 5"):
        take_cohort(path)
    path.write_text("patient_id,ct,CT,months,event\nP,a,b,1,1\n")
    with pytest.raises(InputError, match="has the column ct twice"):
        take_cohort(path)


def test_months_are_no_dates() -> None:
    assert looks_like_date("2021-03-04") and looks_like_date("4.3.2021") and looks_like_date("20210304")
    assert not looks_like_date("24.5") and not looks_like_date("120")


def test_the_schema_takes_what_the_intake_gives(tmp_path: Path) -> None:
    intake = take(tmp_path, {"r_iss": "2", "sex": "F", "del_17p": "present"})
    schema = make_schema(intake.covariates)
    assert schema.names == ("age_years", "haemoglobin_g_dl", "sex", "r_iss", "del_17p")
    assert intake.patients[0].covariates["r_iss"] == "II"
    assert {q.name for q in QUANTITIES}.isdisjoint(c.name for c in CATEGORIES)
    fitted = make_schema(("sex",))
    shares = tuple(type(c)(c.name, c.levels, (0.5, 0.5)) for c in fitted.categorical)
    assert encode_covariates(type(fitted)((), shares), intake.patients[0].covariates).vector == (0.0, 1.0)
