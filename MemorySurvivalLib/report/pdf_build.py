"""Puts the PDF together: sheets, story, outline, structure tree, properties."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from reportlab import rl_config
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.pdfbase.pdfdoc import PDFDictionary, PDFInfo, PDFString
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, NextPageTemplate, PageBreak, PageTemplate, Spacer

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.report import pdf_style
from MemorySurvivalLib.report.document import Document, Page
from MemorySurvivalLib.report.document import Paragraph as Said
from MemorySurvivalLib.report.language import speaking
from MemorySurvivalLib.report.pdf_blocks import Writer
from MemorySurvivalLib.report.pdf_fonts import Fonts
from MemorySurvivalLib.report.pdf_layout import Reduced, stack_height
from MemorySurvivalLib.report.pdf_marks import Marks, draw_numbers
from MemorySurvivalLib.report.pdf_tags import Tags

PAPERS: dict[str, tuple[float, float]] = {"a4": A4, "letter": LETTER}
MAKER = "MemorySurvival"

REDUCED = (0.95, 0.9)
MOST_TO_REDUCE = 1.2
"""A page that is at most this much too long for one sheet is drawn smaller, at the first of these scales that fits."""


def build_pdf(document: Document, pictures: Path, paper: str, created: datetime | None) -> bytes:
    """The bytes of the PDF; see `pdf.make_pdf`."""
    if not document.pages:
        document = replace(document, pages=(Page(document.title, ()),))
    with _language_of(document), _compact():
        build = _Build(document, pictures, PAPERS[paper])
        return build.run(created)


class _Build:
    """One document on its way to paper."""

    def __init__(self, document: Document, pictures: Path, paper: tuple[float, float]) -> None:
        self.document, self.paper = document, paper
        self.fonts, self.tags, self.pictures = Fonts(), Tags(), pictures
        self._readable: dict[Path, bool] = {}
        self.places = [self.tags.root.add("Sect") for _ in document.pages]
        self.marks = [
            Marks(document, page, self.fonts, self.tags, place, paper)
            for page, place in zip(document.pages, self.places, strict=True)
        ]
        self._heads = [len(place.children) for place in self.places]

    def run(self, created: datetime | None) -> bytes:
        """Lay out, draw, and finish."""
        target = BytesIO()
        template = BaseDocTemplate(target, pagesize=self.paper, allowSplitting=1, pageTemplates=self._templates())
        template.build(self._story(), canvasmaker=partial(_Finished, build=self, created=created))
        return target.getvalue()

    def finish(self, canvas: Any, created: datetime | None) -> None:
        """What can be written only when all sheets are drawn."""
        sheets = canvas.getPageNumber() - 1
        draw_numbers(canvas, self.fonts, sheets)
        self.tags.attach(canvas, self.document.language)
        canvas._doc.info = _properties(self.document, created)
        canvas.setViewerPreference("DisplayDocTitle", "true")
        canvas.showOutline()

    def _room(self, marks: Marks) -> float:
        return float(self.paper[1] - marks.height - marks.foot_height)

    def _templates(self) -> list[PageTemplate]:
        templates = []
        for number, marks in enumerate(self.marks):
            frame = Frame(
                marks.left,
                marks.foot_height,
                marks.width,
                self._room(marks) + 0.01,
                leftPadding=0,
                rightPadding=0,
                topPadding=0,
                bottomPadding=0,
            )

            def begin(canvas: Any, _: Any, marks: Marks = marks) -> None:
                marks.draw(canvas)

            def end(canvas: Any, _: Any, marks: Marks = marks) -> None:
                marks.draw_watermark(canvas)

            templates.append(PageTemplate(f"page{number}", [frame], onPage=begin, onPageEnd=end))
        return templates

    def _story(self) -> list[Flowable]:
        story: list[Flowable] = []
        for number in range(len(self.document.pages)):
            if number:
                story += [NextPageTemplate(f"page{number}"), PageBreak()]
            story += self._write(number)
        return story

    def _write(self, number: int) -> list[Flowable]:
        """The story of a page, drawn a little smaller where that saves a sheet."""
        room = self._room(self.marks[number])
        for scale in (1.0, *REDUCED):
            story = self._lay_out(number, scale, room)
            height = scale * stack_height(story, pdf_style.CONTENT_WIDTH / scale)
            if height <= room:
                return story if scale == 1 else [Reduced(story, scale)]
            if height > room * MOST_TO_REDUCE:
                break
        return self._lay_out(number, 1.0, room)

    def _lay_out(self, number: int, scale: float, room: float) -> list[Flowable]:
        place = self.places[number]
        del place.children[self._heads[number] :]  # of an earlier try
        width = pdf_style.CONTENT_WIDTH / scale
        writer = Writer(self.fonts, self.tags, self.pictures, self._readable, width, room / scale, f"page{number}")
        story = writer.write_page(self.document.pages[number], place)
        if number == len(self.document.pages) - 1 and self.fonts.missing:
            story += writer.write_block(Said(self.fonts.say_missing(), tone="note"), width, place)
        return story or [Spacer(1, 1)]


class _Finished(Canvas):
    """A canvas that lets the build add what belongs to the whole before it is saved."""

    def __init__(self, *arguments: Any, build: _Build, created: datetime | None, **options: Any) -> None:
        options |= {
            "initialFontName": pdf_style.TEXT_FONT,
            "invariant": 1,
            "pageCompression": 1,
            "pdfVersion": (1, 7),
            "lang": build.document.language,
        }
        super().__init__(*arguments, **options)
        self._build, self._created = build, created

    def save(self) -> None:
        """Finish the last sheet, then the document."""
        self._build.finish(self, self._created)
        super().save()


def _properties(document: Document, created: datetime | None) -> PDFInfo:
    """Title, labels, keywords. The patient is named on the pages only: properties are easily overlooked."""
    info = _Properties()
    info.title, info.author, info.creator, info.producer = document.title, MAKER, MAKER, "reportlab"
    info.subject = " · ".join(text for text in (*document.labels, document.research_use) if text)
    info.keywords = ", ".join(document.keywords)
    info.created = created
    return info


class _Properties(PDFInfo):
    """The file's properties with the date that was given, or none; reportlab would write a made-up one."""

    created: datetime | None = None

    def format(self, document: Any) -> bytes:
        """The entry in the file."""
        texts = {"Title": self.title, "Author": self.author, "Subject": self.subject, "Keywords": self.keywords}
        texts |= {"Creator": self.creator, "Producer": self.producer}
        entries: dict[str, Any] = {name: PDFString(text) for name, text in texts.items() if text}
        if self.created is not None:
            moment = self.created.astimezone(UTC)
            entries["CreationDate"] = entries["ModDate"] = PDFString(f"D:{moment:%Y%m%d%H%M%S}+00'00'")
        formatted: bytes = PDFDictionary(entries).format(document)
        return formatted


@contextmanager
def _language_of(document: Document) -> Iterator[None]:
    """The document's language for "Page 1 of 2" and the like; English where there is no translation."""
    with ExitStack() as stack:
        with suppress(InputError):
            stack.enter_context(speaking(document.language))
        yield


@contextmanager
def _compact() -> Iterator[None]:
    """Streams as bytes; reportlab would write them as ASCII, a quarter longer."""
    before = rl_config.useA85
    rl_config.useA85 = 0
    try:
        yield
    finally:
        rl_config.useA85 = before
