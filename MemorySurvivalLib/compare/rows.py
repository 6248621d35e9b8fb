"""Rows of a comparison: a number or a text of either result, and the change where a change means something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

NOT_STATED = "not stated"


class NumberRow(msgspec.Struct, frozen=True, tag="number"):
    """A number of both results (None: unknown), shown with so many decimals; `change` is second - first, None where it
    is unknown or where the two are not on one scale. `signed` shows a plus."""

    name: str
    unit: str
    first: float | None
    second: float | None
    places: int
    change: float | None
    signed: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        first: float | None,
        second: float | None,
        places: int,
        subtract: bool = True,
        *,
        signed: bool = False,
    ) -> NumberRow:
        """A row whose change is taken where both are known and may be subtracted."""
        known = subtract and first is not None and second is not None
        return cls(name, unit, first, second, places, second - first if known else None, signed)  # type: ignore[operator]

    @property
    def differs(self) -> bool:
        """Whether the two are not the very same."""
        return self.first != self.second


class TextRow(msgspec.Struct, frozen=True, tag="text"):
    """A text of both results."""

    name: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the very same."""
        return self.first != self.second


def text_rows(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[TextRow, ...]:
    """A row for everything that one of the two states."""
    names = dict.fromkeys((*first, *second))
    return tuple(TextRow(name, first.get(name, NOT_STATED), second.get(name, NOT_STATED)) for name in names)


def differing(rows: Sequence[TextRow]) -> tuple[TextRow, ...]:
    """The rows in which the two differ."""
    return tuple(row for row in rows if row.differs)
