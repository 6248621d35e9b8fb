"""The page of a comparison: one sheet, everything said, in HTML, PDF and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from results_made_up import make_bundle_record, make_lesion, make_measurements, make_result, with_risk, write_result

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.rights import SIMULATED_MODEL
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.compare.differences import TWO_SCALES, compare_results
from MemorySurvivalLib.compare.page import MOST_LESIONS, compose_comparison, draw_comparison
from MemorySurvivalLib.compare.reading import Side
from MemorySurvivalLib.compare.writing import CompareRequest, compare_to_file
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.followup.comparison import NOT_RESPONSE
from MemorySurvivalLib.followup.comparison import Comparison as PriorComparison
from MemorySurvivalLib.followup.prior_study import PriorRecord
from MemorySurvivalLib.followup.spine_registration import SpineMatch
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.report.document import Document, FigureRow, Table

ONE = Side("2025", make_result())
LATER = Side("2026", make_result(-0.4, images="two"))


def texts(value: object) -> Iterator[str]:
    """Every text of a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from texts(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from texts(getattr(value, field.name))


def compose(first: Side, second: Side) -> Document:
    comparison = compare_results(first, second)
    return compose_comparison(comparison, draw_comparison(first, second, comparison))


def test_everything_stands_on_one_page_with_labels_and_notice() -> None:
    simulated = Side("a", with_risk(ONE.record, labels=(SIMULATED_MODEL,)))
    document = compose(simulated, replace(LATER, name="b"))
    assert len(document.pages) == 1
    assert document.labels == (SIMULATED_MODEL,)
    assert document.research_use == RESEARCH_USE
    said = " ".join(texts(document))
    assert NOT_RESPONSE in said
    assert "−0.65" in said, "one model: -0.40 minus 0.25"
    assert "Doe_Jane" not in said


def test_two_models_get_a_chart_each_and_no_difference() -> None:
    other = Side("2026", make_result(1.25, bundle=make_bundle_record("other")))
    document = compose(ONE, other)
    rows = [block for section in document.pages[0].sections for stack in section.columns for block in stack]
    figures = [figure for block in rows if isinstance(block, FigureRow) for figure in block.figures]
    assert len(figures) == 2
    assert all(RESEARCH_USE in figure.alt for figure in figures)
    said = list(texts(document))
    assert TWO_SCALES in said
    assert "+1.00" not in said
    assert "not subtracted" in said


def test_a_bundle_that_may_show_no_place_gets_no_chart() -> None:
    silent = replace(ONE, record=with_risk(ONE.record, position=None, reference_log_risks=()))
    comparison = compare_results(silent, replace(silent, name="b"))
    assert draw_comparison(silent, silent, comparison) == ()


def test_values_of_one_side_alone_are_a_sentence() -> None:
    bare = Side("bare", with_risk(ONE.record, covariates=None))
    assert "Only 2025 used any: Age 63, Sex female." in list(texts(compose(ONE, bare)))
    assert "Only 2025 used any: Age 63, Sex female." in list(texts(compose(bare, ONE)))


def test_three_hundred_lesions_keep_the_page() -> None:
    many = [make_lesion(n + 1, (0.0, 0.0, 15.0 * n), 4 + n / 100) for n in range(300)]
    record = replace(ONE.record, measurements=make_measurements(many))
    document = compose(replace(ONE, record=record), ONE)
    table = next(
        block
        for section in document.pages[0].sections
        for block in section.blocks
        if section.title == "Lesions" and isinstance(block, Table)
    )
    assert len(table.rows) == MOST_LESIONS
    assert any("more are in the results' own lists" in text for text in texts(document))


@pytest.fixture
def results(tmp_path: Path) -> tuple[Path, Path]:
    """Two saved results of one patient, whose name is in a path."""
    mask = "/hospital/Doe_Jane/Doe_Jane_spine.nrrd"
    note = f"The mask {mask} was on another grid and was resampled."
    first = replace(ONE.record, request={**ONE.record.request, "roi": mask}, notes=(note,))
    return write_result(tmp_path / "2025", first), write_result(tmp_path / "2026", LATER.record)


def test_the_page_is_written_as_html_pdf_and_json(
    results: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "differences.html"
    assert main(["compare", *map(str, results), "--out", str(out), "--names", "before", "now"]) == 0
    printed = capsys.readouterr().out
    assert "two studies" in printed
    assert NOT_RESPONSE in printed
    assert RESEARCH_USE in printed
    page = out.read_text(encoding="utf-8")
    assert "before" in page
    assert "data:image/png;base64," in page
    assert not re.search(r"(src|href)=\"(?!data:)", page), "nothing is loaded from elsewhere"
    assert str(tmp_path) not in page
    assert "Doe" not in re.sub(r"base64,[^\"]+", "", page)
    assert "was on another grid" in page
    pdf = tmp_path / "differences.pdf"
    compare_to_file(CompareRequest(*results, pdf))
    assert pdf.read_bytes().startswith(b"%PDF")
    plain = tmp_path / "differences.json"
    compare_to_file(CompareRequest(*results, plain))
    assert json.loads(plain.read_text())["kinds"] == ["studies"]


def test_an_existing_page_stays_unless_asked(results: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "mine.html"
    out.write_text("precious")
    with pytest.raises(OutputError, match="--overwrite"):
        compare_to_file(CompareRequest(*results, out))
    assert out.read_text() == "precious"
    compare_to_file(CompareRequest(*results, out, overwrite=True))
    assert out.read_text() != "precious"


def test_what_cannot_be_compared_is_said(results: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no result"):
        compare_to_file(CompareRequest(results[0], tmp_path / "none"))
    with pytest.raises(InputError, match="two different names"):
        CompareRequest(*results, names=("a", "a"))
    with pytest.raises(InputError, match="should end in"):
        CompareRequest(*results, out=tmp_path / "page.docx")
    stray = tmp_path / "prior.json"
    stray.write_text("{}")
    with pytest.raises(InputError, match="no record of a prior study"):
        compare_to_file(CompareRequest(*results, registration=stray))


def test_a_prior_study_s_registration_pairs_the_lesions(results: tuple[Path, Path], tmp_path: Path) -> None:
    rows = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 5.0), (0.0, 0.0, 0.0, 1.0))
    record = PriorRecord(SpineMatch(rows, 0.9), PriorComparison((), ()), 300, (), False)
    prior = tmp_path / "prior.json"
    prior.write_bytes(record.as_json())
    lesions = compare_to_file(CompareRequest(*results, registration=prior)).lesions
    assert lesions is not None
    assert lesions.matched == "registered"
    assert [pair.first and pair.second and pair.second.number for pair in lesions.pairs] == [1, 2]


def test_the_job_hands_out_the_comparison(results: tuple[Path, Path], tmp_path: Path) -> None:
    context = JobContext(ignore_progress, lambda text: None)
    parameters = {"first": str(results[0]), "second": str(results[1]), "out": str(tmp_path / "page.html")}
    output = find_job("compare")(parameters, context)
    assert list(output.result["kinds"]) == ["studies"]
    assert output.files == {"page": str(tmp_path / "page.html")}
