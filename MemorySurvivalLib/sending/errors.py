"""What goes wrong between this machine and a node, as sentences a user can act on."""

from __future__ import annotations

from MemorySurvivalLib.errors import MemorySurvivalError


class SendError(MemorySurvivalError):
    """A node that cannot be reached, turns the caller away, or stopped half-way; what was not taken is kept."""


def describe_os_error(error: OSError, place: str) -> str:
    """Why no connection to `place` came about, and what to look at."""
    if isinstance(error, TimeoutError):
        return f"{place} did not answer in time; check the address, the firewall and whether the node is running."
    if isinstance(error, ConnectionRefusedError):
        return f"{place} refused the connection; check the port and whether the node is running."
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return f"{place} closed the connection at once; check whether the node expects TLS."
    return f"{place} cannot be reached ({error.strerror or error}); check the address and the network."
