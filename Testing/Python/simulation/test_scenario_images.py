"""Images of scenarios: the site's scanner shows, masks stray a little, and the two generators differ."""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from MemorySurvivalLib.commands import simulate
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import resample_onto
from MemorySurvivalLib.simulation import cohort as cohort_module
from MemorySurvivalLib.simulation.anatomy import ATTRIBUTE, PHANTOM_VERSION
from MemorySurvivalLib.simulation.cohort import write_cohort
from MemorySurvivalLib.simulation.disease import Disease, Focus
from MemorySurvivalLib.simulation.masks import skeleton, spine_dilated
from MemorySurvivalLib.simulation.patient import Patient, draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase, name_images, simulate_patient
from MemorySurvivalLib.simulation.second_phantom import SECOND_VERSION
from MemorySurvivalLib.simulation.second_uptake import plasma_suv, tumour_suv
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue

COARSE_MM = (8.0, 8.0, 9.0)


def coarse(patient: Patient, disease: Disease | None = None, **site: Any) -> Patient:
    """The patient on a coarse grid, at a site of other habits where given."""
    shown = replace(patient.shown, spec=replace(patient.shown.spec, spacing_mm=COARSE_MM))
    shown = shown if disease is None else replace(shown, disease=disease)
    fields = {name: getattr(patient.site, name) for name in patient.site.__struct_fields__}
    usual = {"head_share": 1.0, "pet_spacing_mm": COARSE_MM}
    return replace(patient, shown=shown, site=type(patient.site)(**{**fields, **usual, **site}))


def suv_on_ct(case: ScenarioCase) -> npt.NDArray[np.float32]:
    return np.asarray(resample_onto(case.pet, case.ct, linear=True).voxels)


def mean_in(case: ScenarioCase, *tissues: Tissue) -> float:
    return float(suv_on_ct(case)[np.isin(case.phantom.labels.voxels, tissues)].mean())


FOCI = (
    *(Focus("focal", 24, 9, True, site) for site in (Tissue.L3, Tissue.T9, Tissue.HIP_LEFT, Tissue.SACRUM)),
    Focus("paramedullary", 35, 9, False),
    Focus("extramedullary", 30, 9, False),
)


@pytest.fixture(scope="module", params=["main", "second"])
def case(request: pytest.FixtureRequest) -> ScenarioCase:
    return simulate_patient(coarse(draw_patient(load_scenario(request.param), 1, 0), Disease(FOCI)))


def test_images_and_masks_share_the_cts_grid(case: ScenarioCase) -> None:
    assert case.ct.voxels.dtype == np.int16 and case.pet.voxels.dtype == np.float32
    for mask in (case.spine_dilated, case.skeleton, case.lesions, case.phantom.labels):
        assert mask.same_grid(case.ct) and mask.voxels.dtype == np.uint8
    np.testing.assert_allclose(case.ct.spacing_mm, COARSE_MM)
    assert float(case.pet.voxels.min()) >= 0
    assert all(volume.attributes[ATTRIBUTE].endswith("seed 100000") for volume in (case.ct, case.pet))


def test_lesions_are_placed_where_the_truth_says_and_are_hot(case: ScenarioCase) -> None:
    suv, labels = suv_on_ct(case), case.phantom.labels.voxels
    assert [focus.site for focus in case.phantom.foci[:4]] == [focus.site for focus in FOCI[:4]]
    background = np.median(suv[np.isin(labels, VERTEBRAE)])
    for number, focus in enumerate(case.phantom.foci, start=1):
        where = case.lesions.voxels == number
        assert where.any()
        points = case.ct.affine.points_mm(np.argwhere(where)[:, ::-1])
        reach = 1.6 * max(focus.radii_mm) + max(COARSE_MM)
        assert np.linalg.norm(points - np.asarray(focus.centre_mm), axis=1).max() < reach
        assert suv[where].max() > background + 1
        if focus.kind == "focal":
            assert np.isin(labels[where], BONES).all()


def test_tissues_take_up_what_they_should(case: ScenarioCase) -> None:
    assert mean_in(case, Tissue.GREY_MATTER) > 2 * mean_in(case, Tissue.LIVER)
    assert 1.2 < mean_in(case, Tissue.LIVER) < 3.5
    assert 0.35 < mean_in(case, Tissue.MUSCLE) < 1.2
    assert mean_in(case, Tissue.BLADDER) > 4
    present = set(np.unique(case.phantom.labels.voxels).tolist())
    assert {int(bone) for bone in VERTEBRAE[2:]} <= present  # the thin C1 may fall through a coarse grid


@pytest.fixture(scope="module")
def other(case: ScenarioCase) -> ScenarioCase:
    """The same person two hours after injection, on a blunt scanner, from the skull's base, with careless masks."""
    habits = {"head_share": 0.0, "resolution_mm": 14.0, "liver_noise": 0.01, "mask_error_mm": 4.0}
    return simulate_patient(replace(coarse(case.patient, Disease(FOCI), **habits), uptake_minutes=120.0))


def test_masks_stray_by_more_where_the_site_is_careless(case: ScenarioCase, other: ScenarioCase) -> None:
    dices = []
    for taken in (case, other):
        true = spine_dilated(taken.phantom.labels)
        bones = skeleton(taken.phantom.labels, true).voxels > 0
        a, b = true.voxels > 0, taken.spine_dilated.voxels > 0
        assert (taken.skeleton.voxels[b] > 0).all()
        assert b.sum() == pytest.approx(a.sum(), rel=0.05)
        assert (taken.skeleton.voxels > 0).sum() == pytest.approx(bones.sum(), rel=0.15)
        dices.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert 0.98 > dices[0] > dices[1] + 0.01 and dices[1] > 0.7


def test_a_scan_from_the_skulls_base_has_no_brain_and_all_vertebrae(case: ScenarioCase, other: ScenarioCase) -> None:
    whole, cut = case.phantom.labels.voxels, other.phantom.labels.voxels
    assert (cut == Tissue.GREY_MATTER).sum() < 0.3 * (whole == Tissue.GREY_MATTER).sum()
    assert np.isin(cut, VERTEBRAE).sum() == np.isin(whole, VERTEBRAE).sum()
    assert other.lesions.same_grid(other.ct) and other.skeleton.same_grid(other.ct)
    np.testing.assert_array_equal(other.ct.voxels, case.ct.voxels[: other.ct.shape[0]])


def test_a_later_scan_shows_less_blood_and_hotter_tumour(case: ScenarioCase, other: ScenarioCase) -> None:
    assert mean_in(other, Tissue.HEART_BLOOD) < 0.9 * mean_in(case, Tissue.HEART_BLOOD)

    def tumour(taken: ScenarioCase) -> float:
        return float(suv_on_ct(taken)[: other.ct.shape[0]][other.lesions.voxels > 0].mean())

    # In spite of the blunter scanner.
    assert tumour(other) > 0.85 * tumour(case)


def test_the_second_generator_repeats_itself_and_not_the_first(case: ScenarioCase) -> None:
    twin = simulate_patient(replace(case.patient, generator="second"))
    assert twin.ct.attributes[ATTRIBUTE] == f"second phantom {SECOND_VERSION} seed 100000"
    if case.patient.generator == "second":
        assert (twin.ct.sha256(), twin.pet.sha256()) == (case.ct.sha256(), case.pet.sha256())
        assert twin.skeleton.sha256() == case.skeleton.sha256()
        return
    assert case.ct.attributes[ATTRIBUTE] == f"phantom {PHANTOM_VERSION} seed 100000"

    def middle(taken: ScenarioCase, tissue: Tissue) -> npt.NDArray[np.float64]:
        points = taken.ct.affine.points_mm(np.argwhere(taken.phantom.labels.voxels == tissue)[:, ::-1])
        return np.asarray(points.mean(axis=0))

    tissues = (Tissue.LIVER, Tissue.SPLEEN, Tissue.L1, Tissue.BLADDER)
    away = [np.linalg.norm(middle(case, tissue) - middle(twin, tissue)) for tissue in tissues]
    assert min(away) > 2 and max(away) > 10


def test_compartments_trap_in_tumour_and_empty_from_blood() -> None:
    assert tumour_suv(8.0, 60) == pytest.approx(8.0)
    assert tumour_suv(8.0, 90) > 9
    assert plasma_suv(60) == pytest.approx(1.6, abs=0.2) and plasma_suv(90) < plasma_suv(60)


def test_scenarios_with_the_same_images_share_their_name() -> None:
    names = {name: name_images(load_scenario(name)) for name in ("main", "null", "spatial", "ct-only", "second")}
    assert names["main"] == names["null"] == names["spatial"]
    assert len(set(names.values())) == 3


def run_command(*arguments: str, kind: str = "cohort") -> int:
    parser = argparse.ArgumentParser()
    simulate.register(parser.add_subparsers())
    args = parser.parse_args(["simulate", kind, *arguments])
    return int(args.run(args))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_alone_are_fast_and_say_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cohort"
    assert run_command("--scenario", "spatial", "--n", "12", "--seed", "3", "--out", str(out), "--truth-only") == 0
    assert {path.name for path in out.iterdir()} == {"cohort.json", "cohort.csv", "truth.csv"}
    said = capsys.readouterr().out
    assert "12 simulated patients of the scenario spatial (without images)" in said
    assert "Research use only, not a medical device." in said
    seen, truth = rows(out / "cohort.csv"), rows(out / "truth.csv")
    assert [row["patient_id"] for row in seen] == [row["patient_id"] for row in truth]
    assert seen[3]["ct"] == "cases/spatial-3-00003/ct.nrrd"
    assert not {"log_hazard", "log_frailty", "host"} & set(seen[0])
    patient = draw_patient(load_scenario("spatial"), 3, 3)
    assert float(truth[3]["log_hazard"]) == pytest.approx(patient.log_hazard, abs=1e-6)
    assert (float(seen[3]["time_months"]), seen[3]["event"]) == (patient.time_months, str(int(patient.event)))


def test_a_cohort_goes_on_where_it_stopped(case: ScenarioCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load_scenario("main")
    made: list[str] = []

    def quickly(patient: Patient) -> ScenarioCase:
        if len(made) == 1 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        made.append(patient.patient_id)
        return replace(case, patient=patient)

    stopped: list[bool] = []
    monkeypatch.setattr(cohort_module, "simulate_patient", quickly)
    with pytest.raises(KeyboardInterrupt):
        write_cohort(scenario, 5, 2, tmp_path)
    assert not json.loads((tmp_path / "cohort.json").read_text())["images"]
    note = write_cohort(scenario, 5, 2, tmp_path)
    assert note.images and made == ["main-5-00000", "main-5-00001"]
    assert write_cohort(scenario, 5, 2, tmp_path) == note and len(made) == 2
    folder = tmp_path / "cases" / "main-5-00001"
    truth = json.loads((folder / "truth.json").read_text())
    assert truth["notice"].startswith("Simulated patients, not persons.")
    assert [lesion["site"] for lesion in truth["lesions"]][:2] == ["L3", "T9"] and truth["lesions"][0]["inside"]
    assert rows(folder / "covariates.csv") == [dict(draw_patient(scenario, 5, 1).covariates)]
    assert read_volume(folder / "pet.nrrd", "PET").voxels.any()
    more = write_cohort(scenario, 5, 3, tmp_path, truth_only=True)
    assert (more.patients, more.images) == (3, False)


def test_a_folder_of_another_cohort_is_left_alone(tmp_path: Path) -> None:
    write_cohort(load_scenario("main"), 5, 2, tmp_path / "a", truth_only=True)
    with pytest.raises(OutputError, match=r"holds the cohort main with seed 5, not main with seed 6; choose another"):
        write_cohort(load_scenario("main"), 6, 2, tmp_path / "a", truth_only=True)
    with pytest.raises(OutputError, match=r"holds the cohort main with seed 5, not null with seed 5"):
        write_cohort(load_scenario("null"), 5, 2, tmp_path / "a", truth_only=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="holds something other than a simulated cohort"):
        write_cohort(load_scenario("main"), 5, 2, tmp_path / "b", truth_only=True)
    (tmp_path / "a" / "cohort.json").write_text("{")
    with pytest.raises(OutputError, match=r"cohort\.json cannot be read"):
        write_cohort(load_scenario("main"), 5, 2, tmp_path / "a", truth_only=True)


def test_impossible_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^A cohort of 0 patients cannot be simulated; give 1 to 100000\.$"):
        run_command("--scenario", "main", "--n", "0", "--out", str(tmp_path / "x"))
    with pytest.raises(InputError, match=r"^The seed -1 is negative;"):
        run_command("--scenario", "main", "--seed=-1", "--out", str(tmp_path / "x"))


def test_one_patient_of_a_scenario_is_written_with_all_values(
    case: ScenarioCase, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first patient of the cohort of that seed, on a CT of the voxels asked for."""
    asked: list[Patient] = []

    def keep(patient: Patient) -> ScenarioCase:
        asked.append(patient)
        return simulate_patient(patient)

    monkeypatch.setattr(simulate, "simulate_patient", keep)
    out = tmp_path / "case"
    line = ("--scenario", "main", "--seed", "5", "--spacing-mm", "8", "--out", str(out))
    assert run_command(*line, kind="case") == 0
    drawn = draw_patient(load_scenario("main"), 5, 0)
    assert asked[0].shown.spec.spacing_mm == (8.0, 8.0, 10.0)
    assert asked[0].shown.disease == drawn.shown.disease and asked[0].person is asked[0].shown
    assert rows(out / "covariates.csv") == [dict(drawn.covariates)]
    truth = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    assert (truth["log_hazard"], truth["images_of_another"]) == (round(drawn.log_hazard, 6), False)
    assert read_volume(out / "ct.nrrd", "CT").spacing_mm == pytest.approx((8, 8, 10))
    assert sorted(capsys.readouterr().out.split()[-8:]) == sorted(path.name for path in out.iterdir())
    monkeypatch.setattr(simulate, "simulate_patient", lambda patient: replace(case, patient=patient))
    with pytest.raises(OutputError, match="--overwrite"):
        run_command(*line, kind="case")
    assert run_command(*line, "--overwrite", kind="case") == 0
