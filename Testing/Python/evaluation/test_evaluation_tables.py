"""Rows of evaluations."""

from __future__ import annotations

import numpy as np
import pytest
from outcomes_made_up import make_out_of_fold, make_sample

from MemorySurvivalLib.evaluation.evaluation import evaluate
from MemorySurvivalLib.evaluation.measures import EvaluationPlan
from MemorySurvivalLib.evaluation.risk_groups import risk_quartiles
from MemorySurvivalLib.evaluation.subgroups import Subgroup
from MemorySurvivalLib.evaluation.tables import figure_rows, method_sentences, quartile_rows, say_p, subgroup_rows


def test_every_figure_is_a_row_and_every_method_is_said_once() -> None:
    judged = evaluate(
        make_out_of_fold(make_sample(90, 1)), EvaluationPlan((24.0, 400.0), 36.0, (6.0, 36.0), (0.4,), 100, 99)
    )
    rows = figure_rows(judged)
    assert [row["figure"] for row in rows] == [figure.name for figure in judged.figures]
    first = judged.figures[0]
    assert rows[0]["pooled (95 % interval)"] == str(first.pooled)
    assert first.folds is not None and rows[0]["p against chance"] == say_p(first.folds.p_value)
    late = next(row for row in rows if row["figure"] == "AUC at 400 months")
    assert late["pooled (95 % interval)"] == "not judged" and late["p against chance"] == ""
    assert next(row for row in rows if row["figure"] == "ICI at 24 months")["p against chance"] == ""
    said = method_sentences(judged)
    assert len(said) == len(set(said))
    assert sum(sentence.startswith("Naive:") for sentence in said) == 1
    assert any("400 months cannot be judged" in sentence for sentence in said)


def test_a_median_that_is_not_reached_is_said() -> None:
    sample = make_sample(60, 2)
    early = sample.events & (sample.log_risk > np.median(sample.log_risk))
    rows = quartile_rows(risk_quartiles(sample.times, early, sample.log_risk, 99))
    assert rows[0]["median months"] == "not reached" and rows[3]["median months"] != "not reached"


def test_a_refused_group_keeps_its_reason_and_few_patients_are_not_counted() -> None:
    (row,) = subgroup_rows([Subgroup("sex", "F", 15, 6, None, "15 patients with 6 events; 30 and 10 are needed")])
    said = "not judged: 15 patients with 6 events; 30 and 10 are needed"
    assert row == {"sex": "F", "n": 15, "events": 6, "figure (95 % interval)": said}
    (few,) = subgroup_rows([Subgroup("sex", "F", 9, 2, None, "9 patients with 2 events; 30 and 10 are needed")])
    assert few == {"sex": "F", "n": 9, "events": "< 5", "figure (95 % interval)": "not judged: too few"}


@pytest.mark.parametrize(("p_value", "said"), [(0.0004, "< 0.001"), (0.0496, "0.050"), (1.0, "1.000")])
def test_p_values(p_value: float, said: str) -> None:
    assert say_p(p_value) == said
