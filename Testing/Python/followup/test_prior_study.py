"""Two studies side by side: which lesion is which, what changed, and that nobody takes it for a response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.followup import prior_study
from MemorySurvivalLib.followup.comparison import NOT_RESPONSE, ComparedValue, compare
from MemorySurvivalLib.followup.spine_registration import SpineMatch
from MemorySurvivalLib.imaging.dicom_series import Identity
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.study_identity import IdentityMismatch, check_same_patient
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.measure.measuring import Measurements, measure_case
from MemorySurvivalLib.measure.tables import MeasurementRecord
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.simulation.case import simulate_case

STAY = SpineMatch(tuple(tuple(float(i == j) for j in range(4)) for i in range(4)), 1.0)


def write_study(folder: Path, volumes: dict[str, Volume], matrix: np.ndarray) -> dict[str, str]:
    for name, volume in volumes.items():
        moved = Volume(volume.voxels, Affine(matrix @ volume.affine.matrix), volume.attributes)
        write_volume(moved, folder / f"{name}.nrrd")
    return {name: str(folder / f"{name}.nrrd") for name in volumes}


@dataclass
class Compared:
    """What one job gave, and the current study's measurements, which it does not hand out."""

    result: Mapping[str, Any]
    record: dict[str, Any]
    measured: MeasurementRecord


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """The same scan twice; in the prior one the patient lies elsewhere and has half the uptake."""
    case = simulate_case(2, spacing_mm=(4.5, 4.5, 5.0))
    folder = tmp_path_factory.mktemp("studies")
    images = {"ct": case.ct, "pet": case.pet, "spine": case.spine_dilated}
    fainter = {**images, "pet": case.pet.with_voxels(case.pet.voxels / 2)}
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (3, -2, 5), degrees=True).as_matrix()
    matrix[:3, 3] = (12, -20, 70)
    for name in ("now", "before"):
        (folder / name).mkdir()
    parameters = {
        "current": write_study(folder / "now", images, np.eye(4)),
        "prior": write_study(folder / "before", fainter, matrix),
        "out": str(folder / "prior.json"),
    }
    measured: list[MeasurementRecord] = []

    def watch(*given: Any, **named: Any) -> Measurements:
        found = measure_case(*given, **named)
        measured.append(found.record)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior_study, "measure_case", watch)
        output = find_job("prior")(parameters, JobContext(ignore_progress, lambda text: None))
    return Compared(output.result, json.loads(Path(output.files["record"] or "").read_text()), measured[0])


def test_two_studies_side_by_side(compared: Compared) -> None:
    record = compared.record
    assert record["notes"][0] == NOT_RESPONSE
    assert record["research_use"] == "Research use only, not a medical device"
    assert record["simulated"]
    values = {each["name"]: each for each in compared.result["comparison"]["values"]}
    assert values["marrow SUV"]["change_percent"] == pytest.approx(100, abs=15)
    assert compared.result["match"]["doubtful"] is False
    both = [each for each in record["comparison"]["lesions"] if each["fate"] == "in both"]
    assert both
    for lesion in both:
        assert lesion["current_suv_max"] == pytest.approx(2 * lesion["prior_suv_max"], rel=0.2)


def test_lesions_are_paired_by_place(compared: Compared) -> None:
    record = compared.measured
    same = compare(record, record, STAY)
    assert {each.fate for each in same.lesions} == {"in both"}
    assert all(each.current == each.prior for each in same.lesions)
    fewer = replace(record, lesions=record.lesions[1:])
    assert [each.fate for each in compare(record, fewer, STAY).lesions].count("only now") == 1
    gone = [each for each in compare(fewer, record, STAY).lesions if each.fate == "only before"]
    assert len(gone) == 1
    assert gone[0].position_lps_mm == pytest.approx(record.lesions[0].lesion.suv_max_lps_mm)
    assert compare(without(record), record, STAY).lesions
    assert compare(without(record), without(record), STAY).lesions == ()


def without(record: MeasurementRecord) -> MeasurementRecord:
    return replace(record, lesions=())


def test_a_change_needs_both_values() -> None:
    assert ComparedValue("x", "", 3.0, 2.0).change_percent == 50
    assert ComparedValue("x", "", None, 2.0).change_percent is None
    assert ComparedValue("x", "", 3.0, 0.0).change_percent is None


def test_only_another_patient_is_in_the_way() -> None:
    now = Identity("1", "Doe^Jane", "19600101", "1.2", "20260101")
    assert check_same_patient(now, replace(now, study_uid="1.3", study_date="20250101")) == ()
    assert "was not checked" in check_same_patient(now, None)[0]
    with pytest.raises(IdentityMismatch, match="different patients: the patient ID and birth date of the two differ"):
        check_same_patient(now, replace(now, patient_id="2", birth_date="19700101"))
    confirmed = check_same_patient(now, replace(now, patient_id="2"), confirmed=True)
    assert confirmed[0].startswith("Confirmed by the user although: The current and the prior study seem")
