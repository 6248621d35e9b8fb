"""The commands for own cohorts: checking, validating, recalibrating, signing."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cohort_tables import write_table
from test_packing import QUICK, make_cohort

from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.commands import bundle, train, validate
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training import external, own_cohort
from MemorySurvivalLib.training.external import SEEN_LABEL, validate_bundle
from MemorySurvivalLib.training.model_card import QUESTIONS
from MemorySurvivalLib.training.own_cohort import EmbedOptions, OwnCohort
from MemorySurvivalLib.training.promoting import read_validation

MORE = [{"time_months": str(10 + i), "event": str(int(i % 3 > 0))} for i in range(90)]
"""Enough patients to be taken in; what is then learned from is made up."""


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    for command in (train, validate, bundle):
        command.register(subparsers)
    options = parser.parse_args(arguments)
    return int(options.run(options))


@pytest.fixture
def asked() -> list[EmbedOptions]:
    """How the cohort was to be embedded."""
    return []


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch, asked: list[EmbedOptions]) -> OwnCohort:
    """A cohort that is embedded already, with both modalities."""
    cohort = make_cohort(simulated=True)
    cohort = replace(cohort, intake=replace(cohort.intake, covariates=()))  # one head, to be quick
    states = dict.fromkeys(("PET/mean", "CT/mean"), cohort.data.states["PET/mean"])
    cohort = replace(cohort, data=replace(cohort.data, states=states))
    monkeypatch.setattr(own_cohort, "embed_patients", lambda *arguments, **more: asked.append(arguments[1]) or cohort)
    return cohort


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_table(tmp_path, {}, {"time_months": "0"}, *MORE)
    assert call("train", str(path), "--check", "--page", str(tmp_path / "page.html")) == 0
    said = capsys.readouterr().out
    assert "1 no follow-up after the scan, 91 remain." in said and "- Row 3 has a time of zero." in said
    assert "Exclusion flow" in (tmp_path / "page.html").read_text()
    path = write_table(tmp_path, {"sex": "?", "time_months": "-1"})
    assert call("train", str(path), "--check") == 2
    assert capsys.readouterr().out.count("\n- ") == 1


def test_questions_and_what_is_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("train", "--questions") == 0
    assert set(msgspec.json.decode(capsys.readouterr().out)) == set(QUESTIONS)
    with pytest.raises(InputError, match="Give the cohort's table"):
        call("train", "--check")
    with pytest.raises(InputError, match="--out"):
        call("train", str(write_table(tmp_path, {})))


def test_training(
    tmp_path: Path,
    light_base: Path,
    embedded: OwnCohort,
    asked: list[EmbedOptions],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, config, page = tmp_path / "own.msbundle", tmp_path / "config.json", tmp_path / "page.html"
    config.write_bytes(msgspec.json.encode(QUICK))
    files = [str(write_table(tmp_path, *MORE)), "--out", str(out), "--config", str(config), "--page", str(page)]
    assert call("train", *files, "--base", str(light_base)) == 0
    said = capsys.readouterr().out
    assert f"status demonstration; {len(QUESTIONS)} fields of its card are open" in said
    assert "image: Harrell's c mean over folds 0." in said and "Nested cross-validation of 100 patients" in said
    assert load_bundle(out).manifest.title == "Quick"
    assert [one.inside for one in asked] == [False], "a network's maps, whatever the base reads"
    text = page.read_text()
    assert "SIMULATED PATIENTS" in text and "Head image, cross-validated (nested)" in text and "mean over folds" in text
    figures, again = tmp_path / "figures.json", tmp_path / "again.html"
    assert call("validate", str(out), files[0], "--json", str(figures), "--page", str(again)) == 0
    assert "WARNING: The bundle seems to have learned from these patients" in capsys.readouterr().out
    assert "seems to have learned" in read_validation(figures).seen_before
    assert SEEN_LABEL in again.read_text() and "These figures are no validation" in again.read_text()


def test_validation_fits_nothing(light_base: Path, embedded: OwnCohort) -> None:
    base = load_bundle(light_base)
    judged = validate_bundle(base, embedded.data, 24.0, resamples=100)
    names = [one.name for one in judged.heads[0].estimates]
    assert any("Harrell" in name for name in names) and any("observed" in name for name in names)
    assert "integrated Brier score, 6 to 24 months" in names
    assert "net benefit gained at 24 months, threshold 0.3" in names
    quartiles = judged.heads[0].quartiles
    assert quartiles is not None and [group.n for group in quartiles.groups] == [25] * 4
    assert not judged.heads[0].subgroups, "the patients were not given"
    told = validate_bundle(base, embedded.data, 24.0, resamples=100, patients=embedded.patients)
    assert {row.variable for row in told.heads[0].subgroups} == {"sex", "age", "site"}
    assert judged.labels == ("SIMULATED PATIENTS",) and judged.n == 100
    assert all(np.isfinite([one.value, one.low, one.high]).all() for one in judged.heads[0].estimates)
    far = validate_bundle(base, embedded.data, 60.0, resamples=100)
    assert any(note.startswith("Calibration: The baseline hazard ends at 36 months") for note in far.heads[0].notes)


def test_validate_and_recalibrate(
    tmp_path: Path,
    light_base: Path,
    embedded: OwnCohort,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(external, "validate_bundle", partial(validate_bundle, resamples=100))
    table, out, found = str(write_table(tmp_path, *MORE)), tmp_path / "b.msbundle", tmp_path / "figures.json"
    assert call("validate", str(light_base), table, "--horizon", "24", "--json", str(found)) == 0
    assert "image: " in capsys.readouterr().out
    assert msgspec.json.decode(found.read_bytes())["research_use"]
    judged = read_validation(found)
    assert judged.simulated and judged.bundle_sha256 == load_bundle(light_base).archive.sha256
    assert judged.heads[0].head == "image" and 0 <= judged.heads[0].estimates[0].value <= 1
    figures = msgspec.json.decode(found.read_bytes())["heads"][0]
    assert 0 < figures["log_rank_p"] <= 1 and figures["subgroups"][0]["variable"] == "sex"
    page = tmp_path / "validation.html"
    assert call("validate", str(light_base), table, "--horizon", "24", "--page", str(page)) == 0
    text = page.read_text()
    for said in ("data:image/png;base64,", "by permutation", "integrated Brier score", "SIMULATED PATIENTS", "sex"):
        assert said in text, said
    assert call("bundle", "recalibrate", str(light_base), table, "--site", "B", "--out", str(out)) == 0
    assert "Recalibration for B" in load_bundle(out).card


def test_signing(
    tmp_path: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "data"))
    copy = tmp_path / "copy.msbundle"
    copy.write_bytes(small_bundle.read_bytes())
    assert call("bundle", "verify", str(copy)) == 0
    assert "It is not signed" in capsys.readouterr().out
    assert call("bundle", "key", "--new") == 0
    assert call("bundle", "sign", str(copy), "--as", "Dr. A") == 0
    assert call("bundle", "verify", str(copy)) == 0
    assert "It was signed by you on" in capsys.readouterr().out
