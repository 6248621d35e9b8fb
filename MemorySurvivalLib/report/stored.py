"""Reading back the JSON files that this software wrote: which schema, which version, and one sentence where not."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from MemorySurvivalLib.errors import InputError

Stored = TypeVar("Stored")


class _Head(msgspec.Struct):
    schema: str = ""
    schema_version: int = 0


def read_stored(path: Path, kind: type[Stored], schema: str, versions: tuple[int, ...], what: str) -> Stored:
    """The file as `kind`, where its schema and version are known; `what` names it in sentences ("a result").

    Raises InputError for a file that is missing, unreadable, broken, of another kind, or of another version.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"There is no {path.name} in {path.parent}; give the folder of {what}.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the path and its permissions.") from error
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.schema != schema:
            raise InputError(f"{path} is not {what} of MemorySurvival; give another file.")
        if head.schema_version > max(versions):
            raise InputError(
                f"{path} was written by a newer MemorySurvival (version {head.schema_version} of its format, known "
                f"here are {min(versions)} to {max(versions)}); update MemorySurvival."
            )
        if head.schema_version not in versions:
            raise InputError(
                f"{path} was written by an older MemorySurvival (version {head.schema_version} of its format), which "
                "is no longer read; score the case again."
            )
        return msgspec.json.decode(data, type=kind)
    # Impossible values are refused by the types' own checks, as a ValueError; so is text that is not UTF-8.
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); restore it, or score the case again.") from error
