"""Agreement against published and brute-force numbers, and a whole study from sealed results to its page."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import make_patient
from scipy.stats import spearmanr

from MemorySurvivalLib import RESEARCH_USE, cli
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import SIMULATED_ATTRIBUTE
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.jobs.reader_study import estimate, leave, open_case, read, reveal
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.reader_study.agreement import rank_correlation, weighted_kappa
from MemorySurvivalLib.reader_study.analysis import Analysis, analyse
from MemorySurvivalLib.reader_study.events import ModelAnswer, append_event
from MemorySurvivalLib.reader_study.sealing import open_sealed, sealed_file
from MemorySurvivalLib.reader_study.study import GROUPS, Estimate, ReaderStudy, make_study

CONTEXT = JobContext(lambda event: None, lambda text: None)
START = datetime(2026, 1, 5, 9, tzinfo=UTC)


def kappa_by_definition(table: np.ndarray) -> float:
    """From the table of counts, as Cohen wrote it: weights (i - j)^2, expected counts of the margins' product."""
    weights = (np.arange(3)[:, None] - np.arange(3)) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(1 - (weights * table).sum() / (weights * expected).sum())


@pytest.mark.parametrize("seed", range(4))
def test_kappa_is_that_of_the_definition(seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 9, (3, 3))
    pairs = [pair for pair in itertools.product(range(3), repeat=2) for _ in range(table[pair])]
    found = weighted_kappa([GROUPS[a] for a, _ in pairs], [GROUPS[b] for _, b in pairs])
    assert found.value == pytest.approx(kappa_by_definition(table))
    assert found.interval is not None and found.interval[0] < kappa_by_definition(table) < found.interval[1]


def test_kappa_at_its_ends() -> None:
    both = ["low", "intermediate", "high", "high", "low", "low"]
    assert weighted_kappa(both, both).value == 1.0
    assert weighted_kappa(["low", "high"] * 5, ["high", "low"] * 5).value == pytest.approx(-1.0)
    assert weighted_kappa(["low"] * 6, ["low"] * 6).value is None, "one answer only: not defined"
    assert weighted_kappa(both[:4], both[:4]).interval is None, "four cases: no interval"
    assert weighted_kappa([], []).value is None


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 10, 30) * 10.0
    second = first + rng.normal(0, 20, 30).round()
    assert rank_correlation(list(first), list(second)).value == pytest.approx(spearmanr(first, second).statistic)


def answer(question: str, group: int) -> Estimate:
    return Estimate(3, GROUPS[group]) if question == "group" else Estimate(3, percentile=100 * (group + 0.5) / 3)


def study_of(folder: Path, question: str, model: ModelAnswer | None = None) -> Analysis:
    """Two readers over ten cases: bo differs from anna in two; anna changes one answer to the model's."""
    cases = tuple(f"case-{number}" for number in range(10))
    study = ReaderStudy("Trial", question, cases, sessions=2)  # type: ignore[arg-type]
    make_study(folder, study)
    for reader, session in (("anna", 1), ("bo", 1), ("anna", 2)):
        now = START + timedelta(days=session)
        for number, case in enumerate(cases):
            truth = number % 3
            first = min(truth + 1, 2) if reader == "bo" and number < 2 else truth
            shown = model or ModelAnswer(0.1 * number, (truth + 0.5) / 3, GROUPS[truth])
            final = truth if number != 9 or reader == "bo" else 2

            def add(
                event: Any, seconds: int, who: str = reader, which: str = case, part: int = session, **more: Any
            ) -> None:
                nonlocal now
                now += timedelta(seconds=seconds)
                append_event(folder, study, who, part, which, event, now=now, **more)

            add("opened", 1)
            if reader == "bo" and number == 5:
                add("left", 1)
                continue
            add("first", 40, estimate=answer(question, first))
            add("revealed", 2, model=shown)
            add("final", 10, estimate=answer(question, final))
    return analyse(folder)


@pytest.mark.parametrize("question", ["group", "percentile"])
def test_a_study_of_two_readers(tmp_path: Path, question: str) -> None:
    analysis = study_of(tmp_path, question)
    found = {(each.kind, each.one, each.other, each.when, each.session): each for each in analysis.comparisons}
    between = found["between readers", "anna", "bo", "first", 1]
    assert between.kappa.cases == 9, "the case that bo uncovered is left out"
    assert between.equal == pytest.approx(7 / 9)
    assert between.kappa.value is not None and 0.5 < between.kappa.value < 1
    assert (between.ranks is not None) == (question == "percentile")
    assert found["reader and model", "anna", "model", "first", 1].kappa.value == 1.0
    final = found["reader and model", "anna", "model", "final", 1].kappa.value
    assert final is not None and final < 1.0
    assert found["between sessions", "anna, session 1", "anna, session 2", "first", 0].kappa.value == 1.0
    anna, _, bo = analysis.readers
    assert (anna.counted, anna.changed, anna.toward, anna.away) == (10, 1, 0, 1)
    assert (bo.opened, bo.counted, bo.uncovered, bo.toward) == (10, 9, 1, 2)
    assert (anna.first_s, anna.final_s) == (40.0, 10.0)


def test_a_model_that_may_say_neither_group_nor_position_is_not_compared(tmp_path: Path) -> None:
    analysis = study_of(tmp_path, "group", ModelAnswer(0.2, labels=("SIMULATED MODEL",)))
    assert {each.kind for each in analysis.comparisons} == {"between readers", "before and after", "between sessions"}
    assert any("left out" in note for note in analysis.notes)


def test_nobody_has_read_yet(tmp_path: Path) -> None:
    make_study(tmp_path, ReaderStudy("Trial", "group", ("a",)))
    with pytest.raises(InputError, match="No reader"):
        analyse(tmp_path)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, small_bundle: Path) -> Path:
    """A folder with two result folders; the second is a copy of the first."""
    folder = tmp_path_factory.mktemp("results")
    patient = make_patient(folder / "images", attributes={SIMULATED_ATTRIBUTE: "yes"}).written()
    request = ScoreRequest(
        folder / "one",
        patient.ct_path,
        patient.pet_path,
        roi=patient.spine_path,
        bundle=str(small_bundle),
        device="cpu",
        alignment="off",
    )
    score_case(request)
    shutil.rmtree(folder / "images")
    shutil.copytree(folder / "one", folder / "two")
    return folder


def test_from_sealed_results_over_the_panels_jobs_to_the_page(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    assert cli.main(["readers", "make", str(study), "--results", str(results), "--title", "Trial"]) == 0
    log_risk = json.loads((results / "one" / "result.json").read_text())["risk"]["log_risk"]
    visible = b"".join(path.read_bytes() for path in study.rglob("*") if path.is_file())
    assert str(log_risk).encode() not in visible and b"log_risk" not in visible, "nothing of the score can be read"
    place = {"study": str(study), "reader": "anna", "session": 1}
    state = read(place, CONTEXT).result
    assert {each["case"] for each in state["cases"]} == {"one", "two"} and all(each["blind"] for each in state["cases"])
    one = {**place, "case": "one"}
    open_case(one, CONTEXT)
    with pytest.raises(InputError, match="stays hidden"):
        reveal({**one, "out": str(tmp_path / "shown")}, CONTEXT)
    assert not (tmp_path / "shown").exists()
    locked = estimate({**one, "estimate": {"confidence": 4, "group": "high"}}, CONTEXT).result
    assert "log_risk" not in json.dumps(locked)
    shown = reveal({**one, "out": str(tmp_path / "shown")}, CONTEXT)
    assert shown.result["result"]["log_risk"] == log_risk
    assert Path(str(shown.files["report"])).is_file()
    estimate({**one, "estimate": {"confidence": 5, "group": "low"}}, CONTEXT)
    open_case({**place, "case": "two"}, CONTEXT)
    words = {each["case"]: each["state"] for each in leave({**place, "case": "two"}, CONTEXT).result["cases"]}
    assert words == {"one": "done", "two": "uncovered"}
    capsys.readouterr()
    assert cli.main(["readers", "status", str(study)]) == 0
    assert "anna, session 1: 1 estimates, 1 uncovered before" in capsys.readouterr().out
    assert cli.main(["readers", "analyse", str(study), "--out", str(tmp_path / "analysis")]) == 0
    page = (tmp_path / "analysis" / "analysis.html").read_text()
    assert RESEARCH_USE in page and "Readers with the model" in page
    assert "SIMULATED MODEL" in page, "a demonstration bundle's answers"
    rows = list(csv.DictReader((tmp_path / "analysis" / "readings.csv").read_text().splitlines()))
    assert [row["first_estimate"] for row in rows] == ["high", ""]
    assert float(rows[0]["model_log_risk"]) == log_risk and rows[0]["model_labels"].startswith("SIMULATED MODEL")
    assert cli.main(["readers", "make", str(study), "--results", str(results), "--title", "Again"]) == 2


def test_a_case_that_is_not_sealed_is_scored_by_the_panel(tmp_path: Path) -> None:
    make_study(tmp_path, ReaderStudy("Trial", "percentile", ("a",)))
    place = {"study": str(tmp_path), "reader": "anna", "case": "a"}
    open_case(place, CONTEXT)
    estimate({**place, "estimate": {"confidence": 1, "percentile": 40}}, CONTEXT)
    assert reveal(place, CONTEXT).result["sealed"] is False
    assert read(place, CONTEXT).result["cases"][0]["state"] == "estimated"
    shown = reveal({**place, "model": {"log_risk": 0.3, "position": 0.6}}, CONTEXT).result["cases"][0]
    assert shown["state"] == "revealed" and shown["model"]["position"] == 0.6


def test_a_damaged_sealed_file_says_so(results: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    cli.main(["readers", "make", str(study), "--results", str(results), "--title", "Trial"])
    sealed_file(study, "one").write_bytes(b"PK damaged")
    with pytest.raises(InputError, match="damaged"):
        open_sealed(study, "one", tmp_path / "out")
    assert not (tmp_path / "out").exists()
