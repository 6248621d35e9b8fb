"""A result run again: the same numbers, or what differs by name, also where its inputs moved or are gone."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dicom_made_up import write_series
from made_up import BundleMaker, make_patient

from MemorySurvivalLib import RESEARCH_USE, cli
from MemorySurvivalLib.errors import BundleError, InputError
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.jobs import context
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreOutput, ScoreRequest, score_case
from MemorySurvivalLib.privacy.clean import clean_record
from MemorySurvivalLib.replay import replaying
from MemorySurvivalLib.replay.compare import compare_records, tolerance_of
from MemorySurvivalLib.replay.rebuild import ReplayRequest
from MemorySurvivalLib.replay.record import ReplayRecord
from MemorySurvivalLib.replay.replaying import replay_result
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.report.subject import Subject


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, small_bundle: Path, models: Models) -> Path:
    """The folder of a patient; its result, with clinical values, lies in `result`."""
    folder = tmp_path_factory.mktemp("scored")
    patient = make_patient(folder).written()
    table = folder / "covariates.csv"
    table.write_text("age_years,sex\n71,female\n")
    score_case(
        ScoreRequest(
            ct=patient.ct_path,
            pet=patient.pet_path,
            roi=patient.spine_path,
            covariates=table,
            out=folder / "result",
            bundle=str(small_bundle),
            device="cpu",
            alignment="off",
        ),
        models,
    )
    return folder


@pytest.fixture
def quick(scored: Path, monkeypatch: pytest.MonkeyPatch) -> list[ScoreRequest]:
    """For tests of the record: scoring gives at once what it gave before, and the requests are kept."""
    asked: list[ScoreRequest] = []
    before = read_record(scored / "result" / "result.json")

    def score(request: ScoreRequest, *_ignored: object) -> ScoreOutput:
        asked.append(request)
        return ScoreOutput(replace(before, threads=torch.get_num_threads()), {})

    monkeypatch.setattr(replaying, "score_case", score)
    return asked


@pytest.fixture
def case(scored: Path, tmp_path: Path) -> Path:
    """A copy of the scored folder that a test may change; the record names the copy's files."""
    folder = tmp_path / "case"
    shutil.copytree(scored, folder)
    change(folder, lambda stored: stored["request"].update(move(stored["request"], scored, folder)))
    return folder


def move(request: dict[str, Any], old: Path, new: Path) -> dict[str, Any]:
    return {name: each.replace(str(old), str(new)) for name, each in request.items() if isinstance(each, str)}


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the stored record."""
    file = folder / "result" / "result.json"
    stored = json.loads(file.read_text())
    edit(stored)
    file.write_text(json.dumps(stored))


def replay(folder: Path, models: Models, **changes: Any) -> ReplayRecord:
    return replay_result(ReplayRequest(folder / "result" / "result.json", **changes), models)


def causes(record: ReplayRecord) -> list[str]:
    return [cause.what for cause in record.causes]


def test_a_result_comes_out_the_same_bit_for_bit(case: Path, small_bundle: Path, models: Models) -> None:
    patient = make_patient(case)
    request = ScoreRequest(
        case / "mapped", patient.ct_path, patient.pet_path, roi=patient.spine_path, bundle=str(small_bundle)
    )
    score_case(replace(request, explain=True, patch_mm=60.0, stride_mm=60.0, device="cpu", alignment="off"), models)
    before = torch.get_num_threads()
    record = replay_result(ReplayRequest(case / "mapped" / "result.json", out=case / "again"), models)
    assert record.verdict == "identical"
    assert record.bit_for_bit and record.compared > 100
    assert record.causes == () and record.differences == () and record.notes == ()
    assert json.loads((case / "again" / "replay.json").read_text())["research_use"] == RESEARCH_USE
    assert (case / "again" / "heatmap.nrrd").is_file()
    assert torch.get_num_threads() == before


def test_files_that_moved_are_found_by_content(case: Path, models: Models) -> None:
    elsewhere = case / "archive" / "2020"
    elsewhere.mkdir(parents=True)
    (case / "ct.nrrd").rename(elsewhere / "b.nrrd")
    (case / "pet.nrrd").rename(elsewhere / "a.nrrd")
    (case / "spine.nrrd").unlink()
    (case / "covariates.csv").unlink()  # the record holds the values
    with pytest.raises(InputError, match="--images"):
        replay(case, models)
    record = replay(case, models, images=case)
    assert record.verdict == "identical"
    assert ["copy beside the result" in note for note in record.notes] == [True]


def test_a_dicom_study_that_moved_is_found_among_other_series(
    tmp_path: Path, small_bundle: Path, models: Models
) -> None:
    patient = make_patient(tmp_path).written()
    per_bqml = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
    activity = patient.pet.with_voxels(patient.pet.voxels.astype(np.float64) / per_bqml)
    write_series(tmp_path / "study" / "a", patient.ct, "CT", shuffle=1)
    write_series(tmp_path / "study" / "b", activity, "PT", shuffle=2)
    request = ScoreRequest(
        tmp_path / "result",
        study=tmp_path / "study",
        roi=patient.spine_path,
        bundle=str(small_bundle),
        device="cpu",
        alignment="off",
    )
    score_case(request, models)
    (tmp_path / "study").rename(tmp_path / "moved")
    write_series(tmp_path / "moved" / "c", patient.ct.with_voxels(patient.ct.voxels + 1), "CT", series="another")
    record = replay_result(ReplayRequest(tmp_path / "result" / "result.json", images=tmp_path / "moved"), models)
    assert record.verdict == "identical" and record.causes == ()


def test_a_folder_without_the_image_says_so(case: Path, models: Models) -> None:
    (case / "ct.nrrd").unlink()
    other = case / "other"
    make_patient(other, seed=5).written()
    with pytest.raises(InputError, match=r"No CT below .* has the content that was scored"):
        replay(case, models, images=other)


def test_a_changed_image_is_named(case: Path, models: Models) -> None:
    patient = make_patient(case)
    voxels = patient.pet.voxels.copy()
    voxels[8:10] *= 1.2
    write_volume(patient.pet.with_voxels(voxels), case / "pet.nrrd")
    record = replay(case, models)
    assert record.verdict == "different"
    assert causes(record) == ["PET image"]
    assert "PET image" in record.sentence
    assert any(one.name == "risk.log_risk" for one in record.differences)


def test_a_changed_mask_is_named(case: Path, models: Models) -> None:
    patient = make_patient(case)
    voxels = patient.spine.voxels.copy()
    voxels[2:5] = 0
    write_volume(patient.spine.with_voxels(voxels), case / "spine.nrrd")
    record = replay(case, models)
    assert record.verdict == "different"
    assert causes(record)[0] == "mask"


def test_another_bundle_is_named(case: Path, models: Models, make_bundle: BundleMaker) -> None:
    other = make_bundle("other", version="2")
    record = replay(case, Models(), bundle=str(other))
    assert record.verdict == "different"
    assert causes(record) == ["bundle"]


def test_a_bundle_that_is_not_installed_is_named(case: Path, models: Models) -> None:
    change(case, lambda stored: stored["request"].update(bundle="gone"))
    change(case, lambda stored: stored["bundle"].update(name="gone", sha256="0" * 64))
    with pytest.raises(BundleError, match=r"gone .* is not installed"):
        replay(case, models)


def test_other_software_and_threads_are_named_even_where_no_number_moved(
    case: Path, models: Models, quick: list[ScoreRequest]
) -> None:
    change(case, lambda stored: stored["software"].update(torch="1.0", numpy="1.20"))
    change(case, lambda stored: stored.update(device="cuda: a card"))
    record = replay(case, models, threads=torch.get_num_threads() + 1, device="cpu")
    assert causes(record) == ["device", "torch", "numpy", "threads"]
    assert record.verdict == "identical"
    assert not quick[0].use_cache


def test_a_recorded_device_that_is_not_here_is_stood_in_for(
    case: Path, models: Models, quick: list[ScoreRequest]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this computer has a CUDA device")
    change(case, lambda stored: stored.update(device="cuda: a card"))
    record = replay(case, models)
    assert causes(record) == ["device"] and "not here" in record.notes[0]


def test_a_number_that_was_tampered_with_differs_though_nothing_explains_it(
    case: Path, models: Models, quick: list[ScoreRequest]
) -> None:
    change(case, lambda stored: stored["risk"].update(log_risk=stored["risk"]["log_risk"] + 0.5))
    record = replay(case, models)
    assert record.verdict == "different"
    assert [one.name for one in record.differences] == ["risk.log_risk"]
    assert "nothing that is recorded explains it" in record.sentence


def test_a_record_of_version_2_is_replayed(case: Path, models: Models, quick: list[ScoreRequest]) -> None:
    def age(stored: dict[str, Any]) -> None:
        stored["schema_version"] = 2
        for newer in ("given", "stability"):
            stored.pop(newer, None)
        stored["roi"].pop("stray")

    change(case, age)
    assert replay(case, models).verdict == "identical"
    (case / "covariates.csv").unlink()
    record = replay(case, models)
    assert record.verdict == "identical" and "clinical values" in record.notes[0]
    first, second = quick
    assert first.covariates == case / "covariates.csv" and second.covariates is None
    assert {name: one.value for name, one in second.covariate_values.items()} == {"age_years": "71", "sex": "female"}


def test_a_record_that_names_nobody_is_replayed_from_the_images(
    case: Path, models: Models, quick: list[ScoreRequest], small_bundle: Path
) -> None:
    file = case / "result" / "result.json"
    file.write_bytes(clean_record(read_record(file), Subject()).as_json())
    with pytest.raises(InputError, match="--images"):
        replay(case, models)
    record = replay(case, models, images=case, bundle=str(small_bundle))
    assert record.verdict == "identical"
    assert (quick[0].ct, quick[0].roi) == (case / "ct.nrrd", case / "result" / "roi.nrrd")
    assert {name: one.value for name, one in quick[0].covariate_values.items()} == {"age_years": "71", "sex": "female"}


def test_the_result_itself_is_never_overwritten(case: Path, models: Models) -> None:
    kept = (case / "result" / "result.json").read_bytes()
    with pytest.raises(InputError, match="choose another folder"):
        replay(case, models, out=case / "result", overwrite=True)
    assert (case / "result" / "result.json").read_bytes() == kept


def test_the_command_says_it_with_its_exit_code(
    case: Path, capsys: pytest.CaptureFixture[str], quick: list[ScoreRequest]
) -> None:
    assert cli.main(["replay", str(case / "result")]) == 0
    assert "Identical" in capsys.readouterr().out
    change(case, lambda stored: stored["risk"].update(gate_pet=9.0))
    assert cli.main(["replay", str(case / "result" / "result.json"), "--json"]) == 1
    plain = json.loads(capsys.readouterr().out)
    assert plain["verdict"] == "different" and plain["differences"][0]["name"] == "risk.gate_pet"
    assert str(case) not in json.dumps(plain), "no path is in what may be handed on"
    (case / "ct.nrrd").unlink()
    assert cli.main(["replay", str(case / "result")]) == 2
    assert "--images" in capsys.readouterr().err


def test_the_job_hands_on_the_comparison(case: Path, models: Models, quick: list[ScoreRequest]) -> None:
    from MemorySurvivalLib.jobs.replay import replay as job

    warm = context.Warm()
    warm.__dict__["models"] = models
    told: list[str] = []
    (case / "spine.nrrd").unlink()
    output = job(
        {"result": str(case / "result" / "result.json")}, context.JobContext(lambda e: None, told.append, warm)
    )
    assert output.result["verdict"] == "identical"
    assert any("copy beside the result" in text for text in told)


@pytest.mark.parametrize("orientation", ["PSL"])
def test_an_image_stored_along_other_axes_is_another_image(case: Path, models: Models, orientation: str) -> None:
    """The hash is of voxels as stored and their place: a turned copy is named, though the numbers are the same."""
    patient = make_patient(case)
    write_volume(patient.ct.reoriented(orientation), case / "ct.nrrd")
    record = replay(case, models)
    assert causes(record)[0] == "CT image"
    assert record.log_risk_now == pytest.approx(record.log_risk_was, abs=1e-6)


def test_tolerances_are_those_of_the_longest_place() -> None:
    assert tolerance_of("risk.log_risk") == 1e-4
    assert tolerance_of("heatmap.hotspots[3].effect") == 1e-4
    assert tolerance_of("heatmap.fill_agreement") == 0.02
    assert tolerance_of("roi.volume_ml") == 0.0


def test_comparing_knows_missing_values_lengths_and_rounding() -> None:
    was = {"risk": {"log_risk": 0.5, "labels": ["a"]}, "measurements": {"mtv": 1000.0, "sites": ["L1", "L2"]}}
    now = {"risk": {"log_risk": 0.50005, "labels": ["a"]}, "measurements": {"mtv": 1000.0005, "sites": ["L1"]}}
    was["acquisition"] = {"origin": {"CT": "DICOM series of 3 images"}, "suv": {"facts": {"dose_bq": 3.7e8, "at": ""}}}
    now["acquisition"] = {
        "origin": {"CT": 'DICOM series "J. Doe"'},
        "suv": {"facts": {"dose_bq": 3.7e8, "at": "10:15"}},
    }
    count, found = compare_records(was, now)
    assert count == 10
    assert {one.name: one.within for one in found} == {
        "risk.log_risk": True,
        "measurements.mtv": True,
        "measurements.sites.length": False,
        "measurements.sites[1]": False,
    }
    assert compare_records(was, {"risk": None, "measurements": None})[1][0].now == "not there any more"
    nan = compare_records({"risk": {"log_risk": 0.5}}, {"risk": {"log_risk": float("nan")}})[1]
    assert not nan[0].within
