"""`memory-survival twins`: reference cases of a similar measured burden, and the tables that hold them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `twins` with `show`, `build` and `simulate`."""
    parser = subparsers.add_parser(
        "twins",
        help="reference cases of a similar measured burden",
        description=f"The reference cases nearest by measured burden; no forecast. {RESEARCH_USE}.",
    )
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    show = kinds.add_parser("show", help="the nearest cases of one result that was scored with --measure")
    show.add_argument("result", type=Path, help="result folder or result.json")
    show.add_argument("--reference", type=Path, help="table of reference cases (default: the simulated ones shipped)")
    show.set_defaults(run=run_show)
    build = kinds.add_parser("build", help="a table of your own cohort, from a folder of measured results")
    build.add_argument("folder", type=Path, help="folder with results at any depth")
    build.add_argument("--outcomes", type=Path, help="CSV: case (the result's folder), months, event (1 or 0)")
    build.add_argument("--title", default="own cohort", help="what the cohort is called on reports (%(default)s)")
    _add_out(build)
    build.set_defaults(run=run_build)
    simulate = kinds.add_parser("simulate", help="the table of simulated patients that is shipped, made anew")
    simulate.add_argument("--cases", type=int, help="how many (default: all 60; about ten seconds each)")
    _add_out(simulate)
    simulate.set_defaults(run=run_simulate)


def run_show(options: argparse.Namespace) -> int:
    """Print the nearest reference cases. Raises InputError."""
    from MemorySurvivalLib.compare.reading import read_side
    from MemorySurvivalLib.compare.reference import read_reference, read_shipped
    from MemorySurvivalLib.compare.twins import find_twins

    table = read_shipped() if options.reference is None else read_reference(options.reference)
    twins = find_twins(read_side(options.result, "result").record, table)
    lines = []
    for number, twin in enumerate(twins.twins, start=1):
        burden = twin.burden
        kind = "simulated" if twin.simulated else "own cohort"
        lines.append(
            f"{number}. {twin.name} ({kind}), distance {twin.distance:.2f}: {burden.focal_lesions} focal lesions, MTV "
            f"{burden.mtv_ml:.1f} ml, marrow SUV {burden.marrow_suv:.2f}. {twin.outcome or 'Outcome not told'}."
        )
    sys.stdout.write("\n".join((*lines, *twins.sentences, f"{RESEARCH_USE}.")) + "\n")
    return 0


def run_build(options: argparse.Namespace) -> int:
    """Write a table of the user's own cohort. Raises InputError and OutputError."""
    from MemorySurvivalLib.compare.building import table_from_cohort
    from MemorySurvivalLib.compare.cohort import read_cohort
    from MemorySurvivalLib.compare.outcomes import read_outcomes

    _check_free(options)
    outcomes = None if options.outcomes is None else read_outcomes(options.outcomes)
    with ProgressBars() as bars:
        table, left_out = table_from_cohort(read_cohort(options.folder, outcomes, bars), options.title)
    table.write(options.out)
    for sentence in left_out:
        sys.stdout.write(f"left out: {sentence}\n")
    sys.stdout.write(f"{len(table.cases)} reference cases: {options.out}\n{RESEARCH_USE}.\n")
    return 0


def run_simulate(options: argparse.Namespace) -> int:
    """Write a table of simulated patients. Raises InputError and OutputError."""
    from MemorySurvivalLib.compare.building import SIMULATED_SEEDS, simulate_reference

    _check_free(options)
    with ProgressBars() as bars:
        table = simulate_reference(SIMULATED_SEEDS[: options.cases], progress=bars)
    table.write(options.out)
    sys.stdout.write(f"{len(table.cases)} simulated reference cases: {options.out}\n{RESEARCH_USE}.\n")
    return 0


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")


def _check_free(options: argparse.Namespace) -> None:
    from MemorySurvivalLib.errors import OutputError

    if options.out.exists() and not options.overwrite:
        raise OutputError(f"{options.out} exists already; choose another name or allow overwriting with --overwrite.")
