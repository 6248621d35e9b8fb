"""The overview of a cohort: each result or the reason why not, nothing mixed, nothing loaded, names where wanted."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from results_made_up import make_bundle_record, make_result, with_risk, write_result

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.rights import SIMULATED_MODEL
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.compare.cohort import DEMONSTRATION_OUTCOMES, read_cohort
from MemorySurvivalLib.compare.outcomes import match_outcomes, read_outcomes
from MemorySurvivalLib.compare.overview import OverviewRequest, write_overview
from MemorySurvivalLib.compare.survival import LEAST_CASES, FollowedCase, Outcome, group_survival
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.imaging.acquisition import Acquisition
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.worklist.status import CaseStatus, WorklistStatus, write_status

FLAG = QualityFlag("glucose", "warning", "The blood glucose was 12 mmol/L.", 12.0)
DEMONSTRATION = make_bundle_record("demonstration", "demonstration")


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Two models, one case twice, a simulated one, a broken and an old result, a failed case, a half-written folder."""
    folder = tmp_path / "cohort"
    write_result(folder / "Doe, Jane & <b>", make_result(0.5, images="a"))
    write_result(folder / "deep" / "er", make_result(-0.5, images="b", acquisition=Acquisition(flags=(FLAG,))))
    write_result(folder / "again", make_result(-0.4, images="b", created="2027-01-01T00:00:00+00:00"))
    demonstrated = with_risk(make_result(3.0, images="a", bundle=DEMONSTRATION), labels=(SIMULATED_MODEL,))
    write_result(folder / "demo", demonstrated)
    write_result(folder / "phantom", make_result(0.1, images="p", simulated=True))
    write_result(folder / ".again.partial-x", make_result())
    (folder / "broken").mkdir()
    (folder / "broken" / "result.json").write_text("{")
    (folder / "old").mkdir()
    (folder / "old" / "result.json").write_text('{"schema": "memory-survival-result", "schema_version": 1}')
    failed = CaseStatus("failed", sentence=f"The CT {folder}/lost/ct.nrrd does not exist.")
    reviewed = CaseStatus("reviewed", reviewer="Dr A")
    write_status(folder, WorklistStatus({"lost": failed, "demo": reviewed, "later": CaseStatus()}))
    return folder


class Page(HTMLParser):
    """What a page refers to, and its script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._inside = tag
        self.links += [given["href"] or ""] if "href" in given else []
        self.sources += [given["src"] or ""] if "src" in given else []
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        assert not [name for name in given if name.startswith("on")], "no handlers in attributes"

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def test_every_result_is_read_and_the_rest_is_told(cohort: Path) -> None:
    found = read_cohort(cohort)
    assert sorted(case.name for case in found.cases) == ["Doe, Jane & <b>", "again", "deep/er", "demo", "phantom"]
    reasons = {problem.name: problem.sentence for problem in found.unread}
    assert set(reasons) == {"broken", "old"}
    assert "damaged" in reasons["broken"]
    assert "older" in reasons["old"]
    assert [(problem.name, problem.sentence) for problem in found.failed] == [
        ("lost", "The CT lost/ct.nrrd does not exist.")
    ]
    assert not any(str(cohort) in sentence for sentence in reasons.values())
    assert dict(found.states) == {"scored": 4, "reviewed": 1, "failed": 1, "to do": 1}
    assert dict(found.flags) == {"glucose": 1}
    assert {frozenset(names) for names in found.duplicates} == {
        frozenset({"Doe, Jane & <b>", "demo"}),
        frozenset({"again", "deep/er"}),
    }


def test_a_folder_that_cannot_be_opened_is_listed(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(place: str) -> object:
        if Path(place).name == "deep":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    found = read_cohort(cohort)
    assert ("deep", "The folder cannot be opened (Permission denied).") in [(u.name, u.sentence) for u in found.unread]
    assert len(found.cases) == 4


def test_models_and_simulated_cases_are_never_mixed_and_the_newest_counts(cohort: Path) -> None:
    groups = read_cohort(cohort).groups
    assert [(len(group.cases), group.simulated) for group in groups] == [(3, False), (1, False), (1, True)]
    assert {case.name for case in groups[0].counted} == {"Doe, Jane & <b>", "again"}
    assert groups[1].labels == (SIMULATED_MODEL,)
    assert read_cohort(cohort).labels == (SIMULATED_MODEL,), "what holds for some cases stands beside those"


def test_the_page_is_self_contained_and_only_its_own_script_may_run(cohort: Path) -> None:
    out = cohort / "overview.html"
    write_overview(OverviewRequest(cohort, out))
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.scripts) == 1
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert "unsafe-inline'; script" in page.policy, "styles alone may be inline"
    assert len(page.links) == 5
    assert all((cohort / unquote(link)).is_file() for link in page.links)
    assert SIMULATED_MODEL in text
    assert text.count(RESEARCH_USE) >= 2
    assert "<b>&" not in text
    assert "Doe, Jane &amp; &lt;b&gt;" in text


def test_links_lead_from_wherever_the_page_is(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "page.html"
    write_overview(OverviewRequest(cohort, out))
    links = Page(out.read_text(encoding="utf-8")).links
    assert all((out.parent / unquote(link)).is_file() for link in links)
    (cohort / "demo" / "report.html").unlink()
    write_overview(OverviewRequest(cohort, out, overwrite=True))
    assert len(Page(out.read_text(encoding="utf-8")).links) == 4, "no link to what is not there"


def test_numbered_pages_name_nobody(cohort: Path, tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes.csv"
    outcomes.write_text("case,months,event\nDoe John,12,1\n")
    out = tmp_path / "page.html"
    write_overview(OverviewRequest(cohort, out, outcomes, numbered=True))
    text = out.read_text(encoding="utf-8")
    for name in ("Doe", "deep", "again", "demo/", "phantom", "lost", "broken", "hospital", str(tmp_path)):
        assert name not in re.sub(r"base64,[^\"]+", "", text), name
    assert "case 5" in text
    assert Page(text).links == []


def test_an_existing_page_is_kept_and_an_empty_folder_said(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("precious")
    with pytest.raises(OutputError, match="--overwrite"):
        write_overview(OverviewRequest(cohort, out))
    assert out.read_text() == "precious"
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(InputError, match="give a folder with results"):
            write_overview(OverviewRequest(folder, tmp_path / "new.html"))


def test_command_and_job(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overview", str(cohort), "--out", str(tmp_path / "one.html")]) == 0
    assert "5 results, 1 failed, 2 not readable" in capsys.readouterr().out
    parameters = {"folder": str(cohort), "out": str(tmp_path / "two.html")}
    output = find_job("overview")(parameters, JobContext(ignore_progress, lambda text: None))
    assert output.result["results"] == 5
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes(), "equal input, equal page"


def followed(count: int, group: str | None = None, months: float = 10.0) -> list[FollowedCase]:
    return [FollowedCase(n / 10, group, Outcome(months + n, n % 2 == 0)) for n in range(count)]


def test_kaplan_meier_by_hand() -> None:
    """Ten cases, events at 1, 2 and 4, one censored at 3: S = 9/10, 8/10, then of the seven left 6/7 of it."""
    months = [1, 2, 3, 4, 5, 5, 5, 5, 5, 5]
    events = [1, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    low = [FollowedCase(0, "low", Outcome(m, bool(e))) for m, e in zip(months, events, strict=True)]
    high = [FollowedCase(1, "high", Outcome(m, True)) for m in range(1, 11)]
    found = group_survival(low + high)
    first, second = found.curves
    assert (first.name, second.name) == ("low", "high"), "from low to high risk"
    known = dict(zip(first.times_months, first.survival, strict=True))
    assert known[1] == pytest.approx(0.9)
    assert known[2] == pytest.approx(0.8)
    assert known[4] == pytest.approx(0.8 * 6 / 7)
    assert first.median_months is None
    assert second.median_months == 5
    assert second.survival[-1] == pytest.approx(0)
    for curve in found.curves:
        inside = [
            low <= value <= high
            for low, value, high in zip(curve.lower, curve.survival, curve.upper, strict=True)
            if value > 0
        ]
        assert all(inside)
        assert curve.at_risk[0] == 10
        assert list(curve.at_risk) == sorted(curve.at_risk, reverse=True)
    assert second.at_risk == tuple(sum(m >= t for m in range(1, 11)) for t in second.at_risk_months)


@pytest.mark.parametrize(
    ("cases", "names"),
    [
        (followed(2 * LEAST_CASES - 1), ()),
        (followed(2 * LEAST_CASES), ("lower half", "upper half")),
        (followed(4 * LEAST_CASES), ("lowest quarter", "second quarter", "third quarter", "highest quarter")),
        (followed(30, "low") + followed(9, "high"), ()),
        (followed(30, "low"), ()),
        (followed(30, "low") + followed(10, "high"), ("low", "high")),
    ],
)
def test_groups_below_ten_cases_get_a_sentence_instead(cases: list[FollowedCase], names: tuple[str, ...]) -> None:
    found = group_survival(cases)
    assert sorted(curve.name for curve in found.curves) == sorted(names)
    assert bool(found.sentence) == (not names)
    assert all(curve.cases >= LEAST_CASES for curve in found.curves)


def test_without_the_package_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MemorySurvivalLib.compare.survival.find_spec", lambda name: None)
    found = group_survival(followed(40))
    assert found.curves == ()
    assert "lifelines" in found.sentence


def test_real_outcomes_are_not_grouped_by_a_demonstration(tmp_path: Path) -> None:
    outcomes = {f"c{n}": Outcome(10.0 + n, True) for n in range(2 * LEAST_CASES)}
    for n in range(2 * LEAST_CASES):
        record = make_result(n / 10, images=str(n), bundle=DEMONSTRATION, measured=False)
        write_result(tmp_path / "real" / f"c{n}", record)
        write_result(tmp_path / "simulated" / f"c{n}", replace(record, simulated_case=True))
    real = read_cohort(tmp_path / "real", outcomes).groups[0].survival
    assert real is not None
    assert real.sentence == DEMONSTRATION_OUTCOMES
    assert real.curves == ()
    simulated = read_cohort(tmp_path / "simulated", outcomes).groups[0].survival
    assert simulated is not None
    assert len(simulated.curves) == 2
    table = tmp_path / "outcomes.csv"
    table.write_text("case;months;event\n" + "".join(f"c{n};{10 + n},5;1\n" for n in range(20)))
    out = tmp_path / "page.html"
    write_overview(OverviewRequest(tmp_path / "simulated", out, table))
    text = out.read_text(encoding="utf-8")
    assert "Simulated progression-free survival by halves" in text
    assert "Cases at risk" in text
    sources = Page(text).sources
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert text.count(RESEARCH_USE) >= 6, "in the head, the foot, beside each picture and in its words"


def test_outcomes_are_matched_by_folder(tmp_path: Path) -> None:
    outcomes = {"a": Outcome(1, True), "x/b": Outcome(2, False), "b": Outcome(3, True), "z": Outcome(4, True)}
    matched, unknown = match_outcomes(("deep/a", "x/b", "y/b"), outcomes)
    assert matched == {"deep/a": Outcome(1, True), "x/b": Outcome(2, False)}
    assert unknown == ("b", "z"), "b could be two of them"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing: case, months, event"),
        ("case,months\na,1\n", "missing: event"),
        ("case,months,event\na,twelve,1\n", "'twelve'"),
        ("case,months,event\na,-1,1\n", "zero or more"),
        ("case,months,event\na,nan,1\n", "zero or more"),
        ("case,months,event\na,1,maybe\n", "'maybe'"),
        ("case,months,event\na,1,1\na,2,0\n", "twice"),
        ("case,months,event\na,1,\n", "give 1"),
    ],
)
def test_outcomes_that_make_no_sense_are_refused(tmp_path: Path, text: str, why: str) -> None:
    table = tmp_path / "outcomes.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=re.escape(why)):
        read_outcomes(table)
    with pytest.raises(InputError, match="cannot be read"):
        read_outcomes(tmp_path / "none.csv")


def test_outcomes_may_be_blank_or_european(tmp_path: Path) -> None:
    table = tmp_path / "outcomes.csv"
    table.write_text("Case;Months;Event;remark\na;12,5;yes;x\nb;;;\nc/;0;FALSE;\n", encoding="utf-8-sig")
    assert read_outcomes(table) == {"a": Outcome(12.5, True), "c": Outcome(0, False)}
