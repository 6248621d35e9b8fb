"""When the computer has run out of memory or disk space: told from the many ways in which libraries say so."""

from __future__ import annotations

import errno
from pathlib import Path

from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.files import explain_os_error

_MEMORY_SIGNS = (
    "out of memory",  # torch on a GPU
    "not enough memory",  # torch on Windows
    "can't allocate memory",  # torch on a CPU
    "cannot allocate memory",  # the operating system
    "failed to allocate memory",  # ITK
    "bad_alloc",  # C++
    "bad allocation",  # C++ on Windows
)


class OutOfMemory(MemorySurvivalError):
    """The memory of the computer or of its graphics card is used up."""


def explain_shortage(error: BaseException) -> MemorySurvivalError | None:
    """The sentence for an error that means that memory or disk space ran out; None for any other error.

    Libraries wrap such errors in errors of their own, so the causes are looked at too.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if _is_memory(cause):
            return OutOfMemory(
                "The memory of this computer is used up; close other programs or images, or use a computer with more "
                "memory, and try again."
            )
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return explain_os_error(cause, Path(cause.filename or "the temporary folder"))
        cause = cause.__cause__ or cause.__context__
    return None


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _MEMORY_SIGNS)
