"""What a model would reach that were shown the planted truth of its training patients instead of their outcomes.

No model of outcomes can see that truth. It bounds what the same columns can give: where this falls short of an oracle,
the columns lack it; where outcomes give less than this, they are too few to teach it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from MemorySurvivalLib.evaluation.bootstrap import draw_counts, percentile_limits
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.simulation.patient import COVARIATE_COLUMNS
from MemorySurvivalLib.study.cohorts import StudyCohort
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.models import ALL, CLINICAL, EMBEDDING, EMBEDDING_STATISTICS, STATISTICS
from MemorySurvivalLib.study.readings import name_pooled, whole_scan
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures, fit_features
from MemorySurvivalLib.training.quantities import make_schema

PENALTIES = np.logspace(-1, 5, 13)


class Taught(msgspec.Struct, frozen=True):
    """One set of columns: which memory state it holds (empty: none), how many columns, and on the test patients c and
    the share of the oracle's discrimination, each with its 95 % interval."""

    name: str
    chosen: str
    columns: int
    c: tuple[float, float, float]
    recovered: tuple[float, float, float]


def teach_truth(configuration: StudyConfiguration, development: StudyCohort, test: StudyCohort) -> tuple[Taught, ...]:
    """Ridge regression on the development patients' true log hazard, with the columns that the fused models have.

    The penalty, and which memory state, are chosen by leave-one-out error on development patients. Intervals are over
    resampled test patients, the same ones for every row and as in the tables of models.
    """
    pairs = harrell_pairs(test.data.times_months, test.data.events)
    counts = draw_counts(len(test.data), configuration.fitting.resamples, configuration.fitting.seed)
    oracle, oracles = pairs.value(test.log_hazard), pairs.share(test.log_hazard, counts)
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
    rows = []
    for name, alternatives in wanted.items():
        fitted = {chosen: _teach(features, development) for chosen, features in alternatives.items()}
        chosen = min(fitted, key=lambda one: fitted[one][0])
        _, columns, predict = fitted[chosen]
        risk = predict(test.data)
        c, shares = pairs.value(risk), pairs.share(risk, counts)
        recovered = (shares - 0.5) / np.where(oracles == 0.5, np.nan, oracles - 0.5)
        rows.append(
            Taught(
                name,
                chosen,
                columns,
                _rounded(c, percentile_limits(shares, "c")),
                _rounded((c - 0.5) / (oracle - 0.5), percentile_limits(recovered, "c")),
            )
        )
    return tuple(rows)


def _teach(features: VectorFeatures, cohort: StudyCohort) -> tuple[float, int, Callable[[CohortData], Floats]]:
    """Leave-one-out error, number of columns, and the predicted log hazard of other patients."""
    # Imported here: a training extra.
    from sklearn.linear_model import RidgeCV

    encoder = fit_features(features, cohort.data)
    values = encoder.encode(cohort.data)
    model = RidgeCV(PENALTIES).fit(values, cohort.log_hazard)

    def predict(data: CohortData) -> Floats:
        said: Floats = model.predict(encoder.encode(data))
        return said

    return -float(model.best_score_), values.shape[1], predict


def _rounded(value: float, limits: tuple[float, float]) -> tuple[float, float, float]:
    return round(value, 4), round(limits[0], 4), round(limits[1], 4)
