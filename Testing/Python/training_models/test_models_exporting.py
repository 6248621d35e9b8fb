"""Models of one vector a patient become heads that score as the models do, also out of a bundle."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from made_up import make_head, make_manifest
from model_cohorts import QUICK, SCHEMA, change, make_cohort

from MemorySurvivalLib.bundle.bundle import save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry, describe_statistics
from MemorySurvivalLib.errors import BundleError, InputError
from MemorySurvivalLib.risk.covariates import encode_covariates
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.deep_surv import DeepSurv
from MemorySurvivalLib.training.models.exporting import FittedVector, export_vector
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.image import ExportedHead
from MemorySurvivalLib.training.stacked_mlp import StackedMlp

BOTH = StateVectors(("PET/mean", "CT/mean"))
ALL = VectorFeatures(SCHEMA, ("*",), BOTH)
WEIGHTS = BackboneEntry("sam2.1-compact", 256, "external", "0" * 64, "made up")


def cohort() -> CohortData:
    """With a statistic that some miss, one that is the same in all, and a channel that never varies."""
    data = make_cohort(50, 3)
    data.states["PET/mean"][:, 2] = 0.5
    hot = np.where(np.arange(50) % 6 == 1, np.nan, data.statistics["suv_max_g_ml"])
    return change(data, statistics={"suv_max_g_ml": hot, "volume_ml": 700})


def score_all(exported: ExportedHead, data: CohortData) -> list[float]:
    risks = []
    for row in range(len(data)):
        states = {m: data.states[f"{m}/{exported.readout}"][row].float()[None] for m in exported.head.spec.modalities}
        vector = encode_covariates(exported.covariates, data.covariates[row]).vector if exported.covariates else ()
        names = exported.head.spec.statistics
        measured = tuple(float(data.statistics[name][row]) for name in names) if names else None
        risks.append(float(exported.head.score(states, vector, measured).log_risk[0]))  # type: ignore[arg-type]
    return risks


@pytest.mark.parametrize(
    "model",
    [
        RidgeCox("ridge", ALL, 0.5),
        StackedMlp("mlp", ALL, learning_rate=1e-2, width=6, epochs=15),
        DeepSurv("deep", ALL, hidden=(8, 4), training=QUICK),
        RidgeCox("max", VectorFeatures(states=StateVectors(("PET/max",), "max")), 0.5),
        StackedMlp("axes", VectorFeatures(None, ("tlg_g",), StateVectors(("PET/mean",), components=2)), epochs=5),
    ],
    ids=lambda model: model.name,
)
def test_a_head_scores_as_its_model(model: RidgeCox | StackedMlp | DeepSurv, tmp_path: Path) -> None:
    data = cohort()
    fitted: FittedVector = model.fit(data, 1)
    exported = export_vector(model.name, fitted, (4, 4))
    expected = fitted.log_risk(data)
    assert np.std(expected) > 0.01
    assert score_all(exported, data) == pytest.approx(expected, abs=2e-5)
    spec = exported.head.spec
    entry = msgspec.structs.replace(
        make_head("a", None, 0)[1],
        spec=spec,
        covariates=exported.covariates,
        statistics=describe_statistics(spec.statistics),
    )
    loaded = save_bundle(tmp_path / "a.msbundle", make_manifest((entry,), WEIGHTS), {"a": exported.head}, "#", None)
    kept = ExportedHead(loaded.heads["a"], exported.readout, exported.covariates)
    assert score_all(kept, data) == score_all(exported, data)  # float32 is kept
    assert isinstance(loaded.heads["a"].deepsurv, torch.nn.Sequential)


def test_statistics_of_one_of_several_regions() -> None:
    data = cohort()
    named = change(data, statistics={"spine_dilated/tlg_g": data.statistics["tlg_g"], "skeleton/tlg_g": np.arange(50)})
    fitted = RidgeCox("ridge", VectorFeatures(None, ("spine_dilated/tlg_g",), BOTH)).fit(named, 0)
    exported = export_vector("ridge", fitted, (4, 4), "spine_dilated")
    assert exported.head.spec.statistics == ("tlg_g",)
    assert score_all(exported, data) == pytest.approx(fitted.log_risk(named), abs=2e-5)
    both = RidgeCox("ridge", VectorFeatures(None, ("spine_dilated/tlg_g", "skeleton/tlg_g"), BOTH)).fit(named, 0)
    with pytest.raises(InputError, match="takes skeleton/tlg_g, which scoring does not measure"):
        export_vector("ridge", both, (4, 4), "spine_dilated")


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (VectorFeatures(statistics=("tlg_g",)), "takes no memory states"),
        (VectorFeatures(states=StateVectors(("PET/mean",), "flatten")), 'pools states by "flatten"'),
        (VectorFeatures(states=StateVectors(("PET/mean", "PET/max"))), "takes one readout of PET, CT or both"),
        (VectorFeatures(states=StateVectors(("PET/mean", "CT/mean"), components=2)), "principal axes of PET and CT"),
        (VectorFeatures(None, ("lesion_tlg_g",), BOTH), "lesion_tlg_g, which scoring does not measure"),
        (VectorFeatures(None, ("hu_mean",), StateVectors(("PET/mean",))), "hu_mean without reading the CT"),
    ],
)
def test_what_no_bundle_can_score(features: VectorFeatures, said: str) -> None:
    data = change(make_cohort(40, 2), statistics={"lesion_tlg_g": np.arange(40), "hu_mean": np.arange(40)})
    with pytest.raises(InputError, match=said):
        export_vector("model", RidgeCox("model", features, 1.0).fit(data, 0), (4, 4))


def test_a_manifest_tells_what_its_heads_take(tmp_path: Path) -> None:
    exported = export_vector(
        "ridge", RidgeCox("ridge", VectorFeatures(None, ("tlg_g",), BOTH)).fit(cohort(), 0), (4, 4)
    )
    entry = msgspec.structs.replace(make_head("a", None, 0)[1], spec=exported.head.spec)
    good = describe_statistics(("tlg_g",))
    assert good is not None and good.entries[0].unit == "g" and "4" in good.entries[0].definition
    other = msgspec.structs.replace(good, version=99)
    strange = msgspec.structs.replace(good.entries[0], name="tlg")
    wrong = [
        (None, r"describes the statistics \[\]"),
        (describe_statistics(("mtv_ml",)), "its network takes"),
        (other, "version 99 of their definitions"),
    ]
    for statistics, said in wrong:
        manifest = make_manifest((msgspec.structs.replace(entry, statistics=statistics),), WEIGHTS)
        with pytest.raises(BundleError, match=said):
            save_bundle(tmp_path / "a.msbundle", manifest, {"a": exported.head}, "#", None)
    spec = msgspec.structs.replace(exported.head.spec, statistics=("tlg",))
    manifest = make_manifest(
        (msgspec.structs.replace(entry, spec=spec, statistics=msgspec.structs.replace(good, entries=(strange,))),),
        WEIGHTS,
    )
    with pytest.raises(BundleError, match="'tlg', which this program does not measure"):
        save_bundle(tmp_path / "a.msbundle", manifest, {"a": exported.head}, "#", None)
