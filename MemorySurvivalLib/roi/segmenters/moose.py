"""MOOSE (moosez) as a separate process: its three bone models, their label maps joined and mapped to our structures.

Command line, output and labels are as recorded from moosez 3.2.2 (docs/segmenters.md); it has no telemetry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.processes import ExternalToolError, never
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.existing_labels import labels_in, name_labels
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
from MemorySurvivalLib.roi.segments import Maker, Segmentation, Structure

PROGRAM = Program(
    title="MOOSE",
    distribution="moosez",
    module="moosez.moosez",
    script="moosez",
    variable="MEMORYSURVIVAL_MOOSEZ",
    versions=("3.1.", "3.2."),
)

MODELS = ("clin_ct_peripheral_bones", "clin_ct_ribs", "clin_ct_vertebrae")
"""In the order in which their labels are laid over each other: where two models claim a voxel, the later one has it."""

SUBJECT = "subject"

_RUNNING = re.compile(r"Running (?:workflow|prediction) for .*?\b(clin_ct_[a-z_]+)")


@dataclass(frozen=True)
class Moose:
    """The adapter; MOOSE takes the GPU by itself where there is one."""

    models: tuple[str, ...] = MODELS

    name = "moose"
    title = PROGRAM.title

    def available(self) -> Availability:
        """Whether moosez 3.1 or 3.2 is installed here, on the PATH, or named by the user."""
        return PROGRAM.find()[1]

    def segment(
        self, ct: Volume, progress: ProgressCallback = ignore_progress, stop: Callable[[], bool] = never
    ) -> Segmentation:
        """Run MOOSE on the CT (HU). See Segmenter.segment."""
        command, availability = PROGRAM.find()
        if not command:
            raise ExternalToolError(availability.reason)
        meter = _Progress(self.models, progress)
        meter.beat()
        with private_folder(self.title) as folder:
            subject = folder / "data" / SUBJECT
            subject.mkdir(parents=True)
            write_ct(ct, subject / "CT_image.nii")
            run_program(
                (*command, *self.arguments(folder / "data")),
                self.title,
                folder,
                meter.hear,
                meter.beat,
                stop,
                {},
            )
            joined = _Joined(ct)
            for model in self.models:
                joined.add(*self._read(subject, model, ct))
        if not joined.structures:
            raise ExternalToolError(f"{self.title} found no bone in this CT; check that it is the CT and in HU.")
        found = Segmentation(
            labels=ct.with_voxels(joined.voxels),
            structures=joined.structures,
            maker=Maker(self.title, availability.version, "models " + ", ".join(self.models)),
            notes=(
                f"Bones were segmented by {self.title}; check them.",
                f"{self.title} does not segment the spinal canal; the dilation of the vertebrae stands for it.",
                *joined.notes,
            ),
        )
        return with_body(found, ct)

    def arguments(self, data: Path) -> tuple[str, ...]:
        """Its command line."""
        return ("-d", str(data), "-m", *self.models)

    def _read(self, subject: Path, model: str, ct: Volume) -> tuple[Volume, dict[int, Structure], tuple[str, ...]]:
        """One model's label map on the CT's grid, its structures, and notes."""
        prefix = model.replace("_ct_", "_CT_") + "_"
        found = sorted(subject.glob(f"moosez-*/segmentations/{prefix}segmentation_*.nii.gz"))
        if not found:
            raise ExternalToolError(
                f"{self.title} ended without a result of its model {model}; run it by hand to see why "
                "(often its weights could not be downloaded)."
            )
        labels, notes = read_output(found[-1], ct, f"{self.title}'s model {model}")
        names = _read_names(found[-1].with_name(f"{prefix}organ_indices.json"))
        present = labels_in(labels.voxels)
        unknown = [label for label in present if label not in names]
        if unknown:
            raise ExternalToolError(
                f"{self.title}'s model {model} wrote labels that it does not name ({unknown[:5]}); update it."
            )
        return labels, name_labels(present, names, {}), notes


class _Joined:
    """Label maps laid over each other, with new numbers in the order they came."""

    def __init__(self, ct: Volume) -> None:
        self.voxels = np.zeros(ct.shape, dtype=np.uint8)
        self.structures: dict[int, Structure] = {}
        self.notes: tuple[str, ...] = ()
        self._next = 1

    def add(self, labels: Volume, structures: Mapping[int, Structure], notes: tuple[str, ...]) -> None:
        """Lay one map over those before it; labels that are covered altogether are dropped."""
        renumber = np.zeros(max(structures, default=0) + 1, dtype=np.uint8)
        for label, structure in structures.items():
            renumber[label] = self._next
            self.structures[self._next] = structure
            self._next += 1
        here = labels.voxels > 0
        self.voxels[here] = renumber[labels.voxels[here]]
        present = set(labels_in(self.voxels))
        self.structures = {label: each for label, each in self.structures.items() if label in present}
        self.notes += notes


class _Progress(ProgressOfLines):
    """Counts the models that it says to be running."""

    def __init__(self, models: tuple[str, ...], progress: ProgressCallback) -> None:
        super().__init__(f"segmenting with {PROGRAM.title}", len(models), progress)
        self._models = models
        self._seen: list[str] = []

    def hear(self, line: str) -> None:
        """One line of its output; a spinner repeats them."""
        running = _RUNNING.search(line)
        if running and running.group(1) in self._models and running.group(1) not in self._seen:
            self._seen.append(running.group(1))
            self.reach(len(self._seen) - 1)


def _read_names(path: Path) -> dict[int, str]:
    """Label -> name from the file that MOOSE writes beside a result: the model's own list, whatever its version."""
    try:
        indices = json.loads(path.read_text(encoding="utf-8"))["organ_indices"]
        return {int(label): str(entry["name"]) for label, entry in indices.items() if int(label) > 0}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExternalToolError(
            f"{PROGRAM.title} wrote no list of its labels that can be read ({path.name}); update it to 3.1 or later."
        ) from error
