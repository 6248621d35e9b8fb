"""Reading a worklist: a folder with a folder for each case, or a CSV file with a row for each."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source

COLUMNS = ("case", "study", "ct", "pet", "roi", "covariates")
"""Columns of a CSV worklist; `case` may be left out, others are ignored. Paths are relative to the file."""

_IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_MODALITY_WORDS = {"ct": ("ct",), "pet": ("pet", "pt", "suv")}
_NOT_IMAGES = ("mask", "seg", "label", "labels", "roi")


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case: `study`, a DICOM folder that holds both images, or `ct` and `pet`."""

    study: Path | None = None
    ct: Path | None = None
    pet: Path | None = None
    roi: Path | None = None
    covariates: Path | None = None

    @property
    def named(self) -> dict[str, Path]:
        """Those that there are, by what they are."""
        every = {name: getattr(self, name) for name in COLUMNS[1:]}
        return {name: path for name, path in every.items() if path is not None}


@dataclass(frozen=True)
class WorkItem:
    """One case: its name, after which its result folder is named, and its files.

    `problem` says in one sentence why the case cannot be worked on; it stays in the list, so that nobody overlooks it.
    """

    case: str
    files: CaseFiles = CaseFiles()
    problem: str = ""


def read_worklist(place: Path, roi_kind: str | None = None) -> tuple[WorkItem, ...]:
    """The cases of a folder or a CSV file, in the order of their names or rows.

    In a folder each folder is a case: DICOM, or one image file whose name says CT and one whose name says PET, with
    `covariates.csv` and, where `roi_kind` is given, a mask named after it (`spine_dilated.nrrd`) if they are there.
    Raises InputError with one sentence where there is no such list or no case in it.
    """
    if place.is_dir():
        items = tuple(_from_folder(folder, roi_kind) for folder in sorted(place.iterdir()) if _is_case(folder))
    elif place.is_file():
        items = _from_table(place)
    else:
        raise InputError(f"There is no worklist {place}; give a folder of case folders or a CSV file.")
    if not items:
        raise InputError(f"There is no case in {place}; a folder needs a folder for each case, a CSV file a row.")
    return _with_unique_names(items)


def _is_case(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".")


def _from_folder(folder: Path, roi_kind: str | None) -> WorkItem:
    images = [path for path in sorted(folder.iterdir()) if path.is_file() and _suffix(path)]
    covariates = folder / "covariates.csv"
    masks = [path for path in images if roi_kind and _stem(path) == roi_kind]
    beside = CaseFiles(roi=masks[0] if masks else None, covariates=covariates if covariates.is_file() else None)
    found = {name: [path for path in images if _says(path, name)] for name in _MODALITY_WORDS}
    if all(len(paths) == 1 for paths in found.values()):
        return WorkItem(folder.name, replace(beside, ct=found["ct"][0], pet=found["pet"][0]))
    if images:
        counts = " and ".join(f"{len(paths)} that says {name.upper()}" for name, paths in found.items())
        problem = f"{folder} needs one image file whose name says CT and one that says PET, it has {counts}."
        return WorkItem(folder.name, problem=problem)
    if any(is_dicom_source(path) for path in _few_files(folder)):
        return WorkItem(folder.name, replace(beside, study=folder))
    return WorkItem(folder.name, problem=f"{folder} holds neither DICOM nor a CT and a PET as image files.")


def _few_files(folder: Path, most: int = 20) -> Iterable[Path]:
    """The first few files at any depth: enough to tell whether there is DICOM."""
    count = 0
    for path in folder.rglob("*"):
        if path.is_file():
            yield path
            count += 1
        if count == most:
            return


def _from_table(table: Path) -> tuple[WorkItem, ...]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as CSV ({error}); save it as CSV in UTF-8.") from error
    columns = {(name or "").strip().lower() for row in rows[:1] for name in row}
    if rows and "study" not in columns and not {"ct", "pet"} <= columns:
        raise InputError(
            f"{table} needs a column study, or the columns ct and pet; it has {', '.join(sorted(columns - {''}))}."
        )
    return tuple(_from_row(row, number, table.parent) for number, row in enumerate(rows, start=1))


def _from_row(row: Mapping[str, str | None], number: int, folder: Path) -> WorkItem:
    said = {(name or "").strip().lower(): text.strip() for name, text in row.items() if isinstance(text, str)}
    case = said.get("case") or f"case-{number:03d}"
    paths = {name: folder / said[name] for name in COLUMNS[1:] if said.get(name)}
    missing = [f"{name} {path}" for name, path in paths.items() if not path.exists()]
    if missing:
        return WorkItem(case, problem=f"There is no {', no '.join(missing)} (row {number}).")
    if ("study" in paths) == ("ct" in paths and "pet" in paths) or ("study" in paths and {"ct", "pet"} & set(paths)):
        return WorkItem(case, problem=f"Row {number} needs either a study, or a ct and a pet.")
    return WorkItem(case, CaseFiles(**paths))


def _with_unique_names(items: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
    names = [_folder_name(item.case) for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"The worklist names {', '.join(twice)} more than once; each case needs a name of its own.")
    return items


def _folder_name(case: str) -> str:
    return folder_name(case).lower()  # some disks do not tell upper from lower case


def folder_name(case: str) -> str:
    """The name of a case's result folder: letters, digits, dot, dash and underscore of its own name."""
    return re.sub(r"[^\w.-]+", "_", case).strip("._") or "case"


def _suffix(path: Path) -> str:
    return next((suffix for suffix in _IMAGE_SUFFIXES if path.name.lower().endswith(suffix)), "")


def _stem(path: Path) -> str:
    return path.name[: -len(_suffix(path))]


def _says(path: Path, name: str) -> bool:
    words = re.split(r"[^a-z]+", _stem(path).lower())
    return any(word in words for word in _MODALITY_WORDS[name]) and not any(word in words for word in _NOT_IMAGES)
