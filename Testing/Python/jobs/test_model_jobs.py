"""The worker's jobs about models, devices, weights, covariates and estimates, asked as the panel asks them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import SMALL, Patient

from MemorySurvivalLib import compute
from MemorySurvivalLib.errors import InputError, WeightsError
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.memory import speed
from MemorySurvivalLib.memory.backbone import build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.risk.covariate_fields import hash_patient

CONTEXT = JobContext(ignore_progress, lambda text: None)


def ask(job: str, **parameters: Any) -> dict[str, Any]:
    return dict(find_job(job)(parameters, CONTEXT).result)


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_bundle_is_taken_in_and_listed(small_bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "ward-7.msbundle"
    source.write_bytes(small_bundle.read_bytes())
    said = ask("import_bundle", file=str(source))
    assert said["name"] == "ward-7"
    assert [each["name"] for each in said["bundles"]] == ["demonstration", "ward-7"]
    assert ask("bundles")["bundles"] == said["bundles"]
    assert isinstance(said["bundles"][0]["heads"][1]["covariates"][0]["title"], str)


def test_devices_say_what_is_free_or_why_not() -> None:
    said = ask("devices")
    assert [each["name"] for each in said["devices"]] == ["cpu", "cuda", "mps"]
    assert said["automatic"] in ("cpu", "cuda", "mps")
    for each in said["devices"]:
        assert each["available"] == (each["reason"] == "")
    assert next(each for each in said["devices"] if each["name"] == said["automatic"])["available"]


def test_a_card_without_a_driver_is_told_from_a_torch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in compute._cuda().reason
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "driver for CUDA 12.8" in compute._cuda().reason


def test_a_card_that_another_process_holds_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def busy(index: int) -> tuple[int, int]:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Card")
    monkeypatch.setattr(torch.cuda, "mem_get_info", busy)
    state = compute._cuda()
    assert not state.available
    assert "devices are busy" in state.reason and "more" not in state.reason


def test_a_wrong_weights_file_is_refused_before_it_is_copied(tmp_path: Path, own_data: Path) -> None:
    file = tmp_path / "some.pt"
    file.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="is not the file that the model bundle was made with"):
        ask("weights_import", file=str(file), sha256="0" * 64, name="MedSAM2_latest", licence="CC-BY-SA-4.0")
    with pytest.raises(WeightsError, match="does not exist"):
        ask("weights_import", file=str(tmp_path / "no.pt"), sha256="0" * 64, name="x")
    assert not (own_data / "weights").exists()


def test_the_right_weights_file_is_stored(tmp_path: Path, own_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from MemorySurvivalLib.memory import weights

    monkeypatch.setattr(weights, "check_checkpoint", lambda path: None)
    file = tmp_path / "some.pt"
    file.write_bytes(b"ours")
    sha256 = hashlib.sha256(b"ours").hexdigest()
    said = ask("weights_import", file=str(file), sha256=sha256, name="ours")
    assert (said["name"], said["sha256"]) == ("ours", sha256)
    assert (own_data / "weights" / "ours.pt").read_bytes() == b"ours"


def test_all_weights_are_listed_with_what_a_person_has_to_know(own_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from MemorySurvivalLib.memory import weights

    monkeypatch.setattr(weights, "check_checkpoint", lambda path: None)
    file = own_data.parent / "some.pt"
    file.write_bytes(b"ours")
    sha256 = hashlib.sha256(b"ours").hexdigest()
    ask("weights_import", file=str(file), sha256=sha256, name="ours")
    listed = {each["name"]: each for each in ask("weights")["weights"]}
    assert list(listed) == ["MedSAM2_latest", "MedSAM2_CTLesion", "sam2.1_hiera_tiny", "ours"]
    assert [each["state"] for each in listed.values()] == ["absent"] * 3 + ["present"]
    assert listed["ours"]["sha256"] == sha256
    assert listed["MedSAM2_latest"]["licence"] == "CC-BY-SA-4.0" and listed["MedSAM2_latest"]["restriction"]
    (own_data / "weights" / "ours.pt").write_bytes(b"theirs")
    assert ask("weights")["weights"][-1]["state"] == "damaged"


def test_a_licence_that_was_not_accepted_stops_the_download() -> None:
    with pytest.raises(WeightsError, match=r"under the licence CC-BY-SA-4\.0, not MIT"):
        ask("weights_fetch", name="MedSAM2_latest", licence="MIT")


def test_a_file_fills_the_form_and_says_whose_it_is(tmp_path: Path) -> None:
    table = tmp_path / "one.csv"
    table.write_text("patient_id;AGE_years;shoe_size;sex\n Ab1 ;61,5;43;n/a\n", encoding="utf-8")
    said = ask("covariates", bundle="demonstration", file=str(table))
    assert said == {"values": {"age_years": "61.5"}, "unknown": ["shoe_size"], "patient": hash_patient("aB1")}


def test_covariates_need_a_source() -> None:
    with pytest.raises(InputError, match="needs a file or a DICOM image"):
        ask("covariates", bundle="demonstration")


def test_the_hash_does_not_hold_the_identifier() -> None:
    assert hash_patient("  4711 ") == hash_patient("4711") != hash_patient("4712")
    assert "4711" not in hash_patient("4711")
    assert hash_patient(" ") == ""


def test_inspect_takes_plain_values(patient: Patient) -> None:
    place = {"matrix": patient.ct.affine.matrix.tolist(), "size": list(patient.ct.shape[::-1])}
    said = ask("inspect", ct={"geometry": place, "file": str(patient.ct_path)})
    assert said["findings"][0]["sentence"].startswith("CT: 48 x 40 x 18 voxels of 4 x 4 x 6 mm")
    with pytest.raises(InputError, match="not valid"):
        ask("inspect", ct={"geometry": {"matrix": "x", "size": [1, 1, 1]}})


def test_an_estimate_counts_slices_and_is_measured_once(
    small_bundle: Path, own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"bundle": str(small_bundle), "device": "cpu", "ct_mm": 900.0, "spacing_mm": 3.0}
    said = ask("estimate", **request, mask_mm=600.0, mask_ml=2000.0, explain=True)
    assert said["slices"] == 2 * 100, "every second slice of 600 mm, in two images"
    assert said["explain_slices"] == 2 * 209, "2 litres in columns of 40 mm x 40 mm"
    assert said["seconds"] == pytest.approx(200 * said["seconds_per_slice"])
    assert not said["assumed"]
    monkeypatch.setattr(speed, "measure_slice", lambda engine, passes: pytest.fail("measured twice"))
    assumed = ask("estimate", **request)
    assert assumed["assumed"] and assumed["explain_slices"] == 0
    assert assumed["slices"] == 2 * 109, "the height of a spine where no mask is chosen"


def test_the_speed_of_another_backbone_is_measured_anew(tmp_path: Path) -> None:
    import torch

    engine = MemoryEngine(build_backbone(SMALL, seed=1), torch.device("cpu"))
    first = speed.seconds_per_slice(engine, "one", folder=tmp_path)
    assert speed.seconds_per_slice(engine, "one", folder=tmp_path) == first
    speed.seconds_per_slice(engine, "two", folder=tmp_path)
    assert (tmp_path / "speed.json").read_text().count(":") == 2
    assert engine.encoded_slices == 0
    (tmp_path / "speed.json").write_text("not json")
    assert np.isfinite(speed.seconds_per_slice(engine, "one", folder=tmp_path))
    assert speed.seconds_per_slice(engine, "one", folder=tmp_path / "speed.json") > 0, "no folder: measured each time"


@pytest.mark.parametrize("wrong", [{"ct_mm": 0.0}, {"spacing_mm": float("nan")}, {"mask_ml": -1.0}])
def test_an_estimate_refuses_lengths_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="above zero"):
        ask("estimate", **{"ct_mm": 900.0, "spacing_mm": 3.0, **wrong})
