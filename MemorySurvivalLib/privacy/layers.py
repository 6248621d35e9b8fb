"""The layers of a file: its bytes as they are, and what is packed, encoded or escaped inside them."""

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import html
import io
import lzma
import re
import shutil
import struct
import subprocess
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from MemorySurvivalLib.imaging.dicom_header import BROKEN_VALUE, reading_quietly

DEEPEST = 5
"""How many layers deep packages within packages are opened."""

SMALL = 1 << 20
"""Up to here bytes that are no UTF-8 and hold no zero may be a text of an older encoding, and are read as that too."""

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PDF_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\n?endstream", re.DOTALL)
_PDF_LITERAL = re.compile(rb"\(((?:\\.|[^\\()])*)\)", re.DOTALL)
_PDF_HEX = re.compile(rb"<([0-9A-Fa-f\s]{4,})>")
_BASE64 = re.compile(rb"base64,\s*([A-Za-z0-9+/=\s]{16,})")
_JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_PACKED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)
"""What the standard library raises on a broken package; its bytes were looked at anyway."""


@dataclass(frozen=True)
class Layer:
    """One view of a file: where it is (for a sentence), and its bytes or its text."""

    place: str
    content: bytes | str


def layers_of(data: bytes, place: str = "its bytes", depth: int = 0) -> Iterator[Layer]:
    """The bytes (of a text its letters), and every layer that can be opened inside them."""
    plain = _without_packed(data)
    text = _as_text(plain)
    yield Layer(place, plain if text is None else text)
    if depth >= DEEPEST:
        return
    if text is None and len(plain) < SMALL and b"\0" not in plain:
        yield Layer(place, plain.decode("latin-1"))
    if text is not None:
        yield from _text_layers(text, data, place, depth)
    for inner, found in _inside(data):
        where = inner if depth == 0 else f"{place}, {inner}"
        if isinstance(found, bytes):
            yield from layers_of(found, where, depth + 1)
        else:
            yield Layer(where, found)


def _without_packed(data: bytes) -> bytes:
    """The bytes without embedded files and PDF streams that are opened later: packed as letters they make up words."""
    if b"base64," in data:
        data = _BASE64.sub(lambda hit: b"base64," if _from_base64(hit[1]) is not None else hit[0], data)
    if b"%PDF" in data:
        data = _PDF_STREAM.sub(lambda hit: b"stream" if _pdf_decoded(hit[1]) is not None else hit[0], data)
    return data


def _from_base64(letters: bytes) -> bytes | None:
    try:
        return base64.b64decode(letters)
    except (binascii.Error, ValueError):
        return None


def _inside(data: bytes) -> Iterator[tuple[str, bytes | str]]:
    if data.startswith(b"\x1f\x8b"):
        yield from _unpacked("its gzip content", lambda: gzip.decompress(data))
    elif data.startswith(b"BZh"):
        yield from _unpacked("its bzip2 content", lambda: bz2.decompress(data))
    elif data.startswith(b"\xfd7zXZ"):
        yield from _unpacked("its xz content", lambda: lzma.decompress(data))
    elif data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _zip_members(data)
    elif data[257:262] == b"ustar":
        yield from _tar_members(data)
    elif data.startswith(PNG_MAGIC):
        yield from _png_texts(data)
    elif data.startswith(b"%PDF"):
        yield from _pdf_parts(data)
    elif data.startswith(b"NRRD"):
        yield from _nrrd_parts(data)
    elif data[128:132] == b"DICM":
        yield from _dicom_values(data)


def _unpacked(place: str, unpack: object) -> Iterator[tuple[str, bytes]]:
    try:
        yield place, unpack()  # type: ignore[operator]
    except _PACKED:
        return


def _as_text(data: bytes) -> str | None:
    """The text of a file that is text; None for anything else."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    odd = data[1:2048:2]
    if len(odd) > 8 and odd.count(0) > 0.8 * len(odd) and data[:2048:2].count(0) < 0.1 * len(odd):
        return data.decode("utf-16-le", errors="replace")
    if b"\0" in data[:8192]:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _text_layers(text: str, data: bytes, place: str, depth: int) -> Iterator[Layer]:
    readings = {
        "HTML's": html.unescape(text) if "&" in text else text,
        "a URL's": urllib.parse.unquote_plus(text, errors="replace") if "%" in text else text,
        "JSON's": _JSON_ESCAPE.sub(lambda hit: chr(int(hit[1], 16)), text) if "\\u" in text else text,
    }
    yield from (Layer(f"{place} with {whose} escapes read", read) for whose, read in readings.items() if read != text)
    for number, hit in enumerate(_BASE64.finditer(data), start=1):
        embedded = _from_base64(hit[1])
        if embedded is not None:
            yield from layers_of(embedded, f"embedded file {number} of {place}", depth + 1)


def _zip_members(data: bytes) -> Iterator[tuple[str, bytes | str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield "the archive's comment", archive.comment
            for number, member in enumerate(archive.infolist(), start=1):
                yield f"the name of member {number}", member.filename
                if member.is_dir() or member.flag_bits & 1:
                    continue
                yield f"member {number}", archive.read(member)
    except (*_PACKED, NotImplementedError):
        return


def _tar_members(data: bytes) -> Iterator[tuple[str, bytes | str]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for number, member in enumerate(archive, start=1):
                yield f"the name of member {number}", f"{member.name} {member.linkname} {member.uname} {member.gname}"
                content = archive.extractfile(member)
                if content is not None:
                    yield f"member {number}", content.read()
    except _PACKED:
        return


def _png_texts(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Text chunks (PNG specification section 11.3.4); compressed ones unpacked."""
    at = len(PNG_MAGIC)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            continue
        place = f"a {kind.decode()} chunk"
        yield place, body
        for start in (index + 1 for index, byte in enumerate(body[:400]) if byte == 0):
            # zTXt has a method byte after the keyword, iTXt two flags and two texts; a failed try costs nothing.
            for skip in (0, 1):
                try:
                    yield place, zlib.decompress(body[start + skip :])
                except zlib.error:
                    continue


def _pdf_parts(data: bytes) -> Iterator[tuple[str, bytes | str]]:
    """Streams as they are shown, texts in parentheses and in hexadecimal, and what pdftotext reads where it is there.

    Fonts may number their letters in their own way; only pdftotext reads such text.
    """
    yield from _pdf_texts("the PDF", _without_packed(data))
    for number, hit in enumerate(_PDF_STREAM.finditer(data), start=1):
        stream = _pdf_decoded(hit[1])
        if stream is not None:
            yield f"PDF stream {number}", stream
            if _is_written(stream):  # fonts and pictures have parentheses too, by chance
                yield from _pdf_texts(f"PDF stream {number}", stream)
    program = shutil.which("pdftotext")
    if program is not None:
        done = subprocess.run([program, "-q", "-", "-"], input=data, capture_output=True, timeout=120, check=False)
        yield "the PDF's pages", done.stdout.decode("utf-8", errors="replace")


def _is_written(stream: bytes) -> bool:
    """Whether a stream is a page's drawing or another text: mostly letters and blanks."""
    sample = stream[:4000]
    return sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in sample) > 0.7 * len(sample)


def _pdf_decoded(stream: bytes) -> bytes | None:
    plain = stream.strip()
    if plain.endswith(b"~>"):
        try:
            plain = base64.a85decode(plain[:-2], adobe=False)
        except ValueError:
            return None
    try:
        return zlib.decompressobj().decompress(plain)
    except zlib.error:
        return None if plain is stream else plain


def _pdf_texts(place: str, data: bytes) -> Iterator[tuple[str, str]]:
    literal = [_pdf_unescape(hit[1]) for hit in _PDF_LITERAL.finditer(data)]
    coded = []
    for hit in _PDF_HEX.finditer(data):
        digits = re.sub(rb"\s", b"", hit[1])
        coded.append(bytes.fromhex((digits + b"0"[: len(digits) % 2]).decode()))
    texts = [
        one.decode("utf-16-be", errors="replace")[1:] if one.startswith(b"\xfe\xff") else one.decode("latin-1")
        for one in (*literal, *coded)
    ]
    if texts:
        # Words may be cut where letters were moved closer together, so the pieces are read both ways.
        yield f"texts of {place}", "\n".join(texts)
        yield f"texts of {place}", "".join(texts)


def _pdf_unescape(text: bytes) -> bytes:
    known = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b""}

    def replace(hit: re.Match[bytes]) -> bytes:
        said = hit[1]
        return bytes([int(said, 8) & 255]) if said[0] in b"01234567" else known.get(said, said)

    return re.sub(rb"\\([0-7]{1,3}|.)", replace, text, flags=re.DOTALL)


def _nrrd_parts(data: bytes) -> Iterator[tuple[str, bytes]]:
    head, _blank, voxels = data.partition(b"\n\n")
    yield "the NRRD header", head
    yield "the NRRD header", head.replace(b"\\n", b"\n")
    if re.search(rb"^encoding:\s*(gzip|gz)", head, re.MULTILINE):
        yield from _unpacked("the voxels", lambda: zlib.decompressobj(wbits=47).decompress(voxels))


def _dicom_values(data: bytes) -> Iterator[tuple[str, bytes | str]]:
    """The values of every element, in the character sets that the file states; enclosed documents as files."""
    import pydicom
    from pydicom.dataset import Dataset

    def walk(dataset: Dataset) -> Iterator[tuple[str, bytes | str]]:
        for tag in list(dataset.keys()):
            try:
                element = dataset[tag]
            except BROKEN_VALUE:
                continue
            place = f"the element {element.tag} {element.keyword or 'private'}"
            if element.VR == "SQ":
                for item in element.value or ():
                    yield from walk(item)
            elif isinstance(element.value, bytes):
                if element.keyword != "PixelData":
                    yield place, element.value
            elif element.value is not None:
                yield place, str(element.value)

    with reading_quietly():
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        except BROKEN_VALUE:
            return
        yield from walk(dataset.file_meta)
        yield from walk(dataset)
