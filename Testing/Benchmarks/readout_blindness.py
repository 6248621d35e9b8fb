"""What each readout sees: the change of the embedding when a tenth of the spine, from head to feet, is wiped out.

Every voxel of the slices of that tenth is set to the volume's mean, in PET and CT; the boxes stay. The number is the
relative L2 change of the memory state (PET and CT together). The backbones are the demonstration bundle's and a
hiera-tiny with seeded random weights; MedSAM2's own weights were not at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone
from MemorySurvivalLib.memory.bank import MemoryBank
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.features import Features
from MemorySurvivalLib.memory.prompts import Prompt, Prompter
from MemorySurvivalLib.memory.propagation import Mode, PropagationConfig, propagate
from MemorySurvivalLib.memory.readout import READOUTS, read_out
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes
from MemorySurvivalLib.simulation.case import simulate_case
from Testing.Benchmarks.drawings import draw_readouts

SEED, SPACING_MM = 3, (4.0, 4.0, 8.0)
RANDOM, RANDOM_SEED = BackboneSpec("sam2.1-hiera-tiny", 128), 1
PARTS = 10
BLIND = ("last", "bank:2")

MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, eq=False)
class Reading:
    """One modality's slices, encoded once: features and prompts in the order of the pass, and the wiped slice."""

    engine: MemoryEngine
    features: tuple[Features, ...]
    wiped: Features
    prompts: tuple[Prompt, ...]

    def memories(self, mode: Mode, gone: range) -> torch.Tensor:
        """The memories of a pass in which the slices at the positions `gone` are wiped out."""
        bank, made = MemoryBank(self.engine, len(self.prompts)), []
        for position, prompt in enumerate(self.prompts):
            features = self.wiped if position in gone else self.features[position]
            if mode == "boxed":
                made.append(self.engine.condition(features, prompt).memory.cpu())
            else:
                given = prompt if mode == "streamed" or position == 0 else None
                made.append(bank.take(features, given).memory.cpu())
        return torch.cat(made)


def read(engine: MemoryEngine, image: Volume, window: Window, boxes: tuple[SliceBox, ...]) -> Reading:
    """Encode the slices of `boxes` and one that holds the image's mean everywhere."""
    frame = SliceFrame.of(image, engine.image_size)
    config = PropagationConfig("mean")
    prompter = Prompter(config.prompt, frame, image.spacing_mm)
    wiped = np.full((1, *image.shape[1:]), image.voxels.mean(dtype=np.float64), dtype=np.float32)
    return Reading(
        engine,
        tuple(engine.encode(frame.picture(image.voxels[[box.z]], window)) for box in boxes),
        engine.encode(frame.picture(wiped, window)),
        tuple(prompter.prompt([prompter.edges(box)]) for box in boxes),
    )


def run(picture: Path | None = None) -> dict[str, Any]:
    simulated = simulate_case(SEED, spacing_mm=SPACING_MM)
    case = make_case(simulated.ct, simulated.pet)
    mask = simulated.spine_dilated.reoriented()
    boxes = prompt_boxes(mask.with_voxels(mask.voxels > 0), 2)
    models = Models()
    bundle = models.bundle("demonstration")
    engines = {
        f"demonstration ({bundle.manifest.backbone.architecture}, {bundle.manifest.backbone.image_size} px)": (
            models.engine(bundle, torch.device("cpu"))
        ),
        f"random {RANDOM.architecture}, {RANDOM.image_size} px": (
            MemoryEngine(build_backbone(RANDOM, RANDOM_SEED), torch.device("cpu"))
        ),
    }
    windows: dict[Modality, Window] = {"PET": bundle.manifest.windows.PET, "CT": bundle.manifest.windows.CT}
    rows: list[dict[str, Any]] = []
    same = True
    for name, engine in engines.items():
        readings = {m: read(engine, case.image(m), windows[m], boxes) for m in MODALITIES}
        for mode in MODES:
            same &= equals_propagate(readings, mode, case, windows, boxes)
            rows += measure(name, readings, mode, len(boxes))
            print(*rows[-len(READOUTS) :], sep="\n", flush=True)
    if picture is not None:
        draw_readouts(rows, picture)
    exact = all(
        (row[f"tenth_{part + 1}"] == 0) == (row["readout"] in BLIND and part < PARTS - 1)
        for row in rows
        if row["mode"] == "boxed"
        for part in range(PARTS)
    )
    return {
        "goal": "boxed: `last` and `bank:2` change by exactly nothing in nine tenths, `mean`, `max` and `stations:4` "
        "see all ten, with either backbone; the passes are those of the engine",
        "ok": exact and same,
        "case": f"simulated, seed {SEED}, {simulated.ct.shape} voxels of {SPACING_MM} mm",
        "slices_a_pass": len(boxes),
        "occlusion": "all voxels of a tenth's slices at the volume's mean, PET and CT; tenths from head to feet",
        "measure": "relative L2 change of the memory state",
        "random_seed": RANDOM_SEED,
        "not_checked": "MedSAM2's own weights and the authors' implementation",
        "rows": rows,
        "threads": torch.get_num_threads(),
    }


def measure(name: str, readings: Mapping[Modality, Reading], mode: Mode, count: int) -> list[dict[str, Any]]:
    """For every readout the change of the state by wiping out each tenth of the slices."""
    plain = {m: one.memories(mode, range(0)) for m, one in readings.items()}
    edges = [part * count // PARTS for part in range(PARTS + 1)]
    occluded = [
        {m: one.memories(mode, range(start, stop)) for m, one in readings.items()} for start, stop in pairwise(edges)
    ]
    return [
        {
            "backbone": name,
            "mode": mode,
            "readout": readout,
            **{
                f"tenth_{part + 1}": float(f"{change(readout, plain, memories):.3g}")
                for part, memories in enumerate(occluded)
            },
        }
        for readout in READOUTS
    ]


def change(readout: str, plain: Mapping[Modality, torch.Tensor], other: Mapping[Modality, torch.Tensor]) -> float:
    """The relative L2 change of the state, PET and CT together."""
    before = torch.cat([read_out(readout, plain[m]).state() for m in plain])
    after = torch.cat([read_out(readout, other[m]).state() for m in plain])
    return float((after - before).norm() / before.norm())


def equals_propagate(
    readings: Mapping[Modality, Reading],
    mode: Mode,
    case: Case,
    windows: Mapping[Modality, Window],
    boxes: tuple[SliceBox, ...],
) -> bool:
    """Whether the passes here are those that score a case, to the last bit."""
    config = PropagationConfig("mean", mode=mode)
    return all(
        torch.equal(
            propagate(one.engine, case.image(m), m, windows[m], boxes, config).memories, one.memories(mode, range(0))
        )
        for m, one in readings.items()
    )
