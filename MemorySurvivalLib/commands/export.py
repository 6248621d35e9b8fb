"""`memory-survival export`: all of a finished result that is to leave, in one folder that names whom the user chose."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.report.subject import IDENTITY_CHOICES

if TYPE_CHECKING:
    from MemorySurvivalLib.dicom_out.manifest import Kind
    from MemorySurvivalLib.dicom_out.sources import SourcePaths
    from MemorySurvivalLib.exporting import Exported
    from MemorySurvivalLib.report.writing import Format

_FORMATS = ("html", "pdf", "json", "csv")
_PAPERS = ("a4", "letter")
_OBJECTS = ("seg", "sr", "pm", "pdf", "sc")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "export",
        help="write all of a scored case that is to leave, cleaned, into one folder",
        description="Write report, tables, masks, maps and DICOM objects of a scored case into one folder that names "
        "whom you choose, with a list of its files and their hashes (export.json). `report` writes the pages alone and "
        "`dicom` the objects alone, for work on this computer; what goes to others is best made here, because nothing "
        f"is in it that was not cleaned. `send` takes the folder to a DICOM node. {RESEARCH_USE}.",
    )
    parser.add_argument("folder", type=Path, metavar="RESULT_DIR", help="the folder that `score` made")
    parser.add_argument("--out", type=Path, required=True, help="folder for the export; made anew")
    parser.add_argument(
        "--formats", default="html", help=f'of the report, of {",".join(_FORMATS)}; "" for none (%(default)s)'
    )
    parser.add_argument(
        "--objects",
        default="",
        help="DICOM objects: masks (seg), measurements and risk (sr), heatmap (pm), report (pdf), key images (sc)",
    )
    parser.add_argument(
        "--identity", choices=IDENTITY_CHOICES, default="none", help="whom the export names (%(default)s)"
    )
    parser.add_argument("--pseudonym", metavar="CODE", help="your own code (default: one made from the patient ID)")
    parser.add_argument("--volumes", action="store_true", help="masks and maps as NRRD, too")
    parser.add_argument("--tables", action="store_true", help="the measurements as JSON and CSV, too")
    parser.add_argument(
        "--record",
        action="store_true",
        help="result.json, report.json and the pictures, too, from which the report can be written again",
    )
    parser.add_argument(
        "--without-head", action="store_true", help="leave out what may show the face; needs the CT at hand"
    )
    parser.add_argument("--paper", choices=_PAPERS, default="a4", help="of the PDF (%(default)s)")
    parser.add_argument("--language", default="en", help="of the pages, such as en or de (%(default)s)")
    parser.add_argument("--study", type=Path, help="where the DICOM images are now, if they were moved")
    parser.add_argument("--ct", type=Path, help="where the CT is now")
    parser.add_argument("--pet", type=Path, help="where the PET is now")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export that is there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the export and say what is in it. Raises InputError and OutputError."""
    formats = _choose(options.formats, _FORMATS, "Formats of the report")
    objects = _choose(options.objects, _OBJECTS, "DICOM objects")
    if not (formats or objects or options.volumes or options.tables or options.record):
        raise InputError("Nothing is to be exported; choose --formats, --objects, --volumes, --tables or --record.")
    if options.pseudonym is not None and options.identity != "pseudonym":
        raise InputError("A pseudonym needs --identity pseudonym.")
    sources = _sources(options)
    # pydicom and highdicom take a second to load, so help and mistyped options do not wait for them.
    from MemorySurvivalLib.exporting import ExportRequest, export_result

    request = ExportRequest(
        folder=options.folder,
        out=options.out,
        formats=cast("tuple[Format, ...]", formats),
        objects=cast("tuple[Kind, ...]", objects),
        paper=options.paper,
        language=options.language,
        identity=options.identity,
        pseudonym=options.pseudonym,
        record=options.record,
        tables=options.tables,
        volumes=options.volumes,
        leave_head_out=options.without_head,
        ct=options.ct,
        sources=sources,
        overwrite=options.overwrite,
    )
    with ProgressBars() as progress:
        exported = export_result(request, progress=progress)
    sys.stdout.write(_summarise(exported, options.identity))
    return 0


def _choose(text: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if set(chosen) - set(known):
        raise InputError(f"{what} are chosen from {', '.join(known)}; got {text!r}.")
    return chosen


def _sources(options: argparse.Namespace) -> SourcePaths | None:
    from MemorySurvivalLib.dicom_out.sources import SourcePaths

    if options.study is not None and (options.ct or options.pet):
        raise InputError("Give either --study or --ct and --pet, not both.")
    given = SourcePaths(options.ct, options.pet, options.study)
    return None if given == SourcePaths() else given


def _summarise(exported: Exported, identity: str) -> str:
    """A line for each file, what was left out, and what to know."""
    whom = {"identified": "the patient", "pseudonym": exported.subject.patient_id, "none": "nobody"}[identity]
    lines = [f"{exported.folder}", *exported.files, f"names          {whom}"]
    lines += [f"left out       {sentence}" for sentence in exported.left_out]
    lines += [f"note           {sentence}" for sentence in exported.notes]
    return "\n".join([*lines, f"{RESEARCH_USE}."]) + "\n"
