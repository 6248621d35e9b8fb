"""The anatomical structures this project knows, by name and by SNOMED CT code, and other segmenters' label tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.resources import locate_resource
from MemorySurvivalLib.roi.segments import Code, Structure

ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
"""The category of every structure here (DICOM Segmented Property Category)."""

LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")
SIDES: Mapping[str, Code] = MappingProxyType({"left": LEFT, "right": RIGHT})

TOTALSEGMENTATOR = "totalsegmentator"
MOOSE = "moosez"

_NUMBERED = re.compile(r"vertebra[ _]([1-9]\d?)")


@dataclass(frozen=True)
class LabelTable:
    """What the labels of one model of another segmenter mean: label -> the name of our structure.

    `version` is the version of `package` whose own table this was read from; `theirs` keeps their names.
    """

    package: str
    version: str
    task: str
    labels: Mapping[int, str]
    theirs: Mapping[int, str]

    def structures(self) -> dict[int, Structure]:
        """The table as label -> structure."""
        return {label: structure(name) for label, name in self.labels.items()}


@cache
def structures() -> Mapping[str, Structure]:
    """Every structure by its name, in the order of the table (spine from the top, bones, organs, our two ROIs)."""
    return MappingProxyType({row["name"]: _read_row(row) for row in _rows()})


def structure(name: str) -> Structure:
    """The structure with this name, such as "L4", "rib_left_7", "liver" or "spine_dilated".

    "vertebra 3" is the third vertebra of an image in which the levels are not known: coded as Vertebra. Raises
    InputError for a name that is not in the table.
    """
    known = structures().get(name)
    if known is not None:
        return known
    numbered = _NUMBERED.fullmatch(name)
    if numbered is None:
        raise InputError(f'"{name}" is not a structure of the terminology (Resources/Terminology/structures.json).')
    sample = structures()["vertebra"]
    lighter = 40 * (int(numbered.group(1)) % 2)  # neighbours differ
    red, green, blue = sample.colour_rgb
    return replace(sample, name=f"vertebra {int(numbered.group(1))}", colour_rgb=(red - lighter, green - lighter, blue))


def recognise(text: str) -> Structure | None:
    """The structure that a segment's free name means: ours, another segmenter's, or the code's meaning with a side.

    Case, blanks, dashes and underscores do not matter ("Left clavicle", "clavicula_left", "vertebrae L4");
    None for a name that could mean anything else.
    """
    numbered = _NUMBERED.fullmatch(text.strip().lower())
    return structure(text.strip().lower()) if numbered else _names().get(_normalise(text))


def find_by_code(value: str, scheme: str, side: str | None = None, name: str = "") -> Structure | None:
    """The structure with this code (DICOM PS3.3 section 8.8) and side ("left", "right" or None).

    Codes of moosez that name the side themselves are known too. Where several structures share a code (any vertebra,
    any rib), the one that `name` means is taken when it is among them, else the unspecified one.
    """
    if scheme not in ("SCT", _own_scheme()):
        return None
    found = _codes().get((value, side), _codes().get((value, None), ()))
    named = recognise(name) if name else None
    if named is not None and (named.name in found or (side is None and named.code.value == value)):
        return named
    if found:
        return structures()[found[-1]]
    paired = _codes().get((value, "left")) if side is None else None
    if paired is None:
        return None
    one = structures()[paired[-1]]  # coded without its side, such as a femur
    return replace(one, name=one.name.replace("_left", ""), laterality=None)


@cache
def label_table(package: str, task: str) -> LabelTable:
    """The labels of one model of TotalSegmentator ("total", "total_v3") or moosez ("clin_ct_vertebrae", ...).

    Raises InputError for a model without a table.
    """
    tables = _read_json(f"{package}.json")
    if task not in tables["tasks"]:
        raise InputError(f"There is no label table for the model {task} of {tables['package']}.")
    rows = {int(label): row for label, row in tables["tasks"][task].items()}
    return LabelTable(
        package=tables["package"],
        version=tables["version"],
        task=task,
        labels=MappingProxyType({label: row["ours"] for label, row in rows.items()}),
        theirs=MappingProxyType({label: row["theirs"] for label, row in rows.items()}),
    )


def label_tasks(package: str) -> tuple[str, ...]:
    """The models of a package that have a label table."""
    return tuple(_read_json(f"{package}.json")["tasks"])


@cache
def _read_json(name: str) -> dict[str, Any]:
    path = locate_resource(f"Terminology/{name}")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _read_json("structures.json")["structures"]
    return rows


def _read_row(row: dict[str, Any]) -> Structure:
    red, green, blue = row["rgb"]
    return Structure(
        name=row["name"],
        group=row["group"],
        code=Code(row["code"], row["scheme"], row["meaning"]),
        laterality=SIDES[row["side"]] if row["side"] else None,
        colour_rgb=(red, green, blue),
    )


def _own_scheme() -> str:
    return structures()["skeleton"].code.scheme


@cache
def _codes() -> Mapping[tuple[str, str | None], tuple[str, ...]]:
    """(code value, side) -> names of the structures that have it; codes with a built-in side are under None."""
    found: dict[tuple[str, str | None], tuple[str, ...]] = {}
    for row in _rows():
        keys = [(row["code"], row["side"]), *((other, None) for other in row["other_codes"])]
        for key in keys:
            found[key] = (*found.get(key, ()), row["name"])
    return MappingProxyType(found)


@cache
def _names() -> Mapping[str, Structure]:
    """Normalised spellings -> structure; a spelling that fits two structures is left out."""
    spellings: dict[str, set[str]] = {}
    for name, each in structures().items():
        side = f" {each.laterality.meaning}" if each.laterality else ""
        for text in (name, each.code.meaning + side):
            spellings.setdefault(_normalise(text), set()).add(name)
    for package in (TOTALSEGMENTATOR, MOOSE):
        for theirs, ours in _their_names(package):
            spellings.setdefault(_normalise(theirs), set()).add(ours)
    unique = {text: names.pop() for text, names in spellings.items() if len(names) == 1}
    unique |= {_normalise(name): name for name in structures()}  # our own names always mean themselves
    return MappingProxyType({text: structures()[name] for text, name in unique.items()})


def _their_names(package: str) -> Iterable[tuple[str, str]]:
    for task in label_tasks(package):
        table = label_table(package, task)
        yield from ((table.theirs[label], table.labels[label]) for label in table.labels)


def _normalise(text: str) -> str:
    """Words in a fixed order: lower case, sides last, "vertebra(e)" before a level dropped."""
    words = re.findall(r"[a-z]+\d*|\d+", text.lower())
    words = [word for word in words if word not in ("vertebra", "vertebrae")] or words
    sides = [word for word in words if word in SIDES]
    return " ".join([*(word for word in words if word not in SIDES), *sides])
