"""TotalSegmentator as a separate process: its `total` task, telemetry off, its label names mapped to ours.

Command line, output and configuration are as recorded from TotalSegmentator 2.18.0 (docs/segmenters.md).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.processes import ExternalToolError, never
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.existing_labels import labels_in, name_labels, read_embedded_names
from MemorySurvivalLib.roi.segmenters.external import (
    Program,
    ProgressOfLines,
    private_folder,
    read_output,
    run_program,
    write_ct,
)
from MemorySurvivalLib.roi.segmenters.outline import with_body
from MemorySurvivalLib.roi.segmenters.protocol import Availability
from MemorySurvivalLib.roi.segments import Maker, Segmentation
from MemorySurvivalLib.roi.terminology import TOTALSEGMENTATOR, label_table

PROGRAM = Program(
    title="TotalSegmentator",
    distribution="TotalSegmentator",
    module="totalsegmentator.bin.TotalSegmentator",
    script="TotalSegmentator",
    variable="MEMORYSURVIVAL_TOTALSEGMENTATOR",
    versions=("2.",),
)

TASK = "total"
PERCENT = 100

_PART = re.compile(r"Predicting part (\d+) of (\d+)")
_BAR = re.compile(r"^\s*(\d{1,3})%\|")


@dataclass(frozen=True)
class TotalSegmentator:
    """The adapter. `device` is "gpu" (falls back to the CPU by itself), "cpu" or "mps"; `fast` takes the 3 mm model."""

    device: Literal["gpu", "cpu", "mps"] = "gpu"
    fast: bool = False

    name = "totalsegmentator"
    title = PROGRAM.title

    def available(self) -> Availability:
        """Whether TotalSegmentator 2 is installed here, on the PATH, or named by the user."""
        return PROGRAM.find()[1]

    def segment(
        self, ct: Volume, progress: ProgressCallback = ignore_progress, stop: Callable[[], bool] = never
    ) -> Segmentation:
        """Run TotalSegmentator on the CT (HU). See Segmenter.segment."""
        command, availability = PROGRAM.find()
        if not command:
            raise ExternalToolError(availability.reason)
        meter = _Progress(progress)
        meter.beat()
        with private_folder(self.title) as folder:
            write_ct(ct, folder / "ct.nii")
            output = folder / "labels.nii.gz"
            run_program(
                (*command, *self.arguments(folder / "ct.nii", output)),
                self.title,
                folder,
                meter.hear,
                meter.beat,
                stop,
                _environment(folder),
            )
            labels, notes = read_output(output, ct, self.title)
            names = read_embedded_names(output)
        table = label_table(TOTALSEGMENTATOR, TASK)
        # The names in the file count where it has any: the numbers of ribs have changed between versions.
        meanings = {} if names else table.structures()
        present = labels_in(labels.voxels)
        if not present:
            raise ExternalToolError(f"{self.title} found nothing in this CT; check that it is the CT and in HU.")
        unknown = [label for label in present if label not in (names or table.labels)]
        if unknown:
            raise ExternalToolError(
                f"{self.title} {availability.version} wrote labels that it does not name ({unknown[:5]}); update it."
            )
        settings = f"task {TASK}, {'3 mm' if self.fast else '1.5 mm'} model, {self.device}"
        found = Segmentation(
            labels=labels,
            structures=name_labels(present, names or table.theirs, meanings),
            maker=Maker(self.title, availability.version, settings),
            notes=(f"Bones were segmented by {self.title}; check them.", *notes),
        )
        return with_body(found, ct)

    def arguments(self, ct: Path, output: Path) -> tuple[str, ...]:
        """Its command line: options that every version since 2.0 has."""
        options = ("-i", str(ct), "-o", str(output), "-ml", "-ta", TASK, "-d", self.device)
        return (*options, "-f") if self.fast else options


class _Progress(ProgressOfLines):
    """Reads "Predicting part 2 of 5 ..." and the percentages of the bars between."""

    def __init__(self, progress: ProgressCallback) -> None:
        super().__init__(f"segmenting with {PROGRAM.title}", PERCENT, progress)
        self._part, self._parts = 0, 1

    def hear(self, line: str) -> None:
        """One line of its output."""
        part, bar = _PART.search(line), _BAR.search(line)
        if part:
            self._part, self._parts = int(part.group(1)) - 1, max(int(part.group(2)), 1)
            self.reach(self._share(0))
        elif bar and "Downloading" not in line:
            self.reach(self._share(int(bar.group(1))))

    def _share(self, percent: int) -> int:
        return round(PERCENT * 0.95 * (self._part + percent / 100) / self._parts)  # the rest is saving


def _environment(folder: Path) -> dict[str, str]:
    """Point it to a private configuration that says no to usage statistics, and to the user's own weights.

    The user's configuration is neither read nor changed; of its home folder only the weights are used.
    """
    home = folder / "home"
    home.mkdir()
    configuration = {
        "totalseg_id": "memory-survival",
        "send_usage_stats": False,
        "prediction_counter": 0,
        "statistics_disclaimer_shown": True,
    }
    (home / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
    own_home = Path(os.environ.get("TOTALSEG_HOME_DIR", "").strip() or Path.home() / ".totalsegmentator")
    weights = os.environ.get("TOTALSEG_WEIGHTS_PATH", "").strip() or str(own_home / "nnunet" / "results")
    return {"TOTALSEG_HOME_DIR": str(home), "TOTALSEG_WEIGHTS_PATH": weights}
