"""Small cohorts with a planted hazard that the tests of the models make up."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from lifelines.utils import concordance_index

from MemorySurvivalLib.risk.covariates import CategoricalCovariate, ContinuousCovariate, CovariateSchema
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.survival_model import SurvivalModel

SCHEMA = CovariateSchema(
    (
        ContinuousCovariate("age_years", "years", 18, 110, 0, 1),
        ContinuousCovariate("creatinine_mg_dl", "mg/dL", 0.1, 20, 0, 1, "log"),
    ),
    (CategoricalCovariate("sex", ("male", "female"), ()), CategoricalCovariate("r_iss", ("I", "II", "III"), ())),
)

QUICK = TrainingConfig(epochs=12, patience=12, learning_rate=1e-2, weight_decay=0.01)


def make_cohort(n: int = 60, seed: int = 0, effect: float = 1.0, shape: tuple[int, int, int] = (4, 4, 4)) -> CohortData:
    """Times follow a hazard that age, the statistic TLG and the first channel of the PET states all show."""
    rng = np.random.default_rng(seed)
    hazard = effect * rng.normal(size=n)
    event_months = rng.exponential(30 * np.exp(-hazard))
    censored_months = rng.uniform(20, 80, n)
    states = {key: rng.normal(size=(n, *shape)).astype(np.float32) for key in ("PET/mean", "PET/max", "CT/mean")}
    states["PET/mean"][:, 0] += 2 * hazard[:, None, None]
    region = np.zeros((n, 1, *shape[1:]), dtype=np.float32)
    region[:, :, :2] = 1
    rows = tuple(
        {
            "patient_id": f"P{i}",
            "age_years": "" if i % 9 == 4 else f"{60 + 8 * hazard[i] + rng.normal():.1f}",
            "creatinine_mg_dl": f"{np.exp(0.2 * rng.normal()):.3f}",
            "sex": "male" if rng.random() < 0.6 else "female",
            "r_iss": "" if i % 7 == 3 else ("I", "II", "III")[int(np.clip(np.round(hazard[i] + 1), 0, 2))],
        }
        for i in range(n)
    )
    return CohortData(
        tuple(f"P{i}" for i in range(n)),
        np.maximum(np.round(np.minimum(event_months, censored_months), 1), 0.1),
        event_months <= censored_months,
        rows,
        {"tlg_g": np.exp(5 + hazard + 0.3 * rng.normal(size=n)), "suv_max_g_ml": 3 + rng.random(n)},
        {**{key: torch.from_numpy(s).half() for key, s in states.items()}, "PET/region": torch.from_numpy(region)},
        simulated=True,
    )


def change(
    data: CohortData,
    *,
    covariates: Mapping[str, str] | None = None,
    times: object = None,
    events: object = None,
    statistics: Mapping[str, object] | None = None,
) -> CohortData:
    """A copy with every row's covariates, all times, all events or some statistics set anew."""
    n = len(data)
    return dataclasses.replace(
        data,
        covariates=tuple({**row, **(covariates or {})} for row in data.covariates),
        times_months=data.times_months if times is None else np.broadcast_to(np.asarray(times, dtype=float), n).copy(),
        events=data.events if events is None else np.broadcast_to(np.asarray(events, dtype=bool), n).copy(),
        statistics={
            **data.statistics,
            **{k: np.broadcast_to(np.asarray(v, dtype=float), n).copy() for k, v in (statistics or {}).items()},
        },
    )


def held_out_c(model: SurvivalModel, training: CohortData, other: CohortData) -> float:
    """Harrell's c of a model on patients that it never saw."""
    risks = model.fit(training, 1).log_risk(other)
    return float(concordance_index(other.times_months, -risks, other.events))
