"""A small scored case with random weights, and the naive way to occlude it: change the volume, run everything again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from made_up import SMALL, make_head, make_patient

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.plan import Occlusion
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.memory.backbone import build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import Pass, PropagationConfig, propagate
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.roi import Roi

WINDOWS: dict[Modality, Window] = {"CT": Window(-200, 1000), "PET": Window(0, 10)}


def make_engine(seed: int = 3) -> MemoryEngine:
    return MemoryEngine(build_backbone(SMALL, seed=seed), torch.device("cpu"))


def make_scene(folder: Path) -> tuple[Case, Roi]:
    """The made-up patient as a case, and its spine."""
    patient = make_patient(folder)
    mask = patient.spine.with_voxels(patient.spine.voxels > 0)
    return make_case(patient.ct, patient.pet), Roi(mask, "spine_dilated", "test")


def run_pass(engine: MemoryEngine, case: Case, roi: Roi, config: PropagationConfig) -> dict[Modality, Pass]:
    boxes = prompt_boxes(roi.mask, config.slice_step)
    return {m: propagate(engine, case.image(m), m, WINDOWS[m], boxes, config, mask=roi.mask) for m in MODALITIES}


def make_subject(
    engine: MemoryEngine,
    scene: tuple[Case, Roi],
    config: PropagationConfig,
    modalities: tuple[Modality, ...] = MODALITIES,
) -> Subject:
    case, roi = scene
    head, _ = make_head("image", None, 1)
    return Subject(engine, case, run_pass(engine, case, roi, config), head, (), modalities, config.direction)


def occlude(case: Case, occlusion: Occlusion, fills: Fills, modalities: tuple[Modality, ...]) -> Case:
    """The case with the occluded voxels replaced in the volumes themselves."""
    images = {}
    for modality in MODALITIES:
        image = case.image(modality)
        voxels = image.voxels.copy()
        for z in range(len(voxels)):
            if modality in modalities and occlusion.touches(z):
                voxels[z] = fills[modality].occlude(voxels[z], z, occlusion)
        images[modality] = image.with_voxels(voxels)
    return Case(images["CT"], images["PET"], case.orientation, case.simulated, case.sources)


def naive_risks(
    subject: Subject, roi: Roi, occlusion: Occlusion, fills: Fills, config: PropagationConfig
) -> list[float]:
    """The log-risks of all variants of one occlusion, everything run again for each."""
    risks = []
    for _, modalities in subject.variants:
        again = run_pass(subject.engine, occlude(subject.case, occlusion, fills, modalities), roi, config)
        states: Mapping[Modality, torch.Tensor] = {m: p.readout.state() for m, p in again.items()}
        risks.append(subject.head.score(states, ()).log_risk.item())
    return risks


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = np.indices(shape)
    away = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
    return np.asarray(away <= radius**2)
