"""`memory-survival explain`: which tissue moved the score of a case, as maps and hotspots in a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.options import add_image_options
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.devices import DEVICES
from MemorySurvivalLib.imaging.suv_supplied import supplied_from
from MemorySurvivalLib.roi.roi import ROI_KINDS

if TYPE_CHECKING:
    from MemorySurvivalLib.explaining import Estimate, ExplainOutput

FILLS = ("roi_median", "volume_mean", "blur")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "explain",
        help="show which tissue moved the score of one PET/CT",
        description="Replace tissue patch by patch and see how the score changes: maps, hotspots, and what puts them "
        "into perspective. Stopped with Ctrl-C, the same command goes on where it was (docs/explaining.md). "
        f"{RESEARCH_USE}.",
    )
    add_image_options(parser)
    parser.add_argument("--roi", type=Path, help="mask or segmentation; without it one is made from the CT")
    parser.add_argument("--roi-kind", choices=ROI_KINDS, help="what the mask is (default: what the bundle needs)")
    parser.add_argument("--roi-segment", metavar="NAME", help="the segment of the file to use as it stands")
    parser.add_argument("--roi-labels", metavar="TABLE", help="what the labels of a label map are (see `score`)")
    parser.add_argument("--segmenter", default="built-in", help="built-in, totalsegmentator or moose (%(default)s)")
    parser.add_argument("--covariates", type=Path, help="one patient's covariates (CSV with a header, or JSON)")
    parser.add_argument("--bundle", default="demonstration", help="model bundle, by name or file (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the maps and explanation.json; made anew")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it holds an explanation")
    parser.add_argument("--patch-mm", type=float, help="edge of the occluded cubes (default: the bundle's)")
    parser.add_argument("--stride-mm", type=float, help="distance between cube centres (default: the bundle's)")
    parser.add_argument("--fill", choices=FILLS, help="what occluded voxels become (default: the bundle's)")
    parser.add_argument("--only", choices=("PET", "CT"), help="occlude this image alone (default: both at once)")
    parser.add_argument("--coarse", action="store_true", help="a fifth of the work, the rest estimated; may miss some")
    parser.add_argument("--estimate", action="store_true", help="only say how long it would take")
    parser.add_argument(
        "--no-cache", action="store_false", dest="use_cache", help="keep nothing: a stopped map begins anew"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to run the model (%(default)s)")
    parser.add_argument("--allow-other-roi", action="store_true", help="engineering use: a mask of another kind")
    parser.add_argument("--json", action="store_true", help="print the record instead of a summary")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain and print a summary (or the whole record with --json)."""
    # Importing torch and sam2 takes seconds, so help and mistyped options do not wait for it.
    import msgspec

    from MemorySurvivalLib.explain.plan import ExplainChoice
    from MemorySurvivalLib.explaining import estimate_explanation, explain_to_folder
    from MemorySurvivalLib.preparing import ScoreRequest

    fields = ScoreRequest.__dataclass_fields__.keys() - {"patch_mm", "stride_mm", "fill"}
    given = {name: value for name, value in vars(options).items() if name in fields}
    request = ScoreRequest(**given, supplied=supplied_from(options))
    only = (options.only,) if options.only else None
    choice = ExplainChoice(options.patch_mm, options.stride_mm, options.fill, only, options.coarse)
    with ProgressBars() as bars:

        def tell(text: str) -> None:
            bars.say(f"note: {text}")

        if options.estimate:
            estimate = estimate_explanation(request, choice, progress=bars, tell=tell)
        else:
            output = explain_to_folder(request, choice, progress=bars, tell=tell)
    if options.estimate:
        text = msgspec.json.encode(estimate).decode() + "\n" if options.json else say_estimate(estimate)
    else:
        text = output.record.as_json().decode() + "\n" if options.json else summarise(output)
    sys.stdout.write(text)
    return 0


def say_estimate(estimate: Estimate) -> str:
    """An estimate in plain lines."""
    return (
        f"patches     {estimate.patches} ({estimate.resumable} of them finished by an earlier run)\n"
        f"slices      {estimate.encoded_slices} to encode for the map\n"
        f"time        about {estimate.seconds:.0f} s ({estimate.how})\n"
        f"{RESEARCH_USE}.\n"
    )


def summarise(output: ExplainOutput) -> str:
    """The explanation in plain lines: hotspots, sentences, and where the maps are."""
    record, heatmap = output.record, output.record.heatmap
    labels = f"  [{record.label}]" if record.label else ""
    lines = [f"log-risk    {record.log_risk:+.4f}{labels}"]
    for spot in heatmap.hotspots:
        place = " ".join(f"{value:.0f}" for value in spot.position_ras_mm)
        agreed = {None: "", True: ", fills agree", False: ", one fill alone"}[spot.agreed]
        lines.append(
            f"hotspot {spot.number:<3} {spot.effect:+.4f}  {spot.site or 'no bone near'}, {spot.share:.0%} of all "
            f"effects, {spot.volume_ml:.0f} ml, RAS {place} mm{agreed}"
        )
    lines += [f"            {sentence}" for sentence in heatmap.summary]
    if heatmap.resumed:
        lines.append(f"resumed     {heatmap.resumed} of {heatmap.patches} patches were finished by an earlier run")
    lines.append(f"time        {sum(record.seconds.values()):.1f} s on {record.device}")
    lines.append(f"maps        {output.files['heatmap'].parent}")
    lines.append(f"{record.research_use}.")
    return "\n".join(lines) + "\n"
