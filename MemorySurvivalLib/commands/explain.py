"""`memory-survival explain`: which tissue moved the score of a case, as maps and hotspots in a folder."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.options import add_image_options
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.devices import DEVICES
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.suv_supplied import supplied_from
from MemorySurvivalLib.progress import ProgressCallback
from MemorySurvivalLib.roi.roi import ROI_KINDS

if TYPE_CHECKING:
    from MemorySurvivalLib.explaining import Estimate, ExplainOutput
    from MemorySurvivalLib.imaging.window import Modality
    from MemorySurvivalLib.preparing import ScoreRequest
    from MemorySurvivalLib.report.record import CaseRecord

_OF_THE_CASE = (
    "ct",
    "pet",
    "study",
    "ct_series",
    "pet_series",
    "roi",
    "roi_kind",
    "roi_segment",
    "roi_labels",
    "covariates",
)
"""What a saved result names by itself."""

FILLS = ("roi_median", "volume_mean", "blur")
IMAGES: dict[str, tuple[Modality, ...]] = {"PET": ("PET",), "CT": ("CT",), "both": ("PET", "CT")}


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
    parser.add_argument(
        "--result",
        type=Path,
        metavar="DIR",
        help="explain this saved result and put the map into it and its report, in the place of an earlier one; "
        "images, mask, values and bundle are those that it names, so none of them is given",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="with --result: where CT and PET are now; they are found by content"
    )
    parser.add_argument("--out", type=Path, help="folder for the maps and explanation.json (not needed with --result)")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it holds an explanation")
    parser.add_argument("--patch-mm", type=float, help="edge of the occluded cubes (default: the bundle's)")
    parser.add_argument("--stride-mm", type=float, help="distance between cube centres (default: the bundle's)")
    parser.add_argument("--fill", choices=FILLS, help="what occluded voxels become (default: the bundle's)")
    parser.add_argument(
        "--occlude", choices=tuple(IMAGES), help="in which image, or in both at once (default: the bundle's)"
    )
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
    _check_options(options)
    # Importing torch and sam2 takes seconds, so help and mistyped options do not wait for it.
    import msgspec

    from MemorySurvivalLib.amending import add_explanation
    from MemorySurvivalLib.explain.plan import ExplainChoice
    from MemorySurvivalLib.explaining import estimate_explanation, explain_to_folder
    from MemorySurvivalLib.report.record import read_record

    images = IMAGES[options.occlude] if options.occlude else None
    choice = ExplainChoice(options.patch_mm, options.stride_mm, options.fill, images, options.coarse)
    with ProgressBars() as bars, tempfile.TemporaryDirectory(prefix="memory-survival-explain-") as scratch:

        def tell(text: str) -> None:
            bars.say(f"note: {text}")

        record = None if options.result is None else read_record(options.result / "result.json")
        request = _request(options, record, options.out or Path(scratch) / "maps", bars, tell)
        if options.estimate:
            estimate = estimate_explanation(request, choice, progress=bars, tell=tell)
        else:
            output = explain_to_folder(request, choice, progress=bars, tell=tell, of=record)
            if options.result is not None:
                add_explanation(options.result, output)
    if options.estimate:
        text = msgspec.json.encode(estimate).decode() + "\n" if options.json else say_estimate(estimate)
    else:
        place = options.out or options.result
        text = output.record.as_json().decode() + "\n" if options.json else summarise(output, place, options.result)
    sys.stdout.write(text)
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Raises InputError for options that do not go together."""
    if options.result is None:
        if options.images is not None:
            raise InputError("--images goes with --result; name the images with --ct and --pet, or with --study.")
        if options.out is None:
            raise InputError("Say where the maps go with --out, or name a saved result with --result.")
        return
    given = [name for name in _OF_THE_CASE if getattr(options, name) is not None]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise InputError(f"{option} does not go with --result, which names what was scored; leave it out.")


def _request(
    options: argparse.Namespace,
    record: CaseRecord | None,
    out: Path,
    progress: ProgressCallback,
    tell: Callable[[str], None],
) -> ScoreRequest:
    """The case that the options name, or the one of a saved result. Raises InputError where that cannot be had."""
    from MemorySurvivalLib.preparing import ScoreRequest

    if record is not None:
        from MemorySurvivalLib.replay.rebuild import ReplayRequest, rebuild

        device = None if options.device == "auto" else options.device
        again = ReplayRequest(
            options.result / "result.json", options.images, overwrite=options.overwrite, device=device
        )
        rebuilt = rebuild(record, again, out, progress)
        for note in rebuilt.notes:
            tell(note)
        return replace(rebuilt.request, use_cache=options.use_cache)
    fields = ScoreRequest.__dataclass_fields__.keys() - {"patch_mm", "stride_mm", "fill", "out"}
    given = {name: value for name, value in vars(options).items() if name in fields}
    return ScoreRequest(**given, out=out, supplied=supplied_from(options))


def say_estimate(estimate: Estimate) -> str:
    """An estimate in plain lines."""
    return (
        f"patches     {estimate.patches} ({estimate.resumable} of them finished by an earlier run)\n"
        f"slices      {estimate.encoded_slices} to encode for the map\n"
        f"time        about {estimate.seconds:.0f} s ({estimate.how})\n"
        f"{RESEARCH_USE}.\n"
    )


def summarise(output: ExplainOutput, folder: Path, result: Path | None = None) -> str:
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
    lines.append(f"maps        {folder}")
    if result is not None:
        lines.append(f"report      {result / 'report.html'}")
    lines.append(f"{record.research_use}.")
    return "\n".join(lines) + "\n"
