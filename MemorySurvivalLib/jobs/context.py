"""What every job is given beside its parameters, and how parameters become a typed request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.progress import ProgressCallback

if TYPE_CHECKING:
    from MemorySurvivalLib.models import Models
    from MemorySurvivalLib.recent import RecentCase

Request = TypeVar("Request")


class Warm:
    """What stays loaded from one job to the next."""

    @cached_property
    def models(self) -> Models:
        """Bundles and the engine; torch is imported when a job first needs them."""
        from MemorySurvivalLib.models import Models

        return Models()

    @cached_property
    def recent(self) -> RecentCase:
        """The last case that was prepared, so that explaining what was just scored does not begin anew."""
        from MemorySurvivalLib.recent import RecentCase

        return RecentCase()


@dataclass(frozen=True)
class JobContext:
    """The callbacks that pass a job's progress and notes on as events, and what stays warm between jobs."""

    progress: ProgressCallback
    tell: Callable[[str], None]
    warm: Warm = field(default_factory=Warm)


@dataclass(frozen=True)
class JobOutput:
    """What a finished job hands to the panel: plain values, and files by name (None where one was not made)."""

    result: Mapping[str, Any]
    files: Mapping[str, str | None] = field(default_factory=dict)


JobFunction = Callable[[dict[str, Any], JobContext], JobOutput]


def convert(parameters: Mapping[str, Any], kind: type[Request]) -> Request:
    """A typed request from a job's parameters. Raises InputError naming a parameter that is wrong."""
    try:
        return msgspec.convert(parameters, kind, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise InputError(f"The job's parameters are not valid: {error}.") from error


def name_files(files: Mapping[str, Path]) -> dict[str, str | None]:
    """Paths as text."""
    return {name: str(path) for name, path in files.items()}


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path or (get_origin(kind) is None and issubclass(kind, Path)):
        return Path(value)
    raise NotImplementedError(f"{kind} {get_args(kind)}")
