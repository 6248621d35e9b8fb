"""`memory-survival attribute`: on which bones a bundle's scores rest, averaged over a cohort."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.explain import FILLS, IMAGES
from MemorySurvivalLib.devices import DEVICES


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "attribute",
        help="average the explanations of a cohort over bones and regions",
        description="Scores and explains every patient of COHORT.csv, averages the change of log-risk over vertebrae, "
        "other bones and regions, and writes attribution.csv and attribution.html. Repeating an interrupted command "
        f"goes on where it was. {RESEARCH_USE}.",
    )
    parser.add_argument(
        "cohort", type=Path, metavar="COHORT.csv", help="the table: docs/own-cohort.md says its columns"
    )
    parser.add_argument("--bundle", default="demonstration", help="model bundle, by name or file (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for table, page and parts")
    parser.add_argument("--no-covariates", action="store_true", help="score by the head of images alone")
    parser.add_argument("--patch-mm", type=float, help="edge of the occluded cubes (default: the bundle's)")
    parser.add_argument("--stride-mm", type=float, help="distance between cube centres (default: the bundle's)")
    parser.add_argument("--fill", choices=FILLS, help="what occluded voxels become (default: the bundle's)")
    parser.add_argument(
        "--occlude", choices=tuple(IMAGES), help="in which image, or in both at once (default: the bundle's)"
    )
    parser.add_argument("--segmenter", default="built-in", help="who segments where the table names no mask")
    parser.add_argument("--no-cache", action="store_false", dest="use_cache", help="keep no memories and no patches")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to run the model (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain the cohort, write its folder and print the regions. Ctrl-C keeps the patients that are finished."""
    # Importing torch and sam2 takes seconds, so help and mistyped options do not wait for it.
    from MemorySurvivalLib.commands.terminal import ProgressBars
    from MemorySurvivalLib.explain.plan import ExplainChoice
    from MemorySurvivalLib.training.attributing import AttributionOptions, attribute_cohort
    from MemorySurvivalLib.training.attribution_page import PAGE_FILE, page_labels, write_attribution
    from MemorySurvivalLib.training.intake import take_cohort

    images = IMAGES[options.occlude] if options.occlude else None
    choice = ExplainChoice(options.patch_mm, options.stride_mm, options.fill, images)
    wanted = AttributionOptions(
        options.bundle, choice, not options.no_covariates, options.segmenter, options.device, options.use_cache
    )
    intake = take_cohort(options.cohort)
    try:
        with ProgressBars() as bars:
            found = attribute_cohort(intake, wanted, options.out, progress=bars)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. Finished patients are kept; run the same command again to go on.\n")
        return 130
    regions = write_attribution(found, options.out)
    sys.stdout.write(f"{found.flow.sentence}\n")
    there = len(found.cases) - found.computed
    sys.stdout.write(f"{found.computed} maps made, {there} were there; head {found.head}.\n")
    for row in regions:
        between = ""
        if row.signed.low is not None and row.signed.high is not None:
            between = f" ({row.signed.low:+.2g} to {row.signed.high:+.2g})"
        sys.stdout.write(
            f"{row.name:<15} {row.signed.value:+.2g}{between}, size {row.absolute.value:.2g}, {row.patients} patients\n"
        )
    labels = page_labels(found)
    said = f" [{'; '.join(labels)}]" if labels else ""
    sys.stdout.write(f"{options.out / PAGE_FILE} is written{said}.\n{RESEARCH_USE}.\n")
    return 0
