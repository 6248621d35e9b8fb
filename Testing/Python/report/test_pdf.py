"""The PDF holds what the document says, on every sheet what must stand there, and survives odd input."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.report.compose import compose_document
from MemorySurvivalLib.report.document import (
    Bar,
    Block,
    Bullets,
    Cell,
    Document,
    Facts,
    Figure,
    FigureRow,
    Page,
    Paragraph,
    Section,
    Table,
    Ticks,
)

pytest.importorskip("reportlab", reason="the extra `export` is not installed")

from MemorySurvivalLib.report import pdf_build
from MemorySurvivalLib.report.pdf import make_pdf, write_pdf

NAMES = "Müller-Łukasiewicz Иванова^Мария"
SIGNS = "−0.69 · ± ≥ ≤ 10⁻³ x² Δ ½ µ ☑"

needs_poppler = pytest.mark.system_package


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one picture, and one that is cut off."""
    folder = tmp_path_factory.mktemp("pictures")
    Image.linear_gradient("L").save(folder / "ramp.png")
    (folder / "broken.png").write_bytes((folder / "ramp.png").read_bytes()[:60])
    return folder


def document_of(*blocks: Block, title: str = "Result") -> Document:
    """A document of one page and one section."""
    return Document(
        "Risk report",
        (Page(title, (Section("Heading", blocks),)),),
        ("SIMULATED MODEL", "SIMULATED CASE"),
        RESEARCH_USE,
        "MemorySurvival 0.1.0",
        keywords=("FDG", "myeloma"),
    )


def full_document() -> Document:
    """Every kind of block, on two pages and an empty one."""
    figure = Figure("ramp", 40, 40, "A ramp from dark to light.", "Caption.", "Lead.")
    table = Table(
        ("Bone", "Effect"),
        ((Cell("L1"), Cell("+0.05", 0.0512)), (Cell("L2"), Cell("+0.01"))),
        numeric=(1,),
        caption="All",
    )
    blocks: tuple[Block, ...] = (
        Paragraph("+0.53 log-risk", "number", exact=0.5312),
        Paragraph("Higher than 88 %", "key"),
        Paragraph("Sixty patients", "quiet"),
        Paragraph(f"{NAMES} {SIGNS}", lead="Spoken:"),
        Paragraph("Covariates are missing.", "note"),
        Paragraph("Not for a decision.", "warning"),
        Bullets(("First limit.", "Second limit.")),
        Bullets(("First warning.",), "warning"),
        Facts((("Scored", (Cell("ct.nrrd"), Cell("pet.nrrd"))), ("Model", (Cell("Demo"),))), across=True),
        Facts((("Hash", (Cell("a1" * 32, code=True),)),)),
        table,
        figure,
        FigureRow((figure, figure, replace(figure, width_mm=120))),
        Bar(0.64, "PET 64 %", "CT the rest", "PET 64 %, CT the rest"),
        Ticks((("Lesions reviewed", True), ("Mask reviewed", False))),
    )
    beside = Section("Beside", (Paragraph("Left side."),), ((Paragraph("Right side."), figure),), (2.0, 1.0))
    pages = (Page("Result", (Section("Blocks", blocks),)), Page("Method", (beside,)), Page("Nothing here", ()))
    return replace(document_of(), pages=pages, subject_line="Doe^Jane · 12345")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], list[str]]:
    """The text of each sheet, without line breaks, read by poppler; the watermark's letters stand in between."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext of poppler-utils is not installed")

    def read_text(pdf: bytes) -> list[str]:
        file = tmp_path / "read.pdf"
        file.write_bytes(pdf)
        done = subprocess.run(["pdftotext", "-raw", str(file), "-"], capture_output=True, check=True, timeout=60)
        assert not done.stderr, done.stderr
        return [" ".join(sheet.split()) for sheet in done.stdout.decode().split("\f")[:-1]]

    return read_text


def tree_of(pdf: bytes, tmp_path: Path) -> str:
    """The structure tree with its texts, as poppler tells it."""
    if shutil.which("pdfinfo") is None:
        pytest.skip("pdfinfo of poppler-utils is not installed")
    (tmp_path / "tree.pdf").write_bytes(pdf)
    command = ["pdfinfo", "-struct-text", str(tmp_path / "tree.pdf")]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.decode()


def count_sheets(pdf: bytes) -> int:
    """How many sheets the page tree has."""
    found = re.search(rb"/Count (\d+)\s+/Kids", pdf)
    assert found
    return int(found[1])


def test_equal_input_gives_equal_bytes(pictures: Path) -> None:
    first, second = (make_pdf(full_document(), pictures) for _ in range(2))
    assert first == second
    assert first.startswith(b"%PDF-1.7")
    assert b"CreationDate" not in first


def test_fonts_are_inside_and_nothing_is_fetched(pictures: Path) -> None:
    pdf = make_pdf(full_document(), pictures)
    fonts = re.findall(rb"/BaseFont /(\S+)", pdf)
    assert len(set(fonts)) >= 3
    assert all(name.startswith(b"AAAAAA+DejaVu") for name in fonts)
    assert pdf.count(b"/FontFile2") == len(set(fonts))
    assert not re.search(rb"/URI|/JavaScript|/Launch|https?:", pdf)


def test_properties_name_no_patient(pictures: Path) -> None:
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    pdf = make_pdf(full_document(), pictures, created=moment)
    assert b"(Risk report)" in pdf
    assert b"(FDG, myeloma)" in pdf
    assert b"(D:20260504030201+00'00')" in pdf
    assert b"/Lang (en)" in pdf
    assert b"Doe" not in pdf  # the pages are compressed; what is found plainly would be a property


@pytest.mark.parametrize(("paper", "box"), [("a4", b"595.2756 841.8898"), ("letter", b"612 792")])
def test_papers(pictures: Path, paper: str, box: bytes) -> None:
    assert b"/MediaBox [ 0 0 " + box in " ".join(
        make_pdf(full_document(), pictures, paper).decode("latin-1").split()
    ).encode("latin-1")  # type: ignore[arg-type]


def test_unknown_paper(pictures: Path) -> None:
    with pytest.raises(InputError, match="choose one of a4, letter"):
        make_pdf(full_document(), pictures, "a3")  # type: ignore[arg-type]


@needs_poppler
def test_every_sheet_carries_labels_research_use_and_its_number(
    pictures: Path, read: Callable[[bytes], list[str]]
) -> None:
    rows = tuple((Cell(str(row)), Cell(f"place {row}"), Cell(f"+0.{row:03d}")) for row in range(300))
    document = document_of(Table(("Number", "Where", "Effect of it"), rows, numeric=(2,)), title="Hotspots")
    pdf = make_pdf(document, pictures)
    sheets = read(pdf)
    assert len(sheets) == count_sheets(pdf) > 4
    for number, sheet in enumerate(sheets, start=1):
        assert sheet.count(RESEARCH_USE) == 2
        assert f"Page {number} of {len(sheets)}" in sheet
        assert sheet.count("SIMULATED MODEL · SIMULATED CASE") > 5  # the banner and the watermark
        assert "Effect of it" in sheet  # the table's head
        assert ("Hotspots (continued)" in sheet) == (number > 1)
    for row in range(300):
        assert sum(f" place {row} +0.{row:03d}" in sheet for sheet in sheets) == 1


@needs_poppler
def test_all_that_is_said_is_there(pictures: Path, read: Callable[[bytes], list[str]]) -> None:
    text = " ".join(read(make_pdf(full_document(), pictures)))
    for said in (
        "+0.53",
        "Higher than 88 %",
        "Spoken:",
        NAMES,
        SIGNS,
        "Second limit.",
        "pet.nrrd",
        "a1a1a1",
        "Lead.",
        "Caption.",
        "☑ Lesions reviewed",
        "☐ Mask reviewed",
        "PET 64 %",
        "CT the rest",
        "Right side.",
        "Nothing here",
        "Doe^Jane · 12345",
    ):
        assert said in text, said


@needs_poppler
def test_tagged_with_words_for_pictures(pictures: Path, tmp_path: Path) -> None:
    pdf = make_pdf(full_document(), pictures)
    assert b"/Marked true" in pdf
    assert pdf.count(b"/Alt (A ramp from dark to light.)") == 5
    tree = tree_of(pdf, tmp_path)
    roles = re.findall(r"^\s*([A-Z]\w*)\b", tree, re.MULTILINE)
    assert {"Document", "Sect", "H1", "H2", "P", "L", "LI", "LBody", "Table", "TR", "TH", "TD", "Figure"} <= set(roles)
    assert roles.count("H1") == 3
    reading = ["+0.53", "Higher than", "First limit", "ct.nrrd", "+0.05", "Lesions reviewed", "Left side", "Right side"]
    places = [tree.index(text) for text in reading]
    assert places == sorted(places)


def test_outline_names_pages_and_sections(pictures: Path) -> None:
    pdf = make_pdf(full_document(), pictures)
    for title in (b"Result", b"Blocks", b"Method", b"Beside", b"Nothing here"):
        assert b"/Title (" + title + b")" in pdf


@needs_poppler
@pytest.mark.parametrize("picture", ["absent", "broken", "../ramp"])
def test_a_missing_picture_is_said_in_its_place(
    pictures: Path, read: Callable[[bytes], list[str]], picture: str
) -> None:
    inner = pictures / "inner"
    inner.mkdir(exist_ok=True)
    folder = inner if picture.startswith("..") else pictures
    text = " ".join(read(make_pdf(document_of(Figure(picture, 60, 60, "What it showed.", "Caption.")), folder)))
    assert f"The picture {picture}.png is missing or damaged." in text
    assert "Caption." in text


def test_read_only_target(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="choose another place"):
        write_pdf(document_of(), pictures, tmp_path / "file" / "report.pdf")


def test_written_whole(pictures: Path, tmp_path: Path) -> None:
    write_pdf(full_document(), pictures, tmp_path / "report.pdf", "letter")
    assert (tmp_path / "report.pdf").read_bytes() == make_pdf(full_document(), pictures, "letter")
    assert [file.name for file in tmp_path.iterdir()] == ["report.pdf"]


@needs_poppler
def test_long_texts_lose_nothing(pictures: Path, read: Callable[[bytes], list[str]]) -> None:
    words = " ".join(f"w{number}" for number in range(600))
    name = "Ñéšťör-Ångström" * 4 + "Łódź"
    unbreakable = "".join(f"{number:04d}" for number in range(50))
    tall = Figure("ramp", 400, 900, "Too large for any sheet.", words)
    document = document_of(
        Paragraph(words, "note"),
        Facts(((unbreakable, (Cell(unbreakable), Cell(words))),)),
        Table(("A", "B", "C"), ((Cell(words), Cell(unbreakable), Cell("end")),) * 2),
        tall,
        title=name,
    )
    document = replace(
        document, subject_line=f"{name} {words.upper()}", foot=words.upper(), labels=("A VERY LONG LABEL INDEED",) * 6
    )
    for paper in ("a4", "letter"):
        text = " ".join(read(make_pdf(document, pictures, paper)))  # type: ignore[arg-type]
        found = Counter(re.findall(r"\bw\d+\b", text))
        assert found == {f"w{number}": 5 for number in range(600)}
        assert text.replace(" ", "").count(unbreakable) >= 2
        assert name in text.replace(" ", "").replace("\u00ad", "")
        assert text.count("end") >= 2


@needs_poppler
def test_stacks_side_by_side_run_on(pictures: Path, read: Callable[[bytes], list[str]]) -> None:
    left, right = (tuple(Paragraph(f"{side}{number} said.") for number in range(150)) for side in ("left", "right"))
    document = replace(document_of(), pages=(Page("Two", (Section("Both", left, (right,)),)),))
    sheets = read(make_pdf(document, pictures))
    assert len(sheets) == 3
    assert all("left" in sheet and "right" in sheet for sheet in sheets)
    assert sum(sheet.count("said.") for sheet in sheets) == 300


@needs_poppler
def test_no_heading_ends_a_sheet(pictures: Path, read: Callable[[bytes], list[str]]) -> None:
    figure = Figure("ramp", 90, 90, "A ramp.")
    for lines in range(48, 73, 6):
        filling = Section("", tuple(Paragraph("line") for _ in range(lines)))
        document = replace(
            document_of(), pages=(Page("P", (filling, Section("Headline", (figure, Paragraph("after"))))),)
        )
        sheets = read(make_pdf(document, pictures))
        where = next(index for index, sheet in enumerate(sheets) if "Headline" in sheet)
        assert "after" in sheets[where]


def test_a_document_without_labels_has_no_watermark(pictures: Path) -> None:
    with_labels = make_pdf(document_of(), pictures)
    without = make_pdf(replace(document_of(), labels=()), pictures)
    assert b"/ca .12" in with_labels
    assert b"/ca .12" not in without


@needs_poppler
def test_characters_that_no_font_has_are_said_at_the_end(pictures: Path, read: Callable[[bytes], list[str]]) -> None:
    document = document_of(Paragraph("Named שלום."))
    document = replace(document, pages=(*document.pages, Page("Last", ())))
    first, last = read(make_pdf(document, pictures))
    assert "Named [U+05E9][U+05DC][U+05D5][U+05DD]." in first
    assert "U+05D5, U+05DC, U+05DD, U+05E9" in last
    assert "Unicode codes" not in first


@needs_poppler
def test_a_page_a_little_too_long_is_drawn_on_one_sheet(
    pictures: Path, read: Callable[[bytes], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sheets_of(lines: int) -> list[str]:
        section = Section("Lines", tuple(Paragraph(f"line {number}.") for number in range(lines)))
        return read(make_pdf(replace(document_of(), pages=(Page("P", (section,)),)), pictures))

    (sheet,) = sheets_of(60)
    assert all(f"line {number}." in sheet for number in range(60))
    assert len(sheets_of(80)) == 2
    monkeypatch.setattr(pdf_build, "REDUCED", ())
    assert len(sheets_of(60)) == 2


@needs_poppler
def test_words_of_any_script_stand_outside_the_pages_too(pictures: Path, tmp_path: Path) -> None:
    figure = Figure("ramp", 10, 10, "Überblick über Иванова")
    page = Page("Seite Ж", (Section("Übersicht", (figure,)),))
    document = replace(document_of(), title="Отчёт", pages=(page,), language="ru")
    tree_of(make_pdf(document, pictures), tmp_path)
    done = subprocess.run(["pdfinfo", str(tmp_path / "tree.pdf")], capture_output=True, check=True, timeout=60)
    assert re.search(r"^Title: +Отчёт$", done.stdout.decode(), re.MULTILINE)
    assert b"Tagged:          yes" in done.stdout


def test_a_document_without_pages_is_one_empty_sheet(pictures: Path) -> None:
    assert count_sheets(make_pdf(replace(document_of(), pages=()), pictures)) == 1


@needs_poppler
@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_the_composed_report_answers_on_one_sheet(
    example: Any, report_of: Any, read: Callable[[bytes], list[str]], tmp_path: Path, paper: Any
) -> None:
    report = report_of(example.record)
    for picture in report.pictures:
        Image.new("L", (4, 4)).save(tmp_path / f"{picture.name}.png")
    document = compose_document(report)
    sheets = read(make_pdf(document, tmp_path, paper))
    for sheet, page in zip(sheets, document.pages, strict=False):
        assert sheet.startswith(page.title)
    assert "+0.46 log-risk" in sheets[0]
    assert not any("is missing or damaged" in sheet for sheet in sheets)
    assert all(label in sheet for sheet in sheets for label in example.record.risk.labels)
