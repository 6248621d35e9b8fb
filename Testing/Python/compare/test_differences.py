"""What two results of one patient differ in: the kind of comparison, what is subtracted, lesions, whose they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from results_made_up import (
    TWO_LESIONS,
    make_bundle_record,
    make_lesion,
    make_measurements,
    make_result,
    with_risk,
)
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.bundle.rights import OTHER_ROI
from MemorySurvivalLib.compare.differences import TWO_SCALES, Comparison, compare_results
from MemorySurvivalLib.compare.lesions import match_lesions
from MemorySurvivalLib.compare.reading import Side
from MemorySurvivalLib.compare.rows import NumberRow
from MemorySurvivalLib.compare.same_patient import UNKNOWN, PatientMismatch
from MemorySurvivalLib.followup.comparison import NOT_RESPONSE
from MemorySurvivalLib.followup.spine_registration import SpineMatch
from MemorySurvivalLib.imaging.acquisition import Acquisition, SuvRecord
from MemorySurvivalLib.measure.lesion import LesionConfig
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.risk.covariates import EncodedCovariates
from MemorySurvivalLib.stability.record import StabilityRecord, TrialRecord


def compare(one: CaseRecord, other: CaseRecord, **options: Any) -> Comparison:
    return compare_results(Side("2025", one), Side("2026", other), **options)


def row_of(rows: tuple[Any, ...], name: str) -> Any:
    return next(row for row in rows if row.name == name)


ONE = make_result()


def other_mask() -> CaseRecord:
    return make_result(0.31, roi=replace(ONE.roi, sha256="edited", edited=True, volume_ml=1540.0))


def other_values() -> CaseRecord:
    return with_risk(make_result(0.4), covariates=EncodedCovariates((), {"age": "71", "sex": "female"}, (), ()))


@pytest.mark.parametrize(
    ("other", "kinds"),
    [
        (make_result(images="two"), ("studies",)),
        (make_result(inputs={**ONE.inputs, "PET": make_result(images="two").inputs["PET"]}), ("images",)),
        (make_result(1.3, bundle=make_bundle_record("other")), ("models",)),
        (with_risk(make_result(1.3), head="image+clinical"), ("models",)),
        (other_mask(), ("masks",)),
        (other_values(), ("covariates",)),
        (make_result(request={**ONE.request, "segmenter": "moose"}), ("settings",)),
        (make_result(measurements=make_measurements(config=LesionConfig(suv=3.0))), ("settings",)),
        (make_result(created="2026-06-01T00:00:00+00:00", device="GPU"), ("repeat",)),
    ],
)
def test_kind_is_found_by_what_differs(other: CaseRecord, kinds: tuple[str, ...]) -> None:
    found = compare(ONE, other)
    assert found.kinds == kinds
    assert (NOT_RESPONSE in found.cautions) == (kinds == ("studies",))


@pytest.mark.parametrize(
    "other",
    [
        make_result(1.25, bundle=make_bundle_record("other")),
        with_risk(make_result(1.25), head="image+clinical"),
        make_result(1.25, roi=replace(ONE.roi, kind="skeleton", sha256="whole")),
        with_risk(make_result(1.25), labels=(OTHER_ROI,)),
    ],
)
def test_log_risks_of_two_scales_are_never_subtracted(other: CaseRecord) -> None:
    found = compare(ONE, other)
    assert not found.one_scale
    assert TWO_SCALES in found.cautions
    for name in ("log-risk", "position among its reference cases"):
        row = row_of(found.score, name)
        assert row.first is not None
        assert row.change is None


def test_one_scale_is_subtracted_second_minus_first() -> None:
    found = compare(ONE, other_mask())
    assert found.one_scale
    assert row_of(found.score, "log-risk").change == pytest.approx(0.06)
    assert row_of(found.region, "volume").change == pytest.approx(40.0)
    assert row_of(found.region, "edited").second == "yes"


def test_absent_values_stay_unknown() -> None:
    bare = with_risk(make_result(measured=False), position=None, gate_pet=None)
    found = compare(ONE, bare)
    assert row_of(found.score, "position among its reference cases").second is None
    assert row_of(found.score, "weight of the PET").change is None
    assert row_of(found.measured, "marrow SUV").second is None
    assert found.lesions is None
    assert any("Only one" in sentence for sentence in found.cautions)
    empty = compare(bare, bare)
    assert empty.measured == ()
    assert all(row.name != "position among its reference cases" for row in empty.score)


def test_other_lesion_settings_are_not_subtracted_but_references_are() -> None:
    found = compare(ONE, make_result(measurements=make_measurements(config=LesionConfig(suv=3.0), liver=2.2)))
    assert row_of(found.measured, "focal MTV").change is None
    assert row_of(found.measured, "liver SUVmean").change == pytest.approx(0.2)
    assert any("(suv)" in sentence for sentence in found.cautions)


def test_scores_within_what_the_stability_showed_are_said_to_be() -> None:
    trial = TrialRecord("box 1 mm larger", 0.35, 0.1, 0.2, None, None)
    stability = StabilityRecord("stable", "", 0.25, 0.2, 0.35, (), (), 0.5, trial, (trial,), (), (), 10, 1.0)
    one = replace(ONE, stability=stability)
    near, far = compare(one, other_mask()), compare(one, make_result(0.9, roi=replace(ONE.roi, sha256="x")))
    assert any("no more than small changes" in sentence for sentence in near.cautions)
    assert any(", more than small changes" in sentence for sentence in far.cautions)


def test_percist_asks_for_like_uptake_times_and_livers() -> None:
    def scanned(minutes: float, liver: float, images: str) -> CaseRecord:
        suv = SuvRecord("BQML", minutes, {}, {})
        return make_result(images=images, acquisition=Acquisition(suv=suv), measurements=make_measurements(liver=liver))

    unlike = compare(scanned(60, 2.0, "one"), scanned(76, 2.5, "two")).cautions
    assert sum("PERCIST" in sentence for sentence in unlike) == 2
    alike = compare(scanned(60, 2.0, "one"), scanned(74, 2.3, "two")).cautions
    assert not any("PERCIST" in sentence for sentence in alike)


def test_flags_and_notes_are_split_and_paths_lose_their_folders() -> None:
    one = replace(ONE, notes=("The mask /hospital/Doe_Jane/ct.nrrd was resampled.", "Both have this."))
    other = replace(ONE, notes=("Both have this.", "Only the second."))
    found = compare(one, other)
    assert found.notes_first == ("The mask ct.nrrd was resampled.",)
    assert found.notes_second == ("Only the second.",)
    assert found.notes_both == ("Both have this.",)


def side(record: CaseRecord, **subject: Any) -> Side:
    return Side("2025", record, Subject(**subject))


OTHER_IMAGES = make_result(images="two")


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (
            side(ONE, choice="pseudonym", patient_id="P1"),
            side(OTHER_IMAGES, choice="pseudonym", patient_id="P2"),
            "patient IDs",
        ),
        (
            side(ONE, choice="identified", birth_date="1950-01-01"),
            side(OTHER_IMAGES, choice="identified", birth_date="1951-01-01"),
            "birth dates",
        ),
        (
            side(ONE),
            side(with_risk(OTHER_IMAGES, covariates=EncodedCovariates((), {"sex": "M"}, (), ()))),
            "stated sexes",
        ),
        (side(ONE), side(make_result(images="two", simulated=True)), "simulated"),
    ],
)
def test_two_patients_are_refused_unless_confirmed(first: Side, second: Side, what: str) -> None:
    with pytest.raises(PatientMismatch, match=what) as refused:
        compare_results(first, second)
    said = str(refused.value)
    assert "P1" not in said
    assert "1950" not in said
    confirmed = compare_results(first, second, confirmed=True)
    assert confirmed.identity[0].startswith("Confirmed by the user although:")


def test_same_images_are_the_same_patient_and_an_id_is_no_pseudonym() -> None:
    pseudonym = side(make_result(0.3), choice="pseudonym", patient_id="P1")
    assert compare_results(pseudonym, side(ONE, choice="pseudonym", patient_id="P2")).identity == ()
    identified = side(OTHER_IMAGES, choice="identified", patient_id="4711", name="Doe, Jane")
    assert compare_results(pseudonym, identified).identity == (UNKNOWN,)
    same = side(ONE, choice="identified", patient_id="4711")
    assert compare_results(same, identified).identity == ()


def test_the_order_of_the_studies_is_told() -> None:
    late = Side("A", ONE, Subject("identified", patient_id="1", study_date="2026-05-01"))
    early = Side("B", OTHER_IMAGES, Subject("identified", patient_id="1", study_date="2025-05-01"))
    assert any("B is the earlier study" in sentence for sentence in compare_results(late, early).cautions)
    assert any("given first" in sentence for sentence in compare(ONE, OTHER_IMAGES).cautions)


def test_lesions_of_one_ct_pair_by_place_nearest_first() -> None:
    before = make_measurements([*TWO_LESIONS, make_lesion(3, (60.0, 0.0, -100.0), 5.0, "spill", "spill-in")])
    now = make_measurements([make_lesion(1, (0.0, 10.0, -409.0), 5.5), make_lesion(2, (0.0, 10.0, -402.0), 8.0, "L1")])
    found = match_lesions(before, now, same_ct=True)
    pairs = [(p.first and p.first.number, p.second and p.second.number) for p in found.pairs]
    assert pairs == [(1, 2), (2, None), (None, 1)], "hottest first; spill-in is left out"
    assert found.bones == ()


@pytest.mark.parametrize("seed", range(3))
def test_registered_lesions_pair_whatever_the_move(seed: int) -> None:
    """Rotations, flips of the body's place and anisotropic shifts between the studies do not matter."""
    rng = np.random.default_rng(seed)
    places = [tuple(float(v) for v in rng.uniform(-200, 200, 3)) for _ in range(6)]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    matrix[:3, 3] = rng.uniform(-100, 100, 3)
    prior = [tuple(float(v) for v in (matrix @ (*place, 1.0))[:3]) for place in places]
    order = rng.permutation(6)
    now = make_measurements([make_lesion(i + 1, place, 5.0 + i) for i, place in enumerate(places)])
    before = make_measurements([make_lesion(n + 1, prior[i], 5.0 + i) for n, i in enumerate(order)])
    match = SpineMatch(tuple(tuple(map(float, row)) for row in matrix), 0.9)
    found = match_lesions(before, now, same_ct=False, registration=match)
    assert [(p.first.suv_max, p.second.suv_max) for p in found.pairs if p.first and p.second] == [
        (5.0 + i, 5.0 + i) for i in reversed(range(6))
    ]
    assert (
        "doubtful"
        in match_lesions(before, now, same_ct=False, registration=replace(match, spine_dice=0.5)).sentence.lower()
    )


def test_unregistered_lesions_are_counted_by_bone() -> None:
    found = compare(ONE, make_result(images="two", measurements=make_measurements(TWO_LESIONS[:1]))).lesions
    assert found is not None
    assert found.pairs == ()
    assert [(bone.site, bone.first, bone.second) for bone in found.bones] == [("L1", 1, 1), ("T8", 1, 0)]
    assert "need not be the same lesion" in found.sentence


def test_no_lesion_at_all() -> None:
    none = make_measurements([])
    match = SpineMatch(tuple(map(tuple, np.eye(4).tolist())), 0.9)
    for options in ({"same_ct": True}, {"same_ct": False}, {"same_ct": False, "registration": match}):
        found = match_lesions(none, none, **options)  # type: ignore[arg-type]
        assert found.pairs == ()
        assert found.bones == ()


def test_the_record_says_number_or_text_for_each_row() -> None:
    text = compare(ONE, other_mask()).as_json().decode()
    assert '"type": "number"' in text
    assert NumberRow.of("x", "", 1.0, None, 1).change is None
