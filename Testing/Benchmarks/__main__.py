"""`make figure NAME=<name>` runs one figure and prints one JSON object last; without a name it lists them.

`SAVE=1` keeps the object in docs/figures, what a figure draws in docs/pictures, and writes docs/benchmarks.md from all
that are kept.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from Testing.Benchmarks import (
    backbone_dice,
    coarse_to_fine,
    deepsurv_references,
    demo,
    dicom_valid,
    embed_memory,
    embed_vs_official,
    evidence,
    findings_prefill,
    gpu,
    gui_gaps,
    head_speed,
    header_scan,
    host_tests,
    hotspots,
    identifier_scan,
    measurements,
    misregistration,
    nested_speed,
    occlusion_demo,
    occlusion_vs_naive,
    oracle_equality,
    panel_start,
    readout_blindness,
    replay,
    report_speed,
    rescore,
    roi_dice,
    roi_phantoms,
    roi_speed,
    score_real,
    simulation_marginals,
    simulation_speed,
    stability,
    suv_objects,
    typical_case,
)
from Testing.Benchmarks.document import save
from Testing.Benchmarks.real_data import MissingDataError

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"

FIGURES: dict[str, Callable[..., dict[str, Any]]] = {
    "backbone-dice": backbone_dice.run,
    "coarse-to-fine": coarse_to_fine.run,
    "deepsurv-references": deepsurv_references.run,
    "demo": demo.run,
    "dicom-valid": dicom_valid.run,
    "embed-memory": embed_memory.run,
    "embed-vs-official": embed_vs_official.run,
    "evidence": evidence.run,
    "findings-prefill": findings_prefill.run,
    "gpu": gpu.run,
    "gui-gaps": gui_gaps.run,
    "head-speed": head_speed.run,
    "header-scan": header_scan.run,
    "host-tests": host_tests.run,
    "hotspots": hotspots.run,
    "identifier-scan": identifier_scan.run,
    "measurements": measurements.run,
    "misregistration": misregistration.run,
    "nested-speed": nested_speed.run,
    "occlusion-demo": occlusion_demo.run,
    "occlusion-vs-naive": occlusion_vs_naive.run,
    "oracle-equality": oracle_equality.run,
    "panel-start": panel_start.run,
    "readout-blindness": readout_blindness.run,
    "replay": replay.run,
    "report-speed": report_speed.run,
    "rescore": rescore.run,
    "roi-dice": roi_dice.run,
    "roi-phantoms": roi_phantoms.run,
    "roi-speed": roi_speed.run,
    "score-real": score_real.run,
    "simulation-marginals": simulation_marginals.run,
    "simulation-speed": simulation_speed.run,
    "stability": stability.run,
    "suv-objects": suv_objects.run,
    "typical-case": typical_case.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make figure", description=__doc__)
    parser.add_argument("name", nargs="?", choices=FIGURES)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    if options.name is None:
        for name, figure in FIGURES.items():
            print(f"{name:<20} {summary(figure)}")
        return 0
    figure = FIGURES[options.name]
    machine = f"{platform.machine()}, {os.cpu_count()} CPU cores, Python {platform.python_version()}"
    draws = options.save and "picture" in inspect.signature(figure).parameters
    drawn = {"picture": PICTURES / f"{options.name}.png"} if draws else {}
    try:
        found = figure(**drawn)
    except MissingDataError as error:
        sys.stderr.write(f"{options.name}: {error}\n")
        return 2
    result = {"figure": options.name, **found, "machine": machine}
    if options.save:
        save(options.name, summary(figure), result)
    print(json.dumps(result))
    return 1 if result["ok"] is False else 0


def summary(figure: Callable[..., dict[str, Any]]) -> str:
    """The first line of the docstring of the figure's file."""
    return (sys.modules[figure.__module__].__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
