"""What ships is what the study judged: one case scored by the bundle and embedded by the study gets one log-risk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import torch
from backbone_cards import make_card
from made_up import SMALL, make_patient, make_reader
from study_makers import make_configuration

from MemorySurvivalLib.bundle.backbone_training import TRAINING_CARD
from MemorySurvivalLib.bundle.bundle import ModelBundle, as_float16, load_bundle
from MemorySurvivalLib.bundle.manifest import Manifest
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.memory.backbone import build_backbone, weights_sha256
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.lesion_reader import KINDS, LesionReader, reader_sha256
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, embed_case
from MemorySurvivalLib.preparing import Run, ignore_note
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.scoring import needed_statistics, score_states
from MemorySurvivalLib.simulation.patient import Patient
from MemorySurvivalLib.study import __main__ as command
from MemorySurvivalLib.study import embedding, readings, shipping, shipping_heads
from MemorySurvivalLib.study.cohorts import StudyCohort, read_cohort
from MemorySurvivalLib.study.configuration import CLOSE, Embedding, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import embed_cohorts, take_in
from MemorySurvivalLib.study.embedding import EmbeddedCase
from MemorySurvivalLib.study.lesion_reader import ReaderCard
from MemorySurvivalLib.study.models import deep_recipe
from MemorySurvivalLib.study.readings import split_pooled
from MemorySurvivalLib.study.shipping import ship_study
from MemorySurvivalLib.study.shipping_heads import (
    REGION,
    ShippedHead,
    choose_settings,
    fit_shipped,
    head_recipes,
    reading_of,
)
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.demonstration_heads import HEADS
from MemorySurvivalLib.training.lesion_reader import ReaderRecipe
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.tuning import Recipe

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

PATIENTS = 40
READOUTS = (
    "mean",
    "stations:4",
    "mean of peaks",
    "max of peaks",
    "mean of lesions close up",
    "max of lesions close up",
    "tops:3 of lesions close up",
)

SAME_SDS = 5e-3
"""float16 vectors and six digits of a statistic are off by thousandths of their spread."""


@dataclass(frozen=True, eq=False)
class Shipped:
    """A bundle as it was written, and the heads as they were fitted."""

    path: Path
    manifest: Manifest
    heads: Mapping[str, ShippedHead]


@pytest.fixture(scope="module", autouse=True)
def small_reader() -> Iterator[None]:
    """Heads that read lesions ship with a reader of the small backbone."""
    reader = make_reader()
    card = ReaderCard("simulated", reader_sha256(reader), KINDS, "", "main", "", 1, 2, 30, 10, ReaderRecipe(), {}, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipping, "load_reader", lambda: (reader, card))
        yield


@pytest.fixture(scope="module", autouse=True)
def short_trainings() -> Iterator[None]:
    """Networks learn for twelve epochs: what ships has to be what was fitted, not good."""

    def make(*given: object, **named: object) -> Recipe:
        recipe = deep_recipe(*given, **named)  # type: ignore[arg-type]
        bases = [one.base for one in recipe.alternatives]
        short = [replace(base, training=TrainingConfig(epochs=12)) for base in bases if isinstance(base, ImageModel)]
        pairs = zip(recipe.alternatives, short, strict=True)
        return replace(recipe, alternatives=tuple(replace(one, base=base) for one, base in pairs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipping_heads, "deep_recipe", make)
        yield


@pytest.fixture(scope="module")
def backbone() -> SAM2Base:
    network: SAM2Base = build_backbone(SMALL, seed=3)
    as_float16(network)
    return network


@pytest.fixture(scope="module")
def configuration(backbone: SAM2Base) -> StudyConfiguration:
    made = make_configuration(PATIENTS)
    reader = reader_sha256(make_reader())
    settings = msgspec.structs.replace(
        made.embedding,
        backbone_sha256=weights_sha256(backbone),
        image_size=SMALL.image_size,
        rois=(REGION,),
        region_readouts=("mean", "stations:4"),
        peak_readouts=("mean", "max"),
        grid_readouts=(),
        average_maps={},
        small_maps={},
        close_up=msgspec.structs.replace(made.embedding.close_up, image_size=SMALL.image_size, reader_sha256=reader),
    )
    return msgspec.structs.replace(made, embedding=settings)


@pytest.fixture(scope="module")
def embedded(
    backbone: SAM2Base, configuration: StudyConfiguration, tmp_path_factory: pytest.TempPathFactory
) -> tuple[EmbeddedCase, ...]:
    """Three small patients as the study embeds them."""
    engine = MemoryEngine(backbone, torch.device("cpu"), reader=make_reader())
    found = []
    for seed in range(3):
        patient = make_patient(tmp_path_factory.mktemp("patient"), seed=seed)
        case, masks = take_in(patient.ct, patient.pet, {REGION: patient.spine})
        ways = [
            embedding.embed_case(engine, case, masks, settings, small_maps=False)
            for settings in configuration.embedding.ways
        ]
        found.append(replace(ways[0], vectors={key: v for one in ways for key, v in one.vectors.items()}))
    return tuple(found)


@pytest.fixture(scope="module")
def parts(
    configuration: StudyConfiguration, embedded: tuple[EmbeddedCase, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Cohorts whose numbers spread around those of really embedded cases, and know something of the disease."""

    def embed(patient: Patient, settings: Embedding, _extras: object) -> EmbeddedCase:
        rng = np.random.default_rng(patient.image_seed)
        one, burden = embedded[patient.number % len(embedded)], float(np.log1p(patient.shown.tumour_ml))
        vectors = {
            key: (values.float() * torch.from_numpy(rng.normal(1 + 0.01 * burden, 0.05, len(values)))).half()
            for key, values in one.vectors.items()
            if key.rpartition("/")[2].startswith(CLOSE) == (settings.close_up_mm is not None)
        }
        statistics = {
            key: value * float(np.exp(rng.normal() * 0.3 + 0.1 * burden)) for key, value in one.statistics.items()
        }
        return EmbeddedCase(vectors, {}, {}, statistics, one.slices, 3 + patient.number % 2, 0.0)

    root = tmp_path_factory.mktemp("parts")
    embed_cohorts(configuration, configuration.order, root, embed_one=embed)
    return root


@pytest.fixture(scope="module")
def shipped(
    configuration: StudyConfiguration, backbone: SAM2Base, parts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Shipped:
    path = tmp_path_factory.mktemp("bundle") / "shipped.msbundle"
    training = {TRAINING_CARD: make_card(weights_sha256(backbone))}
    with pytest.MonkeyPatch.context() as patch:
        heads = keep_heads(patch)
        return Shipped(path, ship_study(configuration, parts, backbone, path, backbone_training=training), heads)


def keep_heads(patch: pytest.MonkeyPatch) -> dict[str, ShippedHead]:
    """Filled with the heads as they are fitted."""
    kept: dict[str, ShippedHead] = {}

    def fit(name: str, *given: object) -> ShippedHead:
        kept[name] = fit_shipped(name, *given)  # type: ignore[arg-type]
        return kept[name]

    patch.setattr(shipping, "fit_shipped", fit)
    return kept


def ship_unwritten(
    configuration: StudyConfiguration, parts: Path, backbone: SAM2Base, like: Path, patch: pytest.MonkeyPatch
) -> ModelBundle:
    """The bundle that would be written; packing a backbone takes half a second. What it lacks is taken from `like`."""
    made: list[ModelBundle] = []

    def keep(
        _path: Path,
        manifest: Manifest,
        heads: Mapping[str, RiskHead],
        _card: str,
        _backbone: object,
        _training: object,
        reader: LesionReader | None,
    ) -> ModelBundle:
        made.append(ModelBundle(replace(load_bundle(like).archive, manifest=manifest), heads, reader))
        return made[0]

    patch.setattr(shipping, "save_bundle", keep)
    card = {TRAINING_CARD: make_card(weights_sha256(backbone))}
    ship_study(configuration, parts, backbone, like.with_name("unwritten.msbundle"), backbone_training=card)
    return made[0]


def as_cohort(case: EmbeddedCase, values: Mapping[str, str]) -> CohortData:
    """One embedded case, as models see it."""
    states = {key: vector[None, :, None, None] for key, vector in case.vectors.items()}
    statistics = {key: np.array([value]) for key, value in case.statistics.items()}
    return CohortData(("one",), np.ones(1), np.ones(1, dtype=np.bool_), (values,), statistics, states)


def difference_in_sds(log_risk: float, head: ShippedHead, case: CohortData, development: CohortData) -> float:
    """How far a log-risk is from the study's, in SDs of the development patients' log-risks."""
    return float(abs(log_risk - head.fitted.log_risk(case)[0]) / head.fitted.log_risk(development).std())


def test_the_bundle_gives_a_case_the_log_risk_that_the_study_gives(
    configuration: StudyConfiguration,
    parts: Path,
    embedded: tuple[EmbeddedCase, ...],
    shipped: Shipped,
    tmp_path: Path,
) -> None:
    patient = make_patient(tmp_path, seed=1).written()
    request = ScoreRequest(
        tmp_path / "result",
        patient.ct_path,
        patient.pet_path,
        roi=patient.spine_path,
        bundle=str(shipped.path),
        device="cpu",
        alignment="off",
    )
    run = Run(request, Models(), load_bundle(shipped.path), torch.device("cpu"), ignore_progress, ignore_note)
    development = read_cohort(configuration, "main-dev", "main", parts).data
    values = {**development.covariates[0], "haemoglobin_g_dl": ""}
    for name, given in zip(HEADS, (None, values), strict=True):
        risk = run.score(given, None).risk
        head = shipped.heads[name]
        assert risk.head == name
        assert difference_in_sds(risk.log_risk, head, as_cohort(embedded[1], values), development) < SAME_SDS
        # The other head may lean on clinical values, which are the same here.
        if given is None:
            assert difference_in_sds(risk.log_risk, head, as_cohort(embedded[2], values), development) > SAME_SDS
        assert tuple(one.name for one in risk.statistics) == head.entry.spec.statistics


@pytest.mark.parametrize("kind", [RidgeCox, ImageModel])
@pytest.mark.parametrize("readout", READOUTS)
def test_so_does_every_readout_and_kind_that_may_be_chosen(
    configuration: StudyConfiguration,
    backbone: SAM2Base,
    parts: Path,
    embedded: tuple[EmbeddedCase, ...],
    shipped: Shipped,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    readout: str,
    kind: type,
) -> None:
    readout_alone, inside, close = split_pooled(readout)
    pooling = {"peak": "peak", "lesions": "lesions"}.get(str(inside), "region")
    monkeypatch.setattr(readings, "WHOLE_SCAN", ((readout_alone, f"{CLOSE}{pooling}" if close else pooling),))
    monkeypatch.setattr(shipping, "head_recipes", lambda settings: only_of(kind, head_recipes(settings)))
    heads = keep_heads(monkeypatch)
    bundle = ship_unwritten(configuration, parts, backbone, shipped.path, monkeypatch)
    propagation = bundle.manifest.propagation
    assert (propagation.readout, propagation.inside) == (readout_alone, inside)
    assert (propagation.close_up_mm is not None) == close
    entry = bundle.manifest.backbone.reader
    assert (entry is not None) == (inside == "lesions") == (bundle.reader is not None)
    assert entry is None or (entry.kinds, entry.simulated_cases) == (KINDS, 30)
    patient = make_patient(tmp_path, seed=1)
    case, mask = make_case(patient.ct, patient.pet), patient.spine.with_voxels(patient.spine.voxels > 0)
    engine = MemoryEngine(backbone, torch.device("cpu"), reader=bundle.reader)
    passes = embed_case(engine, bundle, case, Roi(mask, REGION, "test"))
    development = read_cohort(configuration, "main-dev", "main", parts).data
    values = development.covariates[3]
    measured = {name: embedded[1].statistics[f"{REGION}/{name}"] for name in needed_statistics(bundle)}
    risk = score_states(
        bundle,
        {modality: one.readout.state() for modality, one in passes.items()},
        values,
        simulated_case=False,
        other_roi=False,
        statistics=measured,
    )
    assert difference_in_sds(risk.log_risk, heads[risk.head], as_cohort(embedded[1], values), development) < SAME_SDS


def test_another_lesion_reader_than_the_one_that_read_the_cohorts_is_refused(
    configuration: StudyConfiguration,
    backbone: SAM2Base,
    parts: Path,
    shipped: Shipped,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readings, "WHOLE_SCAN", (("mean", f"{CLOSE}lesions"),))
    reader, card = shipping.load_reader()
    other = msgspec.structs.replace(card, sha256="0" * 64)
    monkeypatch.setattr(shipping, "load_reader", lambda: (reader, other))
    with pytest.raises(InputError, match="embedded with another lesion reader than 000000000000"):
        ship_unwritten(configuration, parts, backbone, shipped.path, monkeypatch)


def only_of(kind: type, recipes: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """The searches with one kind of model."""
    return tuple(
        replace(one, alternatives=tuple(a for a in one.alternatives if type(a.base) is kind)) for one in recipes
    )


@pytest.mark.parametrize(("most_slices", "step"), [(48, 3), (4, 4), (2, 7)])
def test_a_long_scan_with_a_gap_is_read_on_the_studys_slices(
    configuration: StudyConfiguration, backbone: SAM2Base, shipped: Shipped, most_slices: int, step: int
) -> None:
    """Also where the study raises its step, whatever the skeleton needs."""
    settings = msgspec.structs.replace(configuration.embedding, most_slices=most_slices, rois=(REGION, "skeleton"))
    patient = make_patient(Path(), seed=1)
    spine, bones = patient.spine.voxels > 0, patient.spine.voxels > 0
    spine[14] = False
    bones[:, 10:36, 12:36] = True
    case, masks = make_case(patient.ct, patient.pet), {REGION: spine, "skeleton": bones}
    engine = MemoryEngine(backbone, torch.device("cpu"))
    given = {kind: patient.spine.with_voxels(voxels) for kind, voxels in masks.items()}
    studied = embedding.embed_case(engine, case, given, settings, small_maps=False)
    bundle = load_bundle(shipped.path)
    manifest = msgspec.structs.replace(
        bundle.manifest, propagation=shipping.shipped_propagation(settings, "stations:4")
    )
    bundle = replace(bundle, archive=replace(bundle.archive, manifest=manifest))
    passes = embed_case(engine, bundle, case, Roi(given[REGION], REGION, "test"))
    used = np.flatnonzero(spine.any(axis=(1, 2)))[::-1][::step]
    assert (studied.step, studied.slices[REGION]) == (step, len(used))
    for modality, one in passes.items():
        assert [box.z for box in one.boxes] == list(used)
        expected = studied.vectors[f"{modality}/{REGION}/stations:4/region"].float()
        torch.testing.assert_close(one.readout.state().flatten(), expected, rtol=2e-3, atol=2e-3)


def test_the_manifest_and_the_card_say_what_was_done(
    configuration: StudyConfiguration, parts: Path, shipped: Shipped
) -> None:
    manifest = shipped.manifest
    data = read_cohort(configuration, "main-dev", "main", parts).data
    assert (manifest.provenance.cases, manifest.provenance.events) == (PATIENTS, int(data.events.sum()))
    assert manifest.provenance.simulated and manifest.status == "demonstration"
    assert manifest.provenance.software["study"] == configuration.sha256
    assert manifest.propagation.inside and manifest.propagation.slice_step == configuration.embedding.first_step
    judged, ships = configuration.explaining, manifest.explain
    assert (ships.patch_mm, ships.stride_mm, ships.fill) == (judged.patch_mm, judged.stride_mm, judged.fill)
    assert ships.modalities == ("PET",)
    assert [head.name for head in manifest.heads] == list(HEADS)
    assert [head.covariates is None for head in manifest.heads] == [True, False]
    for head in manifest.heads:
        assert head.reference is not None and head.groups is not None and head.baseline is not None
        assert len(head.reference.log_risks) == PATIENTS
        metrics = head.metrics
        for name in ("held_out_c_index", "second_test_c_index"):
            assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    bundle = load_bundle(shipped.path)
    assert set(bundle.backbone_training) == {TRAINING_CARD} and not manifest.backbone.simulated_only
    assert "the backbone learned from" in manifest.provenance.population and "its heads" in manifest.title
    card = bundle.card
    assert "How the backbone was trained" in card
    assert "SIMULATED" in card and "Research use only, not a medical device" in card
    assert manifest.propagation.most_slices == configuration.embedding.most_slices == 48
    assert "or as few as give at most\n  48 slices" in card
    assert configuration.sha256 in card and "second-test" in card


def test_the_command_hands_the_trainings_weights_on(
    configuration: StudyConfiguration, backbone: SAM2Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}

    def ship(*positional: object, **named: object) -> None:
        given.update(zip(("configuration", "parts", "backbone", "out", "progress"), positional, strict=True), **named)

    monkeypatch.setattr(command, "load_configuration", lambda: configuration)
    monkeypatch.setattr(command, "load_compact", lambda place: (backbone, {TRAINING_CARD: str(place).encode()}))
    monkeypatch.setattr(command, "ship_study", ship)
    out = str(tmp_path / "x.msbundle")
    assert command.main(["bundle", "--parts", str(tmp_path), "--out", out, "--backbone", "trained"]) == 0
    del given["progress"]
    assert given == {
        "configuration": configuration,
        "parts": tmp_path,
        "backbone": backbone,
        "out": Path(out),
        "backbone_training": {TRAINING_CARD: b"trained"},
    }


def test_test_patients_decide_nothing(
    configuration: StudyConfiguration,
    backbone: SAM2Base,
    parts: Path,
    shipped: Shipped,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reference and metrics change with other test patients, all that was fitted stays."""

    def read_turned(*given: object) -> StudyCohort:
        cohort = read_cohort(*given)  # type: ignore[arg-type]
        return cohort if cohort.name == "main-dev" else replace(cohort, data=turned(cohort.data))

    monkeypatch.setattr(shipping, "read_cohort", read_turned)
    heads = keep_heads(monkeypatch)
    other = ship_unwritten(configuration, parts, backbone, shipped.path, monkeypatch).manifest
    assert other.propagation == shipped.manifest.propagation
    for before, after in zip(shipped.manifest.heads, other.heads, strict=True):
        assert heads[before.name].fitted.fingerprint() == shipped.heads[before.name].fitted.fingerprint()
        assert (before.groups, before.baseline) == (after.groups, after.baseline)
        assert before.reference != after.reference and before.metrics != after.metrics


def turned(data: CohortData) -> CohortData:
    """Other patients: the outcomes of one with other images and the values of another."""
    other = data.take(np.arange(len(data))[::-1])
    states = {key: values + 1 for key, values in other.states.items()}
    return replace(other, states=states, times_months=data.times_months, events=data.events)


def test_both_heads_share_the_readout_that_serves_both(configuration: StudyConfiguration, parts: Path) -> None:
    data = read_cohort(configuration, "main-dev", "main", parts).data
    recipes = head_recipes(configuration.embedding)
    readout, choices, folds = choose_settings(recipes, data, configuration.fitting, "main")
    totals = {}
    for name in READOUTS:
        only = [
            replace(one, alternatives=tuple(a for a in one.alternatives if reading_of(a) == name)) for one in recipes
        ]
        totals[name] = sum(c.score or 0 for c in choose_settings(only, data, configuration.fitting, "main")[1])
    assert readout == max(totals, key=totals.__getitem__)
    assert {reading_of(choice.alternative) for choice in choices} == {readout}
    kinds = {(reading_of(a), type(a.base)) for a in recipes[0].alternatives}
    assert kinds == {(name, kind) for name in READOUTS for kind in (RidgeCox, ImageModel)}
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(PATIENTS))


def test_another_or_an_unknown_backbone_and_too_few_patients_are_refused(
    configuration: StudyConfiguration, backbone: SAM2Base, parts: Path, tmp_path: Path
) -> None:
    def ship(changed: StudyConfiguration, sha256: str = "", scenario: str = "main") -> None:
        card = {TRAINING_CARD: make_card(sha256)} if sha256 else {}
        ship_study(changed, parts, backbone, out, scenario=scenario, backbone_training=card)

    out, known = tmp_path / "x.msbundle", weights_sha256(backbone)
    trained = msgspec.structs.replace(configuration.embedding, backbone_sha256="0" * 64)
    with pytest.raises(InputError, match="the study embedded its patients with"):
        ship(msgspec.structs.replace(configuration, embedding=trained), known)
    with pytest.raises(InputError, match="learned from is not known"):
        ship(configuration)
    fitting = msgspec.structs.replace(configuration.fitting, smallest_test=PATIENTS + 1)
    with pytest.raises(InputError, match="are needed for the reference"):
        ship(msgspec.structs.replace(configuration, fitting=fitting), known)
    with pytest.raises(InputError, match="asks nothing of the scenario"):
        ship(configuration, known, "second")
    assert not out.exists()
