"""What stands on the report's pages, in order, as plain blocks: printed formats draw these and compute nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["text", "key", "number", "quiet", "note", "warning"]
"""How a paragraph speaks: running text, an answer in bold, the one large number ("+0.53 log-risk": the words after it
are set small), an aside, a note, a warning."""


@dataclass(frozen=True)
class Cell:
    """A text and, where it is a rounded number, the exact one; `code` is set in a fixed-width face (hashes)."""

    text: str
    exact: float | int | None = None
    code: bool = False


@dataclass(frozen=True)
class Paragraph:
    """A sentence or a few; `lead` is set in bold before it."""

    text: str
    tone: Tone = "text"
    lead: str = ""
    exact: float | int | None = None


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]
    tone: Tone = "text"


@dataclass(frozen=True)
class Facts:
    """Pairs of a heading and what it is; `across` sets them side by side instead of one below the other."""

    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    across: bool = False


@dataclass(frozen=True)
class Table:
    """A table with one heading row. `numeric` are the columns that are set to the right; `wide` gives shares of the
    width (empty: as the content needs). Checked when made: every row has as many cells as there are headings."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: tuple[int, ...] = ()
    wide: tuple[float, ...] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"every row of the table needs {len(self.columns)} cells")


@dataclass(frozen=True)
class Figure:
    """A picture by its name (a PNG of the report's), its size on paper, what it shows in words, its caption."""

    picture: str
    width_mm: float
    height_mm: float
    alt: str
    caption: str = ""
    lead: str = ""


@dataclass(frozen=True)
class FigureRow:
    """Pictures side by side, in the sizes they have."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Bar:
    """A share 0 to 1 as a bar with words at its ends."""

    share: float
    left: str
    right: str
    alt: str


@dataclass(frozen=True)
class Ticks:
    """Items with a box each, ticked or not."""

    items: tuple[tuple[str, bool], ...]


Block = Paragraph | Bullets | Facts | Table | Figure | FigureRow | Bar | Ticks


@dataclass(frozen=True)
class Section:
    """Blocks under a heading (an empty title: no heading). `columns` are further stacks of blocks set beside `blocks`.

    `shares` are the stacks' widths as shares of their sum (empty: equal). Checked when made: one for each stack.
    """

    title: str
    blocks: tuple[Block, ...]
    columns: tuple[tuple[Block, ...], ...] = ()
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.shares and len(self.shares) != 1 + len(self.columns):
            raise ValueError(f"the section {self.title!r} needs a share of the width for each of its stacks")


@dataclass(frozen=True)
class Page:
    """A titled page; where it does not fit one sheet of paper it runs on, with the same banner, watermark and foot."""

    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Document:
    """A whole report, ready to be drawn.

    `labels` (SIMULATED MODEL and the like) stand in a banner and as a watermark on every page and cannot be turned off;
    `research_use` and `foot` stand on every page too. `language` is a BCP 47 tag.
    """

    title: str
    pages: tuple[Page, ...]
    labels: tuple[str, ...]
    research_use: str
    foot: str
    language: str = "en"
    subject_line: str = ""
    keywords: tuple[str, ...] = field(default=())
