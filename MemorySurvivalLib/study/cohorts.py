"""Embedded images put together with a scenario's patients: what models learn from, and the truth they are held to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.cohort_data import collect_patients
from MemorySurvivalLib.simulation.patient import draw_patients
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.configuration import Extra, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import count_embedded, part_folder
from MemorySurvivalLib.study.parts import EXTRA_WORDS
from MemorySurvivalLib.training.data import CohortData, Floats


@dataclass(frozen=True, eq=False)
class StudyCohort:
    """Patients of one scenario with their embedded images, and the log hazard (n,) that an oracle knows.

    `log_frailty` (n,) is what nobody can know. States are keyed "MODALITY/roi/readout/kind", (n, channels, h, w).
    """

    name: str
    scenario: str
    data: CohortData
    log_hazard: Floats
    log_frailty: Floats


def read_cohort(
    configuration: StudyConfiguration,
    name: str,
    scenario: str,
    root: Path,
    patients: int | None = None,
    extras: Collection[Extra] = (),
) -> StudyCohort:
    """The first `patients` of a cohort (all that are embedded where None) with the outcomes of `scenario`.

    Raises InputError where fewer are embedded, and where what is embedded is not of these patients.
    """
    cohort = configuration.cohort(name)
    folder = part_folder(configuration, cohort, root)
    for extra in extras:
        if patients is None or patients > cohort.count(extra):
            words = EXTRA_WORDS[extra]
            count = cohort.count(extra)
            kept = f"the first {count} patients of {name} alone; take fewer" if count else f"no patient of {name}"
            raise InputError(f"{words[0].upper()}{words[1:]} are kept of {kept}.")
    there = count_embedded(configuration, name, root)
    if there < (patients or 1):
        raise InputError(
            f"Only {there} patients of {name} are embedded, {patients or 1} are needed; "
            f"run `python -m MemorySurvivalLib.study embed --cohort {name}` first."
        )
    wanted = patients or there
    tensors, notes = folder.read(wanted, extras)
    if configuration.embedding.close_up is not None:
        closer, again = part_folder(configuration, cohort, root, configuration.embedding.close_up).read(wanted)
        if [note.image_seed for note in again] != [note.image_seed for note in notes]:
            raise InputError(f"The close-ups of {name} are of other patients; embed the cohort anew in another folder.")
        tensors |= closer
    drawn = list(draw_patients(load_scenario(scenario), cohort.seed, range(len(notes))))
    for patient, note in zip(drawn, notes, strict=True):
        if (patient.image_seed, patient.site.name) != (note.image_seed, note.site):
            raise InputError(
                f"Case {note.number} of {name} was embedded from other images than the scenario {scenario} shows; "
                "embed the cohort anew in another folder."
            )
    data = collect_patients(drawn)
    states = {key: values if values.dim() == 4 else values[:, :, None, None] for key, values in tensors.items()}
    statistics = {key: np.array([note.statistics[key] for note in notes]) for key in notes[0].statistics}
    return StudyCohort(
        name,
        scenario,
        CohortData(
            data.patient_ids,
            data.times_months,
            data.events,
            data.covariates,
            statistics,
            states,
            data.sites,
            simulated=True,
        ),
        np.array([patient.log_hazard for patient in drawn]),
        np.array([patient.log_frailty for patient in drawn]),
    )
