"""Another language: every sentence of the pages passes through it, numbers and dates follow it, data do not."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.report import language as language_module
from MemorySurvivalLib.report.compose import compose_document
from MemorySurvivalLib.report.csv_row import csv_row
from MemorySurvivalLib.report.language import list_languages, say_date, say_local, speaking, tr
from MemorySurvivalLib.report.translations import Message, find_messages, write_template
from MemorySurvivalLib.resources import locate_resource
from MemorySurvivalLib.scoring import StatisticUsed

CODE = Path(language_module.__file__).parent
FORMATS = {"decimal sign": ",", "date format (strftime)": "%d.%m.%Y"}


def write_catalogue(folder: Path, tag: str, entries: dict[bytes, bytes]) -> None:
    """A gettext .mo file: the header's numbers, two tables of lengths and places, the texts."""
    pairs = sorted(entries.items())
    count, body = len(pairs), b""
    tables: tuple[list[int], list[int]] = ([], [])
    start = 28 + 16 * count
    for table, texts in zip(tables, zip(*pairs, strict=True), strict=True):
        for text in texts:
            table += [len(text), start + len(body)]
            body += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    place = folder / tag / "LC_MESSAGES" / "memory-survival.mo"
    place.parent.mkdir(parents=True)
    place.write_bytes(head + struct.pack(f"<{4 * count}I", *tables[0], *tables[1]) + body)


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language that says every sentence in brackets, with a decimal comma and the day first."""
    folder = tmp_path_factory.mktemp("locale")
    entries = {b"": b"Content-Type: text/plain; charset=UTF-8\n"}
    for message in find_messages(CODE):
        key = f"{message.context}\x04{message.text}" if message.context else message.text
        entries[key.encode()] = FORMATS.get(message.context, f"⟦{message.text}⟧").encode()
    write_catalogue(folder, "xx", entries)
    return folder


def test_the_template_that_ships_is_the_one_of_the_code() -> None:
    """To renew it, see the head of report/translations.py."""
    ships = locate_resource("Locale/memory-survival.pot").read_text(encoding="utf-8")
    assert ships == write_template(find_messages(CODE))


def test_every_heading_and_sentence_of_the_pages_is_translated(
    example: Any, report_of: Any, words_of: Any, catalogues: Path
) -> None:
    document = compose_document(report_of(example.record), "xx", catalogues)
    assert document.language == "xx" and document.title.startswith("⟦")
    for page in document.pages:
        assert page.title.startswith("⟦")
        for section in page.sections:
            assert not section.title or section.title.startswith("⟦"), section.title
    text = words_of(document.pages)
    outside = re.sub(r"⟦[^⟦⟧]*(?:⟦[^⟦⟧]*⟧[^⟦⟧]*)*⟧", " ", text)
    for english in ("doubles the hazard", "Red: this tissue", "was brought onto", "The line is", "c-index says"):
        assert english in text and english not in outside


def test_numbers_and_dates_follow_the_language(example: Any, report_of: Any, words_of: Any, catalogues: Path) -> None:
    report = report_of(example.record)
    text = words_of(compose_document(report, "xx", catalogues).pages[0])
    assert "+0,46" in text and "14,6" in text and "+0.46" not in text
    assert "04.05.2026 03:02 UTC" in compose_document(report, "xx", catalogues).foot
    assert csv_row(report)["log_risk"] == "0.4637", "data stay in the C locale"
    assert "+0.46" in words_of(compose_document(report).pages[0]), "English comes back"


def test_values_of_the_region_have_the_languages_decimal_sign(
    example: Any, report_of: Any, words_of: Any, catalogues: Path
) -> None:
    report = report_of(example.with_risk(statistics=(StatisticUsed("mtv_ml", 1234.56, "mL"),)).record)
    assert "1234,6 mL" in words_of(compose_document(report, "xx", catalogues).pages)
    assert csv_row(report)["statistics_used"] == "mtv_ml=1234.56", "data stay in the C locale"


@pytest.mark.parametrize("text", ["", "unknown", "2026-13-01"])
def test_what_is_no_date_stays_as_it_is(text: str) -> None:
    assert say_date(text) == text


def test_a_date_alone_has_no_time(catalogues: Path) -> None:
    assert say_date("2026-03-31") == "2026-03-31"
    with speaking("xx", catalogues):
        assert say_date("2026-03-31") == "31.03.2026"
        assert say_local("1.5") == "1,5"


def test_an_unknown_language_names_those_that_are_there(catalogues: Path) -> None:
    assert list_languages(catalogues) == ("en", "xx")
    with pytest.raises(InputError, match="no translation into 'de'; choose one of en, xx"), speaking("de", catalogues):
        tr("never reached")


def test_a_text_put_together_at_run_time_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text('tr(f"a {b}")\n')
    with pytest.raises(ValueError, match=r"page\.py:1: a text to translate must be one constant"):
        find_messages(tmp_path)
    (tmp_path / "page.py").write_text('tr("a" " b")\nx.pgettext("sign", ".")\nlater("c")\n')
    assert find_messages(tmp_path) == (Message(".", "sign"), Message("a b"), Message("c"))
