"""The study's patients for heads of another backbone: the same scenario, read in the study's way with its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.readout import ReadoutName
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.simulation.patient import Patient, draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase
from MemorySurvivalLib.study.configuration import Cohort, Stage, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import embed_images, note_case, part_folder
from MemorySurvivalLib.study.parts import PartFolder
from MemorySurvivalLib.study.shipping import SCENARIO, find_question
from MemorySurvivalLib.study.shipping_heads import REGION
from MemorySurvivalLib.training.embedded_cohort import CaseMeter, make_ahead

REGION_READOUTS: tuple[ReadoutName, ...] = ("mean",)
PEAK_READOUTS: tuple[ReadoutName, ...] = ("mean", "max")
"""What is kept of the channels' means and peaks inside the region. Lesions are not read: a lesion reader belongs to the
backbone whose memories it learned from. `max` of means is left out as in the study (`readings.WHOLE_SCAN`)."""

Simulate = Callable[[Patient], ScenarioCase]
"""Makes the images of a patient."""


@dataclass(frozen=True)
class RebuildCase:
    """A patient to embed, and where what is kept of him goes."""

    patient: Patient
    folder: PartFolder

    def is_there(self) -> bool:
        """Whether he is embedded already."""
        return not self.folder.missing([self.patient.number])


def rebuild_configuration(
    study: StudyConfiguration, sha256: str, image_size: int, training: int, held_out: int
) -> StudyConfiguration:
    """The study with other weights: the first `training` development patients of its scenario, and the first `held_out`
    of its test patients, read at `image_size` pixels on the slices of the dilated spine alone.

    `sha256` is that of the weights' file. Slices, windows, scenario, cohort seeds, tuning and maps are the study's.
    """
    question = find_question(study, SCENARIO)
    tested = question.tests[0]
    sizes = {question.development: training, tested[0]: held_out}
    return msgspec.structs.replace(
        study,
        embedding=msgspec.structs.replace(
            study.embedding,
            bundle="",
            backbone_sha256=sha256,
            image_size=image_size,
            rois=(REGION,),
            region_readouts=REGION_READOUTS,
            peak_readouts=PEAK_READOUTS,
            grid_readouts=(),
            average_maps={},
            small_maps={},
            imagenet=None,
            lesion_readouts=(),
            reader_sha256=None,
            close_up=None,
        ),
        cohorts=tuple(
            msgspec.structs.replace(study.cohort(name), patients=count, small_maps=0, imagenet=0, seen=0)
            for name, count in sizes.items()
        ),
        order=tuple(Stage(name, count) for name, count in sizes.items()),
        questions=(msgspec.structs.replace(question, tests=(tested,), nested=False),),
        fitting=msgspec.structs.replace(study.fitting, sizes=(training,), smallest_test=held_out),
    )


def list_cases(configuration: StudyConfiguration, root: Path) -> list[RebuildCase]:
    """All patients, those to learn from first; drawing them takes a millisecond each."""
    return [case for cohort in configuration.cohorts for case in _list(configuration, cohort, root)]


def embed_patients(
    configuration: StudyConfiguration,
    engine: MemoryEngine,
    root: Path,
    simulate: Simulate,
    progress: ProgressCallback = ignore_progress,
) -> None:
    """Simulate and embed the patients that are not on disk yet; stopped at any moment, the next call goes on.

    The next patient is simulated while one is embedded. Raising from `progress` stops the work after the patient in
    hand at the latest.
    """
    cases = list_cases(configuration, root)
    missing = [case for case in cases if not case.is_there()]
    meter = CaseMeter(len(cases) - len(missing), len(cases), progress)
    drawn = [case.patient for case in missing]
    for case, images in zip(missing, make_ahead(drawn, simulate, meter.tell), strict=True):
        embedded = embed_images(images, configuration.embedding, frozenset(), engine)
        case.folder.write_case(note_case(case.patient, embedded, engine.describe()), embedded)
        case.folder.join(case.patient.number // configuration.part_cases)
        meter.step()


def devices_used(configuration: StudyConfiguration, root: Path) -> tuple[str, ...]:
    """The devices that computed what is embedded, in words."""
    notes = [
        note
        for cohort in configuration.cohorts
        for note in part_folder(configuration, cohort, root).read(cohort.patients)[1]
    ]
    return tuple(sorted({note.computed_on for note in notes if note.computed_on}))


def _list(configuration: StudyConfiguration, cohort: Cohort, root: Path) -> list[RebuildCase]:
    scenario, folder = load_scenario(cohort.scenario), part_folder(configuration, cohort, root)
    return [RebuildCase(draw_patient(scenario, cohort.seed, number), folder) for number in range(cohort.patients)]
