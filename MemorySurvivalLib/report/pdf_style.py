"""The PDF's colours, sizes and paragraph styles: those of the HTML report, in a font that is a little wider."""

from __future__ import annotations

from typing import Any

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm

INK = HexColor("#1b2430")
SOFT = HexColor("#56606c")
LINE = HexColor("#d5dbe2")
HAIR = HexColor("#e3e8ed")
PALE = HexColor("#f3f5f8")
ACCENT = HexColor("#17456b")
REST = HexColor("#b9c2cc")
ALARM = HexColor("#8c1d18")
NOTE_TINT, NOTE_BAR = HexColor("#fdf3e4"), HexColor("#c77700")
WARNING_TINT = HexColor("#fbeae8")

CONTENT_WIDTH = 186 * mm
"""The same on both papers, so that pictures keep their size."""
TOP = 9 * mm
BOTTOM = 8 * mm
GAP = 4 * mm

TEXT_FONT, BOLD_FONT = "DejaVuSans", "DejaVuSans-Bold"


def _style(
    name: str, size: float, leading: float, colour: Color = INK, font: str = TEXT_FONT, **more: Any
) -> ParagraphStyle:
    return ParagraphStyle(
        name,
        fontName=font,
        bulletFontName=font,
        bulletFontSize=size,
        fontSize=size,
        leading=leading,
        textColor=colour,
        splitLongWords=1,
        allowWidows=0,
        allowOrphans=0,
        **more,
    )


TITLE = _style("title", 13, 16, font=BOLD_FONT)
AGAIN = _style("again", 9, 12, SOFT, font=BOLD_FONT)
SUBJECT = _style("subject", 7.2, 9.4, SOFT)
RESEARCH = _style("research", 7, 9, ALARM, font=BOLD_FONT, alignment=2)
BANNER = _style("banner", 9.5, 12, HexColor("#ffffff"), font=BOLD_FONT, alignment=1)
FOOT = _style("foot", 6.2, 8, SOFT)
HEADING = _style("heading", 8.8, 11, ACCENT, font=BOLD_FONT, spaceBefore=6, spaceAfter=3.2)
TEXT = _style("text", 7.3, 9.8, spaceAfter=2.2)
KEY = _style("key", 8, 10.6, font=BOLD_FONT, spaceBefore=1.2, spaceAfter=1.6)
NUMBER = _style("number", 24, 29, font=BOLD_FONT, spaceAfter=1)
QUIET = _style("quiet", 6.8, 9, SOFT, spaceAfter=2.2)
NOTE = _style("note", 7.2, 9.6)
WARNING = _style("warning", 7.4, 9.8, ALARM, font=BOLD_FONT)
BULLET = _style("bullet", 7.2, 9.6, leftIndent=8.5, bulletIndent=0, spaceAfter=1.2)
CELL = _style("cell", 6.7, 8.6)
CELL_RIGHT = _style("cell-right", 6.7, 8.6, alignment=2)
HEAD = _style("head", 6.3, 8.2, SOFT, font=BOLD_FONT)
HEAD_RIGHT = _style("head-right", 6.3, 8.2, SOFT, font=BOLD_FONT, alignment=2)
ROW_HEAD = _style("row-head", 6.7, 8.6, SOFT)
FACT_HEAD = _style("fact-head", 6.2, 8.2, SOFT)
FACT = _style("fact", 7, 9)
CAPTION = _style("caption", 6.4, 8.2, SOFT, spaceBefore=1.6)
TICK = _style("tick", 7.2, 9.8)
BAR = _style("bar", 7, 9)
BAR_RIGHT = _style("bar-right", 7, 9, alignment=2)

NUMBER_UNIT_SIZE = 9
CODE_SHARE = 0.9
"""The fixed-width face is set this much smaller than what stands around it."""
