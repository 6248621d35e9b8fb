"""The figures of training and simulation speed, at a size that takes seconds: what they print must follow from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.search import HEAD_BUDGET
from Testing.Benchmarks import document, head_speed, simulation_speed
from Testing.Benchmarks.__main__ import FIGURES, summary
from Testing.Benchmarks.__main__ import main as run_figure

ROOT = Path(__file__).resolve().parents[2]


def test_make_figure_lists_them() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "Testing.Benchmarks"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name, figure in (("head-speed", head_speed.run), ("simulation-speed", simulation_speed.run)):
        assert FIGURES[name] is figure
        assert f"{name:<20} {summary(figure)}" in listed


def test_heads_against_a_plain_pycox_loop() -> None:
    threads = torch.get_num_threads()
    result = head_speed.run(patients=40, most_epochs=2, rounds=2)
    json.dumps(result)
    assert torch.get_num_threads() == threads
    assert [row["downsampler"] for row in result["heads"]] == ["average", "attention", "channels", "flatten"]
    for row in result["heads"]:
        assert row["epochs_of_it"] == row["paired_epochs"] == 2
        assert 0 < row["ratio_least"] <= row["ratio"] <= row["ratio_most"]
        assert row["ms_an_epoch"] > 0 and row["ms_an_epoch_plain_pycox"] > 0
    assert (HEAD_BUDGET.trials, HEAD_BUDGET.inner_folds) == (8, 3)
    assert result["default_budget"].startswith("8 trials x 3 inner folds and the last fit: 25 fits an outer fold, 625")
    # 24 fits on 8/15 of the patients and one on 4/5 of them
    assert head_speed.fits_of_all_patients() == pytest.approx(24 * 8 / 15 + 4 / 5)


def test_the_plain_loop_trains_the_same_network_as_many_epochs_and_leaves_ours_alone() -> None:
    data = head_speed.made_up_maps(40, (64, 8, 8))
    fitted, _ = head_speed.fit_ours(data, "channels", TrainingConfig(epochs=3, patience=3))
    before = fitted.fingerprint()
    epochs, seconds = head_speed.fit_plain(data, fitted, 3)
    assert epochs == fitted.history.epochs == 3
    assert seconds > 0
    assert fitted.fingerprint() == before
    inputs = fitted.config.prepare(fitted.head, None, data)
    maps = [inputs.maps[modality] for modality in head_speed.MODALITIES]
    with torch.inference_mode():
        plain = head_speed.PlainNetwork(fitted.head)(*maps)[:, 0].double().numpy()
    assert plain == pytest.approx(fitted.log_risk(data), abs=1e-5)


def test_simulated_cases_a_minute() -> None:
    result = simulation_speed.run(patients=1, spacing_mm=(10.0, 10.0, 10.0))
    json.dumps(result)
    assert [row["generator"] for row in result["cohorts"]] == ["first", "second"]
    for row in result["cohorts"]:
        assert row["cases_a_minute_and_core"] == pytest.approx(60 / row["cpu_seconds_each"], rel=0.1)
    assert result["cases_a_minute_and_core"] == min(row["cases_a_minute_and_core"] for row in result["cohorts"])
    assert result["ok"]


@pytest.mark.parametrize("name", ["head-speed", "simulation-speed"])
def test_the_page_shows_the_kept_object(name: str) -> None:
    kept = json.loads((document.DOCS / "figures" / f"{name}.json").read_text(encoding="utf-8"))
    rows = kept["heads"] if name == "head-speed" else kept["cohorts"]
    whole = (document.DOCS / "benchmarks.md").read_text(encoding="utf-8")
    page = whole.partition(f"## {name}\n")[2].partition("\n## ")[0]
    for row in rows:
        assert (
            "| " + " | ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in row.values()) + " |" in page
        )


@pytest.mark.parametrize("name", ["deepsurv-references", "score-real", "suv-objects", "roi-dice", "misregistration"])
def test_a_figure_without_its_real_data_says_so_in_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_TEST_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["figure", name])
    assert run_figure() == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"{name}: This figure needs real data, and {tmp_path}")
    assert said.err.count("\n") == 1
