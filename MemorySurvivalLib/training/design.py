"""How heads were judged, in sentences for a page and a card: folds, repeats, inner folds, trials, seeds."""

from __future__ import annotations

from MemorySurvivalLib.evaluation.measures import EvaluationPlan
from MemorySurvivalLib.training.nested import Validation
from MemorySurvivalLib.training.tuning import Budget


def describe_design(
    validation: Validation, head_budget: Budget, evaluation: EvaluationPlan, n: int, events: int
) -> tuple[str, ...]:
    """What was done to `n` patients with `events` events. Heads are tuned by `head_budget`, the plain models that they
    are held against by that of `validation`."""
    plan, plain = validation.plan, validation.budget
    kind = "Flat" if validation.flat else "Nested"
    where = (
        "on the outer folds themselves, which is why the figures are too good"
        if validation.flat
        else f"in {head_budget.inner_folds} inner folds of the training patients alone"
    )
    plainly = "there too" if validation.flat else f"in {plain.inner_folds} inner folds"
    return (
        f"{kind} cross-validation of {n} patients with {events} events: {plan.repeats} x {plan.folds} outer folds, "
        f"stratified by event and time, rows of one patient kept together (seed {plan.seed}).",
        f"Settings of the heads are chosen among {head_budget.trials} Sobol points {where}, judged by "
        f"{head_budget.objective}; the penalties of plain models among {plain.trials} {plainly} "
        f"(seed {validation.seed}).",
        "Scaling, imputation, settings and weights are fitted inside the fold. The heads that ship are fitted by the "
        "same procedure on all patients; the figures are of their sisters in the folds.",
        f"Pooled figures have intervals of {evaluation.resamples} resamples of patients, the log-rank test "
        f"{evaluation.permutations} permutations (seed {evaluation.seed}).",
    )
