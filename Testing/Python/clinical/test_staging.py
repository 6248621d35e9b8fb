"""ISS, R-ISS and R2-ISS: every combination of inputs against tables written out by hand, and what is refused."""

from __future__ import annotations

import itertools

import pytest

from MemorySurvivalLib.clinical.record import ClinicalScore
from MemorySurvivalLib.clinical.staging import compute_scores
from MemorySurvivalLib.clinical.staging_fields import STAGING_FIELDS
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariates import (
    CategoricalCovariate,
    ContinuousCovariate,
    CovariateSchema,
    encode_covariates,
)

FULL = {
    "beta2_microglobulin_mg_l": "2.0",
    "albumin_g_dl": "4.0",
    "ldh_u_l": "180",
    "ldh_upper_limit_u_l": "250",
    "del_17p": "no",
    "t_4_14": "no",
    "t_14_16": "no",
    "gain_1q": "no",
}

ISS_TABLE = {
    ("3.4", "3.5"): "I",
    ("3.4", "3.4"): "II",
    ("3.49", "6.9"): "I",
    ("3.5", "3.5"): "II",
    ("3.5", "3.4"): "II",
    ("5.49", "4.0"): "II",
    ("5.5", "3.5"): "III",
    ("5.5", "3.4"): "III",
    ("90", "2.0"): "III",
}
"""Beta-2 microglobulin (mg/L) and albumin (g/dL) to the stage (Greipp 2005)."""

R_ISS_TABLE = {
    # ISS, high LDH, high-risk FISH
    ("I", False, False): "I",
    ("I", False, True): "II",
    ("I", True, False): "II",
    ("I", True, True): "II",
    ("II", False, False): "II",
    ("II", False, True): "II",
    ("II", True, False): "II",
    ("II", True, True): "II",
    ("III", False, False): "II",
    ("III", False, True): "III",
    ("III", True, False): "III",
    ("III", True, True): "III",
}
"""Palumbo 2015."""

BLOOD = {"I": ("2.0", "4.0"), "II": ("4.0", "4.0"), "III": ("8.0", "4.0")}

GROUPS = {
    0.0: "low",
    0.5: "low-intermediate",
    1.0: "low-intermediate",
    1.5: "intermediate-high",
    2.0: "intermediate-high",
    2.5: "intermediate-high",
    3.0: "high",
    3.5: "high",
    4.0: "high",
    4.5: "high",
    5.0: "high",
}
"""Points to the group (D'Agostino 2022)."""


def scores_of(**changes: str | None) -> dict[str, ClinicalScore]:
    """The scores of a patient with everything known, some of it changed, or not known (None)."""
    values = {name: text for name, text in {**FULL, **changes}.items() if text is not None}
    return {score.name: score for score in compute_scores(values)}


def with_iss(iss: str) -> dict[str, str]:
    return dict(zip(("beta2_microglobulin_mg_l", "albumin_g_dl"), BLOOD[iss], strict=True))


def refusal(**changes: str | None) -> str:
    with pytest.raises(InputError) as caught:
        scores_of(**changes)
    return str(caught.value)


@pytest.mark.parametrize(("blood", "stage"), ISS_TABLE.items())
def test_iss_is_that_of_the_table(blood: tuple[str, str], stage: str) -> None:
    beta2, albumin = blood
    assert scores_of(beta2_microglobulin_mg_l=beta2, albumin_g_dl=albumin)["ISS"].value == stage
    in_grams_a_litre = f"{float(albumin) * 10:g}"
    other = scores_of(beta2_microglobulin_mg_l=beta2, albumin_g_dl=None, albumin_g_l=in_grams_a_litre)
    assert other["ISS"].value == stage


def test_r_iss_is_that_of_the_table_for_every_combination() -> None:
    for iss, ldh, *fish in itertools.product(BLOOD, ("180", "251"), *(("yes", "no"),) * 3):
        named = dict(zip(("del_17p", "t_4_14", "t_14_16"), fish, strict=True))
        for gain in ("yes", "no", None):  # R-ISS does not look at 1q
            score = scores_of(**with_iss(iss), ldh_u_l=ldh, **named, gain_1q=gain)["R-ISS"]
            assert score.value == R_ISS_TABLE[iss, ldh == "251", "yes" in fish], (iss, ldh, fish)
            assert "10.1200/JCO.2015.61.2267" in score.citation
            assert "1q gain or amplification" not in score.inputs


def test_r2_iss_adds_its_points_for_every_combination() -> None:
    reached = set()
    for iss, ldh, deletion, translocation, gain in itertools.product(BLOOD, (0, 1), (0, 1), (0, 1), (0, 1)):
        points = {"I": 0, "II": 1, "III": 1.5}[iss] + ldh + deletion + translocation + gain / 2
        said = {name: ("no", "yes")[flag] for name, flag in (("del_17p", deletion), ("t_4_14", translocation))}
        for other in ("yes", "no", None):  # R2-ISS does not look at t(14;16)
            score = scores_of(
                **with_iss(iss), ldh_u_l=("180", "251")[ldh], **said, gain_1q=("no", "yes")[gain], t_14_16=other
            )["R2-ISS"]
            assert (score.points, score.value) == (points, GROUPS[points])
        reached.add(points)
    assert reached == set(GROUPS)


@pytest.mark.parametrize(
    ("left_out", "computable"),
    [
        ("beta2_microglobulin_mg_l", set()),
        ("albumin_g_dl", set()),
        ("ldh_u_l", {"ISS"}),
        ("ldh_upper_limit_u_l", {"ISS"}),
        ("del_17p", {"ISS"}),
        ("t_4_14", {"ISS"}),
        ("t_14_16", {"ISS", "R2-ISS"}),
        ("gain_1q", {"ISS", "R-ISS"}),
    ],
)
@pytest.mark.parametrize("how", [None, "", "unknown"])
@pytest.mark.parametrize("iss", ["I", "II", "III"])
def test_what_is_not_known_is_not_normal(left_out: str, computable: set[str], how: str | None, iss: str) -> None:
    scores = scores_of(**{**with_iss(iss), left_out: how})
    assert {name for name, score in scores.items() if score.value is not None} == computable
    for name, score in scores.items():
        assert bool(score.missing) == (name not in computable)
        assert score.points is None or name == "R2-ISS"
        if score.missing:
            assert score.sentence == f"{name} is not computable: {score.missing[0]} missing."
            assert score.points is None


def test_a_stage_that_would_be_the_same_anyway_is_still_not_computed() -> None:
    high = scores_of(beta2_microglobulin_mg_l="8", ldh_u_l="900", t_14_16=None)["R-ISS"]
    assert (high.value, high.missing) == (None, ("FISH t(14;16)",))


def test_missing_fish_is_said_as_fish() -> None:
    scores = scores_of(del_17p=None, t_4_14=None, t_14_16=None, gain_1q="Unknown")
    assert scores["R-ISS"].sentence == "R-ISS is not computable: FISH missing."
    assert scores["R2-ISS"].missing == ("FISH del(17p)", "FISH t(4;14)", "FISH 1q gain or amplification")
    assert compute_scores({})[1].sentence == (
        "R-ISS is not computable: beta-2 microglobulin, albumin, LDH, FISH missing."
    )


def test_ldh_at_its_limit_is_normal_and_a_stated_level_does_without_a_number() -> None:
    assert scores_of(ldh_u_l="250")["R-ISS"].value == "I"
    assert scores_of(ldh_u_l="250.5")["R-ISS"].value == "II"
    assert scores_of(ldh_u_l=None, ldh_upper_limit_u_l=None, ldh_level="HIGH")["R-ISS"].value == "II"
    assert scores_of(ldh_u_l=None, ldh_upper_limit_u_l=None, ldh_level="normal")["R-ISS"].value == "I"


def test_scores_carry_their_inputs_and_their_source() -> None:
    iss, r_iss, r2_iss = compute_scores(FULL)
    assert iss.inputs == {"Beta-2 microglobulin": "2.0 mg/L", "Albumin": "4.0 g/dL"}
    assert r_iss.inputs["LDH"] == "180 U/L"
    assert r_iss.inputs["LDH upper limit of normal"] == "250 U/L"
    assert set(r2_iss.inputs) - set(iss.inputs) == {
        "LDH",
        "LDH upper limit of normal",
        "del(17p)",
        "t(4;14)",
        "1q gain or amplification",
    }
    assert ["J Clin Oncol" in score.citation for score in (iss, r_iss, r2_iss)] == [True] * 3
    assert r2_iss.sentence == "R2-ISS low (0 points)."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beta2_microglobulin_mg_l": "2000"}, "2000, outside 0.3 to 100 mg/L"),
        ({"albumin_g_dl": "40"}, "40, outside 0.8 to 7 g/dL"),
        ({"albumin_g_dl": None, "albumin_g_l": "4.0"}, "4, outside 8 to 70 g/L"),
        ({"albumin_g_l": "31"}, "4 g/dL and as 31 g/L, which differ"),
        ({"ldh_u_l": "nan"}, None),
        ({"ldh_u_l": "-3"}, "outside 20 to 20000 U/L"),
        ({"ldh_level": "high"}, "stated as high, but 180 U/L is not above the upper limit of 250 U/L"),
        ({"ldh_u_l": "251", "ldh_level": "normal"}, "stated as normal, but 251 U/L is above"),
        ({"del_17p": "perhaps"}, "unknown value 'perhaps'; use one of yes, no"),
        ({"t_4_14": "1"}, "unknown value '1'"),
        ({"albumin_g_dl": "4,0"}, "not a number"),
        ({"albumin_g_dl": "inf"}, "outside"),
        ({"Albumin g dL": "3.0"}, "given twice"),
    ],
)
def test_values_that_cannot_be_true_are_refused_in_one_sentence(changes: dict[str, str], words: str | None) -> None:
    if words is None:  # a missing word, not a number
        assert scores_of(**changes)["R-ISS"].missing == ("LDH",)
        return
    said = refusal(**changes)
    assert words in said
    assert said.endswith(".")


def test_two_statements_of_one_albumin_may_differ_by_rounding() -> None:
    assert scores_of(albumin_g_dl="3.5", albumin_g_l="35.4")["ISS"].value == "I"


def test_names_are_matched_as_everywhere_and_others_are_ignored() -> None:
    values = {name.upper().replace("_", " "): text for name, text in FULL.items()}
    assert compute_scores({**values, "shoe size": "44"}) == compute_scores(FULL)


def test_a_model_that_does_not_know_these_values_scores_as_without_them() -> None:
    schema = CovariateSchema(
        (ContinuousCovariate("age_years", "years", 18, 110, 62, 10),),
        (CategoricalCovariate("sex", ("f", "m"), (0.5, 0.5)),),
    )
    own = {"age_years": "70", "sex": "f"}
    without, beside = encode_covariates(schema, own), encode_covariates(schema, {**own, **FULL})
    assert (beside.vector, beside.used, beside.missing) == (without.vector, without.used, without.missing)
    assert set(beside.ignored) == set(FULL)


def test_every_field_of_the_form_has_a_title_and_a_range() -> None:
    titles = [f"{field.title} {field.unit}" for field in STAGING_FIELDS]
    assert len(set(titles)) == len(titles)
    assert all("_" not in title and field.range_text for title, field in zip(titles, STAGING_FIELDS, strict=True))
