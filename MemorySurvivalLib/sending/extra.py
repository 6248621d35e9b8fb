"""The packages that only sending needs, and the sentence where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from MemorySurvivalLib.sending.errors import SendError

_DISTRIBUTIONS = {"pynetdicom": "pynetdicom", "dicomweb_client": "dicomweb-client"}


def need(module: str) -> None:
    """Raise SendError where an optional package is not installed."""
    if find_spec(module) is None:
        raise SendError(
            f"Sending to this kind of node needs the Python package {_DISTRIBUTIONS[module]}; install it with "
            "`pip install memory-survival[export]`."
        )
