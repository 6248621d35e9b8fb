"""What ships is what the study judged: one case scored by the bundle and embedded by the study gets one log-risk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from made_up import SMALL, make_patient
from study_makers import make_configuration

from MemorySurvivalLib.bundle.bundle import as_float16, load_bundle
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.memory.backbone import build_backbone, weights_sha256
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.simulation.patient import Patient
from MemorySurvivalLib.study import models, shipping
from MemorySurvivalLib.study.cohorts import StudyCohort, read_cohort
from MemorySurvivalLib.study.configuration import Embedding, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import embed_cohorts, take_in
from MemorySurvivalLib.study.embedding import EmbeddedCase, embed_case
from MemorySurvivalLib.study.shipping import ship_study
from MemorySurvivalLib.study.shipping_heads import REGION, ShippedHead, choose_settings, fit_shipped, head_recipes
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.demonstration_heads import HEADS

PATIENTS = 40
READOUTS = ("mean", "max", "stations:4")


@pytest.fixture(scope="module")
def backbone() -> torch.nn.Module:
    return as_float16(build_backbone(SMALL, seed=3))


@pytest.fixture(scope="module")
def configuration(backbone: torch.nn.Module) -> StudyConfiguration:
    made = make_configuration(PATIENTS)
    embedding = msgspec.structs.replace(
        made.embedding,
        backbone_sha256=weights_sha256(backbone),  # type: ignore[arg-type]
        image_size=SMALL.image_size,
        rois=(REGION,),
        region_readouts=READOUTS,
        grid_readouts=(),
        average_maps={},
        small_maps={},
    )
    cohorts = tuple(msgspec.structs.replace(one, small_maps=0) for one in made.cohorts)
    return msgspec.structs.replace(made, embedding=embedding, cohorts=cohorts)


@pytest.fixture(scope="module")
def embedded(
    backbone: torch.nn.Module, configuration: StudyConfiguration, tmp_path_factory: pytest.TempPathFactory
) -> tuple[EmbeddedCase, ...]:
    """Three small patients as the study embeds them."""
    engine = MemoryEngine(backbone, torch.device("cpu"))  # type: ignore[arg-type]
    found = []
    for seed in range(3):
        patient = make_patient(tmp_path_factory.mktemp("patient"), seed=seed)
        case, masks = take_in(patient.ct, patient.pet, {REGION: patient.spine})
        found.append(embed_case(engine, case, masks, configuration.embedding, small_maps=False))
    return tuple(found)


def embed_all(configuration: StudyConfiguration, embedded: tuple[EmbeddedCase, ...], root: Path) -> None:
    """Cohorts whose numbers spread around those of really embedded cases, and know something of the disease."""

    def embed(patient: Patient, _settings: Embedding, _extras: object) -> EmbeddedCase:
        rng = np.random.default_rng(patient.image_seed)
        one, burden = embedded[patient.number % len(embedded)], float(np.log1p(patient.shown.tumour_ml))
        vectors = {
            key: (values.float() * torch.from_numpy(rng.normal(1 + 0.01 * burden, 0.05, len(values)))).half()
            for key, values in one.vectors.items()
        }
        statistics = {
            key: value * float(np.exp(rng.normal() * 0.3 + 0.1 * burden)) for key, value in one.statistics.items()
        }
        return EmbeddedCase(vectors, {}, {}, statistics, one.slices, 3 + patient.number % 2, 0.0)

    embed_cohorts(configuration, configuration.order, root, embed_one=embed)


@pytest.fixture(scope="module")
def parts(
    configuration: StudyConfiguration, embedded: tuple[EmbeddedCase, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("parts")
    embed_all(configuration, embedded, root)
    return root


def keep_heads(monkeypatch: pytest.MonkeyPatch) -> dict[str, ShippedHead]:
    """Filled with the heads as they are fitted."""
    kept: dict[str, ShippedHead] = {}

    def fit(name: str, *given: object) -> ShippedHead:
        kept[name] = fit_shipped(name, *given)  # type: ignore[arg-type]
        return kept[name]

    monkeypatch.setattr(shipping, "fit_shipped", fit)
    return kept


def as_cohort(case: EmbeddedCase, values: dict[str, str]) -> CohortData:
    """One embedded case, as models see it."""
    states = {key: vector[None, :, None, None] for key, vector in case.vectors.items()}
    statistics = {key: np.array([value]) for key, value in case.statistics.items()}
    return CohortData(("one",), np.ones(1), np.ones(1, dtype=np.bool_), (values,), statistics, states)


@pytest.mark.parametrize("readout", READOUTS)
def test_a_case_scored_by_the_bundle_has_the_log_risk_that_the_study_gives(
    configuration: StudyConfiguration,
    backbone: torch.nn.Module,
    parts: Path,
    embedded: tuple[EmbeddedCase, ...],
    tmp_path: Path,
    readout: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "WHOLE_SCAN", (readout,))
    fitted = keep_heads(monkeypatch)
    manifest = ship_study(configuration, parts, backbone, tmp_path / "x.msbundle")  # type: ignore[arg-type]
    assert manifest.propagation.readout == readout
    patient = make_patient(tmp_path, seed=1).written()
    development = read_cohort(configuration, "main-dev", "main", parts)
    values = {**development.data.covariates[0], "haemoglobin_g_dl": ""}
    (tmp_path / "covariates.json").write_text(json.dumps(values))
    one = as_cohort(embedded[1], values)
    for name, covariates in zip(HEADS, (None, tmp_path / "covariates.json"), strict=True):
        record = score_case(
            ScoreRequest(
                tmp_path / name,
                patient.ct_path,
                patient.pet_path,
                roi=patient.spine_path,
                covariates=covariates,
                bundle=str(tmp_path / "x.msbundle"),
                device="cpu",
                alignment="off",
            ),
            Models(),
        ).record
        assert record.risk.head == name
        own = float(fitted[name].fitted.log_risk(one)[0])
        risks = fitted[name].fitted.log_risk(development.data)
        # float16 vectors are off by a thousandth of a channel's spread; a wrong box or mean is off by all of it
        assert abs(record.risk.log_risk - own) < 0.005 * risks.std(), (record.risk.log_risk, own)
        assert {used.name for used in record.risk.statistics} == set(fitted[name].entry.spec.statistics)


def test_the_manifest_and_the_card_say_what_was_done(
    configuration: StudyConfiguration, backbone: torch.nn.Module, parts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.msbundle"
    manifest = ship_study(configuration, parts, backbone, path)  # type: ignore[arg-type]
    data = read_cohort(configuration, "main-dev", "main", parts).data
    assert (manifest.provenance.cases, manifest.provenance.events) == (PATIENTS, int(data.events.sum()))
    assert manifest.provenance.simulated and manifest.status == "demonstration"
    assert manifest.provenance.software["study"] == configuration.sha256
    assert manifest.propagation.inside and manifest.propagation.slice_step == configuration.embedding.first_step
    assert [head.name for head in manifest.heads] == list(HEADS)
    for head in manifest.heads:
        assert head.reference is not None and head.groups is not None and head.baseline is not None
        assert len(head.reference.log_risks) == PATIENTS
        metrics = head.metrics
        for name in ("held_out_c_index", "second_test_c_index"):
            assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    card = load_bundle(path).card
    assert "SIMULATED" in card and "Research use only, not a medical device" in card
    assert f"{PATIENTS // 2} of the {PATIENTS} patients to learn from" in card
    assert configuration.sha256 in card and "second-test" in card


def test_test_patients_decide_nothing(
    configuration: StudyConfiguration,
    backbone: torch.nn.Module,
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = ship_study(configuration, parts, backbone, tmp_path / "first.msbundle")  # type: ignore[arg-type]

    def read_turned(*given: object) -> StudyCohort:
        cohort = read_cohort(*given)  # type: ignore[arg-type]
        return cohort if cohort.name == "main-dev" else replace(cohort, data=turned(cohort.data))

    monkeypatch.setattr(shipping, "read_cohort", read_turned)
    second = ship_study(configuration, parts, backbone, tmp_path / "second.msbundle")  # type: ignore[arg-type]
    assert first.members["heads.safetensors"] == second.members["heads.safetensors"]
    assert first.propagation == second.propagation
    for one, other in zip(first.heads, second.heads, strict=True):
        assert (one.groups, one.baseline) == (other.groups, other.baseline)
        assert one.reference != other.reference and one.metrics != other.metrics


def turned(data: CohortData) -> CohortData:
    """Other patients: the outcomes of one with the images and values of another."""
    order = np.arange(len(data))[::-1]
    other = data.take(order)
    states = {key: values + 1 for key, values in other.states.items()}
    return replace(other, states=states, times_months=data.times_months, events=data.events)


def test_both_heads_share_the_readout_that_serves_both(configuration: StudyConfiguration, parts: Path) -> None:
    data = read_cohort(configuration, "main-dev", "main", parts).data
    recipes = head_recipes(configuration.embedding)
    readout, choices, folds = choose_settings(recipes, data, configuration.fitting, "main")
    totals = {}
    for name in READOUTS:
        only = [replace(one, alternatives=tuple(a for a in one.alternatives if a.name == name)) for one in recipes]
        totals[name] = sum(c.score or 0 for c in choose_settings(only, data, configuration.fitting, "main")[1])
    assert readout == max(totals, key=totals.__getitem__)
    assert {choice.alternative.name for choice in choices} == {readout}
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(PATIENTS))


def test_another_backbone_or_too_few_patients_are_refused(
    configuration: StudyConfiguration, backbone: torch.nn.Module, parts: Path, tmp_path: Path
) -> None:
    other = as_float16(build_backbone(SMALL, seed=4))
    with pytest.raises(InputError, match="the study embedded its patients with"):
        ship_study(configuration, parts, other, tmp_path / "x.msbundle")  # type: ignore[arg-type]
    wanting = msgspec.structs.replace(
        configuration, fitting=msgspec.structs.replace(configuration.fitting, smallest_test=PATIENTS + 1)
    )
    with pytest.raises(InputError, match="are needed for the reference"):
        ship_study(wanting, parts, backbone, tmp_path / "x.msbundle")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="asks nothing of the scenario"):
        ship_study(configuration, parts, backbone, tmp_path / "x.msbundle", scenario="second")  # type: ignore[arg-type]
    assert not (tmp_path / "x.msbundle").exists()
