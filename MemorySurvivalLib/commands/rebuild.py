"""`memory-survival bundle rebuild`: a demonstration bundle for backbone weights that you have."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from MemorySurvivalLib.devices import DeviceName

if TYPE_CHECKING:
    from MemorySurvivalLib.study.rebuild_estimate import RebuildEstimate


def add_rebuild(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to those of `bundle`."""
    parser = actions.add_parser(
        "rebuild",
        help="make a demonstration bundle for weights that you have, such as MedSAM2's",
        description="Embeds simulated patients with your weights, trains heads on them and writes a second "
        "demonstration bundle, which names the weights by their hash. The time is told before it starts. Repeating an "
        "interrupted command goes on where it was.",
    )
    parser.add_argument(
        "--backbone",
        default="medsam2",
        metavar="NAME",
        help="stored weights: a name, medsam2, or a sha256",
    )
    parser.add_argument("--n", type=int, default=300, metavar="N", help="simulated patients in all; %(default)s")
    parser.add_argument("--device", choices=get_args(DeviceName), default="auto", help="where to compute")
    parser.add_argument("--out", type=Path, metavar="BUNDLE", help="the .msbundle file (default: your own bundles)")
    parser.add_argument("--work", type=Path, help="folder of embedded patients (default: in your data folder)")
    parser.add_argument("--yes", action="store_true", help="start without asking")
    parser.set_defaults(run=run_rebuild)


def run_rebuild(options: argparse.Namespace) -> int:
    """Say how long it takes, ask, and do it. Ctrl-C keeps what is embedded."""
    from MemorySurvivalLib import RESEARCH_USE
    from MemorySurvivalLib.commands.terminal import ProgressBars
    from MemorySurvivalLib.devices import choose_device
    from MemorySurvivalLib.study.rebuild_estimate import estimate_rebuild
    from MemorySurvivalLib.study.rebuilding import find_made, plan_rebuild, rebuild_bundle

    plan = plan_rebuild(options.backbone, options.n, out=options.out, work=options.work)
    if find_made(plan) is not None:
        print(f"{plan.out} is there already, made for these weights and of as many simulated patients.")
        return 0
    with ProgressBars() as bars:
        engine = plan.load_engine(choose_device(options.device))
        estimate = estimate_rebuild(plan, engine, bars)
    sys.stderr.write(f"{plan.record.name}: {estimate.sentence}\n")
    if not options.yes and not _agreed(estimate):
        return 2
    try:
        with ProgressBars() as bars:
            manifest = rebuild_bundle(plan, engine, bars)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. Embedded patients are kept; run the same command again to go on.\n")
        return 130
    for head in manifest.heads:
        print(f"{head.name}: {head.metrics}")
    print(f"{plan.out} is written (status {manifest.status}, SIMULATED MODEL).\n{RESEARCH_USE}.")
    return 0


def _agreed(estimate: RebuildEstimate) -> bool:
    """Ask where somebody sits at the terminal; else say how to go on."""
    if not sys.stdin.isatty():
        sys.stderr.write("Nothing was started; add --yes to start.\n")
        return False
    sys.stderr.write("Type yes to start: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() == "yes"
