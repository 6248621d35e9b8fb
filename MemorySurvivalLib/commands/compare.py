"""`memory-survival compare`: two results of one patient on one page of differences, or two bundles on one cohort."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.registry import SUFFIX
from MemorySurvivalLib.commands.compare_bundles import NAMES, run_on_cohort
from MemorySurvivalLib.commands.train import add_cohort_options
from MemorySurvivalLib.errors import InputError


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "compare",
        help="two results of one patient beside each other, or two bundles on one cohort",
        description=(
            "What differs between two results of one patient: two studies, models, masks or settings. A change of a "
            "risk that was trained at baseline is not a response assessment. With --cohort the two are bundles, judged "
            f"on the same patients with paired differences. {RESEARCH_USE}."
        ),
    )
    parser.add_argument("first", type=Path, help="result folder or result.json, the earlier study; or a bundle")
    parser.add_argument("second", type=Path, help="result folder or result.json, the later study; or a bundle")
    parser.add_argument("--out", type=Path, required=True, help="page to write: .html, .pdf (of results) or .json")
    parser.add_argument(
        "--names",
        nargs=2,
        default=NAMES,
        metavar=("A", "B"),
        help="what the two are called (%(default)s)",
    )
    parser.add_argument(
        "--registration", type=Path, help="prior.json that lays the first study over the second, to pair lesions"
    )
    parser.add_argument(
        "--confirm-identity",
        action="store_true",
        help="results that seem to be of different patients are of one (this is stated on the page)",
    )
    parser.add_argument("--paper", choices=("a4", "letter"), default="a4", help="of a PDF (%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    bundles = parser.add_argument_group("two bundles on one cohort")
    bundles.add_argument(
        "--cohort", type=Path, metavar="COHORT.csv", help="the table: docs/own-cohort.md says its columns"
    )
    bundles.add_argument("--horizon", type=float, default=36.0, metavar="MONTHS", help="horizon (default %(default)g)")
    add_cohort_options(bundles, with_base=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, write, and say what differs. Raises InputError and OutputError."""
    if options.cohort is not None:
        return run_on_cohort(options)
    for place in (options.first, options.second):
        if place.suffix == SUFFIX:
            raise InputError(f"{place.name} is a model bundle; give the table of its patients with --cohort.")
    from MemorySurvivalLib.compare.differences import KIND_WORDS
    from MemorySurvivalLib.compare.writing import CompareRequest, compare_to_file

    comparison = compare_to_file(
        CompareRequest(
            first=options.first,
            second=options.second,
            out=options.out,
            names=(options.names[0], options.names[1]),
            registration=options.registration,
            confirm_identity=options.confirm_identity,
            overwrite=options.overwrite,
            paper=options.paper,
        )
    )
    lines = [f"differ in      {', '.join(KIND_WORDS[kind] for kind in comparison.kinds)} ({options.out})"]
    lines += [f"note           {sentence}" for sentence in (*comparison.identity, *comparison.cautions)]
    if comparison.labels:
        lines.append(f"labels         {', '.join(comparison.labels)}")
    sys.stdout.write("\n".join(lines) + f"\n{RESEARCH_USE}.\n")
    return 0
