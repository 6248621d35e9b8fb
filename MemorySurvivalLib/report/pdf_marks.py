"""What stands on every sheet of the PDF: title, research-use line, banner, watermark, foot. Nothing turns them off."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, hypot
from typing import Any

from reportlab.pdfbase.pdfmetrics import stringWidth

from MemorySurvivalLib.report import pdf_style
from MemorySurvivalLib.report.document import Document, Page
from MemorySurvivalLib.report.language import tr
from MemorySurvivalLib.report.pdf_fonts import Face, Fonts
from MemorySurvivalLib.report.pdf_layout import Words, draw_stack, stack_height
from MemorySurvivalLib.report.pdf_tags import Element, Tags
from MemorySurvivalLib.report.wording import shorten

WATERMARK_SIZE = 15
WATERMARK_OPACITY = 0.12
WATERMARK_ANGLE = 28
WATERMARK_STEP = 125
"""Points between two lines of the watermark."""
BANNER_PADDING = 3.6
MOST_TITLE, MOST_LINE = 160, 400
"""Characters; a longer head would leave no room for the page. Labels are never shortened."""
FOOT_SIZE = 6.6


@dataclass
class Marks:
    """The frame of the sheets of one page of the document; `height` above and `foot_height` below are in points."""

    document: Document
    page: Page
    fonts: Fonts
    tags: Tags
    place: Element
    paper: tuple[float, float]

    def __post_init__(self) -> None:
        self.left = (self.paper[0] - pdf_style.CONTENT_WIDTH) / 2
        self.width = pdf_style.CONTENT_WIDTH
        words = self._words
        title = shorten(self.page.title, MOST_TITLE)
        self._title = words(title, pdf_style.TITLE, self.place.add("H1"))
        self._again = words(tr("{title} (continued)").format(title=title), pdf_style.AGAIN, None)
        self._research = words(self.document.research_use, pdf_style.RESEARCH, self.place.add("P"))
        about = [shorten(text, MOST_LINE) for text in (self.document.subject_line,) if text]
        self._subject = [words(text, pdf_style.SUBJECT, self.place.add("P")) for text in about]
        labels = " · ".join(self.document.labels)
        self._banner = [words(labels, pdf_style.BANNER, self.place.add("P"))] if labels else []
        self._foot = words(shorten(self.document.foot, MOST_LINE), pdf_style.FOOT, self.place.add("P"))
        self._drawn = False

    def _words(self, text: str, style: Any, element: Element | None) -> Words:
        face: Face = "bold" if style.fontName == pdf_style.BOLD_FONT else "text"
        return Words(self.fonts.mark_up(text, face), style, self.tags, element)

    @property
    def _title_width(self) -> float:
        return 0.62 * self.width

    @property
    def _title_height(self) -> float:
        """Of the first and of every further sheet, so that all have one frame."""
        heights = [stack_height([words], self._title_width) for words in (self._title, self._again)]
        return max(*heights, stack_height([self._research], self.width - self._title_width))

    @property
    def _banner_height(self) -> float:
        return stack_height(self._banner, self.width - 20) + 2 * BANNER_PADDING + 4 if self._banner else 0.0

    @property
    def height(self) -> float:
        """From the paper's upper edge to where the content begins."""
        subject = stack_height(self._subject, self.width) + 1 if self._subject else 0.0
        return pdf_style.TOP + self._title_height + subject + self._banner_height + 4

    @property
    def foot_height(self) -> float:
        """From the paper's lower edge to where the content ends."""
        return pdf_style.BOTTOM + 10 + stack_height([self._foot], self.width) + 5

    def draw(self, canvas: Any) -> None:
        """Head and foot of the next sheet. The first sheet of the page carries them as content, later ones as
        decoration, so that a screen reader reads them once a page."""
        first, self._drawn = not self._drawn, True
        if first:
            key = f"sheet{canvas.getPageNumber()}"
            canvas.bookmarkPage(key)
            canvas.addOutlineEntry(" ".join((self.page.title or self.document.title).split()), key, 0)
        parts = [self._title, self._research, *self._subject, *self._banner, self._foot]
        kept = [part.element for part in parts]
        if not first:
            for part in parts:
                part.element = None
        y = self.paper[1] - pdf_style.TOP
        draw_stack([self._title if first else self._again], canvas, self.left, y, self._title_width)
        draw_stack([self._research], canvas, self.left + self._title_width, y - 3, self.width - self._title_width)
        y -= self._title_height
        if self._subject:
            draw_stack(self._subject, canvas, self.left, y, self.width)
            y -= stack_height(self._subject, self.width) + 1
        if self._banner:
            with self.tags.mark(canvas, None):
                canvas.setFillColor(pdf_style.ALARM)
                height = self._banner_height - 4
                canvas.roundRect(self.left, y - height - 2, self.width, height, 2, stroke=0, fill=1)
            draw_stack(self._banner, canvas, self.left + 10, y - 2 - BANNER_PADDING, self.width - 20)
        foot = pdf_style.BOTTOM + stack_height([self._foot], self.width)
        draw_stack([self._foot], canvas, self.left, foot, self.width)
        with self.tags.mark(canvas, None):
            canvas.setFillColor(pdf_style.ALARM)
            _draw_text(canvas, self.fonts, self.document.research_use, self.left, foot + 3, FOOT_SIZE, bold=True)
            canvas.saveState()
            canvas.translate(self.left + self.width, foot + 3)
            canvas.doForm(number_form(canvas.getPageNumber()))
            canvas.restoreState()
        for part, element in zip(parts, kept, strict=True):
            part.element = element

    def draw_watermark(self, canvas: Any) -> None:
        """The labels in slanting lines over the whole sheet, over the pictures too, faint enough to read through."""
        text = " · ".join(self.document.labels)
        if not text:
            return
        size = hypot(*self.paper)
        runs = list(self.fonts.runs(f"{text}     ", "bold"))
        step = sum(stringWidth(run, name, WATERMARK_SIZE) for name, run in runs)
        with self.tags.mark(canvas, None):
            canvas.saveState()
            canvas.setFillColor(pdf_style.ALARM)
            canvas.setFillAlpha(WATERMARK_OPACITY)
            canvas.translate(self.paper[0] / 2, self.paper[1] / 2)
            canvas.rotate(WATERMARK_ANGLE)
            for line in range(ceil(size / WATERMARK_STEP)):
                x = -size / 2 - (line % 2) * step / 2
                while x < size / 2:
                    at = x
                    for name, run in runs:
                        canvas.setFont(name, WATERMARK_SIZE)
                        canvas.drawString(at, -size / 2 + line * WATERMARK_STEP, run)
                        at += stringWidth(run, name, WATERMARK_SIZE)
                    x += step
            canvas.restoreState()


def number_form(sheet: int) -> str:
    """The name of the drawing "page x of y", which is made when y is known."""
    return f"number{sheet}"


def draw_numbers(canvas: Any, fonts: Fonts, sheets: int) -> None:
    """Make the drawings that each sheet's foot refers to; they end at their origin."""
    for sheet in range(1, sheets + 1):
        text = tr("Page {number} of {count}").format(number=sheet, count=sheets)
        width = fonts.width(text, FOOT_SIZE)
        canvas.beginForm(number_form(sheet), -width - 2, -4, 2, 10)
        canvas.setFillColor(pdf_style.SOFT)
        _draw_text(canvas, fonts, text, -width, 0, FOOT_SIZE)
        canvas.endForm()


def _draw_text(canvas: Any, fonts: Fonts, text: str, x: float, y: float, size: float, *, bold: bool = False) -> None:
    for name, run in fonts.runs(text, "bold" if bold else "text"):
        canvas.setFont(name, size)
        canvas.drawString(x, y, run)
        x += stringWidth(run, name, size)
