"""`memory-survival compare A B --cohort COHORT.csv`: two bundles on the same patients."""

from __future__ import annotations

import argparse
import sys

from MemorySurvivalLib import RESEARCH_USE

NAMES = ("first", "second")
"""What two results are called where nobody says."""


def run_on_cohort(options: argparse.Namespace) -> int:
    """Embed for each bundle, judge both, print and write. Raises InputError and OutputError."""
    from MemorySurvivalLib.commands.terminal import ProgressBars
    from MemorySurvivalLib.commands.train import work_folder
    from MemorySurvivalLib.errors import InputError, OutputError
    from MemorySurvivalLib.files import atomic_file
    from MemorySurvivalLib.models import Models
    from MemorySurvivalLib.training.against import compare_bundles, in_common
    from MemorySurvivalLib.training.enough import check_enough_to_validate
    from MemorySurvivalLib.training.intake import take_cohort
    from MemorySurvivalLib.training.own_cohort import EmbedOptions, embed_patients
    from MemorySurvivalLib.training.tables import cohort_document
    from MemorySurvivalLib.training.trained_page import write_page

    unused = [
        name
        for name, given in (
            ("--names", tuple(options.names) != NAMES),
            ("--registration", options.registration is not None),
            ("--confirm-identity", options.confirm_identity),
        )
        if given
    ]
    if unused:
        raise InputError(f"{unused[0]} is for two results of one patient; leave it out where a cohort is given.")
    if options.out.suffix not in (".html", ".json"):
        raise InputError(f"Bundles are compared on a page (.html) or as numbers (.json), not as {options.out.name}.")
    if options.out.exists() and not options.overwrite:
        raise OutputError(f"{options.out} is there already; choose another name, or give --overwrite.")
    intake = take_cohort(options.cohort)
    check_enough_to_validate(intake.patients)
    models = Models()
    bundles = models.bundle(str(options.first)), models.bundle(str(options.second))
    with ProgressBars() as bars:
        read = [
            embed_patients(
                intake,
                EmbedOptions(str(name), options.segmenter, options.device, not options.no_lesions),
                work_folder(options) / "patients",
                models,
                bars,
            )
            for name in (options.first, options.second)
        ]
    first, second = in_common(read[0], read[1])
    check_enough_to_validate(first.patients)
    found = compare_bundles(bundles, (first, second), options.horizon)
    lines = [first.flow.sentence]
    lines += [f"WARNING: {one.bundle}: {one.seen_before}" for one in (found.first, found.second) if one.seen_before]
    for one in found.heads:
        pair = f"{one.first} of {found.first.bundle} - {one.second} of {found.second.bundle}"
        lines += [f"{pair}: {d.name} {d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})" for d in one.differences]
        lines += [f"{pair}: {note}" for note in one.notes]
    sys.stdout.write("\n".join(lines) + f"\n{RESEARCH_USE}.\n")
    if options.out.suffix == ".json":
        with atomic_file(options.out) as temporary:
            temporary.write_bytes(found.as_json())
        return 0
    sides = (found.first, found.second)
    pictures = [side.pictures(prefix) for side, prefix in zip(sides, ("first-", "second-"), strict=True)]
    own = [section for side, drawn in zip(sides, pictures, strict=True) for section in side.sections(drawn)]
    page = cohort_document(intake, first.patients, first.flow, found.labels, (*found.sections(), *own))
    write_page(page, (*pictures[0], *pictures[1]), options.out)
    return 0
