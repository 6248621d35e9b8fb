"""`memory-survival measure`: segments, reference regions and lesions of one PET/CT as tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.options import add_image_options, images_from
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.roi.roi import ROI_KINDS

if TYPE_CHECKING:
    from MemorySurvivalLib.measure.lesion import LesionConfig
    from MemorySurvivalLib.measure.tables import MeasurementRecord

THRESHOLDS = ("absolute", "liver", "percist")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "measure",
        help="measure segments, references and lesions",
        description=f"Measure one PET/CT: segments, liver and blood pool, lesions. {RESEARCH_USE}.",
    )
    add_image_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and label maps; made anew")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it already holds something")
    parser.add_argument(
        "--segmentation",
        type=Path,
        help="structures of the CT: a label map as segment writes it, .seg.nrrd, DICOM SEG or RTSTRUCT; "
        "without it the CT is segmented",
    )
    parser.add_argument(
        "--labels", metavar="TABLE", help="what its labels are: totalsegmentator, moose:MODEL, a .csv or .json table"
    )
    parser.add_argument("--roi", type=Path, help="mask to look for lesions in; without it one is derived")
    parser.add_argument(
        "--roi-kind", choices=ROI_KINDS, default="skeleton", help="what the mask is or becomes (%(default)s)"
    )
    parser.add_argument(
        "--liver-at", type=float, nargs=3, metavar=("X", "Y", "Z"), help="middle of the liver sphere, LPS mm"
    )
    parser.add_argument(
        "--blood-pool-at", type=float, nargs=3, metavar=("X", "Y", "Z"), help="middle of the blood-pool sphere, LPS mm"
    )
    parser.add_argument(
        "--threshold-kind",
        choices=THRESHOLDS,
        default="absolute",
        help="absolute SUV, a multiple of the liver's mean, or PERCIST's 1.5 x liver + 2 SD (%(default)s)",
    )
    parser.add_argument(
        "--threshold", type=float, help="the SUV (default 4.0), or the multiple of the liver's mean (default 1.5)"
    )
    parser.add_argument("--json", action="store_true", help="print measurements.json instead of a summary")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure and print a summary (or the whole record with --json). Raises InputError and OutputError."""
    from MemorySurvivalLib.measure.folder import MeasureRequest, measure_to_folder
    from MemorySurvivalLib.measure.measuring import MeasureConfig

    request = MeasureRequest(
        images=images_from(options),
        alignment=options.alignment,
        out=options.out,
        segmentation=options.segmentation,
        labels=options.labels,
        roi=options.roi,
        roi_kind=options.roi_kind,
        config=MeasureConfig(
            lesions=_lesion_config(options),
            liver_at=None if options.liver_at is None else tuple(options.liver_at),
            blood_pool_at=None if options.blood_pool_at is None else tuple(options.blood_pool_at),
        ),
        overwrite=options.overwrite,
    )
    with ProgressBars() as bars:
        measurements = measure_to_folder(request, progress=bars, tell=lambda text: bars.say(f"note: {text}"))
    record = measurements.record
    sys.stdout.write(record.as_json().decode() + "\n" if options.json else _summarise(record, options.out))
    return 0


def _lesion_config(options: argparse.Namespace) -> LesionConfig:
    from MemorySurvivalLib.errors import InputError
    from MemorySurvivalLib.measure.lesion import LesionConfig

    kind, value = options.threshold_kind, options.threshold
    if value is None:
        return LesionConfig(threshold=kind)
    if kind == "percist":
        raise InputError("The PERCIST threshold follows from the liver alone; leave --threshold out.")
    return LesionConfig(threshold=kind, suv=value) if kind == "absolute" else LesionConfig("liver", liver_factor=value)


def _summarise(record: MeasurementRecord, out: Path) -> str:
    """A few lines for the terminal."""
    totals = record.totals
    lines = [f"measured       {len(record.segments)} segments and the region {record.roi.name} ({out})"]
    for name, sphere in (("liver", record.references.liver), ("blood pool", record.references.blood_pool)):
        text = "none" if sphere is None else f"SUVmean {sphere.suv_mean:.2f} (SD {sphere.suv_sd:.2f}), {sphere.made_by}"
        lines.append(f"{name:<14} {text}")
    lines.append(
        f"lesions        {totals.focal} focal at SUV >= {record.threshold_suv:.2f} "
        f"({totals.diffuse} diffuse and {totals.spill_in} spill-in listed, not counted)"
    )
    lines.append(f"41 % volumes   {totals.mtv_ml:.1f} ml together, TLG {totals.tlg_g:.0f} g")
    lines += [f"note           {note}" for note in record.notes]
    lines.append(f"{RESEARCH_USE}.")
    return "\n".join(lines) + "\n"
