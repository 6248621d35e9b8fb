"""The IMPeTUs form: its questions, confirming them one by one, and finishing it; standard library only."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from MemorySurvivalLib.clinical.record import ReadingItem, ReadingValue, VisualReading
from MemorySurvivalLib.errors import InputError

CITATIONS = (
    "Nanni C, Zamagni E, Versari A, et al. Image interpretation criteria for FDG PET/CT in multiple myeloma: a new "
    "proposal from an Italian expert panel. IMPeTUs (Italian Myeloma criteria for PET USe). "
    "Eur J Nucl Med Mol Imaging 2016;43:414-421. doi:10.1007/s00259-015-3200-9",
    "Nanni C, Versari A, Chauvie S, et al. Interpretation criteria for FDG PET/CT in multiple myeloma (IMPeTUs): final "
    "results. Eur J Nucl Med Mol Imaging 2018;45:712-719. doi:10.1007/s00259-017-3909-8",
)

NONE = "none"
DEAUVILLE = ("1", "2", "3", "4", "5")
GROUPS = ("0", "1-3", "4-10", ">10")
SITES = ("skull", "spine", "extraspinal")

_SCALE = (
    "1 no uptake; 2 not above the mediastinal blood pool; 3 above it, not above the liver; 4 moderately above the "
    "liver; 5 markedly above the liver"
)
NOTHING_MEASURED = "Nothing was measured."

_ITEMS = (
    ReadingItem("marrow_deauville", "Bone marrow: Deauville score", DEAUVILLE, None, "", definition=_SCALE),
    ReadingItem(
        "focal_group", "Focal lesions: number", GROUPS, None, "", definition="Focal lesions with uptake, in groups"
    ),
    ReadingItem(
        "focal_sites",
        "Focal lesions: sites",
        (NONE, *SITES),
        None,
        "",
        multiple=True,
        definition="Extraspinal is every bone but skull and spine; the sacrum counts with the spine here",
    ),
    ReadingItem(
        "focal_deauville",
        "Focal lesions: Deauville score of the hottest",
        (NONE, *DEAUVILLE),
        None,
        "",
        definition=_SCALE,
    ),
    ReadingItem("lytic_group", "Lytic lesions: number", GROUPS, None, "", definition="Lytic lesions on CT, in groups"),
    ReadingItem("fractures", "Fractures", (NONE, *SITES), None, "", multiple=True, definition="Where, or none"),
    ReadingItem(
        "paramedullary",
        "Paramedullary disease",
        (NONE, *SITES),
        None,
        "",
        multiple=True,
        definition="Soft tissue that grows out of a bone: where, or none",
    ),
    ReadingItem(
        "extramedullary",
        "Extramedullary disease",
        (NONE, "nodal", "extranodal"),
        None,
        "",
        multiple=True,
        definition="Disease without contact to bone: in lymph nodes, elsewhere, or none",
    ),
    ReadingItem(
        "extramedullary_deauville",
        "Extramedullary disease: Deauville score of the hottest",
        (NONE, *DEAUVILLE),
        None,
        "",
        definition=_SCALE,
    ),
)
KEYS = tuple(item.key for item in _ITEMS)


def blank_form(basis: str = NOTHING_MEASURED) -> VisualReading:
    """The form without any suggestion; `basis` says why."""
    return VisualReading(tuple(replace(item, basis=basis) for item in _ITEMS), citations=CITATIONS)


def suggest(form: VisualReading, key: str, value: ReadingValue, basis: str) -> VisualReading:
    """The form with a suggestion (None for none) and the sentence that says where it is from."""
    return _with(form, replace(find_item(form, key), suggested=value, basis=basis))


def find_item(form: VisualReading, key: str) -> ReadingItem:
    """An item by its key. Raises InputError for a key that the form does not have."""
    for item in form.items:
        if item.key == key:
            return item
    raise InputError(f"The form has no item {key!r}; its items are {', '.join(item.key for item in form.items)}.")


def confirm(form: VisualReading, key: str, answer: ReadingValue) -> VisualReading:
    """The form with an item answered and confirmed by the physician; a form that was finished is open again.

    Raises InputError for an answer that is not among the item's choices.
    """
    item = find_item(form, key)
    if answer is None or not item.allows(answer):
        raise InputError(f"{item.title}: {say_answer(answer)} is not an answer; use {item.choices_text}.")
    if isinstance(answer, tuple):
        answer = tuple(choice for choice in item.choices if choice in answer)
        if NONE in answer and len(answer) > 1:
            raise InputError(f"{item.title}: {NONE} cannot stand beside {', '.join(answer[1:])}; choose either.")
    return _with(form, replace(item, answer=answer, confirmed=True))


def withdraw(form: VisualReading, key: str, answer: ReadingValue = None) -> VisualReading:
    """The form with an item not confirmed, with an answer that may still change, or none."""
    return _with(form, replace(find_item(form, key), answer=answer, confirmed=False))


def find_contradictions(form: VisualReading) -> tuple[str, ...]:
    """Sentences on confirmed answers that cannot be true together."""
    told = {item.key: item.answer for item in form.items if item.confirmed}

    def differs(first: str, nothing: ReadingValue, second: str, other: ReadingValue) -> bool:
        return first in told and second in told and (told[first] == nothing) != (told[second] == other)

    checks = (
        ("focal_group", "0", "focal_sites", (NONE,)),
        ("focal_group", "0", "focal_deauville", NONE),
        ("extramedullary", (NONE,), "extramedullary_deauville", NONE),
    )
    return tuple(
        f"{find_item(form, first).title} is {say_answer(told[first])}, but {find_item(form, second).title} is "
        f"{say_answer(told[second])}; correct one of them."
        for first, nothing, second, other in checks
        if differs(first, nothing, second, other)
    )


def find_unconfirmed(form: VisualReading) -> tuple[str, ...]:
    """Titles of the items that nobody has confirmed."""
    return tuple(item.title for item in form.items if not item.confirmed)


def finish(form: VisualReading, reader: str, when: datetime) -> VisualReading:
    """The final form, signed by a named reader at a time with a time zone.

    Raises InputError while an item is not confirmed, answers contradict each other, or no name is given.
    """
    name = " ".join(reader.split())
    if not name:
        raise InputError("The reading needs the reader's name before it is final.")
    open_items = find_unconfirmed(form)
    if open_items:
        raise InputError(f"The reading is not final before these are confirmed: {'; '.join(open_items)}.")
    contradictions = find_contradictions(form)
    if contradictions:
        raise InputError(contradictions[0])
    if when.tzinfo is None:
        raise ValueError("the time of a reading needs a time zone")
    return replace(form, reader=name, confirmed_at=when.isoformat(timespec="seconds"))


def _with(form: VisualReading, changed: ReadingItem) -> VisualReading:
    """The form with one item exchanged; who signed it before did not sign this."""
    items = tuple(changed if item.key == changed.key else item for item in form.items)
    return replace(form, items=items, reader="", confirmed_at="")


def say_answer(answer: ReadingValue) -> str:
    """An answer in words."""
    if answer is None:
        return "nothing"
    return ", ".join(answer) if isinstance(answer, tuple) else str(answer)
