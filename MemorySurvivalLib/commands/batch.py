"""`memory-survival batch`: a list of cases scored one after the other, unattended."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.devices import DEVICES


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "batch",
        help="score many cases, unattended",
        description=(
            "Score every case of a list; a case that fails is told and left behind, and running the same command again "
            f"goes on where it stopped. {RESEARCH_USE}."
        ),
    )
    parser.add_argument(
        "worklist",
        type=Path,
        help="folder with a folder for each case, or CSV: case, study or ct and pet, roi, covariates",
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder for each case, results.csv and worklist.json")
    parser.add_argument("--bundle", default="demonstration", help="model bundle, by name or file (%(default)s)")
    parser.add_argument("--segmenter", default="built-in", help="makes masks where a case has none (%(default)s)")
    parser.add_argument("--explain", action="store_true", help="compute the occlusion heatmaps")
    parser.add_argument("--measure", action="store_true", help="measure segments, reference regions and lesions")
    parser.add_argument("--no-cache", action="store_false", dest="use_cache", help="encode every slice anew")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to run the model (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Score the list; exit code 1 where a case failed."""
    from MemorySurvivalLib.models import Models
    from MemorySurvivalLib.worklist.batch import BatchOptions, run_batch
    from MemorySurvivalLib.worklist.items import read_worklist

    given = {name: getattr(options, name) for name in BatchOptions.__dataclass_fields__}
    models = Models()
    items = read_worklist(options.worklist, models.bundle(options.bundle).manifest.roi)
    with ProgressBars() as bars:
        output = run_batch(items, options.out, BatchOptions(**given), models, bars, bars.say)
    sys.stdout.write(
        f"scored {output.done}, failed {output.failed}, already there {output.skipped}: {output.table}\n"
        f"{RESEARCH_USE}.\n"
    )
    return 1 if output.failed else 0
