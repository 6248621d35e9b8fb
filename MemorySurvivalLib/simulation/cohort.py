"""A scenario's cohort as a folder: tables first, then a folder of images for each patient; resumed where it stopped."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.files import atomic_file, atomic_folder
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.simulation.biology import REGION_BONES
from MemorySurvivalLib.simulation.patient import MOST_PATIENTS, Patient, draw_patients
from MemorySurvivalLib.simulation.scenario import Scenario
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase, simulate_patient

COHORT_FILE = "cohort.json"
IMAGES = ("ct", "pet", "spine_dilated", "skeleton")
NOTICE = f"Simulated patients, not persons. {RESEARCH_USE}."


class CohortNote(msgspec.Struct, frozen=True):
    """What a cohort's folder says of itself; `images` whether every patient's images are there."""

    notice: str
    scenario: str
    scenario_sha256: str
    images_sha256: str
    seed: int
    patients: int
    images: bool


def write_cohort(
    scenario: Scenario,
    seed: int,
    patients: int,
    folder: Path,
    *,
    truth_only: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> CohortNote:
    """Write cohort.csv (what a model may see, with the outcome), truth.csv, and `cases/ID/` with images and truth.

    A folder of the same scenario and seed is continued: finished cases stay, missing ones are made, and a larger number
    adds patients. `truth_only` writes the tables alone. Raises InputError for an impossible number and OutputError
    where the folder holds something else.
    """
    if not 1 <= patients <= MOST_PATIENTS:
        raise InputError(f"A cohort of {patients} patients cannot be simulated; give 1 to {MOST_PATIENTS}.")
    before = _read_note(folder, scenario, seed)
    patients = max(patients, before.patients if before else 0)
    drawn = tuple(draw_patients(scenario, seed, range(patients)))
    note = CohortNote(NOTICE, scenario.name, scenario.sha256, scenario.images_sha256, seed, patients, False)
    _write_note(note, folder)
    _write_table([_describe(patient) for patient in drawn], folder / "truth.csv")
    _write_table([_row(patient) for patient in drawn], folder / "cohort.csv")
    if not truth_only:
        for patient in track(drawn, "cases", len(drawn), progress):
            if not (folder / "cases" / patient.patient_id).exists():
                write_case_folder(simulate_patient(patient), folder / "cases" / patient.patient_id)
    complete = all((folder / "cases" / patient.patient_id).is_dir() for patient in drawn)
    note = msgspec.structs.replace(note, images=complete)
    _write_note(note, folder)
    return note


def write_case_folder(case: ScenarioCase, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write ct, pet, both regions, lesions and tissues as NRRD, covariates.csv, truth.json; whole or not at all.

    Returns the files. Raises OutputError when the folder holds something already (without `overwrite`).
    """
    volumes = {name: getattr(case, name) for name in (*IMAGES, "lesions")} | {"tissues": case.phantom.labels}
    with atomic_folder(folder, overwrite=overwrite, ours="truth.json") as partial:
        for name, volume in volumes.items():
            write_volume(volume, partial / f"{name}.nrrd")
        _write_table([dict(case.patient.covariates)], partial / "covariates.csv")
        text = json.dumps(describe_case(case), indent=1) + "\n"
        (partial / "truth.json").write_text(text, encoding="utf-8")
    return tuple(folder / name for name in (*(f"{name}.nrrd" for name in volumes), "covariates.csv", "truth.json"))


def describe_case(case: ScenarioCase) -> dict[str, Any]:
    """The truth of one case as plain data: what truth.csv says, and every placed lesion in LPS millimetres.

    `inside` says whether the lesion has a voxel in the field of view.
    """
    present = set(case.lesions.voxels.ravel().tolist()) if case.phantom.foci else set()
    return {
        "notice": NOTICE,
        **_describe(case.patient),
        "lesions": [
            {
                "label": number,
                "kind": focus.kind,
                "site": focus.site.name,
                "centre_lps_mm": [round(v, 2) for v in focus.centre_mm],
                "radii_mm": [round(v, 2) for v in focus.radii_mm],
                "suv_bw": focus.suv_bw,
                "lytic": focus.lytic,
                "inside": number in present,
            }
            for number, focus in enumerate(case.phantom.foci, start=1)
        ],
    }


def _row(patient: Patient) -> dict[str, str]:
    """What a researcher's table would hold."""
    place = f"cases/{patient.patient_id}"
    return {
        "patient_id": patient.patient_id,
        **{name: f"{place}/{name}.nrrd" for name in IMAGES},
        "site": patient.site.name,
        "uptake_minutes": f"{patient.uptake_minutes:g}",
        **patient.covariates,
        "time_months": f"{patient.time_months:g}",
        "event": str(int(patient.event)),
    }


def _describe(patient: Patient) -> dict[str, Any]:
    """The truth behind one row. Numbers of the disease are those of the person whom the outcome belongs to."""
    person = patient.person
    return {
        "patient_id": patient.patient_id,
        "image_seed": patient.image_seed,
        "site": patient.site.name,
        "images_of_another": patient.shown is not person,
        "log_hazard": round(patient.log_hazard, 6),
        "log_frailty": round(patient.log_frailty, 6),
        "time_months": patient.time_months,
        "event": patient.event,
        "focal": person.disease.count("focal"),
        **{f"focal_{region}": person.focal_in(region) for region in REGION_BONES},
        "lytic": person.lytic,
        "paramedullary": person.disease.count("paramedullary"),
        "extramedullary": person.disease.count("extramedullary"),
        "marrow_infiltration": person.disease.marrow_infiltration,
        "tumour_ml": round(person.tumour_ml, 2),
        "avidity": person.disease.avidity,
        "fdg_negative": person.disease.fdg_negative,
        "high_risk_fish": person.genetics.high_risk,
        "gain_1q": person.genetics.gain_1q,
        "host": round(person.host, 4),
    }


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_note(note: CohortNote, folder: Path) -> None:
    with atomic_file(folder / COHORT_FILE) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(note), indent=1) + b"\n")


def _read_note(folder: Path, scenario: Scenario, seed: int) -> CohortNote | None:
    """What an earlier run left, None where the folder is new. Raises OutputError for anything else that lies there."""
    path = folder / COHORT_FILE
    try:
        if not path.is_file():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise OutputError(f"{folder} holds something other than a simulated cohort; choose another folder.")
            return None
        note = msgspec.json.decode(path.read_bytes(), type=CohortNote)
    except (OSError, msgspec.DecodeError) as error:
        raise OutputError(f"{path} cannot be read ({error}); choose another folder.") from error
    if (note.scenario_sha256, note.seed) != (scenario.sha256, seed):
        raise OutputError(
            f"{folder} holds the cohort {note.scenario} with seed {note.seed}"
            f"{' of another definition' if note.scenario == scenario.name and note.seed == seed else ''}, not "
            f"{scenario.name} with seed {seed}; choose another folder."
        )
    return note
