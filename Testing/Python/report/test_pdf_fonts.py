"""Every character is drawn by a font that is embedded, or said to be missing."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest

pytest.importorskip("reportlab", reason="the extra `export` is not installed")

from MemorySurvivalLib.report import pdf_fonts
from MemorySurvivalLib.report.document import Cell, Document, Facts, Page, Section
from MemorySurvivalLib.report.pdf import make_pdf
from MemorySurvivalLib.report.pdf_fonts import Fonts

STIX = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf"
"""Stands for a font of another script: it has script letters (U+1D4D0) that DejaVu lacks."""


def runs(text: str, fonts: Fonts | None = None) -> list[tuple[str, str]]:
    """The runs of a text in the text face."""
    return list((fonts or Fonts()).runs(text))


@pytest.fixture
def no_east_asian(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without any East Asian font."""
    monkeypatch.setattr(pdf_fonts, "_find_east_asian", tuple)
    monkeypatch.setattr(pdf_fonts, "_find_system_fonts", tuple)


@pytest.mark.parametrize(
    "text", ["Müller-Łukasiewicz", "Иванова^Мария", "Ελένη", "−1 ± 2 ≥ x² 10⁻³ µ ½ · – “a” ☐☑ → °"]
)
def test_european_names_and_signs_are_one_run(text: str) -> None:
    fonts = Fonts()
    assert runs(text, fonts) == [("DejaVuSans", text)]
    assert fonts.say_missing() == ""


def test_accents_are_composed() -> None:
    assert runs("Mu\u0308ller") == [("DejaVuSans", "Müller")]


def test_what_cannot_be_seen_is_left_out() -> None:
    assert runs("a\u200bb\u00adc\x07d\te\r\nf") == [("DejaVuSans", "abcd e\nf")]


def test_a_fixed_width_face_borrows_what_it_lacks() -> None:
    assert list(Fonts().runs("a1", "code")) == [("DejaVuSansMono", "a1")]


@pytest.mark.usefixtures("no_east_asian")
def test_characters_without_a_font_stand_as_codes() -> None:
    fonts = Fonts()
    assert runs("山^A", fonts) == [("DejaVuSans", "[U+5C71]^A")]
    assert "U+5C71" in fonts.say_missing()


def test_letters_that_need_shaping_are_not_drawn_in_the_wrong_order() -> None:
    fonts = Fonts()
    assert runs("אב", fonts) == [("DejaVuSans", "[U+05D0][U+05D1]")]
    assert runs("م", fonts) == [("DejaVuSans", "[U+0645]")]
    assert fonts.missing == {"א", "ב", "م"}


def test_runs_change_font_only_where_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_fonts, "_find_east_asian", lambda: (STIX,))
    assert runs("a 𝓐 𝓑 b") == [("DejaVuSans", "a "), ("STIXGeneral", "𝓐 𝓑 "), ("DejaVuSans", "b")]


def test_a_borrowed_font_is_embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pdf_fonts, "_find_east_asian", lambda: (STIX,))
    page = Page("Names", (Section("", (Facts((("Name", (Cell("𝓐𝓑"),)),)),)),))
    pdf = make_pdf(Document("T", (page,), (), "Research use only", "foot"), tmp_path)
    assert b"+STIXGeneral" in pdf
    assert pdf == make_pdf(Document("T", (page,), (), "Research use only", "foot"), tmp_path)


def test_a_font_that_cannot_be_embedded_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "msgothic.ttc"
    broken.write_bytes(b"OTTO" + bytes(64))
    monkeypatch.setattr(pdf_fonts, "_find_east_asian", tuple)
    monkeypatch.setattr(pdf_fonts, "_find_system_fonts", lambda: (broken, STIX))
    assert runs("𝓐") == [("STIXGeneral", "𝓐")]


def test_japanese_names_are_drawn_where_the_small_package_is_installed() -> None:
    fonts = Fonts()
    name, first = runs("山田^太郎", fonts)[0]
    if pdf_fonts._find_east_asian():
        assert (name, first) == ("ipaexg", "山田")
        assert not fonts.missing
    else:  # another font of this computer, or the codes
        assert (name == "DejaVuSans") == first.startswith("[U+5C71][U+7530]^")
        assert bool(fonts.missing) == (name == "DejaVuSans")
