"""The demonstration bundle of a trained backbone: its folder is taken as it is; patients' images are never denied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
from backbone_cards import make_card
from made_up import make_head

from MemorySurvivalLib.bundle.backbone_training import RANDOM, TRAINING_CARD, TRAINING_LOG, parse_training_card
from MemorySurvivalLib.bundle.bundle import as_float16, load_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry, HeadEntry
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.memory.backbone import COMPACT, build_backbone, weights_sha256
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.training import demonstration
from MemorySurvivalLib.training.backbone_card import MOST_LOG_BYTES, pack_training, thin_log
from MemorySurvivalLib.training.demonstration import (
    DemonstrationConfig,
    load_compact,
    make_demonstration,
    say_population,
)
from MemorySurvivalLib.training.embedded_cohort import CaseOutcome, EmbeddedCohort
from Testing.Benchmarks import backbone_dice as figure


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training's folder: random weights that say they learned from a real series too."""
    made = tmp_path_factory.mktemp("training")
    model = as_float16(build_backbone(COMPACT, seed=5))
    state = {name: one.half() if one.is_floating_point() else one for name, one in model.state_dict().items()}
    (made / "backbone.safetensors").write_bytes(safetensors.torch.save(state))
    (made / "backbone.json").write_bytes(make_card(weights_sha256(model)))
    (made / "log.jsonl").write_text('{"step": 10, "loss": 3.5}\n{"step": 20, "lo', encoding="utf-8")
    return made


def no_cohort(_folder: Path, seeds: range) -> EmbeddedCohort:
    return EmbeddedCohort({}, tuple(CaseOutcome(seed, 12.0, seed % 2 == 0, {}) for seed in seeds))


def random_heads(*_arguments: Any) -> tuple[dict[str, RiskHead], tuple[HeadEntry, ...]]:
    head, entry = make_head("image", None, 1)
    metrics = {"training_c_index": 0.6, "held_out_c_index": 0.5}
    return {"image": head}, (msgspec.structs.replace(entry, metrics=metrics),)


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of that backbone; its heads are random, so that no cohort is embedded."""
    out = tmp_path_factory.mktemp("out") / "demonstration.msbundle"
    backbone, training = load_compact(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demonstration, "embed_cohort", lambda *_: None)
        patch.setattr(demonstration, "read_cohort", no_cohort)
        patch.setattr(demonstration, "fit_heads", random_heads)
        make_demonstration(DemonstrationConfig(), backbone, out.parent / "work", out, ignore_progress, training)
    return out


def test_card_and_log_travel_with_the_weights(made: Path, folder: Path) -> None:
    bundle = load_bundle(made)
    assert bundle.backbone_training == {
        TRAINING_CARD: (folder / "backbone.json").read_bytes(),
        TRAINING_LOG: b'{"step": 10, "loss": 3.5}\n',
    }, "a line that was cut off stays behind"
    bundle.backbone()


def test_nothing_says_that_no_patient_was_used(made: Path) -> None:
    manifest, card = load_bundle(made).manifest, load_bundle(made).card
    assert manifest.title == "Demonstration model, its heads trained on simulated patients only"
    assert manifest.provenance.population == (
        "simulated whole-body PET/CT phantoms for the heads; the backbone learned from the images of 2 simulated "
        "patients and 1 real image series of a patient (CC BY 3.0)"
    )
    assert manifest.provenance.simulated and manifest.status == "demonstration", "the heads' patients are simulated"
    for text in (manifest.title, manifest.provenance.population, card):
        assert "no patient" not in text and "model learned from simulated patients only" not in text


def test_bundle_show_prints_how_the_backbone_was_trained(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "show", str(made)]) == 0
    said = capsys.readouterr().out
    assert (
        "Its heads learned from simulated patients only, its backbone also from patients' images, named below." in said
    )
    section = said[said.index("## How the backbone was trained") :]
    assert "2 simulated patients and on 1 real image series of patients (real-STS_002-PET; CC BY 3.0)" in section
    assert f"in {TRAINING_LOG}" in " ".join(section.split())


def test_the_figure_says_how_the_weights_that_ship_were_trained(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMORYSURVIVAL_BACKBONE", raising=False)
    monkeypatch.setattr(figure, "find_bundle", lambda _name: made)
    _place, said = figure._weights()
    assert said == "the demonstration bundle's, a training after 4 of 4 steps, 60 minutes"


def test_the_weights_file_in_the_folder_is_the_same(folder: Path) -> None:
    (by_folder, one), (by_file, other) = load_compact(folder), load_compact(folder / "backbone.safetensors")
    assert weights_sha256(by_folder) == weights_sha256(by_file) and one == other


def test_weights_without_their_own_card_are_refused(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "backbone.safetensors"
    alone.write_bytes((folder / "backbone.safetensors").read_bytes())
    with pytest.raises(InputError, match="holds no training"):
        load_compact(alone)
    log = tmp_path / "log.jsonl"
    (tmp_path / "backbone.json").write_bytes(make_card("0" * 64))
    with pytest.raises(InputError, match=r"is of other weights \(000000000000\) than those given"):
        pack_training(tmp_path, log, "1" * 64)
    assert pack_training(tmp_path, log, "0" * 64).keys() == {TRAINING_CARD}, "a training without a log"
    (tmp_path / "backbone.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="cannot travel in a bundle"):
        pack_training(tmp_path, log, "0" * 64)


def test_without_any_card_nothing_is_begun(folder: Path, tmp_path: Path) -> None:
    backbone, _training = load_compact(folder)
    with pytest.raises(InputError, match="learned from is not known"):
        make_demonstration(DemonstrationConfig(), backbone, tmp_path / "w", tmp_path / "a.msbundle", ignore_progress)


def test_the_weights_that_ship_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    backbone, training = load_compact(None)

    def reached(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demonstration, "embed_cohort", reached)
    with pytest.raises(KeyboardInterrupt):
        make_demonstration(
            DemonstrationConfig(), backbone, tmp_path / "w", tmp_path / "a.msbundle", ignore_progress, training
        )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"real_cases": [], "begun_with": RANDOM}, "simulated whole-body PET/CT phantoms; no patient's data was used"),
        ({"real_cases": [], "begun_with": "f" * 64}, "began with weights whose images are not named here"),
        ({"real_cases": ["a", "b"]}, "2 real image series of patients (CC BY 3.0)"),
        ({"licences": None}, "(licence not stated)"),
    ],
)
def test_the_population_follows_from_the_card(changes: Mapping[str, Any], said: str) -> None:
    learned = parse_training_card(make_card("0" * 64, **changes)).learned_from
    population = say_population(BackboneEntry("sam2.1-compact", 256, "bundled", "0" * 64, "x", learned))
    assert said in population
    assert ("no patient" in population) == (changes.get("begun_with") == RANDOM)


def test_a_long_log_is_thinned_evenly_to_its_last_line() -> None:
    log = b"".join(json.dumps({"step": n, "loss": 1.23456}).encode() + b"\n" for n in range(10, 60_010, 10))
    assert len(log) > MOST_LOG_BYTES
    thin = thin_log(log)
    steps = [json.loads(line)["step"] for line in thin.splitlines()]
    assert MOST_LOG_BYTES / 2 < len(thin) <= MOST_LOG_BYTES
    assert steps[0] == 10 and steps[-1] == 60_000
    assert len({after - before for before, after in pairwise(steps[:-1])}) == 1
    assert thin_log(thin) == thin and thin_log(b"") == b""
