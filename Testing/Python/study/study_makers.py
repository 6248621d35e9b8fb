"""A small study: the committed configuration cut down, and embedded cases made up from the patients' truth."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch

from MemorySurvivalLib.simulation.patient import Patient
from MemorySurvivalLib.study.configuration import (
    Cohort,
    Embedding,
    Extra,
    Fitting,
    Question,
    Stage,
    StudyConfiguration,
    load_configuration,
)
from MemorySurvivalLib.study.embed_cohorts import embed_cohorts
from MemorySurvivalLib.study.embedding import EmbeddedCase
from MemorySurvivalLib.study.models import SPATIAL_STATISTICS

CHANNELS = 4


def make_configuration(patients: int = 60) -> StudyConfiguration:
    """Two cohorts, three scenarios, few fits."""
    committed = load_configuration()
    embedding = msgspec.structs.replace(committed.embedding, batch_size=2)
    whole_parts = patients // 10 * 10
    return msgspec.structs.replace(
        committed,
        embedding=embedding,
        cohorts=(
            Cohort("main-dev", "main", 31, patients, 10, whole_parts),
            Cohort("main-test", "main", 32, patients, imagenet=min(whole_parts, 30)),
            Cohort("second-test", "second", 33, min(patients, 20), imagenet=min(whole_parts, 20)),
        ),
        order=(Stage("main-dev", patients), Stage("main-test", patients), Stage("second-test", patients)),
        questions=(
            Question("main", "main-dev", (("main-test", "main"), ("second-test", "second")), True),
            Question("spatial", "main-dev", (("main-test", "spatial"),)),
            Question("null", "main-dev", (("main-test", "null"),)),
        ),
        fitting=Fitting(
            sizes=(patients,),
            smallest_test=20,
            trials=2,
            inner_folds=2,
            outer_folds=2,
            outer_repeats=1,
            seed=1,
            resamples=50,
        ),
        part_cases=10,
    )


def embed_made_up(patient: Patient, settings: Embedding, extras: frozenset[Extra]) -> EmbeddedCase:
    """Numbers that know something of the disease, under the keys of real ones."""
    rng = np.random.default_rng(patient.image_seed)
    burden = np.log1p(patient.shown.tumour_ml)

    def values(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape) + 0.3 * burden).half()

    layers = {"bank:2": 2, "stations:4": 4, "tops:3": 3}
    vectors, maps, small = {}, {}, {}
    for modality in ("PET", "CT"):
        for roi in settings.rois:
            place = f"{modality}/{roi}"
            for name in settings.region_readouts:
                vectors[f"{place}/{name}/{settings.kind('region')}"] = values(CHANNELS * layers.get(name, 1))
            for name in settings.peak_readouts:
                vectors[f"{place}/{name}/{settings.kind('peak')}"] = values(CHANNELS * layers.get(name, 1))
            for name in settings.grid_readouts:
                vectors[f"{place}/{name}/{settings.kind('grid')}"] = values(CHANNELS)
            for name in settings.lesion_readouts:
                vectors[f"{place}/{name}/{settings.kind('lesions')}"] = values(4 * layers.get(name, 1))
            if settings.region_readouts:
                vectors[f"{place}/encoder/{settings.kind('region')}"] = values(CHANNELS)
            for name in settings.average_maps.get(roi, ()):
                maps[f"{place}/{name}/average"] = values(1, 16, 16)
            for name in settings.small_maps.get(roi, ()) if "small" in extras else ():
                small[f"{place}/{name}/small"] = values(CHANNELS, 4, 4)
        if "imagenet" in extras:
            vectors[f"{modality}/{settings.imagenet.roi}/imagenet/grid"] = values(CHANNELS)
    statistics = {
        f"{roi}/{name}": float(np.exp(rng.normal() * 0.3 + 0.5 * burden))
        for roi in settings.rois
        for name in SPATIAL_STATISTICS
    }
    return EmbeddedCase(vectors, maps, small, statistics, dict.fromkeys(settings.rois, 3), 3, 0.5)


def embed_all(configuration: StudyConfiguration, root: Path) -> dict[str, int]:
    """Every cohort, made up."""
    return embed_cohorts(configuration, configuration.order, root, embed_one=embed_made_up)
