"""What one DICOM file says: read without pixels, and turned into plain values that cannot raise later."""

from __future__ import annotations

import logging
import math
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_magic import begins_as_dicom

DAMAGE = (
    InvalidDicomError,
    BytesLengthException,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on a damaged file, besides OSError without a number."""

BROKEN_VALUE = (*DAMAGE, OSError)
"""What pydicom raises when a value that was already read makes no sense."""

_PIXEL_TAGS = tuple(
    group + element
    for group, elements in (
        (b"\xe0\x7f", (b"\x08\x00", b"\x09\x00", b"\x10\x00")),
        (b"\x7f\xe0", (b"\x00\x08", b"\x00\x09", b"\x00\x10")),
    )
    for element in elements
)
"""(7FE0,0008), (7FE0,0009) and (7FE0,0010) as they stand in a file, little and big endian."""

Numbers = tuple[float, ...]


@contextmanager
def reading_quietly() -> Iterator[None]:
    """No warnings from pydicom about values that break the standard: scanners and anonymisers write many."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    try:
        with config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            logger.setLevel(logging.ERROR)
            yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True, eq=False)
class FileHeader:
    """The header of one file and what can be told about its pixels without reading them."""

    path: Path
    dataset: Dataset
    transfer_syntax: str
    pixel_bytes: int | None
    """Bytes of pixel data in the file; None where there is none, or where compression hides how many are needed."""
    has_pixels: bool


def read_file_header(path: Path) -> FileHeader | None:
    """The header of a DICOM file, None for any other file.

    Raises OSError when the file cannot be opened, InputError with one sentence when it is DICOM but damaged.
    """
    with path.open("rb") as file, reading_quietly():
        if not begins_as_dicom(file):
            return None
        try:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        except BROKEN_VALUE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InputError(
                f"The DICOM file {show(path)} is damaged or cut short; copy or export it again."
            ) from error
        syntax = _transfer_syntax(dataset)
        if syntax == DeflatedExplicitVRLittleEndian:
            return FileHeader(path, dataset, syntax, None, True)
        start = file.tell()
        head = file.read(12)
        left = path.stat().st_size - start
        has_pixels = head[:4] in _PIXEL_TAGS
        hidden = not has_pixels or _is_encapsulated(syntax)
        header_bytes = 8 if syntax == ImplicitVRLittleEndian else 12
        return FileHeader(path, dataset, syntax, None if hidden else max(left - header_bytes, 0), has_pixels)


def read_whole_header(path: Path) -> Dataset:
    """Every element of a file but its pixels, decoded, so that using it raises no warnings; broken values are left out.

    Raises InputError with one sentence when the file can no longer be read.
    """
    try:
        header = read_file_header(path)
    except OSError as error:
        raise InputError(f"The DICOM file {show(path)} cannot be opened ({error.strerror}).") from error
    if header is None:
        raise InputError(f"{show(path)} is not a DICOM file.")
    with reading_quietly():
        _decode(header.dataset)
    return header.dataset


def _decode(dataset: Dataset) -> None:
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except BROKEN_VALUE:
            del dataset[tag]
            continue
        if element.VR in ("DS", "IS", "FD", "FL") and isinstance(element.value, str) and element.value:
            del dataset[tag]  # pydicom keeps a number that it cannot read as text
        elif element.VR == "SQ":
            for item in element.value:
                _decode(item)


def _transfer_syntax(dataset: Dataset) -> UID:
    """As stated, or for files without a preamble as pydicom found it to be."""
    stated = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if stated:
        return UID(stated)
    implicit, little = dataset.original_encoding
    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _is_encapsulated(syntax: UID) -> bool:
    return not syntax.is_transfer_syntax or syntax.is_encapsulated


def text(dataset: Dataset, keyword: str) -> str:
    """A value as one line of printable text; "" where it is absent or broken."""
    return "\\".join(texts(dataset, keyword))


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an element as printable texts."""
    try:
        value = dataset.get(keyword)
    except BROKEN_VALUE:
        return ()
    if value is None:
        return ()
    parts = value if isinstance(value, pydicom.multival.MultiValue | list | tuple) else [value]
    return tuple(_printable(str(part)) for part in parts if str(part).strip())


def numbers(dataset: Dataset, keyword: str, count: int) -> Numbers | None:
    """`count` finite numbers, None where the element is absent, broken or of another length."""
    try:
        value = dataset.get(keyword)
        if value is None:
            return None
        parts = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
        found = tuple(float(part) for part in parts)
    except BROKEN_VALUE:
        return None
    return found if len(found) == count and all(math.isfinite(number) for number in found) else None


def number(dataset: Dataset, keyword: str) -> float | None:
    """One finite number, None where the element is absent or broken."""
    found = numbers(dataset, keyword, 1)
    return found[0] if found else None


def count(dataset: Dataset, keyword: str, default: int = 0) -> int:
    """A whole number of zero or more, `default` where the element is absent or broken."""
    found = number(dataset, keyword)
    return int(found) if found is not None and found >= 0 else default


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The items of a sequence, none where it is absent or broken."""
    try:
        value = dataset.get(keyword)
    except BROKEN_VALUE:
        return ()
    return tuple(value) if isinstance(value, pydicom.sequence.Sequence) else ()


def show(path: Path) -> str:
    """A path as printable text, whatever bytes its name holds."""
    return _printable(str(path))


def _printable(words: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in words).strip()
