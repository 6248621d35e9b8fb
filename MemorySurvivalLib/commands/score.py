"""`memory-survival score`: one case from files to a scored, explained, reported folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.options import add_image_options
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.devices import DEVICES
from MemorySurvivalLib.explain.plan import FILLS
from MemorySurvivalLib.imaging.suv_supplied import supplied_from
from MemorySurvivalLib.roi.roi import ROI_KINDS


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "score", help="score one PET/CT", description=f"Score one PET/CT and write a report. {RESEARCH_USE}."
    )
    add_image_options(parser)
    parser.add_argument(
        "--roi",
        type=Path,
        help="mask or segmentation (NRRD, .seg.nrrd, NIfTI, DICOM SEG, RTSTRUCT); without it one is made from the CT",
    )
    parser.add_argument("--roi-kind", choices=ROI_KINDS, help="what the mask is (default: what the bundle needs)")
    parser.add_argument("--roi-segment", metavar="NAME", help="the segment of the file to use as it stands")
    parser.add_argument(
        "--roi-labels",
        metavar="TABLE",
        help="what the labels of a label map are: totalsegmentator, moose:MODEL, a .csv or .json table, or mask",
    )
    parser.add_argument("--roi-generated", type=Path, help="the mask before a person edited it, to count the changes")
    parser.add_argument(
        "--segmenter", default="built-in", help="built-in, totalsegmentator or moose, where installed (%(default)s)"
    )
    parser.add_argument("--covariates", type=Path, help="one patient's covariates (CSV with a header, or JSON)")
    parser.add_argument("--bundle", default="demonstration", help="model bundle, by name or file (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for report and results; made anew")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it already holds something")
    parser.add_argument("--explain", action="store_true", help="compute the occlusion heatmap")
    parser.add_argument(
        "--measure", action="store_true", help="measure segments, reference regions and lesions (tables and CSV)"
    )
    parser.add_argument(
        "--stability", action="store_true", help="score again under changes that should not matter, for the badge"
    )
    parser.add_argument("--patch-mm", type=float, help="edge of the occluded cubes (default: the bundle's)")
    parser.add_argument("--stride-mm", type=float, help="distance between cube centres (default: the bundle's)")
    parser.add_argument("--fill", choices=FILLS, help="what occluded voxels become (default: the bundle's)")
    parser.add_argument(
        "--no-cache",
        action="store_false",
        dest="use_cache",
        help="encode every slice anew and keep nothing for the next run (`memory-survival cache info` shows the cache)",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to run the model (%(default)s)")
    parser.add_argument(
        "--allow-other-roi",
        action="store_true",
        help="engineering use: accept a mask of another kind; only the log-risk is shown then",
    )
    parser.add_argument("--json", action="store_true", help="print result.json instead of a summary")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Score and print a summary (or the whole record with --json)."""
    # Importing torch and sam2 takes seconds, so help and mistyped options do not wait for it.
    from MemorySurvivalLib.commands.summary import summarise
    from MemorySurvivalLib.pipeline import ScoreRequest, score_case

    fields = ScoreRequest.__dataclass_fields__
    given = {name: value for name, value in vars(options).items() if name in fields}
    request = ScoreRequest(**given, supplied=supplied_from(options))
    with ProgressBars() as bars:
        output = score_case(request, progress=bars, tell=lambda text: bars.say(f"note: {text}"))
    if options.json:
        sys.stdout.write(output.record.as_json().decode() + "\n")
    else:
        sys.stdout.write(summarise(output.record, output.files))
    return 0
