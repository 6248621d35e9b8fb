"""Reference cases of a similar burden: the nearest, honestly labelled, and tables of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from results_made_up import make_lesion, make_measurements, make_result, write_result

from MemorySurvivalLib.cli import main
from MemorySurvivalLib.compare.building import REGIONS, SIMULATED_SEEDS, simulate_reference
from MemorySurvivalLib.compare.burden import Burden, Scale
from MemorySurvivalLib.compare.reference import ReferenceCase, ReferenceTable, read_reference, read_shipped
from MemorySurvivalLib.compare.same_images import images_key
from MemorySurvivalLib.compare.twins import NO_FORECAST, find_twins, twins_section
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.measure.lesion import LesionConfig
from MemorySurvivalLib.report.document import Table
from MemorySurvivalLib.simulation.case import SimulatedCase


def make_table(count: int = 20, *, origin: str = "cohort", images: str = "") -> ReferenceTable:
    """Cases of rising burden; case n has n focal lesions."""
    cases = tuple(
        ReferenceCase(
            f"case {n}",
            {"spine_dilated": Burden(2.0 * n, 12.0 * n, 5.0 + n if n else None, n, 1.0 + n / 10)},
            months=10.0 + n,
            event=n % 2 == 0,
            images=images if n == 2 else "",
        )
        for n in range(count)
    )
    return ReferenceTable("twenty", origin, "made up", LesionConfig(), cases)  # type: ignore[arg-type]


TWO = make_result(measurements=make_measurements(marrow_suv=1.2))
"""Two focal lesions."""


def test_the_nearest_come_first_and_the_case_is_never_its_own_twin() -> None:
    found = find_twins(TWO, make_table())
    assert found.twins[0].name == "case 2"
    assert len(found.twins) == 5
    assert [twin.distance for twin in found.twins] == sorted(twin.distance for twin in found.twins)
    without = find_twins(TWO, make_table(images=images_key(TWO.inputs)))
    assert "case 2" not in [twin.name for twin in without.twins]
    assert without.compared_with == 19


def test_an_equal_burden_has_distance_zero_and_units_do_not_matter() -> None:
    burdens = [Burden(2.0 * n, 12.0 * n, 5.0 + n, n, 1.0) for n in range(12)]
    scale = Scale.of(burdens)
    distances = scale.distances(burdens[4], burdens)
    assert distances[4] == 0
    assert scale.spread[-1] == 0, "all have one marrow SUV: it tells nothing"
    assert np.all(np.diff(distances[4:]) > 0)
    assert scale.distances(burdens[3], [burdens[8]]) == scale.distances(burdens[8], [burdens[3]])


def test_a_case_unlike_all_is_said_to_be() -> None:
    extreme = [make_lesion(n, (0.0, 0.0, 20.0 * n), 60.0) for n in range(1, 300)]
    found = find_twins(make_result(measurements=make_measurements(extreme)), make_table())
    assert not found.alike
    assert any("None of them is like this case" in sentence for sentence in found.sentences)
    assert find_twins(TWO, make_table()).alike


@pytest.mark.parametrize(
    ("record", "table", "why"),
    [
        (make_result(measured=False), make_table(), "Nothing was measured"),
        (
            make_result(measurements=make_measurements(config=LesionConfig(suv=3))),
            make_table(),
            "other lesion settings",
        ),
        (make_result(measurements=make_measurements(region="skeleton")), make_table(), "Only 0 reference cases"),
        (TWO, make_table(9), "Only 9 reference cases"),
    ],
)
def test_without_a_fair_comparison_there_are_no_twins(record: object, table: ReferenceTable, why: str) -> None:
    found = find_twins(record, table)  # type: ignore[arg-type]
    assert found.twins == ()
    assert why in found.sentences[0]
    assert not any(isinstance(block, Table) for block in twins_section(found).blocks)


def test_simulated_outcomes_never_stand_beside_real_images() -> None:
    table = make_table(origin="simulated")
    real = find_twins(TWO, table)
    assert all(twin.months is None and twin.event is None for twin in real.twins)
    assert "what became of it" not in _table(real).columns
    simulated = find_twins(replace(TWO, simulated_case=True), table)
    assert simulated.twins[0].outcome == "simulated progression at 12 months"
    assert simulated.twins[1].outcome.startswith("no simulated progression in")


def test_every_row_says_what_it_is_and_nothing_forecasts() -> None:
    for origin, word in (("simulated", "simulated"), ("cohort", "own cohort")):
        found = find_twins(replace(TWO, simulated_case=True), make_table(origin=origin))
        table = _table(found)
        kind = table.columns.index("kind")
        assert [row[kind].text for row in table.rows[1:]] == [word] * 5
        assert NO_FORECAST in found.sentences


def _table(found: object) -> Table:
    return next(block for block in twins_section(found).blocks if isinstance(block, Table))  # type: ignore[arg-type]


def test_tables_are_kept_and_broken_ones_refused(tmp_path: Path) -> None:
    table = make_table()
    table.write(tmp_path / "table.json")
    assert read_reference(tmp_path / "table.json") == table
    for text in ("{", "{}", (tmp_path / "table.json").read_text().replace('"months": 10.0', '"months": -1')):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(InputError, match="no table of reference cases"):
            read_reference(tmp_path / "broken.json")
    newer = replace(table, schema_version=99)
    newer.write(tmp_path / "newer.json")
    with pytest.raises(InputError, match="99"):
        read_reference(tmp_path / "newer.json")
    with pytest.raises(InputError, match="twice"):
        replace(table, cases=(table.cases[0], table.cases[0]))


def test_the_shipped_table_is_simulated_and_fits_the_default_measurement() -> None:
    table = read_shipped()
    assert table.origin == "simulated"
    assert table.lesion_config == LesionConfig()
    assert [case.name for case in table.cases] == [f"simulated {seed}" for seed in SIMULATED_SEEDS]
    for region in REGIONS:
        assert len(table.measured_in(region)) == len(table.cases)


def test_the_shipped_table_is_made_by_its_command() -> None:
    """Person and outcome of two of its cases again; measuring them would take as long as all other tests here."""
    shipped = read_shipped().cases
    measured: list[int] = []

    def measure(case: SimulatedCase) -> dict[str, Burden]:
        assert case.ct.attributes["memory_survival_simulated"].endswith(str(case.truth.seed))
        measured.append(case.truth.seed)
        return dict(shipped[len(measured) - 1].burdens)

    made = simulate_reference(SIMULATED_SEEDS[:2], (10.0, 10.0, 10.0), measure=measure)
    assert made.cases == shipped[:2]
    assert measured == list(SIMULATED_SEEDS[:2])


def test_a_table_of_the_own_cohort(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = tmp_path / "cohort"
    for n in range(12):
        write_result(cohort / f"Doe {n}", make_result(images=f"i{n}"))
    write_result(cohort / "again", make_result(images="i3", created="2027-01-01T00:00:00+00:00"))
    write_result(cohort / "phantom", make_result(images="p", simulated=True))
    write_result(cohort / "bare", make_result(images="b", measured=False))
    (tmp_path / "outcomes.csv").write_text("case,months,event\nDoe 3,14,1\nDoe 4,20,0\n")
    out = tmp_path / "own.json"
    options = ["--outcomes", str(tmp_path / "outcomes.csv"), "--out", str(out)]
    assert main(["twins", "build", str(cohort), *options]) == 0
    assert "12 reference cases" in capsys.readouterr().out
    table = read_reference(out)
    assert table.origin == "cohort"
    assert sorted(case.months for case in table.cases if case.months is not None) == [14, 20]
    assert "Doe" not in out.read_text()
    assert main(["twins", "build", str(cohort), "--out", str(out)]) == 2, "never overwritten unasked"
    capsys.readouterr()
    assert main(["twins", "show", str(cohort / "Doe 1"), "--reference", str(out)]) == 0
    assert "of 11 cases of your own cohort" in capsys.readouterr().out
