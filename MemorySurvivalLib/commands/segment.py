"""`memory-survival segment`: bones and spine of a CT as masks that can be corrected and scored."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars

KINDS = ("spine_dilated", "skeleton")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "segment",
        help="make spine and skeleton masks from a CT",
        description=f"Segment bones and spine on a CT and write masks that can be corrected. {RESEARCH_USE}.",
    )
    parser.add_argument("--ct", type=Path, required=True, help="CT in HU (NIfTI, NRRD, MHA or DICOM)")
    parser.add_argument("--pet", type=Path, help="also write each region on the grid of this PET")
    parser.add_argument("--out", type=Path, required=True, help="folder for masks and label map; made anew")
    parser.add_argument("--kind", choices=KINDS, action="append", dest="kinds", help="only this region (default: both)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier folder whose masks are untouched")
    parser.add_argument(
        "--replace-edited", action="store_true", help="with --overwrite: replace masks that a person edited as well"
    )
    parser.add_argument("--json", action="store_true", help="print structures.json instead of a summary")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Segment and print what was made (or the whole record with --json)."""
    from MemorySurvivalLib.segmenting import DERIVED_KINDS, SegmentOutput, SegmentRequest, segment_to_folder

    kinds = tuple(kind for kind in DERIVED_KINDS if options.kinds is None or kind in options.kinds)
    request = SegmentRequest(options.ct, options.out, kinds, options.overwrite, options.replace_edited, options.pet)
    with ProgressBars() as bars:
        output = segment_to_folder(request, progress=bars, tell=lambda text: bars.say(f"note: {text}"))

    def summarise(output: SegmentOutput) -> str:
        record = output.record
        lines = [f"made by        {record.maker}", f"structures     {len(record.labels)} ({output.files['labels']})"]
        for kind, region in record.regions.items():
            lines.append(f"{kind:<14} {region.volume_ml:.0f} ml ({output.files[kind]})")
        lines.append(f"time           {sum(record.seconds.values()):.1f} s")
        lines.append(f"{RESEARCH_USE}.")
        return "\n".join(lines)

    sys.stdout.write((output.record.as_json().decode() if options.json else summarise(output)) + "\n")
    return 0
