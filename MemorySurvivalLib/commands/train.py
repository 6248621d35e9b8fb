"""`memory-survival train`: a researcher's own cohort to a page of tables and a bundle with its model card."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from MemorySurvivalLib.devices import DeviceName


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "train",
        help="check a cohort's table, or train a bundle on it",
        description="Checks COHORT.csv, embeds every patient, judges heads by nested cross-validation, fits them on "
        "all patients and writes a bundle with a model card. Repeating an interrupted command goes on where it was.",
    )
    parser.add_argument(
        "cohort", type=Path, nargs="?", metavar="COHORT.csv", help="the table: docs/own-cohort.md says its columns"
    )
    parser.add_argument("--check", action="store_true", help="only check the table, and list every problem")
    parser.add_argument("--out", type=Path, metavar="BUNDLE", help="the .msbundle file to write")
    parser.add_argument("--config", type=Path, metavar="JSON", help="settings other than the defaults")
    parser.add_argument("--stated", type=Path, metavar="JSON", help="what only people know, for the model card")
    parser.add_argument("--questions", action="store_true", help="print an empty file for --stated")
    parser.add_argument("--page", type=Path, metavar="HTML", help="write flow, tables and figures to this page")
    add_cohort_options(parser)
    parser.set_defaults(run=run)


def add_cohort_options(parser: argparse._ActionsContainer, *, with_base: bool = True) -> None:
    """Options of every command that embeds a cohort; `base` where it is no argument."""
    if with_base:
        parser.add_argument("--base", default="demonstration", help="bundle whose backbone and settings are used")
    parser.add_argument("--work", type=Path, help="folder for embedded patients and folds (default: COHORT-work)")
    parser.add_argument("--device", choices=get_args(DeviceName), default="auto", help="where to compute")
    parser.add_argument("--segmenter", default="built-in", help="who segments where the table names no mask")
    parser.add_argument("--no-lesions", action="store_true", help="do not measure lesions (faster)")


def run(options: argparse.Namespace) -> int:
    """Check, or train."""
    from MemorySurvivalLib.errors import InputError, MemorySurvivalError, OutputError
    from MemorySurvivalLib.report.html import write_html
    from MemorySurvivalLib.training.enough import check_enough_to_train
    from MemorySurvivalLib.training.intake import take_cohort
    from MemorySurvivalLib.training.model_card import empty_statements, read_stated
    from MemorySurvivalLib.training.tables import cohort_document
    from MemorySurvivalLib.training.train_config import read_config

    if options.questions:
        sys.stdout.write(empty_statements())
        return 0
    if options.cohort is None:
        raise InputError("Give the cohort's table (docs/own-cohort.md says its columns).")
    if not options.check and options.out is None:
        raise InputError("Say where the bundle goes with --out, or only check the table with --check.")
    try:
        intake = take_cohort(options.cohort)
    except MemorySurvivalError as error:
        if not options.check or "problems" not in error.details:
            raise
        sys.stdout.write("".join(f"- {problem}\n" for problem in error.details["problems"]))
        return 2
    sys.stdout.write(f"{intake.flow.sentence}\n")
    sys.stdout.write(f"{intake.events} events; covariates: {', '.join(intake.covariates) or 'none'}.\n")
    sys.stdout.write("".join(f"- {flag.sentence}\n" for flag in intake.flags))
    config = read_config(options.config)
    if options.check:
        sys.stdout.write("".join(f"- {one.sentence}\n" for one in intake.flow.excluded))
        if options.page:
            write_html(cohort_document(intake), options.page.parent, options.page)
    check_enough_to_train(intake.patients, config.validation.plan.folds, config.head_budget.inner_folds)
    if options.check:
        return 0
    if options.out.exists():
        raise OutputError(f"{options.out} is there already; bundles are never replaced, so choose another name.")

    from MemorySurvivalLib.bundle.card import find_open_fields
    from MemorySurvivalLib.commands.terminal import ProgressBars
    from MemorySurvivalLib.models import Models
    from MemorySurvivalLib.training.judged_head import say_rival
    from MemorySurvivalLib.training.own_cohort import EmbedOptions, embed_patients
    from MemorySurvivalLib.training.packing import train_bundle
    from MemorySurvivalLib.training.trained_page import write_training_page

    stated = read_stated(options.stated)
    models = Models()
    work = work_folder(options)
    lesions = not options.no_lesions
    embed = EmbedOptions(options.base, options.segmenter, options.device, lesions, config.readout, config.reads_inside)
    with ProgressBars() as bars:
        cohort = embed_patients(intake, embed, work / "patients", models, bars)
        trained = train_bundle(cohort, models.bundle(options.base), config, stated, options.out, work, bars)
    if options.page:
        write_training_page(cohort, trained, options.page)
    sys.stdout.write(f"{cohort.flow.sentence}\n{trained.design[0]}\n{trained.design[1]}\n")
    for head in trained.heads:
        harrell = head.evaluation.figures[0]
        figures = ", ".join(
            f"{how} {one}"
            for how, one in (("mean over folds", harrell.folds), ("pooled out of fold", harrell.pooled))
            if one is not None
        )
        sys.stdout.write(f"{head.entry.name}: Harrell's c {figures or 'not judged'}\n")
        if head.validated.warning:
            sys.stdout.write(f"{head.entry.name}: {head.validated.warning}\n")
        for rival in head.rivals:
            sys.stdout.write(f"{head.entry.name}: {say_rival(rival.name, rival.difference)}\n")
    left = len(find_open_fields(trained.card))
    sys.stdout.write(
        f"{options.out} is written (status {trained.manifest.status}; {left} fields of its card are open).\n"
    )
    return 0


def work_folder(options: argparse.Namespace) -> Path:
    """Where embedded patients are kept."""
    cohort: Path = options.cohort
    chosen: Path | None = options.work
    return chosen or cohort.with_name(f"{cohort.stem}-work")
