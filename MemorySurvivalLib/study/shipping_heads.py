"""The two heads of the shipped bundle: on one readout of the spine, of the kind that inner folds choose."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.bundle.manifest import HeadEntry, Reference, RiskGroups, describe_statistics
from MemorySurvivalLib.bundle.recalibrate import breslow_baseline
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.simulation.patient import COVARIATE_COLUMNS
from MemorySurvivalLib.study.cohorts import StudyCohort
from MemorySurvivalLib.study.configuration import Embedding, Fitting
from MemorySurvivalLib.study.models import (
    ALL,
    DEEP,
    EMBEDDING_STATISTICS,
    SPATIAL_STATISTICS,
    deep_recipe,
    hotspot_models,
)
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.demonstration_heads import HEADS
from MemorySurvivalLib.training.folds import Fold, FoldPlan, make_splits
from MemorySurvivalLib.training.inner_score import concordance
from MemorySurvivalLib.training.models.cox import FittedCox, RidgeCox
from MemorySurvivalLib.training.models.exporting import export_vector
from MemorySurvivalLib.training.models.image import FittedImageModel
from MemorySurvivalLib.training.nested import derive_seed
from MemorySurvivalLib.training.quantities import make_schema
from MemorySurvivalLib.training.tuning import Alternative, Budget, Choice, Recipe, tune

REGION: RoiKind = "spine_dilated"
"""A bundle reads one region and measures one region's statistics; this one is the paper's."""


@dataclass(frozen=True)
class Tested:
    """How a head did on a cohort it never saw: Harrell's c, and that of the true log hazard of the same patients."""

    cohort: str
    scenario: str
    c: Estimate
    oracle: float

    @property
    def recovered(self) -> float | None:
        """The share of the oracle's discrimination; None where the oracle is at chance, as among a few patients."""
        return (self.c.value - 0.5) / (self.oracle - 0.5) if self.oracle > 0.5 else None


@dataclass(frozen=True, eq=False)
class ShippedHead:
    """A head with its manifest entry, the model it was exported from, what was chosen, and how it did."""

    entry: HeadEntry
    head: RiskHead
    fitted: FittedCox | FittedImageModel
    choice: Choice
    tested: tuple[Tested, ...]


def head_recipes(embedding: Embedding) -> tuple[Recipe, Recipe]:
    """The searches of both heads, for each readout and pooling ridge Cox, and DeepSurv with the paper's gate.

    The image-only head is one that the study judges too, on embedding and statistics of the spine. The volume is no
    input: it does not change under a patch, so no map could show what it does. The other head adds every clinical
    value.
    """
    searched = next(one for one in hotspot_models(embedding, REGION) if one.name == EMBEDDING_STATISTICS)
    found = searched.alternatives
    statistics = tuple(f"{REGION}/{name}" for name in SPATIAL_STATISTICS)
    clinical = make_schema(COVARIATE_COLUMNS)

    def add(alternative: Alternative) -> Alternative:
        base = alternative.base
        assert isinstance(base, RidgeCox)
        features = dataclasses.replace(base.features, clinical=clinical)
        return dataclasses.replace(alternative, base=dataclasses.replace(base, name=HEADS[1], features=features))

    def deep(name: str, *, clinical: bool) -> tuple[Alternative, ...]:
        recipe = deep_recipe(embedding, name, REGION, statistics, clinical)
        return tuple(dataclasses.replace(one, name=f"{one.name}, {DEEP}") for one in recipe.alternatives)

    return (
        Recipe(HEADS[0], (*found, *deep(HEADS[0], clinical=False))),
        Recipe(HEADS[1], (*map(add, found), *deep(HEADS[1], clinical=True))),
    )


def reading_of(alternative: Alternative) -> str:
    """The readout and pooling that an alternative of `head_recipes` reads, as `readings.name_pooled` names them."""
    return alternative.name.partition(",")[0]


def choose_settings(
    recipes: Sequence[Recipe],
    data: CohortData,
    fitting: Fitting,
    scenario: str,
    progress: ProgressCallback = ignore_progress,
) -> tuple[str, tuple[Choice, ...], tuple[Fold, ...]]:
    """The readout and pooling that all heads share, each head's kind and settings with it, and the folds that decided.

    A bundle has one pass over the body, so one reading (`readings.name_pooled`): that with the highest sum of the
    heads' mean inner c. No head is second to the other: which one scores a patient depends on whether clinical values
    are known. The folds are those in which the study tunes its model with everything. Raises InputError where no
    readout can be fitted for all heads.
    """
    seed = _seed(fitting, scenario)
    splits = make_splits(data, FoldPlan(fitting.inner_folds, 1, seed=seed))
    folds = tuple(splits.fold(data, 0, number) for number in range(fitting.inner_folds))
    budget = Budget(fitting.trials, fitting.inner_folds, fitting.seed)
    best: tuple[str, tuple[Choice, ...]] | None = None
    highest, reason = -np.inf, "the study keeps none of them"
    for readout in dict.fromkeys(map(reading_of, recipes[0].alternatives)):
        alone = [
            Recipe(f"{recipe.name}, {readout}", tuple(a for a in recipe.alternatives if reading_of(a) == readout))
            for recipe in recipes
        ]
        try:
            choices = tuple(tune(recipe, data, folds, budget, seed, progress=progress) for recipe in alone)
        except InputError as error:
            reason = str(error)
            continue
        total = sum(choice.score or 0.0 for choice in choices)
        if total > highest:
            best, highest = (readout, choices), total
    if best is None:
        raise InputError(f"No readout can be shipped: {reason}")
    return (*best, folds)


def fit_shipped(
    name: str,
    choice: Choice,
    folds: Sequence[Fold],
    development: StudyCohort,
    tests: Sequence[StudyCohort],
    fitting: Fitting,
) -> ShippedHead:
    """One head fitted on all development patients; the first of `tests` is its reference.

    Groups and baseline hazard come from the development patients' risks by models of the other folds: risks of patients
    whom a model learned from are spread too far. The test patients are asked last and decide nothing.
    """
    data, seed = development.data, _seed(fitting, development.scenario)
    fitted = _fit(choice, data, seed)
    exported = (
        fitted.export_head(REGION)
        if isinstance(fitted, FittedImageModel)
        else export_vector(name, fitted, (1, 1), REGION)
    )
    out_of_fold = np.empty(len(data))
    for fold in folds:
        out_of_fold[fold.test] = _fit(choice, data.take(fold.train), seed).log_risk(data.take(fold.test))
    risks = [fitted.log_risk(test.data) for test in tests]
    tested = tuple(_test(test, risk, fitting) for test, risk in zip(tests, risks, strict=True))
    cuts = np.quantile(out_of_fold, (1 / 3, 2 / 3)).round(5)
    baseline = breslow_baseline(data.times_months, data.events, out_of_fold)
    spec = exported.head.spec
    entry = HeadEntry(
        name=name,
        spec=spec,
        covariates=exported.covariates,
        reference=Reference(
            "held-out", f"{len(risks[0])} simulated patients", tuple(np.sort(risks[0]).round(5).tolist())
        ),
        groups=RiskGroups(tuple(cuts.tolist()), ("low", "intermediate", "high"), "training")
        if cuts[0] < cuts[1]
        else None,
        baseline=baseline,
        calibration=None,
        metrics=_metrics(concordance(data.times_months, data.events, fitted.log_risk(data)), tested),
        statistics=describe_statistics(spec.statistics),
    )
    return ShippedHead(entry, exported.head, fitted, choice, tested)


def _seed(fitting: Fitting, scenario: str) -> int:
    return derive_seed(fitting.seed, ALL, scenario)


def _fit(choice: Choice, data: CohortData, seed: int) -> FittedCox | FittedImageModel:
    fitted = choice.model.fit(data, seed)
    assert isinstance(fitted, FittedCox | FittedImageModel)
    return fitted


def _test(test: StudyCohort, risk: Floats, fitting: Fitting) -> Tested:
    pairs = harrell_pairs(test.data.times_months, test.data.events)
    return Tested(
        test.name,
        test.scenario,
        pairs.estimate(risk, fitting.resamples, fitting.seed),
        pairs.value(test.log_hazard),
    )


def _metrics(training_c: float, tested: Sequence[Tested]) -> dict[str, float]:
    metrics: Mapping[str, float] = {"training_c_index": training_c}
    for number, one in enumerate(tested):
        name = "held_out_c_index" if number == 0 else f"{one.cohort.replace('-', '_')}_c_index"
        metrics = {**metrics, name: one.c.value, f"{name}_low": one.c.low, f"{name}_high": one.c.high}
    return {name: round(float(value), 4) for name, value in metrics.items()}
