"""What the labels of a plain label map mean: one mask, another segmenter's table, or a table that the user gives."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.roi.segments import Structure
from MemorySurvivalLib.roi.terminology import MOOSE, TOTALSEGMENTATOR, label_table, label_tasks

TABLE_BESIDE = "structures.json"
"""The table that `memory-survival segment` writes beside its label map."""

ONE_MASK = "mask"
"""The choice that takes every labelled voxel as one mask."""

_DEFAULT_TASKS = {TOTALSEGMENTATOR: "total"}
_ALIASES = {"moose": MOOSE}


@dataclass(frozen=True)
class LabelNames:
    """Label -> the name it goes by, and label -> structure where that is known beyond the name."""

    names: Mapping[int, str]
    meanings: Mapping[int, Structure] = field(default_factory=dict)


def read_label_names(choice: str | Path) -> LabelNames:
    """Label names by a user's choice.

    "totalsegmentator" (its `total` task), "totalsegmentator:total_v3", "moose:clin_ct_vertebrae", or a .csv
    (columns label,name) or .json file ({"1": "L4"}, moosez' organ_indices, or the structures.json that `segment`
    writes). Raises InputError for anything else.
    """
    text = str(choice)
    if text.lower().endswith((".csv", ".json")):
        return LabelNames(_read_table(Path(choice)))
    package, _, task = text.lower().partition(":")
    package = _ALIASES.get(package, package)
    if package not in (TOTALSEGMENTATOR, MOOSE):
        raise InputError(
            f'"{text}" is not a table of labels; give totalsegmentator, moose:MODEL, or a .csv or .json file with the '
            "names."
        )
    task = task or _DEFAULT_TASKS.get(package, "")
    if task not in label_tasks(package):
        known = ", ".join(f"{text.partition(':')[0]}:{each}" for each in label_tasks(package))
        raise InputError(f'"{text}" does not say which model made the labels; choose one of {known}.')
    table = label_table(package, task)
    return LabelNames(table.theirs, table.structures())


def _read_table(path: Path) -> dict[int, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"The table of labels {path} cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The table of labels {path} is not UTF-8 text; save it as UTF-8.") from error
    try:
        names = _parse_json(text) if path.suffix.lower() == ".json" else _parse_csv(text)
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(
            f"The table of labels {path} cannot be understood; give two columns label,name (CSV) or "
            '{"1": "L4"} (JSON).'
        ) from error
    names.pop(0, None)
    if not names:
        raise InputError(f"The table of labels {path} names no label; give two columns label,name.")
    return names


def _parse_json(text: str) -> dict[int, str]:
    content = json.loads(text)
    entries = content.get("labels", content.get("organ_indices", content))  # ours, moosez', or plain
    return {int(label): _name_of(entry) for label, entry in entries.items()}


def _name_of(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    return str(entry["structure"]["name"] if "structure" in entry else entry["name"])


def _parse_csv(text: str) -> dict[int, str]:
    rows = [
        [cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)
    ]
    if rows and not rows[0][0].isdigit():
        rows = rows[1:]  # the header
    return {int(row[0]): row[1] for row in rows}
