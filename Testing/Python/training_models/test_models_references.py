"""DeepSurv on public tables reaches what others report; the figure `deepsurv-references` has all folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lifelines.utils import concordance_index

from Testing.Benchmarks.deepsurv_references import DATA_SETS, DEEP_SURV, GOALS, make_folds, read_deepsurv


@pytest.mark.real_data
@pytest.mark.parametrize("name", DATA_SETS)
def test_deep_surv_on_the_published_split(name: str, real_data: Path) -> None:
    data, published = read_deepsurv(real_data / "survival" / "deepsurv" / DATA_SETS[name])
    test = data.take(np.arange(published, len(data)))
    risks = DEEP_SURV.fit(data.take(np.arange(published)), 0).log_risk(test)
    assert concordance_index(test.times_months, -risks, test.events) >= GOALS[name]


@pytest.mark.real_data
def test_the_five_folds_share_no_patient_and_leave_none_out(real_data: Path) -> None:
    data, published = read_deepsurv(real_data / "survival" / "deepsurv" / DATA_SETS["METABRIC"])
    assert (len(data), published) == (1904, 1523)
    folds = make_folds(data)
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(len(data)))
    assert all(not set(training) & set(test) for training, test in folds)
    shares = [data.events[test].mean() for _, test in folds]
    assert max(shares) - min(shares) < 0.01
