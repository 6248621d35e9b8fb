"""`memory-survival simulate`: write one simulated patient, or a cohort of a scenario."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.case import DEMO_SPACING_MM, simulate_case, write_case
from MemorySurvivalLib.simulation.cohort import write_case_folder, write_cohort
from MemorySurvivalLib.simulation.patient import draw_patient
from MemorySurvivalLib.simulation.scenario import SCENARIOS, load_scenario
from MemorySurvivalLib.simulation.scenario_case import simulate_patient, with_ct_spacing

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def register(subparsers: Subparsers) -> None:
    """Add `simulate` with its kinds of output, `case` and `cohort`."""
    parser = subparsers.add_parser(
        "simulate", help="make simulated patients", description=f"Simulated patients with known truth. {RESEARCH_USE}."
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    case = kinds.add_parser("case", help="one patient: CT, PET, masks, covariates and the truth")
    case.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    case.add_argument("--seed", type=int, default=2, metavar="N", help="which patient (default: %(default)s)")
    case.add_argument(
        "--scenario",
        choices=SCENARIOS,
        help="a patient as a scenario's cohorts have them: scanner and mask of a hospital, all clinical columns",
    )
    case.add_argument(
        "--spacing-mm",
        type=float,
        metavar="MM",
        help="CT voxel size across; slices are 1.25 times as thick (default: 2 x 2 x 3 mm; with --scenario the site's)",
    )
    case.add_argument("--overwrite", action="store_true", help="replace what the folder holds")
    case.set_defaults(run=run)
    cohort = kinds.add_parser(
        "cohort",
        help="many patients of a scenario whose truth is known",
        description=(
            "Patients of a frozen scenario, case after case; running the same command again goes on where it stopped. "
            f"{RESEARCH_USE}."
        ),
    )
    cohort.add_argument("--scenario", required=True, choices=SCENARIOS, help="which definition")
    cohort.add_argument("--n", type=int, default=227, metavar="N", help="how many patients (default: %(default)s)")
    cohort.add_argument("--seed", type=int, default=1, metavar="N", help="which cohort (default: %(default)s)")
    cohort.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write or to continue")
    cohort.add_argument("--truth-only", action="store_true", help="the tables alone, without images")
    cohort.set_defaults(run=run_cohort)


def run(args: argparse.Namespace) -> int:
    """Simulate, write, say what was written. Raises InputError and OutputError."""
    if args.seed < 0:
        raise InputError(f"The seed {args.seed} is negative; give a whole number of zero or more.")
    spacing = None if args.spacing_mm is None else (args.spacing_mm, args.spacing_mm, 1.25 * args.spacing_mm)
    if args.scenario is None:
        case = simulate_case(args.seed, spacing_mm=spacing or DEMO_SPACING_MM)
        files = write_case(case, args.out, overwrite=args.overwrite)
    else:
        patient = draw_patient(load_scenario(args.scenario), args.seed, 0)
        shown = with_ct_spacing(patient, spacing) if spacing else patient
        files = write_case_folder(simulate_patient(shown), args.out, overwrite=args.overwrite)
    print(f"A simulated patient (seed {args.seed}) is in {args.out}. {RESEARCH_USE}.")
    for file in files:
        print(f"  {file.name}")
    return 0


def run_cohort(args: argparse.Namespace) -> int:
    """Write or continue a cohort. Raises InputError and OutputError."""
    if args.seed < 0:
        raise InputError(f"The seed {args.seed} is negative; give a whole number of zero or more.")
    scenario = load_scenario(args.scenario)
    with ProgressBars() as bars:
        note = write_cohort(scenario, args.seed, args.n, args.out, truth_only=args.truth_only, progress=bars)
    what = "with images" if note.images else "without images"
    print(f"{note.patients} simulated patients of the scenario {note.scenario} ({what}) are in {args.out}.")
    print(
        f"Definition {note.scenario_sha256[:12]}, images {note.images_sha256[:12]}, seed {note.seed}. {RESEARCH_USE}."
    )
    return 0
