"""`memory-survival findings`: staging scores, and the form of the visual reading as a file to fill in and to check."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib import RESEARCH_USE

if TYPE_CHECKING:
    from MemorySurvivalLib.clinical.record import VisualReading


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "findings",
        help="staging scores and the IMPeTUs form of a scored case",
        description="ISS, R-ISS and R2-ISS from clinical values, and the IMPeTUs form with suggestions from the "
        f"measurements of a scored case. {RESEARCH_USE}.",
    )
    parser.add_argument("result", type=Path, nargs="?", help="folder of a scored case (with result.json)")
    parser.add_argument(
        "--prefill", type=Path, metavar="FILE", help="write the form with suggestions; nothing confirmed"
    )
    parser.add_argument("--check", type=Path, metavar="FILE", help="read a form and say whether it is final")
    parser.add_argument("--values", type=Path, metavar="FILE", help="laboratory and FISH values, a CSV or JSON file")
    parser.add_argument("--overwrite", action="store_true", help="let --prefill replace an existing file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the scores and where the form stands. Raises InputError and OutputError; 1 where a form is not final."""
    from MemorySurvivalLib.clinical.prefill import prefill, read_measurements
    from MemorySurvivalLib.clinical.reading_file import read_reading, write_reading
    from MemorySurvivalLib.clinical.staging import compute_scores
    from MemorySurvivalLib.errors import InputError, OutputError
    from MemorySurvivalLib.risk.covariates import read_covariates

    if options.prefill is None and options.check is None and options.values is None:
        raise InputError("Nothing was asked for; give --prefill FILE, --check FILE or --values FILE.")
    lines: list[str] = []
    code = 0
    if options.values is not None:
        for score in compute_scores(read_covariates(options.values)):
            lines += [f"{score.name:<14} {score.sentence}", f"{'':<14} {score.citation}"]
    if options.prefill is not None:
        if options.result is None:
            raise InputError("The suggestions need the folder of a scored case; name it before the options.")
        if options.prefill.exists() and not options.overwrite:
            raise OutputError(
                f"{options.prefill} is there already and may hold answers; choose another name or add --overwrite."
            )
        form = prefill(read_measurements(options.result))
        write_reading(form, options.prefill)
        told = sum(item.suggested is not None for item in form.items)
        lines.append(f"form           {options.prefill}: {told} of {len(form.items)} items with a suggestion")
    if options.check is not None:
        reading = read_reading(options.check)
        lines += describe_reading(reading)
        code = 0 if reading.final else 1
    lines.append(f"{RESEARCH_USE}.")
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def describe_reading(reading: VisualReading) -> list[str]:
    """Each item in a line, then whether the form is final and what is missing."""
    from MemorySurvivalLib.clinical.impetus import find_contradictions, find_unconfirmed, say_answer

    lines = []
    for item in reading.items:
        shown = say_answer(item.answer) if item.confirmed else f"not confirmed, suggested: {say_answer(item.suggested)}"
        lines.append(f"{item.title + ':':<56} {shown}")
    lines += [f"note           {sentence}" for sentence in find_contradictions(reading)]
    if reading.final:
        lines.append(f"final          by {reading.reader}, {reading.confirmed_at}")
    else:
        left = len(find_unconfirmed(reading))
        lines.append(f"not final      {f'{left} items to confirm' if left else 'no reader has signed it'}")
    return lines
