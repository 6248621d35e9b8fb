"""Which font draws which character of the PDF; what no font can draw becomes its code in brackets."""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

import matplotlib
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFError, TTFont

from MemorySurvivalLib.report.language import tr

Face = Literal["text", "bold", "code"]

FILES: dict[Face, str] = {"text": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf", "code": "DejaVuSansMono.ttf"}
"""Latin, Cyrillic, Greek and signs; they come with matplotlib and are embedded as far as they are used."""

EAST_ASIAN_PACKAGE, EAST_ASIAN_FILE = "matplotlib_fontja", "fonts/ipaexg.ttf"
"""IPAex Gothic: Japanese, and the Chinese characters that Japanese has; embedded where this small package is installed
(IPA Font License, which allows it)."""

SYSTEM_FILES = (
    "msgothic.ttc",
    "msyh.ttc",
    "malgun.ttf",
    "Arial Unicode.ttf",
    "AppleGothic.ttf",
    "ipaexg.ttf",
    "ipag.ttf",
    "wqy-zenhei.ttc",
    "NanumGothic.ttf",
    "DroidSansFallbackFull.ttf",
)
"""Looked for on the computer, in this order, when a character is in none of the fonts above. A PDF may also name Asian
fonts without embedding them; that is not done, because a viewer that lacks them shows boxes instead of the name."""

EAST_ASIAN_FROM = 0x1100
"""The first code point (of Korean letters) from which these fonts are asked."""

UNSHAPED = ("R", "AL", "AN")
"""Bidirectional classes of Hebrew and Arabic. Drawn letter by letter from the left, a name would be read as another."""


@cache
def _register(name: str, file: Path) -> frozenset[int]:
    """Make a TrueType file known under `name`; return the code points that it has."""
    font = TTFont(name, str(file))
    registerFont(font)
    return frozenset(code for code, glyph in font.face.charToGlyph.items() if glyph)


@cache
def _find_east_asian() -> tuple[Path, ...]:
    found = importlib.util.find_spec(EAST_ASIAN_PACKAGE)  # looks without importing: the import changes matplotlib
    packaged = [Path(found.origin).parent / EAST_ASIAN_FILE] if found is not None and found.origin else []
    return tuple(file for file in packaged if file.is_file())


@cache
def _find_system_fonts() -> tuple[Path, ...]:
    from matplotlib.font_manager import findSystemFonts  # reads a list of all fonts when it is imported

    files = sorted(Path(file) for file in findSystemFonts())
    return tuple(file for name in SYSTEM_FILES for file in files if file.name == name)


@cache
def _register_if_usable(file: Path) -> frozenset[int]:
    """The code points of a font of this computer; none where its outlines cannot be embedded."""
    try:
        return _register(file.stem, file)
    except (TTFError, OSError):
        return frozenset()


def _code_of(character: str) -> str:
    return f"[U+{ord(character):04X}]"


class Fonts:
    """The fonts of one document. `missing` collects the characters that none of them has."""

    def __init__(self) -> None:
        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self.names: dict[Face, str] = {face: Path(file).stem for face, file in FILES.items()}
        self._has = {face: _register(self.names[face], folder / file) for face, file in FILES.items()}
        self.missing: set[str] = set()
        self._chosen: dict[tuple[str, Face], str | None] = {}

    def mark_up(self, text: str, face: Face = "text") -> str:
        """The text in reportlab's paragraph mark-up, each run in a font that has its characters."""
        parts = [
            escape(run) if name == self.names["text"] else f'<font name="{name}">{escape(run)}</font>'
            for name, run in self.runs(text, face)
        ]
        return "".join(parts).replace("\n", "<br/>")

    def runs(self, text: str, face: Face = "text") -> Iterator[tuple[str, str]]:
        """Pairs of a font's name and the characters that it draws, in order; characters without a font as codes."""
        text = _clean(text)
        if all(self._choose(character, face) == self.names[face] for character in set(text) - {"\n"}):
            yield self.names[face], text
            return
        named: list[tuple[str, str]] = []
        for character in text:
            if character in " \n\xa0" and named:  # stays in the run: fewer changes of font
                named.append((named[-1][0], character))
                continue
            font = self._choose(character, face)
            if font is None:
                self.missing.add(character)
                named.append((self.names[face], _code_of(character)))
            else:
                named.append((font, character))
        for name, group in groupby(named, key=lambda pair: pair[0]):
            yield name, "".join(piece for _, piece in group)

    def width(self, text: str, size: float, face: Face = "text") -> float:
        """How wide the text is in one line, in points."""
        return sum(float(stringWidth(run, name, size)) for name, run in self.runs(text, face))

    def say_missing(self) -> str:
        """A note on the characters that stand as codes; empty where there are none."""
        if not self.missing:
            return ""
        codes = ", ".join(_code_of(character)[1:-1] for character in sorted(self.missing))
        sentence = tr(
            "Characters that no font of this PDF can draw stand as their Unicode codes in brackets: {codes}. "
            "The HTML report shows them as your computer draws them."
        )
        return sentence.format(codes=codes)

    def _choose(self, character: str, face: Face) -> str | None:
        key = (character, face)
        if key not in self._chosen:
            self._chosen[key] = self._find(character, face)
        return self._chosen[key]

    def _find(self, character: str, face: Face) -> str | None:
        if unicodedata.bidirectional(character) in UNSHAPED:
            return None
        for wanted in dict.fromkeys((face, "text")):
            if ord(character) in self._has[wanted]:
                return self.names[wanted]
        if ord(character) < EAST_ASIAN_FROM:
            return None
        for find in (_find_east_asian, _find_system_fonts):
            for file in find():
                if ord(character) in _register_if_usable(file):
                    return file.stem
        return None


def _clean(text: str) -> str:
    """Composed accents, one kind of line end, nothing invisible that a font would draw as a box."""
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\t", " "))
    kept = (character for character in text if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf"))
    return "".join(kept)
