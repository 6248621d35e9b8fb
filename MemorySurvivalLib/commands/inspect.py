"""`memory-survival inspect DIR`: what DICOM a folder holds, which CT and PET would be used, and why."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.options import add_choice_options
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_header import show
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.dicom_series import DicomSeries, Found
from MemorySurvivalLib.imaging.pet_quality import check_pet
from MemorySurvivalLib.imaging.study import StudyChoice, choose_study, list_candidates
from MemorySurvivalLib.imaging.study_candidates import Candidate
from MemorySurvivalLib.imaging.suv import convert_to_suv
from MemorySurvivalLib.imaging.suv_supplied import Supplied, add_pet_options, supplied_from

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

EXIT_NOTHING_USABLE = 2


@dataclass(frozen=True)
class DetailColumn:
    """One more thing to say about each series that can be read, such as how its SUV would be computed."""

    title: str
    describe: Callable[[DicomSeries], str]
    """Gives a short text, "" for nothing to say. An InputError that it raises is shown as the text."""


def describe_suv(series: DicomSeries, supplied: Supplied) -> str:
    """How a PET would become SUVbw with what the user supplies, and what is conspicuous about it; "" for others."""
    if series.modality != "PT":
        return ""
    conversion = convert_to_suv(series.headers, supplied)
    return " ".join([f"{conversion.method}.", *(flag.sentence for flag in check_pet(conversion))])


def register(subparsers: Subparsers) -> None:
    """Add `inspect`."""
    parser = subparsers.add_parser(
        "inspect",
        help="say what DICOM a folder holds, and which CT and PET would be used",
        description=f"A table of the DICOM series in a folder and why each would be used or not. {RESEARCH_USE}.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with DICOM files, or one file of a series")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--identifiers", action="store_true", help="also print patient ID, name and birth date (left out otherwise)"
    )
    add_choice_options(parser)
    add_pet_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Scan, choose, print. Exit code 0 when a CT and a PET can be used as they are, else 2.

    Raises InputError for a bad path.
    """
    with ProgressBars() as bars:
        found = scan(args.folder, bars)
    choice: StudyChoice | None = None
    refusal = ""
    try:
        choice = choose_study(
            found, ct_series=args.ct_series, pet_series=args.pet_series, confirmed=args.confirm_identity
        )
    except InputError as error:
        refusal = str(error)
    candidates = choice.candidates if choice else list_candidates(found)
    supplied = supplied_from(args)
    if choice:
        try:
            convert_to_suv(choice.pet.headers, supplied)
        except InputError as error:
            choice, refusal = None, str(error)
    details = (DetailColumn("SUV", lambda series: describe_suv(series, supplied)),)
    if args.json:
        record = describe_found(found, candidates, choice, refusal, details, identifiers=args.identifiers)
        print(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        print(format_found(found, candidates, choice, refusal, details, identifiers=args.identifiers))
    return 0 if choice else EXIT_NOTHING_USABLE


def describe_found(
    found: Found,
    candidates: Sequence[Candidate],
    choice: StudyChoice | None,
    refusal: str,
    details: Sequence[DetailColumn] = (),
    *,
    identifiers: bool = False,
) -> dict[str, Any]:
    """Everything that `inspect` says as plain JSON values."""
    return {
        "research_use": RESEARCH_USE,
        "folder": show(found.root),
        "usable": choice is not None,
        "ct": choice.ct.key if choice else None,
        "pet": choice.pet.key if choice else None,
        "refusal": refusal,
        "notes": list(choice.notes) if choice else [],
        "series": [_describe(one, details, identifiers=identifiers) for one in candidates],
        "other_files": [
            {"path": show(other.path), "kind": other.kind, "sop_class": other.sop_class, "problem": other.problem}
            for other in found.others
        ],
        "ignored_files": found.ignored,
        "problems": list(found.problems),
    }


def _describe(one: Candidate, details: Sequence[DetailColumn], *, identifiers: bool) -> dict[str, Any]:
    series, facts = one.series, one.series.facts
    record: dict[str, Any] = {
        "key": series.key,
        "modality": series.modality,
        "description": facts.description,
        "date": facts.series_date,
        "shape_zyx": list(series.shape_zyx),
        "spacing_mm": [round(mm, 6) for mm in series.affine.spacing_mm] if series.affine else None,
        "orientation": series.affine.orientation if series.affine else None,
        "corrections": None if facts.corrected_image is None else list(facts.corrected_image),
        "units": _units(series),
        "chosen_as": one.role if one.chosen else None,
        "usable": one.usable,
        "unusable": one.unusable,
        "doubt": one.doubt,
        "reasons_for": list(one.reasons_for),
        "reasons_against": list(one.reasons_against),
        "notes": list(series.notes),
        "details": {column.title: _detail(column, series) for column in details if series.affine},
    }
    if identifiers:
        identity = series.identity
        record["patient"] = {"id": identity.patient_id, "name": identity.name, "birth_date": identity.birth_date}
    return record


def format_found(
    found: Found,
    candidates: Sequence[Candidate],
    choice: StudyChoice | None,
    refusal: str,
    details: Sequence[DetailColumn] = (),
    *,
    identifiers: bool = False,
) -> str:
    """Everything that `inspect` says as a table with the reasons below each series, then the verdict."""
    head = ("use", "modality", "description", "date", "slices", "matrix", "spacing mm", "axes", "corrections", "units")
    rows = [_row(one) for one in candidates]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [_counted(found), ""]
    if rows:
        lines.append(_join(head, widths))
    for one, row in zip(candidates, rows, strict=True):
        lines.append(_join(row, widths))
        lines += [f"       {line}" for line in _remarks(one, details, identifiers=identifiers)]
    lines += ["", *(other.problem for other in found.others if other.problem), *found.problems]
    if choice:
        lines.append(f"The CT {choice.ct.title} and the PET {choice.pet.title} can be used.")
        lines += [f"note: {note}" for note in choice.notes]
    else:
        lines.append(refusal)
    return "\n".join([*lines, f"{RESEARCH_USE}."])


def _counted(found: Found) -> str:
    kinds = Counter(other.kind or "unreadable" for other in found.others)
    others = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return (
        f"{show(found.root)}: {len(found.series)} DICOM image series"
        + (f", other DICOM files: {others}" if others else "")
        + (f", {found.ignored} files that are not DICOM" if found.ignored else "")
        + "."
    )


def _row(one: Candidate) -> tuple[str, ...]:
    series, facts = one.series, one.series.facts
    slices, rows, columns = series.shape_zyx
    spacing = " x ".join(f"{mm:.4g}" for mm in series.affine.spacing_mm) if series.affine else "-"
    return (
        (one.role or "") if one.chosen else "",
        series.modality or "-",
        facts.description or "-",
        _date(facts.series_date),
        str(slices),
        f"{columns} x {rows}",
        spacing,
        series.affine.orientation if series.affine else "-",
        ",".join(facts.corrected_image) if facts.corrected_image else "-",
        _units(series) or "-",
    )


def _remarks(one: Candidate, details: Sequence[DetailColumn], *, identifiers: bool) -> list[str]:
    series = one.series
    lines = [f"key {show(Path(series.key))}"]
    if identifiers:
        identity = series.identity
        lines.append(f"patient ID {identity.patient_id}, name {identity.name}, born {_date(identity.birth_date)}")
    lines += [f"+ {reason}" for reason in one.reasons_for]
    lines += [f"- {reason}" for reason in (*one.reasons_against, one.doubt, one.unusable) if reason]
    lines += [f"  {note}" for note in series.notes]
    if series.affine:
        told = [(column.title, _detail(column, series)) for column in details]
        lines += [f"{title}: {words}" for title, words in told if words]
    return lines


def _detail(column: DetailColumn, series: DicomSeries) -> str:
    try:
        return column.describe(series)
    except InputError as error:
        return str(error)


def _units(series: DicomSeries) -> str:
    return "HU" if series.modality == "CT" and series.affine else series.facts.units


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text or "-"


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
