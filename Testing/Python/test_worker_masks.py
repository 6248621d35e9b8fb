"""The worker's jobs about masks: making them from a CT and checking one before it is scored."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import Patient, make_patient

from MemorySurvivalLib import segmenting
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.progress import ProgressCallback, track
from MemorySurvivalLib.roi.segments import Maker, Segmentation
from MemorySurvivalLib.roi.terminology import structure
from MemorySurvivalLib.worker import EventStream, Worker


def run_job(job: str, **parameters: object) -> list[dict[str, Any]]:
    """Every event of one job."""
    stream = io.BytesIO()
    Worker(EventStream(stream)).handle(json.dumps({"id": "7", "job": job, "parameters": parameters}).encode())
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """A made-up patient whose column a stand-in for the segmenter finds at once."""
    patient = make_patient(tmp_path).written()

    def segment(ct: Volume, progress: ProgressCallback) -> Segmentation:
        list(track(range(2), "segmenting the CT", 2, progress))
        labels = Volume(patient.spine.voxels, ct.affine)
        return Segmentation(labels, {1: structure("L4")}, Maker("stand-in", "1"), notes=("Check it.",))

    monkeypatch.setattr(segmenting, "_builtin", segment)
    return patient


def test_segment_reports_progress_notes_and_files(patient: Patient, tmp_path: Path) -> None:
    events = run_job("segment", ct=str(patient.ct_path), out=str(tmp_path / "masks"))
    kinds = [event["event"] for event in events]
    assert list(dict.fromkeys(kinds)) == ["started", "progress", "note", "finished"]
    told = [event["done"] for event in events if event["event"] == "progress"]
    assert (told[0], told[-1]) == (0, 2), "steps between may be left out where they follow one another fast"
    assert events[kinds.index("note")]["text"] == "Check it."
    finished = events[-1]
    assert set(finished["files"]) == {"labels", "structures", "spine_dilated", "skeleton"}
    assert all(Path(path).is_file() for path in finished["files"].values())
    assert finished["result"]["labels"]["1"]["structure"]["name"] == "L4"
    assert finished["result"]["notes"] == ["Check it."]


def test_a_region_that_was_not_asked_for_is_null(patient: Patient, tmp_path: Path) -> None:
    events = run_job("segment", ct=str(patient.ct_path), out=str(tmp_path / "masks"), kinds=["skeleton"])
    assert events[-1]["files"]["spine_dilated"] is None
    assert events[-1]["files"]["skeleton"]


def test_segment_never_replaces_a_correction(patient: Patient, tmp_path: Path) -> None:
    parameters = {"ct": str(patient.ct_path), "out": str(tmp_path / "masks"), "overwrite": True}
    run_job("segment", **parameters)
    path = tmp_path / "masks" / "skeleton.nrrd"
    mask = read_volume(path, "mask")
    write_volume(mask.with_voxels(np.zeros_like(mask.voxels)), path)
    failed = run_job("segment", **parameters)[-1]
    assert (failed["event"], failed["kind"]) == ("failed", "OutputError")
    assert "was edited after it was made" in failed["message"]


def test_check_mask_counts_the_edit(patient: Patient, tmp_path: Path) -> None:
    run_job("segment", ct=str(patient.ct_path), out=str(tmp_path / "masks"))
    generated = tmp_path / "masks" / "skeleton.nrrd"
    mask = read_volume(generated, "mask")
    voxels = mask.voxels.copy()
    voxels[8:11, 19, 3] = 1
    write_volume(mask.with_voxels(voxels), tmp_path / "mine.nrrd")
    files = {"ct": str(patient.ct_path), "mask": str(tmp_path / "mine.nrrd"), "generated": str(generated)}
    finished = run_job("check_mask", **files)[-1]
    assert finished["event"] == "finished", finished
    result = finished["result"]
    assert result["edit"]["voxels_added"] == 3
    assert result["provenance"]["parts"][0]["voxels_changed"] == 3
    assert len(result["boxes"]["slices_moved"]) in (1, 2)  # of three slices, every second one is prompted
    assert len(result["sentences"]) >= 3
    without = run_job("check_mask", ct=files["ct"], mask=files["mask"])[-1]["result"]
    assert without["edit"] is None


def test_a_parameter_that_is_wrong_is_named(patient: Patient) -> None:
    failed = run_job("check_mask", ct=str(patient.ct_path))[-1]
    assert (failed["kind"], "mask" in failed["message"]) == ("InputError", True)
