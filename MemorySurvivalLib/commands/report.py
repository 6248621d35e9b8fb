"""`memory-survival report`: the report of a scored case in other formats, from its folder alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.report.subject import IDENTITY_CHOICES

_FORMATS = ("html", "pdf", "json", "csv")
_PAPERS = ("a4", "letter")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "report",
        help="write a scored case's report as HTML, PDF, JSON or CSV",
        description=f"Write a scored case's report again, from its folder alone. {RESEARCH_USE}.",
    )
    parser.add_argument("folder", type=Path, metavar="RESULT_DIR", help="the folder that `score` made")
    parser.add_argument("--format", default="html", help=f"one or more of {','.join(_FORMATS)} (%(default)s)")
    parser.add_argument("--paper", choices=_PAPERS, default="a4", help="of the PDF (%(default)s)")
    parser.add_argument("--out", type=Path, help="folder to write to (default: the result's)")
    parser.add_argument("--overwrite", action="store_true", help="replace a report that is there already")
    parser.add_argument(
        "--identity",
        choices=IDENTITY_CHOICES,
        help="whom the report names (none; of a result that was exported under a pseudonym, that pseudonym)",
    )
    parser.add_argument(
        "--pseudonym",
        metavar="CODE",
        help="your own code (default: the exported result's, else one made from the patient ID)",
    )
    parser.add_argument("--reading", type=Path, metavar="FILE", help="the visual reading (JSON) that belongs to it")
    parser.add_argument("--reviewed", metavar="NUMBERS", help="lesions that a person has looked at, such as 1,2,5")
    parser.add_argument("--language", default="en", help="of the pages, such as en or de (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the files and name them."""
    # Importing the report's packages takes time, so help and mistyped options do not wait for it.
    from MemorySurvivalLib.reporting import ReportRequest, write_saved

    formats = tuple(dict.fromkeys(name.strip() for name in options.format.split(",")))
    for name in formats:
        if name not in _FORMATS:
            raise InputError(f"The format {name!r} is unknown; choose from {', '.join(_FORMATS)}.")
    request = ReportRequest(
        folder=options.folder,
        out=options.out,
        formats=formats,
        paper=options.paper,
        identity=options.identity,
        pseudonym=options.pseudonym,
        language=options.language,
        overwrite=options.overwrite,
        reading=options.reading,
        reviewed=_numbers(options.reviewed) if options.reviewed is not None else None,
    )
    for path in write_saved(request).values():
        sys.stdout.write(f"{path}\n")
    sys.stdout.write(f"{RESEARCH_USE}.\n")
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise InputError(f"The lesions {text!r} are not numbers with commas between them, such as 1,2,5.") from None
