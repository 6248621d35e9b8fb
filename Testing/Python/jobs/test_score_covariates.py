"""Values of a form in the score job: used, recorded with their sources, and never with an identifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_up import Patient

from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.progress import ignore_progress


def score(patient: Patient, bundle: Path, **parameters: Any) -> dict[str, Any]:
    context = JobContext(ignore_progress, lambda text: None)
    job = {
        "ct": str(patient.ct_path),
        "pet": str(patient.pet_path),
        "roi": str(patient.spine_path),
        "roi_kind": "spine_dilated",
        "bundle": str(bundle),
        "out": str(patient.folder / "out"),
        "alignment": "off",
        "device": "cpu",
        "use_cache": False,
        "overwrite": True,
    }
    return dict(find_job("score")({**job, **parameters}, context).result)


@pytest.fixture
def table(patient: Patient) -> Path:
    path = patient.folder / "one.csv"
    path.write_text("patient_id,AGE_years,sex\nSECRET-9,60,female\n", encoding="utf-8")
    return path


def test_a_form_wins_over_the_file_and_both_are_recorded(patient: Patient, small_bundle: Path, table: Path) -> None:
    typed = {"age_years": {"value": "63.5", "source": "typed"}}
    result = score(patient, small_bundle, covariates=str(table), covariate_values=typed)
    assert result["risk"]["head"] == "image+clinical"
    assert result["risk"]["covariates"]["used"] == {"age_years": "63.5", "sex": "female"}
    assert result["request"]["covariate_values"] == typed
    said = " ".join(result["notes"])
    assert "Age was typed as 63.5, which is used instead of the file's 60" in said
    assert "SECRET-9" not in json.dumps(result)


def test_a_form_alone_is_enough_and_an_empty_one_scores_the_images(patient: Patient, small_bundle: Path) -> None:
    result = score(patient, small_bundle, covariate_values={"sex": {"value": "male", "source": "from DICOM"}})
    assert list(result["risk"]["covariates"]["missing"]) == ["age_years"]
    assert "Covariates from DICOM: Sex male." in result["notes"]
    assert score(patient, small_bundle, covariate_values={})["risk"]["head"] == "image"
