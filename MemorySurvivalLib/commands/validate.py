"""`memory-survival validate`: a bundle judged on a cohort that it never saw."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib.commands.train import add_cohort_options, work_folder


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "validate",
        help="judge a bundle on patients that it never saw",
        description="Scores every patient of COHORT.csv and prints discrimination and calibration with intervals. "
        "Nothing is fitted. That the bundle never saw these patients is your word; where its baseline says otherwise, "
        "you are told.",
    )
    parser.add_argument("base", metavar="BUNDLE", help="name or file")
    parser.add_argument(
        "cohort", type=Path, metavar="COHORT.csv", help="the table: docs/own-cohort.md says its columns"
    )
    parser.add_argument("--horizon", type=float, default=36.0, metavar="MONTHS", help="horizon (default %(default)g)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--page", type=Path, metavar="HTML", help="write flow, tables and figures to this page")
    add_cohort_options(parser, with_base=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Embed, score, judge, print."""
    from MemorySurvivalLib.commands.terminal import ProgressBars
    from MemorySurvivalLib.files import atomic_file
    from MemorySurvivalLib.models import Models
    from MemorySurvivalLib.training.enough import check_enough_to_validate
    from MemorySurvivalLib.training.external import validate_bundle
    from MemorySurvivalLib.training.intake import take_cohort
    from MemorySurvivalLib.training.own_cohort import EmbedOptions, embed_patients
    from MemorySurvivalLib.training.tables import cohort_document
    from MemorySurvivalLib.training.trained_page import write_page

    intake = take_cohort(options.cohort)
    check_enough_to_validate(intake.patients)
    models = Models()
    embed = EmbedOptions(options.base, options.segmenter, options.device, not options.no_lesions)
    with ProgressBars() as bars:
        cohort = embed_patients(intake, embed, work_folder(options) / "patients", models, bars)
    check_enough_to_validate(cohort.patients)
    judged = validate_bundle(models.bundle(options.base), cohort.data, options.horizon, patients=cohort.patients)
    sys.stdout.write(f"{cohort.flow.sentence}\n")
    if judged.seen_before:
        sys.stdout.write(f"WARNING: {judged.seen_before}\n")
    for head in judged.heads:
        for one in head.estimates:
            sys.stdout.write(f"{head.head}: {one.name} {one.value:.3f} ({one.low:.3f} to {one.high:.3f})\n")
        sys.stdout.write("".join(f"{head.head}: {note}\n" for note in head.notes))
    if options.json:
        with atomic_file(options.json) as temporary:
            temporary.write_bytes(judged.as_json())
    if options.page:
        pictures = judged.pictures()
        sections = judged.sections(pictures)
        page = cohort_document(intake, cohort.patients, cohort.flow, judged.labels, sections)
        write_page(page, pictures, options.page)
    return 0
