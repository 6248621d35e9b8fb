"""The study's lesion reader: the one that is committed, and the command that makes one from phantoms."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from made_up import SMALL
from study_makers import make_configuration

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.memory.backbone import build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.lesion_reader import KINDS, reader_sha256
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.simulation.patient import draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import simulate_patient
from MemorySurvivalLib.study import reader_cases
from MemorySurvivalLib.study.configuration import Embedding, ReaderTraining, load_configuration
from MemorySurvivalLib.study.embed_cohorts import take_in
from MemorySurvivalLib.study.embedding import embed_case
from MemorySurvivalLib.study.lesion_reader import CARD, WEIGHTS, load_reader, make_reader, reader_of
from MemorySurvivalLib.training.lesion_reader import ReaderRecipe

CLOSE = load_configuration().embedding.close_up


def with_mass(seed: int) -> int:
    """The number of a patient with masses grown out of bone, early in the cohort."""
    scenario = load_scenario("main")
    drawn = (draw_patient(scenario, seed, number) for number in range(60))
    return next(one.number for one in drawn if one.shown.disease.count("paramedullary") > 1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> MemoryEngine:
    """The study's engine is a small one with random weights, in this process."""
    engine = MemoryEngine(build_backbone(SMALL, seed=3), torch.device("cpu"))
    monkeypatch.setattr(reader_cases, "load_engine", lambda _: engine)
    return engine


def settings() -> Embedding:
    assert CLOSE is not None
    return msgspec.structs.replace(CLOSE, most_slices=24)


def test_the_committed_reader_is_the_one_the_study_names() -> None:
    embedding = load_configuration().embedding
    reader = reader_of(embedding)
    assert reader is not None and reader_sha256(reader) == CLOSE.reader_sha256 and reader.kinds == KINDS
    card = load_reader()[1]
    plan = load_configuration().reader
    assert (card.scenario, card.simulated_cases, card.held_out_cases) == (plan.scenario, plan.patients, plan.held_out)
    assert card.recipe == plan.recipe and card.scenario_sha256 == load_scenario("main").images_sha256
    assert "Simulated" in card.notice
    cohorts = {cohort.seed for cohort in load_configuration().cohorts}
    assert not cohorts & {card.training_seed, card.held_out_seed} and card.training_seed != card.held_out_seed
    assert (
        card.found["PET"].surest_at_lesion["focal"] > 0.5 and card.found["CT"].surest_at_lesion["paramedullary"] > 0.5
    )
    with pytest.raises(InputError, match="was configured for the reader 000000000000"):
        reader_of(msgspec.structs.replace(embedding, close_up=msgspec.structs.replace(CLOSE, reader_sha256="0" * 64)))
    assert reader_of(msgspec.structs.replace(embedding, close_up=None)) is None


def test_a_case_shows_its_lesions_where_the_study_reads(small: MemoryEngine) -> None:
    patient = draw_patient(load_scenario("main"), 7, with_mass(7))
    made = reader_cases.make_case(small, settings(), patient)
    images = simulate_patient(patient)
    case, masks = take_in(images.ct, images.pet, {"spine_dilated": images.spine_dilated})
    without = msgspec.structs.replace(settings(), lesion_readouts=(), reader_sha256=None, region_readouts=("mean",))
    studied = embed_case(small, case, masks, without, small_maps=False)
    assert len(made.shares) == studied.slices["spine_dilated"]
    pooled = made.memories["PET"].float()
    assert pooled.shape[1:] == (64, 4, 4) and made.counted.shape == (len(pooled), 1, 4, 4)
    assert made.shares.shape == (len(pooled), len(KINDS), 4, 4)
    boxes = prompt_boxes(masks["spine_dilated"], 3, 24)
    planted = [n for n, focus in enumerate(images.phantom.foci, 1) if focus.kind == "paramedullary"]
    there = np.isin(images.lesions.reoriented().voxels[[box.z for box in boxes]], planted).any(axis=(1, 2))
    assert there.any() and not there.all()
    assert ((made.shares[:, KINDS.index("paramedullary")].amax(dim=(1, 2)) > 0).numpy() == there).all()


def test_the_command_trains_goes_on_and_keeps_both_files(
    small: MemoryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = make_configuration(5)
    plan = ReaderTraining("main", 2, 1, ReaderRecipe(steps=4, slices=4))
    configuration = msgspec.structs.replace(
        configuration, embedding=msgspec.structs.replace(configuration.embedding, close_up=settings()), reader=plan
    )
    asked: list[int] = []
    shares = torch.zeros(4, len(KINDS), 4, 4)
    shares[:2, 0, 1, 2] = 0.7
    memories: dict[Modality, torch.Tensor] = {m: torch.randn(4, 64, 4, 4).to(torch.bfloat16) for m in MODALITIES}
    made = reader_cases.ReaderCase(memories, torch.ones(4, 1, 4, 4, dtype=torch.bool), shares)

    def once(_engine: object, _settings: object, patient: object) -> reader_cases.ReaderCase:
        asked.append(1)
        return made

    monkeypatch.setattr(reader_cases, "make_case", once)
    monkeypatch.setattr(reader_cases, "ProcessPoolExecutor", InThisProcess)
    reader_cases._engine.cache_clear()
    card = make_reader(configuration, tmp_path / "work", tmp_path / "out")
    reader, kept = load_reader(tmp_path / "out")
    assert kept == card and reader_sha256(reader) == card.sha256 and len(asked) == 3
    again = make_reader(configuration, tmp_path / "work", tmp_path / "again")
    assert again == card and len(asked) == 3, "phantoms are not made again, and the same reader comes out"
    next((tmp_path / "work").rglob("case-00001.safetensors")).write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"case-00001.safetensors cannot be read"):
        make_reader(configuration, tmp_path / "work", tmp_path / "again")
    (tmp_path / "out" / CARD).write_bytes(
        (tmp_path / "out" / CARD).read_bytes().replace(card.sha256.encode(), b"0" * 64)
    )
    with pytest.raises(InputError, match="is not the one of its card"):
        load_reader(tmp_path / "out")
    (tmp_path / "out" / WEIGHTS).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load_reader(tmp_path / "out")
    whole = msgspec.structs.replace(configuration.embedding, close_up=None)
    with pytest.raises(InputError, match="reads nothing else"):
        make_reader(msgspec.structs.replace(configuration, embedding=whole), tmp_path / "work", tmp_path / "out")
    reader_cases._engine.cache_clear()


class InThisProcess:
    """Stands in for a pool of processes, in which nothing could be replaced."""

    def __init__(self, *_given: object, **_named: object) -> None:
        pass

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_given: object) -> None:
        pass

    map = staticmethod(map)
