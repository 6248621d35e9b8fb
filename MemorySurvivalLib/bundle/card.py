"""What a model card still leaves open: fields that only people can fill, and that hold a bundle back until they do."""

from __future__ import annotations

import re

OPEN_FIELD = "TODO (a person must state this)"
"""Stands in a card where nothing was stated."""

_FIELD = re.compile(rf"^\s*[-*]?\s*\**(?P<name>[^*:\n]+?)\**:\**\s*{re.escape(OPEN_FIELD)}", re.MULTILINE)


def find_open_fields(card: str) -> tuple[str, ...]:
    """Names of the fields of a card (Markdown) that nobody has filled, in their order."""
    return tuple(found["name"].strip() for found in _FIELD.finditer(card))


def say_held_back(card: str) -> str | None:
    """Why a bundle with this card cannot have a status above local-research, as a clause; None where it can."""
    fields = find_open_fields(card)
    if not fields and OPEN_FIELD not in card:
        return None
    names = ", ".join(fields[:4]) or "a field"
    more = f" and {len(fields) - 4} more" if len(fields) > 4 else ""
    return f"its model card leaves open what only people know ({names}{more})"
