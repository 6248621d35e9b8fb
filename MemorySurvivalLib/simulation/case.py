"""A whole simulated patient, in memory and as a folder of files."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.provenance import RoiPart, stamp_mask
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.roi.segments import Maker
from MemorySurvivalLib.simulation.anatomy import ATTRIBUTE, PHANTOM_VERSION, Phantom, build_phantom, simulated_by
from MemorySurvivalLib.simulation.body_plan import PhantomSpec, draw_spec
from MemorySurvivalLib.simulation.covariates import COLUMNS, Covariates, draw_covariates
from MemorySurvivalLib.simulation.disease import Disease, draw_disease
from MemorySurvivalLib.simulation.masks import skeleton, spine_dilated
from MemorySurvivalLib.simulation.outcome import draw_outcome, hazard_score
from MemorySurvivalLib.simulation.tissues import Tissue
from MemorySurvivalLib.simulation.uptake import simulate_pet

STUDY_SPACING_MM = (4.0, 4.0, 5.0)
"""Voxels (x, y, z) of cohorts."""

DEMO_SPACING_MM = (2.0, 2.0, 3.0)
"""Voxels (x, y, z) of the demonstration case."""


@dataclass(frozen=True)
class Truth:
    """What really is the case: never an input of a model."""

    seed: int
    spec: PhantomSpec
    disease: Disease
    hazard_score: float
    time_months: float
    event: bool


@dataclass(frozen=True)
class SimulatedCase:
    """Images, masks (uint8, on the CT's grid), covariates and truth of one simulated patient.

    `ct` is int16 HU, `pet` float32 SUVbw on its own grid; every volume says in its attributes that it is simulated.
    """

    ct: Volume
    pet: Volume
    spine_dilated: Volume
    skeleton: Volume
    lesions: Volume
    covariates: Covariates
    truth: Truth
    phantom: Phantom


def simulate_case(
    seed: int,
    *,
    spacing_mm: tuple[float, float, float] = STUDY_SPACING_MM,
    disease: Disease | None = None,
    spec: PhantomSpec | None = None,
) -> SimulatedCase:
    """Draw one patient from `seed`. The person, the disease, the blood values and the outcome are the same at any
    `spacing_mm`; texture, noise and the exact places of lesions depend on the grid.

    `disease` and `spec` replace what would be drawn (`spec` brings its own spacing).
    """
    spec_rng, disease_rng, blood_rng, outcome_rng = (
        np.random.default_rng([seed, purpose]) for purpose in (101, 102, 103, 104)
    )
    drawn = draw_disease(disease_rng)
    disease = drawn if disease is None else disease
    spec = draw_spec(spec_rng, spacing_mm) if spec is None else spec
    phantom = build_phantom(spec, seed, disease)
    score = hazard_score(disease, spec.age_years)
    time_months, event = draw_outcome(score, outcome_rng)
    spine = spine_dilated(phantom.labels)
    return SimulatedCase(
        ct=phantom.ct,
        pet=simulate_pet(phantom, seed),
        spine_dilated=spine,
        skeleton=skeleton(phantom.labels, spine),
        lesions=phantom.lesions,
        covariates=draw_covariates(spec, disease, blood_rng),
        truth=Truth(seed, spec, disease, score, time_months, event),
        phantom=phantom,
    )


def write_case(case: SimulatedCase, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write ct.nrrd, pet.nrrd, spine_dilated.nrrd, skeleton.nrrd, lesions.nrrd, tissues.nrrd, covariates.csv and
    truth.json.

    The folder appears whole or not at all; returns the files. Raises OutputError when it holds something already
    (without `overwrite`) or cannot be written.
    """
    volumes = {
        "ct": case.ct,
        "pet": case.pet,
        "spine_dilated": _signed(case.spine_dilated, "spine_dilated"),
        "skeleton": _signed(case.skeleton, "skeleton"),
        "lesions": case.lesions,
        "tissues": case.phantom.labels,
    }
    with atomic_folder(folder, overwrite=overwrite, ours="truth.json") as partial:
        for name, volume in volumes.items():
            write_volume(volume, partial / f"{name}.nrrd")
        with (partial / "covariates.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerow(case.covariates.row())
        text = json.dumps(describe_truth(case), indent=2) + "\n"
        (partial / "truth.json").write_text(text, encoding="utf-8")
    names = (*(f"{name}.nrrd" for name in volumes), "covariates.csv", "truth.json")
    return tuple(folder / name for name in names)


def _signed(mask: Volume, kind: RoiKind) -> Volume:
    """The region with the stamp that says who made it, so that a later edit is recognised."""
    maker = Maker("the phantom's truth", f"(generator version {PHANTOM_VERSION})")
    return stamp_mask(mask, kind, (RoiPart(kind, maker),))


def describe_truth(case: SimulatedCase) -> dict[str, Any]:
    """The truth as plain data: person, disease, every placed lesion in LPS millimetres, outcome."""
    spec = asdict(case.truth.spec)
    distractors = case.truth.spec.distractors
    spec["distractors"]["fracture"] = None if distractors.fracture is None else distractors.fracture.name
    spec["distractors"]["degeneration"] = [level.name for level in distractors.degeneration]
    disease = case.truth.disease
    return {
        "notice": f"Simulated patient, not a person. {RESEARCH_USE}.",
        "simulated": simulated_by(case.truth.seed)[ATTRIBUTE],
        "seed": case.truth.seed,
        "person": spec,
        "disease": {
            "marrow_infiltration": disease.marrow_infiltration,
            "avidity": disease.avidity,
            "fdg_negative": disease.fdg_negative,
            "high_risk_genetics": disease.high_risk_genetics,
            "focal": disease.count("focal"),
            "paramedullary": disease.count("paramedullary"),
            "extramedullary": disease.count("extramedullary"),
        },
        "lesions": [
            {
                "label": number,
                "kind": focus.kind,
                "site": focus.site.name,
                "centre_lps_mm": [round(v, 2) for v in focus.centre_mm],
                "radii_mm": [round(v, 2) for v in focus.radii_mm],
                "suv_bw": focus.suv_bw,
                "lytic": focus.lytic,
            }
            for number, focus in enumerate(case.phantom.foci, start=1)
        ],
        "tissues": {str(int(tissue)): tissue.name.lower() for tissue in Tissue},
        "hazard_score": round(case.truth.hazard_score, 6),
        "time_months": case.truth.time_months,
        "event": case.truth.event,
    }
