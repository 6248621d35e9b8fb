"""The document's blocks as flowables of the PDF, each with its place in the structure tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Pixels
from PIL import UnidentifiedImageError
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Spacer

from MemorySurvivalLib.report import pdf_style
from MemorySurvivalLib.report.document import (
    Bar,
    Block,
    Bullets,
    Cell,
    Facts,
    Figure,
    FigureRow,
    Page,
    Paragraph,
    Section,
    Table,
    Ticks,
)
from MemorySurvivalLib.report.language import tr
from MemorySurvivalLib.report.pdf_fonts import Face, Fonts
from MemorySurvivalLib.report.pdf_layout import Beside, Boxed, Drawn, Rows, Shown, Unit, Words, least_height
from MemorySurvivalLib.report.pdf_style import GAP
from MemorySurvivalLib.report.pdf_tags import Element, Tags, scope

CELL_PADDING = (2.0, 2.4)
"""Above and below a row's text, in points."""
COLUMN_GAP = 8.0
FACTS_ACROSS_AT_MOST = 4
FACT_HEAD_SHARE = 0.34
FACT_HEAD_AT_MOST = 48 * mm
NATURAL_AT_MOST = 90 * mm
"""How much width a column of a table asks for at most."""


@dataclass
class Writer:
    """Turns blocks into flowables. `width` and `sheet_height` are the room on every sheet, in points; `page` is a name
    that no other page has. `readable` tells of pictures that were looked at already."""

    fonts: Fonts
    tags: Tags
    pictures: Path
    readable: dict[Path, bool]
    width: float
    sheet_height: float
    page: str
    headings: int = 0

    def write_page(self, page: Page, place: Element) -> list[Flowable]:
        """The story of one page, without its title."""
        story: list[Flowable] = []
        for section in page.sections:
            story += self._write_section(section, place.add("Sect"))
        return story

    def _write_section(self, section: Section, place: Element) -> list[Flowable]:
        width = self.width
        story: list[Flowable] = []
        if section.title:
            story += self._write_heading(section.title, place)
        if not section.columns:
            body = self._write_stack(section.blocks, width, place)
        else:
            stacks = (section.blocks, *section.columns)
            shares = section.shares or (1.0,) * len(stacks)
            room = width - GAP * (len(stacks) - 1)
            widths = [room * share / sum(shares) for share in shares]
            columns = [
                (own, self._write_stack(stack, own, place.add("Div")))
                for own, stack in zip(widths, stacks, strict=True)
            ]
            body = [Beside(columns, GAP, whole_up_to=0.6 * self.sheet_height, space_after=2)]
        if story and body:
            needed = sum(item.wrap(width, 1e6)[1] for item in story) + least_height(body[0], width) + 9
            story.insert(0, CondPageBreak(min(needed, self.sheet_height)))
        return [*story, *body]

    def _write_heading(self, title: str, place: Element) -> list[Flowable]:
        heading = self._words(title, pdf_style.HEADING, place.add("H2"), "bold")
        plain = " ".join(title.split())

        self.headings += 1
        key = f"{self.page}-heading{self.headings}"

        def remember(canvas: Any) -> None:
            canvas.bookmarkHorizontal(key, 0, pdf_style.HEADING.leading + 8)
            canvas.addOutlineEntry(plain, key, 1)

        heading.on_draw = remember
        rule = Drawn(self.width, 0.7, self._paint_rule, self.tags, None)
        return [Unit([heading, rule], self.sheet_height, space_before=5, space_after=3.4)]

    def _paint_rule(self, canvas: Any) -> None:
        canvas.setStrokeColor(pdf_style.LINE)
        canvas.setLineWidth(0.7)
        canvas.line(0, 0, self.width, 0)

    def _write_stack(self, blocks: Sequence[Block], width: float, place: Element) -> list[Flowable]:
        return [item for block in blocks for item in self.write_block(block, width, place)]

    def write_block(self, block: Block, width: float, place: Element) -> list[Flowable]:
        """The flowables of one block, not wider than `width` points."""
        match block:
            case Paragraph():
                return [self._write_paragraph(block, place)]
            case Bullets():
                return self._write_bullets(block, place)
            case Facts():
                write = self._write_facts_across if block.across else self._write_facts
                return write(block, width, place)
            case Table():
                return self._write_table(block, width, place)
            case Figure():
                return [self._write_figure(block, width, place)[1]]
            case FigureRow():
                return self._write_figures(block, width, place)
            case Bar():
                return [self._write_bar(block, width, place)]
            case Ticks():
                return self._write_ticks(block, place)

    def _words(
        self,
        text: str,
        style: ParagraphStyle,
        element: Element | None,
        face: Face = "text",
        lead: str = "",
        bullet: str | None = None,
    ) -> Words:
        marked = self.fonts.mark_up(text, face)
        if lead:
            marked = f"{self.fonts.mark_up(lead, 'bold')} {marked}"
        return Words(marked, style, self.tags, element, bulletText=bullet)

    def _write_paragraph(self, block: Paragraph, place: Element) -> Flowable:
        element = place.add("P")
        match block.tone:
            case "number":
                return self._write_number(block, element)
            case "note":
                words = self._words(block.text, pdf_style.NOTE, element, lead=block.lead)
                return Boxed([words], self.tags, pdf_style.NOTE_TINT, pdf_style.NOTE_BAR, space_after=3)
            case "warning":
                words = self._words(block.text, pdf_style.WARNING, element, "bold", lead=block.lead)
                return Boxed([words], self.tags, pdf_style.WARNING_TINT, pdf_style.ALARM, space_after=3)
            case "key":
                return self._words(block.text, pdf_style.KEY, element, "bold", lead=block.lead)
            case "quiet":
                return self._words(block.text, pdf_style.QUIET, element, lead=block.lead)
            case "text":
                return self._words(block.text, pdf_style.TEXT, element, lead=block.lead)

    def _write_number(self, block: Paragraph, element: Element) -> Flowable:
        number, _, unit = block.text.partition(" ")
        marked = self.fonts.mark_up(number, "bold")
        if unit:
            size, colour = pdf_style.NUMBER_UNIT_SIZE, pdf_style.SOFT.hexval().replace("0x", "#")
            marked += f' <font size="{size}" color="{colour}">{self.fonts.mark_up(unit)}</font>'
        if block.lead:
            marked = (
                f'<font size="{pdf_style.NUMBER_UNIT_SIZE}">{self.fonts.mark_up(block.lead, "bold")}</font> {marked}'
            )
        return Words(marked, pdf_style.NUMBER, self.tags, element)

    def _write_bullets(self, block: Bullets, place: Element) -> list[Flowable]:
        items = place.add("L")
        face: Face = "bold" if block.tone in ("key", "warning", "number") else "text"
        bodies: list[Flowable] = [
            self._words(text, pdf_style.BULLET, items.add("LI").add("LBody"), face, bullet="•") for text in block.items
        ]
        if block.tone == "note" and bodies:
            return [Boxed(bodies, self.tags, pdf_style.NOTE_TINT, pdf_style.NOTE_BAR, space_after=3)]
        if block.tone == "warning" and bodies:
            return [Boxed(bodies, self.tags, pdf_style.WARNING_TINT, pdf_style.ALARM, space_after=3)]
        return bodies

    def _cell(self, cell: Cell, style: ParagraphStyle, element: Element) -> Words:
        if not cell.code:
            return self._words(cell.text, style, element)
        marked = self.fonts.mark_up(cell.text, "code")
        size = pdf_style.CODE_SHARE * float(style.fontSize)
        return Words(f'<font size="{size:.2f}">{marked}</font>', style, self.tags, element)

    def _write_facts_across(self, block: Facts, width: float, place: Element) -> list[Flowable]:
        if not block.rows:
            return []
        count = min(len(block.rows), FACTS_ACROSS_AT_MOST)
        own = (width - GAP * (count - 1)) / count
        items = place.add("L")
        stacks: list[list[Flowable]] = []
        for heading, cells in block.rows:
            item = items.add("LI")
            label, body = item.add("Lbl"), item.add("LBody")
            stack: list[Flowable] = [self._words(heading, pdf_style.FACT_HEAD, label)]
            stacks.append(stack + [self._cell(cell, pdf_style.FACT, body.add("P")) for cell in cells])
        rows = [stacks[start : start + count] for start in range(0, len(stacks), count)]
        whole = 0.6 * self.sheet_height
        return [Beside([(own, stack) for stack in row], GAP, whole, space_after=3) for row in rows]

    def _write_facts(self, block: Facts, width: float, place: Element) -> list[Flowable]:
        if not block.rows:
            return []
        longest = max(self.fonts.width(heading, pdf_style.ROW_HEAD.fontSize) for heading, _ in block.rows)
        left = min(longest + 2, FACT_HEAD_SHARE * width, FACT_HEAD_AT_MOST)
        widths = (left, width - left - COLUMN_GAP)
        table = place.add("Table")
        rows = []
        for heading, cells in block.rows:
            row = table.add("TR")
            label: list[Flowable] = [self._words(heading, pdf_style.ROW_HEAD, row.add("TH", **scope("Row")))]
            body = row.add("TD")
            rows.append(self._row(widths, [label, [self._cell(cell, pdf_style.CELL, body.add("P")) for cell in cells]]))
        return [self._rows(None, rows)]

    def _write_table(self, block: Table, width: float, place: Element) -> list[Flowable]:
        table = place.add("Table")
        widths = self._column_widths(block, width)
        numeric = set(block.numeric)
        story: list[Flowable] = []
        if block.caption:
            caption = self._words(block.caption, pdf_style.CAPTION, table.add("Caption"))
            caption.spaceAfter = 2
            story.append(caption)
        top = table.add("TR")
        head = self._row(
            widths,
            [
                [
                    self._words(
                        title,
                        pdf_style.HEAD_RIGHT if index in numeric else pdf_style.HEAD,
                        top.add("TH", **scope("Column")),
                        "bold",
                    )
                ]
                for index, title in enumerate(block.columns)
            ],
        )
        rows = []
        for cells in block.rows:
            row = table.add("TR")
            stacks: list[list[Flowable]] = [
                [self._cell(cell, pdf_style.CELL_RIGHT if index in numeric else pdf_style.CELL, row.add("TD"))]
                for index, cell in enumerate(cells)
            ]
            rows.append(self._row(widths, stacks))
        return [*story, self._rows(head, rows) if rows else head]

    def _row(self, widths: Sequence[float], stacks: Sequence[list[Flowable]]) -> Beside:
        columns = list(zip(widths, stacks, strict=True))
        return Beside(columns, COLUMN_GAP, padding=CELL_PADDING)

    def _rows(self, head: Beside | None, rows: list[Beside]) -> Rows:
        return Rows(head, rows, self.tags, pdf_style.HAIR, self.sheet_height, space_after=5)

    def _column_widths(self, block: Table, width: float) -> list[float]:
        count = len(block.columns)
        room = width - COLUMN_GAP * (count - 1)
        if block.wide:
            return [room * share / sum(block.wide) for share in block.wide]
        least, natural = [], []
        for index, title in enumerate(block.columns):
            texts: set[tuple[str, float, Face]] = {(title, pdf_style.HEAD.fontSize, "bold")}
            for cell in (row[index] for row in block.rows):
                texts.add((cell.text, pdf_style.CELL.fontSize, "code" if cell.code else "text"))
            lines = [self.fonts.width(line, size, face) for text, size, face in texts for line in text.split("\n")]
            words = [self.fonts.width(word, size, face) for text, size, face in texts for word in text.split()]
            natural.append(min(max(lines, default=0.0), NATURAL_AT_MOST) + 1)
            least.append(min(max(words, default=0.0) + 1, natural[-1], 0.5 * room))
        if sum(least) > room:
            return [room * part / sum(least) for part in least]
        if sum(natural) <= room:
            return [room * part / sum(natural) for part in natural]
        spread = sum(natural) - sum(least)
        return [low + (room - sum(least)) * (high - low) / spread for low, high in zip(least, natural, strict=True)]

    def _write_figure(self, figure: Figure, width: float, place: Element) -> tuple[float, Flowable]:
        """The picture with its caption, and the width that it takes."""
        scale = min(1.0, width / (figure.width_mm * mm), 0.8 * self.sheet_height / (figure.height_mm * mm))
        wide, high = figure.width_mm * mm * scale, figure.height_mm * mm * scale
        element = place.add("Figure", alt=figure.alt)
        file = self.pictures / f"{figure.picture}.png"
        stack: list[Flowable] = []
        if self._is_readable(file):
            stack.append(Shown(str(file), wide, high, self.tags, element))
        else:
            sentence = tr("The picture {name} is missing or damaged.").format(name=f"{figure.picture}.png")
            words = self._words(sentence, pdf_style.WARNING, element, "bold")
            stack.append(Boxed([words], self.tags, pdf_style.WARNING_TINT, pdf_style.ALARM))
        if figure.caption or figure.lead:
            stack.append(self._words(figure.caption, pdf_style.CAPTION, place.add("P"), lead=figure.lead))
        return wide, Unit(stack, self.sheet_height, space_after=4)

    def _is_readable(self, file: Path) -> bool:
        if file not in self.readable:
            self.readable[file] = file.parent == self.pictures and _is_picture(file)  # no name leads elsewhere
        return self.readable[file]

    def _write_figures(self, block: FigureRow, width: float, place: Element) -> list[Flowable]:
        made = [self._write_figure(figure, width, place) for figure in block.figures]
        return list(_lay_side_by_side(made, width, self.sheet_height))

    def _write_bar(self, block: Bar, width: float, place: Element) -> Flowable:
        text_width = [self.fonts.width(text, pdf_style.BAR.fontSize) + 2 for text in (block.left, block.right)]
        left, right = (min(needed, 0.35 * width) for needed in text_width)
        middle = width - left - right - 2 * COLUMN_GAP
        share = min(max(block.share, 0.0), 1.0)

        def paint(canvas: Any) -> None:
            canvas.setFillColor(pdf_style.REST)
            canvas.rect(0, 0, middle, 6.5, stroke=0, fill=1)
            canvas.setFillColor(pdf_style.ACCENT)
            canvas.rect(0, 0, middle * share, 6.5, stroke=0, fill=1)

        before = self._words(block.left, pdf_style.BAR, place.add("P"))
        bar = Drawn(middle, 6.5, paint, self.tags, place.add("Figure", alt=block.alt))
        after = self._words(block.right, pdf_style.BAR, place.add("P"))
        columns: list[tuple[float, list[Flowable]]] = [
            (left, [before]),
            (middle, [Spacer(1, 1.4), bar]),
            (right, [after]),
        ]
        return Beside(columns, COLUMN_GAP, whole_up_to=self.sheet_height, space_after=3)

    def _write_ticks(self, block: Ticks, place: Element) -> list[Flowable]:
        items = place.add("L")
        ticks = [
            self._words(f"{'☑' if ticked else '☐'} {text}", pdf_style.TICK, items.add("LI").add("LBody"))
            for text, ticked in block.items
        ]
        return [Unit(ticks, 0.0, space_after=4)]  # may be parted on any sheet


def _lay_side_by_side(made: Sequence[tuple[float, Flowable]], width: float, sheet_height: float) -> Iterator[Beside]:
    """Rows of as many pictures as fit."""
    row: list[tuple[float, Flowable]] = []
    for item in [*made, None]:
        if item is not None and sum(w for w, _ in row) + item[0] + 0.5 * GAP * len(row) <= width + 0.5:
            row.append(item)
            continue
        if row:
            spare = max(0.0, width - sum(w for w, _ in row) - GAP * (len(row) - 1))
            more = min(spare / len(row), 4 * GAP)  # captions may be wider than their pictures
            gap = min(GAP, (width - sum(w for w, _ in row)) / max(1, len(row) - 1))
            yield Beside([(w + more, [unit]) for w, unit in row], gap, whole_up_to=sheet_height, space_after=2)
        row = [item] if item is not None else []


def _is_picture(file: Path) -> bool:
    """Whether the file is a picture that can be read to its end."""
    try:
        with Pixels.open(file) as picture:
            picture.load()
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return False
    return True
