"""`memory-survival overview`: a folder of results as one page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "overview",
        help="a folder of results as one page",
        description=f"A cohort's log-risks, flags and outcomes on one self-contained HTML page. {RESEARCH_USE}.",
    )
    parser.add_argument("folder", type=Path, help="folder with results at any depth")
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--outcomes", type=Path, help="CSV: case (the result's folder), months, event (1 or 0)")
    parser.add_argument("--numbered", action="store_true", help="numbers in place of folder names, and no links")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the page. Raises InputError and OutputError."""
    from MemorySurvivalLib.compare.overview import OverviewRequest, write_overview

    request = OverviewRequest(options.folder, options.out, options.outcomes, options.numbered, options.overwrite)
    with ProgressBars() as bars:
        cohort = write_overview(request, bars)
    sys.stdout.write(
        f"{len(cohort.cases)} results, {len(cohort.failed)} failed, {len(cohort.unread)} not readable: {options.out}\n"
        f"{RESEARCH_USE}.\n"
    )
    return 0
