"""What the embedded vectors know of the planted truth: asked of the truth itself, which no model of outcomes sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.simulation.hazard import IMAGE_TERMS, hazard_terms
from MemorySurvivalLib.simulation.patient import draw_patients
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.cohorts import StudyCohort, read_cohort
from MemorySurvivalLib.study.configuration import Embedding, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import count_embedded
from MemorySurvivalLib.study.models import STATISTICS
from MemorySurvivalLib.study.parts import NOTICE, sort_json
from MemorySurvivalLib.study.readings import ROI_WORDS, name_pooled, whole_scan
from MemorySurvivalLib.study.taught import PENALTIES, Taught, teach_truth
from MemorySurvivalLib.training.data import Floats
from MemorySurvivalLib.training.models.features import statistics_matrix

SCENARIOS = ("main", "spatial")
ALL_TERMS = "all that images show"
FOLDS = 5


class Probe(msgspec.Struct, frozen=True):
    """One vector: its length, and the share of each truth's variance that it explains out of fold."""

    vector: str
    columns: int
    explained: dict[str, float]


class ProbeResults(msgspec.Struct, frozen=True):
    """The probes of one scenario's development patients. `sd` is that of each term of the log hazard; `taught` says
    what the same columns give a model that is shown the whole truth, on `tested` patients of `test`."""

    notice: str
    embedding: str
    scenario: str
    scenario_sha256: str
    patients: int
    sd: dict[str, float]
    probes: tuple[Probe, ...]
    test: str = ""
    tested: int = 0
    taught: tuple[Taught, ...] = ()


def probe_path(configuration: StudyConfiguration, results: Path, scenario: str) -> Path:
    """Where the probes of a scenario are kept."""
    return results / f"embedding-{configuration.embedding.sha256[:12]}" / "probes" / f"{scenario}.json"


def read_probes(path: Path) -> ProbeResults | None:
    """Probes that were kept, or None. Raises InputError where the file is damaged."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProbeResults)
    except msgspec.MsgspecError as error:
        raise InputError(f"The probes {path} cannot be read ({error}); delete that file and probe again.") from error


def probe_vectors(
    configuration: StudyConfiguration,
    parts: Path,
    results: Path,
    progress: ProgressCallback = ignore_progress,
) -> list[Path]:
    """Probe all embedded development patients of each scenario in SCENARIOS that the study asks about."""
    written = []
    for question in configuration.questions:
        if question.scenario not in SCENARIOS:
            continue
        cohort = read_cohort(configuration, question.development, question.scenario, parts)
        seed = configuration.cohort(question.development).seed
        terms = true_terms(question.scenario, seed, len(cohort.data))
        vectors = list(_vectors(configuration.embedding, cohort))
        probes = tuple(
            Probe(name, values.shape[1], {term: _explain(values, truth) for term, truth in terms.items()})
            for name, values in track(vectors, f"probe {question.scenario}", len(vectors), progress)
        )
        name, scenario = question.tests[0]
        asked = count_embedded(configuration, name, parts) >= configuration.fitting.smallest_test
        test = read_cohort(configuration, name, scenario, parts) if asked else None
        found = ProbeResults(
            NOTICE,
            configuration.embedding.sha256,
            question.scenario,
            load_scenario(question.scenario).sha256,
            len(cohort.data),
            {term: round(float(truth.std()), 3) for term, truth in terms.items()},
            probes,
            f"{name}/{scenario}",
            len(test.data) if test else 0,
            teach_truth(configuration, cohort, test) if test else (),
        )
        path = probe_path(configuration, results, question.scenario)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            temporary.write_text(sort_json(msgspec.to_builtins(found)), encoding="utf-8")
        written.append(path)
    return written


def true_terms(scenario: str, seed: int, patients: int) -> dict[str, Floats]:
    """The image terms (patients,) of the log hazard that differ between these patients, and their sum."""
    known = load_scenario(scenario)
    drawn = [
        hazard_terms(known.hazard, one.person, one.site.name) for one in draw_patients(known, seed, range(patients))
    ]
    terms = {name: np.array([float(one[name]) for one in drawn]) for name in IMAGE_TERMS}
    kept = {name: values for name, values in terms.items() if values.std() > 0}
    return {**kept, ALL_TERMS: np.sum(list(terms.values()), axis=0)}


def _vectors(embedding: Embedding, cohort: StudyCohort) -> Iterator[tuple[str, Floats]]:
    """Statistics, then PET and CT side by side for each ROI, readout and pooling inside the ROI; then with both."""
    statistics = statistics_matrix(cohort.data, tuple(cohort.data.statistics))
    yield STATISTICS, np.nan_to_num(statistics)
    measured = np.nan_to_num(statistics)
    for way in embedding.ways:
        for roi in way.rois:
            for readout in way.region_vectors:
                pooling = way.kind("region")
                yield f"{ROI_WORDS[roi]}, {name_pooled(readout, pooling)}", _states(cohort, roi, readout, pooling)
            kept = (("peak", way.peak_readouts), ("lesions", way.lesion_readouts))
            for pooling, readout in ((way.kind(kind), name) for kind, names in kept for name in names):
                yield f"{ROI_WORDS[roi]}, {name_pooled(readout, pooling)}", _states(cohort, roi, readout, pooling)
    first = embedding.rois[0]
    for readout, pooling in whole_scan(embedding, first):
        values = np.concatenate([_states(cohort, first, readout, pooling), measured], axis=1)
        yield f"{ROI_WORDS[first]}, {name_pooled(readout, pooling)}, and {STATISTICS}", values


def _states(cohort: StudyCohort, roi: str, readout: str, pooling: str) -> Floats:
    found = [cohort.data.states[f"{modality}/{roi}/{readout}/{pooling}"] for modality in ("PET", "CT")]
    return torch.cat([one.flatten(1) for one in found], dim=1).double().numpy()


def _explain(values: Floats, truth: Floats) -> float:
    """R squared of out-of-fold predictions by ridge regression; below 0 is worse than the mean."""
    # Imported here: a training extra.
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    said = cross_val_predict(model, values, truth, cv=KFold(FOLDS, shuffle=True, random_state=0))
    return round(float(1 - ((truth - said) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()), 3)
