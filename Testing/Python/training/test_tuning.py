"""Tuning: the same points everywhere, the best inner score, journals that continue, failures that are recorded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from cohorts_made_up import FittedLine, Line, make_cohort_data
from lifelines.utils import concordance_index
from torchsurv.loss.cox import neg_partial_log_likelihood

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.folds import Fold, FoldPlan, make_splits
from MemorySurvivalLib.training.inner_score import concordance, log_likelihood_per_event
from MemorySurvivalLib.training.sobol import draw_points
from MemorySurvivalLib.training.tuning import (
    Alternative,
    Budget,
    FloatRange,
    IntRange,
    Range,
    Recipe,
    forget_journal,
    sobol_points,
    tune,
)

WHICH = FloatRange("which", 0.0, 1.0)
BUDGET = Budget(trials=8, inner_folds=3)


def folds_of(data: CohortData) -> list[Fold]:
    splits = make_splits(data, FoldPlan(3, 1))
    return [splits.fold(data, 0, k) for k in range(3)]


def lines(*, fails_above: float = 2.0) -> Recipe:
    base = Line(which=0.9, fails_above=fails_above)
    return Recipe("lines", (Alternative("fixed", base), Alternative("searched", base, (WHICH,))))


@dataclass(frozen=True)
class Schedule:
    steps: int = 10


@dataclass(frozen=True)
class Network:
    schedule: Schedule = field(default_factory=Schedule)
    rate: float = 0.1
    name: str = "network"

    def fit(self, data: CohortData, seed: int) -> FittedLine:
        raise NotImplementedError


@dataclass(frozen=True)
class TogetherLine(Line):
    def fit_together(self, variants: Sequence[Line], data: CohortData, seed: int) -> list[FittedLine]:
        return [variant.fit(data, seed) for variant in variants]


def test_points_fill_the_space_and_are_the_same_for_a_seed() -> None:
    space = (FloatRange("a", 1e-3, 1e1, log=True), IntRange("b", 2, 5))
    points = sobol_points(space, 32, 5)
    assert points == sobol_points(space, 32, 5) != sobol_points(space, 32, 6)
    # Sobol points: each quarter of the logarithmic range holds a quarter of them, give or take the first trial
    counts = np.histogram([np.log10(p["a"]) for p in points], bins=4, range=(-3, 1))[0]
    assert (np.abs(counts - 8) <= 1).all()
    assert {p["b"] for p in points} == {2, 3, 4, 5}
    assert sobol_points((), 32, 5) == [{}]


SPACES = (
    (FloatRange("a", 1e-3, 1e1, log=True),),
    (FloatRange("a", 3e-2, 1e3, log=True), FloatRange("b", 0.0, 0.6), FloatRange("c", 1e-3, 1.0, log=True)),
    (IntRange("a", 2, 5), FloatRange("b", -1.0, 2.0), IntRange("c", 1, 900, log=True)),
)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("seed", [5, 2026])
def test_without_optuna_the_points_are_the_same(space: tuple[Range, ...], seed: int) -> None:
    """As in Slicer: a search finds the same settings there."""
    assert draw_points(space, 64, seed) == sobol_points(space, 64, seed)


def test_slicer_which_has_no_optuna_gets_points(monkeypatch: pytest.MonkeyPatch) -> None:
    space = (FloatRange("only here", 1e-3, 1e1, log=True),)  # nothing that another test left in the cache
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert sobol_points(space, 4, 1) == draw_points(space, 4, 1)


def test_the_column_with_the_signal_is_chosen() -> None:
    data = make_cohort_data(90, 1)
    choice = tune(lines(), data, folds_of(data), BUDGET, 1)
    assert choice.alternative.name == "searched"
    assert choice.values["which"] < 1 / 3
    assert len(choice.scores) == 9
    assert choice.score == max(s for s in choice.scores if s is not None)
    assert choice.model == Line(which=choice.values["which"])


def test_the_score_is_the_mean_over_the_inner_folds() -> None:
    data = make_cohort_data(60, 2)
    choice = tune(lines(), data, folds_of(data), BUDGET, 1)
    expected = []
    for fold in folds_of(data):
        risk = choice.model.fit(data.take(fold.train), 0).log_risk(data.take(fold.test))
        expected.append(concordance_index(data.times_months[fold.test], -risk, data.events[fold.test]))
    assert choice.score == pytest.approx(np.mean(expected))


def test_the_partial_likelihood_can_decide() -> None:
    data = make_cohort_data(90, 1)
    recipe = Recipe("scale", (Alternative("a", Line(), (FloatRange("scale", 0.01, 30.0, log=True),)),))
    budget = Budget(16, 3, objective="partial likelihood")
    # every scale has the same c, so that the first would win; the likelihood finds the true effect of 1
    assert 0.5 < tune(recipe, data, folds_of(data), budget, 1).values["scale"] < 2


def test_a_journal_continues_where_it_was_stopped(tmp_path: Path) -> None:
    data = make_cohort_data(60, 3)
    whole = tune(lines(), data, folds_of(data), BUDGET, 1)

    class Stop(BaseException):
        pass

    seen: list[int] = []

    def stop_at_5(event: ProgressEvent) -> None:
        seen.append(event.done)
        if event.done == 5:
            raise Stop

    journal = tmp_path / "tuning.journal"
    with pytest.raises(Stop):
        tune(lines(), data, folds_of(data), BUDGET, 1, journal, stop_at_5)
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "torn')
    fitted: list[float] = []

    @dataclass(frozen=True)
    class Counted(Line):
        def fit(self, data: CohortData, seed: int) -> FittedLine:
            fitted.append(self.which)
            return super().fit(data, seed)

    counted = Recipe("lines", tuple(Alternative(a.name, Counted(which=0.9), a.space) for a in lines().alternatives))
    again = tune(counted, data, folds_of(data), BUDGET, 1, journal)
    assert (again.values, again.scores) == (whole.values, whole.scores)
    assert len(fitted) == (9 - 5) * 3
    assert tune(counted, data, folds_of(data), BUDGET, 1, journal).scores == whole.scores
    assert len(fitted) == (9 - 5) * 3


def test_a_damaged_journal_is_begun_anew_and_one_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    data = make_cohort_data(60, 3)
    whole = tune(lines(), data, folds_of(data), BUDGET, 1, tmp_path / "j")
    text = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join([*text[:4], b"no log\n", *text[4:]]))
    assert tune(lines(), data, folds_of(data), BUDGET, 1, tmp_path / "j").scores == whole.scores
    with pytest.raises(OutputError, match="is a file, not a folder"):
        tune(lines(), data, folds_of(data), BUDGET, 1, tmp_path / "j" / "k")


def test_a_lock_of_a_killed_program_goes_with_the_journal(tmp_path: Path) -> None:
    for name in ("j", "j.lock"):
        (tmp_path / name).touch()
    forget_journal(tmp_path / "j")
    assert not list(tmp_path.iterdir())


def test_a_setting_that_fails_is_out_and_the_others_stay(tmp_path: Path) -> None:
    data = make_cohort_data(60, 3)
    recipe = lines(fails_above=0.5)
    choice = tune(recipe, data, folds_of(data), BUDGET, 1, tmp_path / "j")
    failed = [score is None for score in choice.scores]
    assert failed[0]
    assert any(failed[1:]) and not all(failed[1:])
    assert choice.values["which"] <= 0.5
    assert tune(recipe, data, folds_of(data), BUDGET, 1, tmp_path / "j").scores == choice.scores
    with pytest.raises(InputError, match="None of the 9 settings tried for lines could be fitted: This setting"):
        tune(lines(fails_above=-1), data, folds_of(data), BUDGET, 1)


def test_settings_fitted_together_score_as_one_by_one_also_when_one_fails() -> None:
    data = make_cohort_data(60, 3)
    alone = tune(lines(fails_above=0.5), data, folds_of(data), BUDGET, 1)
    base = TogetherLine(which=0.9, fails_above=0.5)
    recipe = Recipe("lines", (Alternative("fixed", base), Alternative("searched", base, (WHICH,))))
    assert tune(recipe, data, folds_of(data), BUDGET, 1).scores == alone.scores


def test_risks_that_are_not_numbers_are_failures() -> None:
    data = make_cohort_data(60, 3)
    recipe = Recipe("scale", (Alternative("a", Line(scale=np.inf), (WHICH,)),))
    with pytest.raises(InputError, match="not finite"):
        tune(recipe, data, folds_of(data), BUDGET, 1)


def test_dots_lead_into_nested_settings_and_whole_numbers_stay_whole() -> None:
    alternative = Alternative("a", Network(), (IntRange("schedule.steps", 1, 9), FloatRange("rate", 0.1, 1)))
    model = alternative.model({"schedule.steps": 4.0, "rate": 0.5})
    assert model == Network(Schedule(4), 0.5)
    assert isinstance(model.schedule.steps, int)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="has no setting stepps"):
        Alternative("a", Network(), (IntRange("schedule.stepps", 1, 9),)).model({"schedule.stepps": 3})


def test_recipes_ranges_and_budgets_are_valid() -> None:
    with pytest.raises(InputError, match="names of their own"):
        Recipe("r", (Alternative("a", Line()), Alternative("a", Line())))
    with pytest.raises(InputError, match="without a written form"):
        Recipe("r", (Alternative("a", Line(name=object())),))  # type: ignore[arg-type]
    for wrong in (lambda: FloatRange("a", 1, 1), lambda: FloatRange("a", 0, 1, log=True), lambda: IntRange("a", 3, 2)):
        with pytest.raises(InputError, match="empty or not positive"):
            wrong()
    with pytest.raises(InputError, match="at least 1 trial"):
        Budget(trials=0)


@pytest.mark.parametrize("decimals", [0, 6])
def test_inner_scores_equal_their_oracles(decimals: int) -> None:
    data = make_cohort_data(90, 11)
    times, events = data.times_months, data.events
    risk = np.round(data.statistics["statistic 0"], decimals)
    assert concordance(times, events, risk) == pytest.approx(concordance_index(times, -risk, events), abs=1e-12)
    with pytest.warns(UserWarning, match="Ties"):
        total = neg_partial_log_likelihood(
            *map(torch.from_numpy, (risk, events, times)), ties_method="efron", reduction="sum"
        )
    assert log_likelihood_per_event(times, events, risk) == pytest.approx(-float(total) / events.sum(), abs=1e-6)


def test_scores_without_a_comparison_are_not_numbers() -> None:
    times, none = np.arange(1.0, 5), np.zeros(4, bool)
    assert np.isnan(concordance(times, none, times))
    assert np.isnan(log_likelihood_per_event(times, none, times))
    assert np.isnan(concordance(times, ~none, times * np.inf))
