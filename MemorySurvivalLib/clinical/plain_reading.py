"""A form as plain values and back, for a viewer whose own Python has only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from MemorySurvivalLib.clinical.impetus import KEYS, find_contradictions
from MemorySurvivalLib.clinical.record import ReadingItem, ReadingValue, VisualReading
from MemorySurvivalLib.errors import InputError


def to_plain(reading: VisualReading) -> dict[str, Any]:
    """Dictionaries, lists, and values that JSON has."""
    plain: dict[str, Any] = _without_tuples(asdict(reading))
    return plain


def from_plain(plain: Mapping[str, Any]) -> VisualReading:
    """The form of plain values. Raises InputError for a form of another version, or one that cannot be."""
    wrong = InputError("The stored reading cannot be read; fill in the form again.")
    try:
        if plain["schema"] != "memory-survival-reading" or plain["schema_version"] != 1:
            raise wrong
        items = tuple(_item(each) for each in plain["items"])
        told = [tuple(str(each) for each in plain[name]) for name in ("notes", "citations")]
        reading = VisualReading(items, str(plain["reader"]), str(plain["confirmed_at"]), told[0], told[1])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise wrong from error
    if [item.key for item in items] != list(KEYS) or (reading.final and find_contradictions(reading)):
        raise wrong
    return reading


def carry_answers(form: VisualReading, earlier: VisualReading) -> VisualReading:
    """The form with the answers that were confirmed in an earlier reading of the same images, to be confirmed again."""
    told = {item.key: item.answer for item in earlier.items if item.confirmed}
    items = tuple(replace(item, answer=told.get(item.key), confirmed=False) for item in form.items)
    return replace(form, items=items, reader="", confirmed_at="")


def _item(plain: Mapping[str, Any]) -> ReadingItem:
    return ReadingItem(
        key=str(plain["key"]),
        title=str(plain["title"]),
        choices=tuple(str(each) for each in plain["choices"]),
        suggested=_answer(plain["suggested"]),
        basis=str(plain["basis"]),
        answer=_answer(plain["answer"]),
        confirmed=plain["confirmed"] is True,
        multiple=plain["multiple"] is True,
        definition=str(plain["definition"]),
    )


def _answer(plain: Any) -> ReadingValue:
    return tuple(str(each) for each in plain) if isinstance(plain, list | tuple) else plain


def _without_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_tuples(each) for name, each in value.items()}
    return [_without_tuples(each) for each in value] if isinstance(value, list | tuple) else value
