"""Searching everything that was written for what identifies the patient: the proof that an export is clean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.privacy.identifiers import SHORT, Identifier, Kind, Needle, needles, normalise
from MemorySurvivalLib.privacy.layers import Layer, layers_of

_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "cp1251", "iso8859-5", "shift_jis", "euc_jp", "gb18030")
SHORT_BYTES = 4
"""Two East Asian signs; four bytes turn up by chance once in four thousand million."""

_PRINTABLE_RUN = re.compile(rb"[\x20-\x7e]{8,}")


@dataclass(frozen=True)
class Finding:
    """An identifier that was found: in which file, where in it, and of what kind; never the identifier itself."""

    file: Path
    place: str
    kind: Kind

    @property
    def sentence(self) -> str:
        """The same for a person."""
        return f"{self.file}: {_TITLES[self.kind]} in {self.place}."


_TITLES: dict[Kind, str] = {
    "name": "a person's name",
    "ID": "an ID of the patient or the study",
    "date": "a date of the patient or the study",
    "UID": "a UID of the images",
    "text": "a text of the input",
}


def find_identifiers(paths: Iterable[Path], identifiers: Iterable[Identifier]) -> tuple[Finding, ...]:
    """Where any form of the identifiers stands in files, folders and their names; nothing where all is clean.

    Looked at are the bytes as they are (UTF-8, UTF-16 and older encodings), what is packed in them (gzip, zip, tar,
    .mrb, PNG texts, PDF streams, base64 in pages), the values of DICOM elements, and names of files, folders and links.
    Not looked at is what pixels show. Raises InputError for a path that is not there or cannot be read.
    """
    search = Search(needles(identifiers))
    found: dict[Finding, None] = {}
    for root in paths:
        if not root.exists() and not root.is_symlink():
            raise InputError(f"There is no {root} to search.")
        every = [root, *sorted(root.rglob("*"))] if root.is_dir() else [root]
        for path in every:
            told = path.name if path == root else str(path.relative_to(root))
            if path.is_symlink():
                told += " " + str(path.readlink())
            found |= dict.fromkeys(Finding(path, "its name", kind) for kind in search.in_text(told))
            if path.is_file():
                found |= dict.fromkeys(_in_file(path, search))
    return tuple(found)


def find_in_bytes(data: bytes, identifiers: Iterable[Identifier], name: str = "data") -> tuple[Finding, ...]:
    """As `find_identifiers`, for bytes that were never written to a file."""
    search = Search(needles(identifiers))
    return tuple(dict.fromkeys(_in_layers(Path(name), data, search)))


def _in_file(path: Path, search: Search) -> Iterator[Finding]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}), so it was not searched.") from error
    yield from _in_layers(path, data, search)


def _in_layers(path: Path, data: bytes, search: Search) -> Iterator[Finding]:
    for layer in layers_of(data):
        yield from (Finding(path, layer.place, kind) for kind in search.in_layer(layer))


@dataclass(frozen=True)
class Search:
    """A set of needles, ready for many haystacks."""

    needles: tuple[Needle, ...]

    def in_layer(self, layer: Layer) -> set[Kind]:
        """The kinds of identifiers in a text or in bytes."""
        content = layer.content
        return self.in_text(content) if isinstance(content, str) else self.in_bytes(content)

    def in_text(self, text: str) -> set[Kind]:
        """The kinds of identifiers in a text, whatever its case and accents."""
        plain = normalise(text)
        return {one.kind for one in self.needles if one.text in plain and (not one.alone or _alone(one.text, plain))}

    def in_bytes(self, data: bytes) -> set[Kind]:
        """The kinds of identifiers in bytes of any meaning; short words count only where text stands around them."""
        lowered = data.lower()
        found = {
            one.kind
            for pattern, one in self._patterns
            if pattern in lowered and (one.kind != "date" or _alone_in_bytes(pattern, lowered))
        }
        if self._short:
            runs = " ".join(run.group().decode("ascii") for run in _PRINTABLE_RUN.finditer(data))
            found |= Search(self._short).in_text(runs)
        return found

    @cached_property
    def _short(self) -> tuple[Needle, ...]:
        return tuple(one for one in self.needles if one.text.isascii() and len(one.text) < SHORT)

    @cached_property
    def _patterns(self) -> tuple[tuple[bytes, Needle], ...]:
        """Long needles as bytes. `bytes.lower` leaves other letters than ASCII alone, so those stand in each case."""
        made: dict[bytes, Needle] = {}
        for one in self.needles:
            if one in self._short or (one.kind == "date" and not _numeric(one.text)):
                continue
            spellings = {one.text, one.written} - {""}
            for text in {form for each in spellings for form in (each, each.lower(), each.title(), each.upper())}:
                for encoding in _ENCODINGS[:3] if text.isascii() else _ENCODINGS:
                    pattern = _encode(text, encoding).lower()
                    if len(pattern) >= (SHORT if text.isascii() else SHORT_BYTES):
                        made[pattern] = one
        return tuple(made.items())


def _numeric(text: str) -> bool:
    """Whether a date is written in digits alone; with the month in words it stands in texts, which are read as such."""
    return not any(character.isalpha() for character in text)


def _encode(text: str, encoding: str) -> bytes:
    """The text in an encoding, b"" where it has no such letters."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return b""


def _alone_in_bytes(pattern: bytes, data: bytes) -> bool:
    """Whether digits stand without a digit before or after them."""
    return re.search(rb"(?<!\d)" + re.escape(pattern) + rb"(?!\0?\d)", data) is not None


def _alone(needle: str, text: str) -> bool:
    """Whether a needle stands as a word of its own: no letter runs on into a letter of it, no digit into a digit."""
    start = f"(?<!{_like(needle[0])})" if _like(needle[0]) else ""
    end = f"(?!{_like(needle[-1])})" if _like(needle[-1]) else ""
    return re.search(start + re.escape(needle) + end, text) is not None


def _like(character: str) -> str:
    return r"[^\W\d_]" if character.isalpha() else r"\d" if character.isdigit() else ""
