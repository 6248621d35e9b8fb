"""The visual reading as a JSON file: written whole or not at all, and read with one sentence where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.clinical.impetus import KEYS, find_contradictions
from MemorySurvivalLib.clinical.record import VisualReading
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file

SCHEMA = "memory-survival-reading"
SCHEMA_VERSION = 1


class _Version(msgspec.Struct):
    schema: str = ""
    schema_version: int = 0


def encode_reading(reading: VisualReading) -> bytes:
    """Indented UTF-8 JSON."""
    return msgspec.json.format(msgspec.json.encode(reading), indent=1)


def write_reading(reading: VisualReading, path: Path) -> None:
    """Write the file. Raises OutputError where it cannot be written."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(encode_reading(reading))


def read_reading(path: Path) -> VisualReading:
    """Read a form, confirmed or not. Raises InputError, one sentence, for anything that is not one."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"The reading {path} does not exist; check the path.") from None
    except OSError as error:
        raise InputError(f"The reading {path} cannot be opened ({error.strerror}); check its permissions.") from error
    return decode_reading(text, str(path))


def decode_reading(text: bytes, name: str = "the reading") -> VisualReading:
    """A form from its JSON; `name` is what a sentence calls it. Raises InputError for anything that is not one."""
    try:
        version = msgspec.json.decode(text, type=_Version)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{_begin(name)} is not a reading in JSON ({error}); choose another file.") from error
    if version.schema != SCHEMA:
        raise InputError(f"{_begin(name)} is not a reading of this software; choose another file.")
    if version.schema_version > SCHEMA_VERSION:
        raise InputError(f"{_begin(name)} was written by a newer version of this software; update this one.")
    try:
        reading = msgspec.json.decode(text, type=VisualReading)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{_begin(name)} does not hold a valid form ({error}); correct it.") from error
    return check_reading(reading, name)


def convert_reading(plain: dict[str, Any], name: str = "the reading") -> VisualReading:
    """A form from plain values, as a job gets it. Raises InputError for anything that is not one."""
    return decode_reading(msgspec.json.encode(plain), name)


def check_reading(reading: VisualReading, name: str = "the reading") -> VisualReading:
    """The same form. Raises InputError where it lacks questions, or is signed with answers that contradict."""
    keys = [item.key for item in reading.items]
    if sorted(keys) != sorted(KEYS):
        odd = sorted(set(KEYS) ^ set(keys)) or sorted({key for key in keys if keys.count(key) > 1})
        raise InputError(
            f"{_begin(name)} does not have each question of the form once: {', '.join(odd)}; prefill it anew."
        )
    contradictions = find_contradictions(reading)
    if reading.final and contradictions:
        raise InputError(f"{_begin(name)} contradicts itself: {contradictions[0]}")
    return reading


def _begin(name: str) -> str:
    return name[:1].upper() + name[1:] if name.startswith("the ") else name
