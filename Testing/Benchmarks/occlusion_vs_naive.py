"""An occlusion map against the naive way, the official predictor over every slice for every patch: passes and time.

hiera-tiny at 256 pixels with seeded random weights, one modality, readout mean, on a cylinder of 150 slices; patches of
8 slices, half as far apart. Three patches are run in the naive way and two columns of patches in ours; both are scaled
to the whole map, whose columns share nothing. Nothing is said about accuracy: the log-risks must be the same.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.occlusion import count_encodings, occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.mapped import take_slices
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.memory.readout import read_out
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.simulation.case import simulate_case
from Testing.Benchmarks.official import build_official, official_memories

SPEC = BackboneSpec("sam2.1-hiera-tiny", 256)
SLICES, COLUMNS, NAIVE_PATCHES = 150, 2, 3
SPACING_MM = (2.0, 2.0, 5.0)
PLAN = ExplainConfig(40.0, 20.0, "roi_median", ("PET",))
RADIUS_PIXELS = 34
GOAL_PASSES, GOAL_TIME = 65.0, 40.0
TOLERANCE = 1e-5


def run(slices: int = SLICES, columns: int = COLUMNS, naive_patches: int = NAIVE_PATCHES) -> dict[str, Any]:
    case, roi = make_cylinder(slices)
    model = build_backbone(SPEC, seed=0)
    predictor = build_official(SPEC, model.state_dict())
    engine = MemoryEngine(model, torch.device("cpu"))
    config = PropagationConfig("mean", slice_step=1)
    window = Window(0, 1)
    one = propagate(engine, case.pet, "PET", window, prompt_boxes(roi.mask, 1), config, mask=roi.mask)
    subject = Subject(engine, case, {"PET": one}, make_head(), (), ("PET",))
    patches = plan_patches(roi, PLAN)
    planes = sorted({patch.plane for patch in patches})
    fills = make_fills(case, roi, PLAN.fill, PLAN.patch_mm)
    chosen = [planes[int(n)] for n in np.linspace(0, len(planes) - 1, columns + 2).round()[1:-1]]
    measured = [patch for patch in patches if patch.plane in chosen]
    start = time.perf_counter()
    ours = occluded_log_risks(subject, measured, fills).risks[:, 0]
    ours_s = (time.perf_counter() - start) * len(planes) / len(chosen)
    print({"ours_s_whole_map": round(ours_s, 1)}, flush=True)
    start, differences = time.perf_counter(), []
    for n in np.linspace(0, len(measured) - 1, naive_patches).round().astype(int):
        differences.append(abs(naive(subject, predictor, measured[n], fills["PET"].value, window) - float(ours[n])))
        print({"naive_patch": int(n), "difference": differences[-1]}, flush=True)
    naive_s = (time.perf_counter() - start) / naive_patches * len(patches)
    passes = 2 * slices * len(patches) / count_encodings(subject, patches)
    effects = subject.baseline() - ours
    return {
        "backbone": f"{SPEC.architecture}, {SPEC.image_size} px, random weights",
        "slices": slices,
        "slices_a_patch": round(PLAN.patch_mm / SPACING_MM[2]),
        "positions_in_plane": len(planes),
        "patches": len(patches),
        "naive_encoder_passes": 2 * slices * len(patches),
        "our_encoder_passes": count_encodings(subject, patches),
        "ratio_passes": round(passes, 1),
        "naive_s_extrapolated": round(naive_s, 1),
        "naive_patches_measured": naive_patches,
        "our_s_extrapolated": round(ours_s, 1),
        "our_patches_measured": len(measured),
        "ratio_time": round(naive_s / ours_s, 1),
        "largest_difference": max(differences),
        "largest_effect": float(np.abs(effects).max()),
        "ratio_passes_on_a_spine": spine_ratio(),
        "threads": torch.get_num_threads(),
        "goal": f">= {GOAL_PASSES:g} times fewer encoder passes and >= {GOAL_TIME:g} times less time on the cylinder, "
        f"log-risks within {TOLERANCE:g}",
        "ok": passes >= GOAL_PASSES and naive_s / ours_s >= GOAL_TIME and max(differences) <= TOLERANCE,
    }


def make_cylinder(slices: int) -> tuple[Case, Roi]:
    """A bright cylinder with texture in a dim square, seen in every slice."""
    rng = np.random.default_rng(7)
    y, x = np.indices((256, 256))
    inside = (y - 150) ** 2 + (x - 128) ** 2 <= RADIUS_PIXELS**2
    coarse = torch.from_numpy(rng.random((1, 1, max(slices // 6, 2), 16, 16), dtype=np.float32))
    texture = torch.nn.functional.interpolate(coarse, (slices, 256, 256), mode="trilinear")[0, 0].numpy()
    voxels = (0.5 * texture + 0.4 * inside).astype(np.float32)
    affine = Affine.from_parts(SPACING_MM, np.eye(3), (0.0, 0.0, 0.0))
    pet = Volume(voxels, affine)
    mask = pet.with_voxels(np.broadcast_to(inside, voxels.shape).copy())
    return Case(pet, pet, "LPS", False, {}), Roi(mask, "other", "a cylinder")


def make_head() -> RiskHead:
    """A head with seeded random weights that feels small changes."""
    torch.manual_seed(1)
    head = RiskHead(HeadSpec(("PET",), "concatenation", 0)).eval()
    for module in head.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.3)
    for downsampler in head.downsamplers.values():
        downsampler.sd.fill_(0.02)
    return head.requires_grad_(False)


def naive(subject: Subject, predictor: Any, patch: Patch, fill: float | None, window: Window) -> float:
    """The log-risk after changing the volume and running the official predictor over all slices."""
    one = subject.passes["PET"]
    voxels = subject.case.pet.voxels.copy()
    voxels[patch.z0 : patch.z1, patch.y0 : patch.y1, patch.x0 : patch.x1] = fill
    pictures = one.frame.picture(take_slices(voxels, [box.z for box in one.boxes]), window)
    memories = official_memories(predictor, pictures, torch.stack([one.frame.box(box) for box in one.boxes]))
    return float(subject.head.score({"PET": read_out("mean", memories).state()}, ()).log_risk[0])


def spine_ratio() -> float:
    """The same ratio for a simulated patient's spine with the demonstration bundle's plan, counted, not run."""
    manifest = Models().bundle("demonstration").manifest
    mask = simulate_case(2, spacing_mm=(2.5, 2.5, 2.5)).spine_dilated.reoriented()
    roi = Roi(mask.with_voxels(mask.voxels > 0), "spine_dilated", "the phantom's truth")
    patches = plan_patches(roi, ExplainConfig(manifest.explain.patch_mm, manifest.explain.stride_mm))
    boxes = manifest.propagation.boxes(roi.mask)
    distinct = {(box.z, patch.plane) for patch in patches for box in boxes if patch.touches(box.z)}
    return round(2 * len(boxes) * len(patches) / len(distinct), 1)
