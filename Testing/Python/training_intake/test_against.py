"""Two bundles on the same patients: paired differences, equal bundles differ by nothing, and the pages say whose."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cohort_tables import write_table
from test_packing import make_cohort

from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.commands import compare
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.training import against, external, own_cohort
from MemorySurvivalLib.training.against import compare_bundles, in_common
from MemorySurvivalLib.training.exclusion import Excluded
from MemorySurvivalLib.training.own_cohort import OwnCohort, bundle_log_risks


@pytest.fixture
def base(light_base: Path) -> ModelBundle:
    return load_bundle(light_base)


@pytest.fixture
def cohort() -> OwnCohort:
    made = make_cohort(simulated=True)
    states = dict.fromkeys(("PET/mean", "CT/mean"), made.data.states["PET/mean"])
    return replace(made, data=replace(made.data, states=states))


def keep(cohort: OwnCohort, places: list[int]) -> OwnCohort:
    """What a bundle leaves that could read these alone."""
    lost = [patient.row for place, patient in enumerate(cohort.patients) if place not in places]
    failed = [Excluded(row, "image cannot be used", f"Row {row}: no PET.") for row in lost]
    return replace(
        cohort,
        patients=tuple(cohort.patients[place] for place in places),
        data=cohort.data.take(np.array(places, dtype=np.intp)),
        image_hashes=tuple(cohort.image_hashes[place] for place in places),
        flow=cohort.flow.and_also(failed),
    )


def test_a_bundle_against_itself_differs_by_nothing(base: ModelBundle, cohort: OwnCohort) -> None:
    found = compare_bundles((base, base), (cohort, cohort), 24.0, resamples=50)
    (heads,) = found.heads
    assert len(heads.differences) == 4 and not heads.notes
    assert all((one.value, one.low, one.high) == (0, 0, 0) for one in heads.differences)
    assert found.labels == ("SIMULATED PATIENTS",)


def test_the_difference_is_first_minus_second_and_paired(
    base: ModelBundle, cohort: OwnCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = bundle_log_risks(base, cohort.data)
    good = cohort.data.states["PET/mean"].float().mean(dim=(1, 2, 3)).numpy().astype(np.float64)
    poor = good + np.random.default_rng(1).normal(0, 0.5, len(good))
    asked = iter([{name: good}, {name: poor}])
    monkeypatch.setattr(external, "bundle_log_risks", lambda bundle, data: next(asked))
    (heads,) = compare_bundles((base, base), (cohort, cohort), 24.0, resamples=200).heads
    pairs = harrell_pairs(cohort.data.times_months, cohort.data.events)
    c = heads.differences[0]
    assert c.value == pytest.approx(pairs.value(good) - pairs.value(poor))
    assert 0 < c.low < c.value < c.high
    brier = next(one for one in heads.differences if "Brier" in one.name)
    assert np.isfinite([brier.value, brier.low, brier.high]).all()


def test_only_patients_whom_both_could_read(base: ModelBundle, cohort: OwnCohort) -> None:
    some = keep(cohort, list(range(80, 9, -1)))
    first, second = in_common(cohort, some)
    assert len(first.patients) == len(second.patients) == first.flow.kept == second.flow.kept == 71
    assert "29 image cannot be used" in first.flow.sentence
    assert first.data.patient_ids == second.data.patient_ids
    assert [one.row for one in first.patients] == [one.row for one in second.patients]
    assert [one.patient_id for one in first.patients] == list(first.data.patient_ids)
    with pytest.raises(InputError, match="by both bundles"):
        in_common(keep(cohort, [0, 1]), keep(cohort, [2, 3]))


def test_heads_that_do_not_meet_are_refused(base: ModelBundle, cohort: OwnCohort) -> None:
    none = msgspec.structs.replace(base.manifest, heads=())
    other = replace(base, archive=replace(base.archive, manifest=none))
    with pytest.raises(InputError, match="no heads to meet"):
        compare_bundles((base, other), (cohort, cohort), 24.0, resamples=50)


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    compare.register(parser.add_subparsers())
    options = parser.parse_args(["compare", *arguments])
    return int(options.run(options))


def test_the_command(
    tmp_path: Path,
    light_base: Path,
    cohort: OwnCohort,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(own_cohort, "embed_patients", lambda *arguments, **more: cohort)
    monkeypatch.setattr(against, "compare_bundles", partial(compare_bundles, resamples=50))
    rows = [{"time_months": str(10 + i), "event": str(int(i % 3 > 0))} for i in range(90)]
    table = str(write_table(tmp_path, *rows))
    both = [str(light_base), str(light_base), "--cohort", table, "--horizon", "24", "--out"]
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    assert call(*both, str(page)) == 0
    said = capsys.readouterr().out
    assert "difference of Harrell's c +0.000 (+0.000 to +0.000)" in said and "Research use only" in said
    text = page.read_text()
    for wanted in ("image against image", "First minus second", "SIMULATED PATIENTS", "Head image of", "Table 1"):
        assert wanted in text, wanted
    assert text.count("data:image/png;base64,") == 2, "a picture for each bundle"
    assert call(*both, str(figures)) == 0
    read: dict[str, Any] = msgspec.json.decode(figures.read_bytes())
    assert read["heads"][0]["differences"][0]["value"] == 0 and read["first"]["n"] == 100
    with pytest.raises(OutputError, match="--overwrite"):
        call(*both, str(page))
    with pytest.raises(InputError, match=r"\.html"):
        call(*both, str(tmp_path / "page.pdf"))
    with pytest.raises(InputError, match="--names is for two results"):
        call(*both, str(tmp_path / "other.html"), "--names", "A", "B")
    with pytest.raises(InputError, match="is a model bundle; give the table"):
        call(str(light_base), str(light_base), "--out", str(tmp_path / "other.html"))
