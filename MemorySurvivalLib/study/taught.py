"""What a model would reach that were shown the planted truth of its training patients instead of their outcomes.

No model of outcomes can see that truth. A linear and a tree model are shown it; a better one may yet exist, so this is
what such columns were seen to give, and no bound.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from MemorySurvivalLib.simulation.patient import COVARIATE_COLUMNS
from MemorySurvivalLib.study.cohorts import StudyCohort
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.judging import Interval, Judge
from MemorySurvivalLib.study.models import ALL, CLINICAL, EMBEDDING, EMBEDDING_STATISTICS, STATISTICS
from MemorySurvivalLib.study.parts import NOTICE
from MemorySurvivalLib.study.readings import name_pooled, whole_scan
from MemorySurvivalLib.study.results import ModelResult, ScenarioResults
from MemorySurvivalLib.training.data import Floats
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures, fit_features
from MemorySurvivalLib.training.quantities import make_schema

PENALTIES = np.logspace(-1, 5, 13)

RIDGE, TREES = "ridge regression", "boosted trees"


class Taught(msgspec.Struct, frozen=True):
    """One set of columns and one learner: which memory state is among them (empty: none), how many there are, and on
    the test patients c and the share of the oracle's discrimination, each with its 95 % interval."""

    name: str
    learner: str
    chosen: str
    columns: int
    c: tuple[float, float, float]
    recovered: tuple[float, float, float]


def teach_truth(configuration: StudyConfiguration, development: StudyCohort, test: StudyCohort) -> tuple[Taught, ...]:
    """Ridge regression and boosted trees on the development patients' true log hazard, with the fused models' columns.

    The ridge penalty and which memory state are chosen by leave-one-out error on development patients; the trees take
    the same state, with fixed settings. Judged as the study's models are.
    """
    states = {
        f"{roi} {name_pooled(readout, pooling)}": StateVectors(
            tuple(f"{modality}/{roi}/{readout}/{pooling}" for modality in ("PET", "CT"))
        )
        for roi in configuration.embedding.rois
        for readout, pooling in whole_scan(configuration.embedding, roi)
    }
    clinical = make_schema(COVARIATE_COLUMNS)
    wanted = {
        CLINICAL: {"": VectorFeatures(clinical)},
        STATISTICS: {"": VectorFeatures(statistics=("*",))},
        EMBEDDING: {name: VectorFeatures(states=one) for name, one in states.items()},
        EMBEDDING_STATISTICS: {name: VectorFeatures(statistics=("*",), states=one) for name, one in states.items()},
        ALL: {name: VectorFeatures(clinical, ("*",), one) for name, one in states.items()},
    }
    tested = f"{test.name}/{test.scenario}"
    chosen_of: dict[str, tuple[str, int]] = {}
    models: dict[str, ModelResult] = {}
    for name, alternatives in wanted.items():
        fitted = {chosen: _ridge(features, development) for chosen, features in alternatives.items()}
        chosen = min(fitted, key=lambda one: fitted[one][0])
        _, encoder, ridge = fitted[chosen]
        shown = encoder.encode(development.data)
        chosen_of[name] = chosen, shown.shape[1]
        for learner, model in ((RIDGE, ridge), (TREES, _trees().fit(shown, development.log_hazard))):
            risk: Floats = model.predict(encoder.encode(test.data))
            models[f"{name}, {learner}"] = ModelResult("", "", "", "", "", "", "", log_risk={tested: risk.tolist()})
    size = len(development.data)
    results = ScenarioResults(
        NOTICE, "", "", development.scenario, "", development.name, size, 0, {tested: len(test.data)}, models
    )
    judge = Judge(configuration, results, tested)
    return tuple(
        Taught(name, learner, *chosen_of[name], _plain(judge.c(model)), _plain(judge.recovered(model)))
        for name in wanted
        for learner in (RIDGE, TREES)
        for model in (f"{name}, {learner}",)
    )


def _ridge(features: VectorFeatures, cohort: StudyCohort) -> tuple[float, Any, Any]:
    """Leave-one-out error, the fitted features, and the fitted regression."""
    # Imported here: a training extra.
    from sklearn.linear_model import RidgeCV

    encoder = fit_features(features, cohort.data)
    model = RidgeCV(PENALTIES).fit(encoder.encode(cohort.data), cohort.log_hazard)
    return -float(model.best_score_), encoder, model


def _trees() -> Any:
    # Imported here: a training extra.
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=20, l2_regularization=5.0, random_state=0
    )


def _plain(found: Interval) -> tuple[float, float, float]:
    return round(found.value, 4), round(found.low, 4), round(found.high, 4)
