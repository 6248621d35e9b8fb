"""The one exception family whose text is shown to users as it stands: one sentence, no traceback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class MemorySurvivalError(Exception):
    """Something the user can put right. `str(error)` says what is wrong, where, and what to do.

    `details` tell a panel what it may ask for, such as the names of values that are missing.
    """

    details: Mapping[str, Sequence[str]] = {}


class InputError(MemorySurvivalError):
    """An image, mask, table or option that cannot be used."""


class BundleError(MemorySurvivalError):
    """A model bundle that is damaged, unknown, or made for something else."""


class WeightsError(MemorySurvivalError):
    """Backbone weights that are absent, damaged, or not what they claim to be."""


class OutputError(MemorySurvivalError):
    """A result that cannot be written where the user asked."""


class DeviceError(MemorySurvivalError):
    """A compute device that was asked for and is not there."""
