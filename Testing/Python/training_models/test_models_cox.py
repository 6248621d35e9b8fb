"""Ridge Cox agrees with lifelines, with published coefficients and with numbers worked out otherwise."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from model_cohorts import SCHEMA, change, held_out_c, make_cohort

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.models.cox import PartialLikelihood, RidgeCox, fit_cox
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.partial_likelihood import cox_loss
from Testing.Benchmarks.deepsurv_references import KRALL, KRALL_TOLERANCE, read_krall

CLINICAL = VectorFeatures(clinical=SCHEMA)
STATISTICS = VectorFeatures(statistics=("*",))


@pytest.mark.parametrize("penalty", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("months", [0.1, 6.0])
def test_both_engines_agree(penalty: float, months: float) -> None:
    data = make_cohort(80, seed=2)
    tied = change(data, times=np.maximum(np.round(data.times_months / months) * months, months))
    ours = RidgeCox("ours", CLINICAL, penalty or 0.02).fit(tied, 0)
    theirs = RidgeCox("theirs", CLINICAL, penalty or 0.02, engine="lifelines").fit(tied, 0)
    assert ours.coefficients == pytest.approx(theirs.coefficients, abs=2e-4)
    plain = VectorFeatures(statistics=("*",))
    ours, theirs = (RidgeCox(e, plain, penalty, engine=e).fit(tied, 0) for e in ("newton", "lifelines"))
    assert ours.coefficients == pytest.approx(theirs.coefficients, abs=2e-4)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("months", [0.0, 10.0])
def test_value_gradient_and_curvature_are_those_of_the_likelihood(
    ties: Literal["efron", "breslow"], months: float
) -> None:
    rng = np.random.default_rng(3)
    z, beta = rng.normal(size=(30, 3)), rng.normal(size=3)
    times = rng.exponential(20, 30) + 1
    times = np.sort(np.ceil(times / months) * months if months else times)
    events = rng.random(30) < 0.7
    likelihood = PartialLikelihood(z, times, events, ties)
    value, gradient, hessian = likelihood.at(beta)
    assert value == pytest.approx(_by_definition(z @ beta, times, events, ties))
    for axis in range(3):
        step = np.eye(3)[axis] * 1e-5
        up, down = likelihood.at(beta + step), likelihood.at(beta - step)
        assert gradient[axis] == pytest.approx((up[0] - down[0]) / 2e-5, rel=1e-5, abs=1e-6)
        assert -hessian[axis] == pytest.approx((up[1] - down[1]) / 2e-5, rel=1e-5, abs=1e-6)
    if ties == "efron":
        loss = cox_loss(
            *(torch.from_numpy(a) for a in ((z @ beta).astype(np.float32), times.astype(np.float32), events))
        )
        assert float(loss) == pytest.approx(-value / events.sum(), rel=1e-5)


def _by_definition(eta: np.ndarray, times: np.ndarray, events: np.ndarray, ties: str) -> float:
    total = 0.0
    for time in np.unique(times[events]):
        tied = events & (times == time)
        at_risk, deaths = np.exp(eta[times >= time]).sum(), np.exp(eta[tied]).sum()
        count = int(tied.sum())
        for number in range(count):
            taken = number / count * deaths if ties == "efron" else 0.0
            total -= np.log(at_risk - taken)
        total += eta[tied].sum()
    return total


@pytest.mark.parametrize("extra", ["with torchsurv", "without"])
def test_the_loss_does_not_depend_on_the_order_of_tied_rows_and_survives_large_risks(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if extra == "without":  # as in Slicer
        monkeypatch.setitem(sys.modules, "torchsurv.loss.cox", None)
    rng = np.random.default_rng(4)
    risk, times = torch.from_numpy(rng.normal(size=40)).float(), torch.from_numpy(rng.integers(1, 5, 40)).float()
    events, order = torch.from_numpy(rng.random(40) < 0.6), torch.from_numpy(rng.permutation(40))
    plain = float(cox_loss(risk, times, events))
    by_definition = _by_definition(risk.double().numpy(), times.numpy(), events.numpy(), "efron")
    assert plain == pytest.approx(-by_definition / int(events.sum()), rel=1e-5)
    assert float(cox_loss(risk[order], times[order], events[order])) == pytest.approx(plain, rel=1e-5)
    assert float(cox_loss(risk + 200, times, events)) == pytest.approx(plain, rel=1e-4)
    assert float(cox_loss(risk, times, torch.zeros(40, dtype=torch.bool))) == 0
    assert torch.isnan(cox_loss(risk * torch.nan, times, events))


@pytest.mark.real_data
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_published_coefficients_of_a_myeloma_table(ties: Literal["efron", "breslow"], real_data: Path) -> None:
    columns = read_krall(real_data / "survival" / "krall" / "krall_myeloma.csv")
    x = np.stack([columns["LogBUN"], columns["HGB"]], axis=1)
    beta = fit_cox(x, columns["Time"], columns["VStatus"] > 0, 0.0, ties)
    assert beta == pytest.approx(KRALL[ties], abs=KRALL_TOLERANCE)


@pytest.mark.parametrize(
    "features",
    [
        CLINICAL,
        STATISTICS,
        VectorFeatures(SCHEMA, ("tlg_g",), StateVectors(("PET/mean", "CT/mean"))),
        VectorFeatures(states=StateVectors(("PET/mean",), "max")),
        VectorFeatures(states=StateVectors(("PET/mean",), "flatten", components=5)),
        VectorFeatures(states=StateVectors(("PET/mean",), "region", region_key="PET/region")),
    ],
)
def test_finds_a_planted_hazard_and_nothing_in_noise(features: VectorFeatures) -> None:
    model = RidgeCox("ridge", features, 0.1)
    assert held_out_c(model, make_cohort(100, 5), make_cohort(150, 6)) >= 0.68
    noise = [held_out_c(model, make_cohort(100, 2 * s, 0.0), make_cohort(150, 2 * s + 1, 0.0)) for s in range(20, 24)]
    assert 0.43 <= np.mean(noise) <= 0.57


def test_mean_zero_on_training_patients_and_a_fingerprint_of_all_that_was_fitted() -> None:
    data, other = make_cohort(60, 7), make_cohort(60, 8)
    model = RidgeCox("ridge", VectorFeatures(SCHEMA, ("*",)), 0.1)
    fitted = model.fit(data, 0)
    assert fitted.log_risk(data).mean() == pytest.approx(0, abs=1e-12)
    assert fitted.fingerprint() == model.fit(data, 5).fingerprint()
    assert fitted.fingerprint() != model.fit(other, 0).fingerprint()
    assert fitted.fingerprint() != dataclasses.replace(model, penalty=0.2).fit(data, 0).fingerprint()
    before = fitted.fingerprint()
    alone = fitted.log_risk(other.take(np.array([3])))
    assert alone[0] == pytest.approx(fitted.log_risk(other)[3], abs=1e-12)
    assert fitted.fingerprint() == before


def test_separated_columns_need_a_penalty() -> None:
    data = make_cohort(40, 9)
    # The higher the statistic the earlier the event, without an exception.
    separated = change(
        data, events=True, times=np.arange(40) + 1, statistics={"tlg_g": np.sinh(1 - np.arange(40) / 40)}
    )
    features = VectorFeatures(statistics=("tlg_g",))
    with pytest.raises(InputError, match="give a penalty above 0"):
        RidgeCox("none", features, 0.0).fit(separated, 0)
    assert np.isfinite(RidgeCox("ridge", features, 0.1).fit(separated, 0).log_risk(separated)).all()


def test_repeated_columns_need_a_penalty() -> None:
    data = make_cohort(40, 10)
    twice = change(data, statistics={"again": data.statistics["tlg_g"]})
    with pytest.raises(InputError, match="repeat each other"):
        RidgeCox("none", VectorFeatures(statistics=("tlg_g", "again")), 0.0).fit(twice, 0)
    beta = RidgeCox("ridge", VectorFeatures(statistics=("tlg_g", "again")), 0.1).fit(twice, 0).coefficients
    assert beta[0] == pytest.approx(beta[1])


@pytest.mark.parametrize(
    "make", [lambda: RidgeCox("x", CLINICAL, -1), lambda: RidgeCox("x", CLINICAL, ties="breslow", engine="lifelines")]
)
def test_recipes_that_cannot_be_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"penalty|ties"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("penalty", [1e-3, 1e-2])
def test_a_step_that_leaves_patients_no_risk_at_all_is_shortened(penalty: float) -> None:
    """Values over many magnitudes make Newton's first step so long that relative risks vanish in the arithmetic."""
    rng = np.random.default_rng(56)
    x = rng.lognormal(0, 3, size=(60, 200))
    times, events = rng.exponential(20, 60), rng.random(60) < 0.9
    beta = fit_cox(x, times, events, penalty)
    assert np.isfinite(beta).all() and np.abs(beta).max() > 0
    order = np.argsort(times)
    spread = x.std(axis=0, ddof=1)
    z = ((x - x.mean(axis=0)) / spread)[order]
    value, gradient, _hessian = PartialLikelihood(z, times[order], events[order], "efron").at(beta * spread)
    assert np.isfinite(value)
    assert np.abs(gradient / 60 - penalty * beta * spread).max() < 1e-4, "where the slope vanishes"
