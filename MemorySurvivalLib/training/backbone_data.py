"""Cases the backbone learns from, kept on disk so that single slices can be read; phantoms are made here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.imaging.volume import resample_onto
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.simulation.patient import draw_patient
from MemorySurvivalLib.simulation.scenario import Generator, load_scenario
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase, name_images, simulate_patient
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue

TRAINING_COHORT = 61_000
"""Cohort seed of the phantoms the backbone learns from: no scenario's cohort and no figure draws it."""

HELD_OUT_COHORT = 62_000
"""Cohort seed of the phantoms it is judged on."""

SPINE_DILATED, SKELETON = 1, 2
"""Bits of the regions' array: the two regions of interest that models read."""

LIMBS = (Tissue.HUMERUS_LEFT, Tissue.HUMERUS_RIGHT, Tissue.FEMUR_LEFT, Tissue.FEMUR_RIGHT, Tissue.FOREARM_LEFT)
TISSUE_GROUPS: Mapping[str, tuple[int, ...]] = {
    "bones": BONES,
    "vertebrae": VERTEBRAE,
    "pelvis": (Tissue.SACRUM, Tissue.HIP_LEFT, Tissue.HIP_RIGHT),
    "ribs and breastbone": (Tissue.STERNUM, Tissue.RIBS_LEFT, Tissue.RIBS_RIGHT),
    "limbs": (*LIMBS, Tissue.FOREARM_RIGHT),
    "heart": (Tissue.HEART_BLOOD, Tissue.MYOCARDIUM),
    "brain": (Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.CEREBELLUM),
    "bowel": (Tissue.COLON, Tissue.SMALL_BOWEL),
    "kidneys": (Tissue.KIDNEY, Tissue.RENAL_PELVIS),
}
"""Structures of several labels; single labels are structures too."""

UNPROMPTED = (Tissue.OUTSIDE, Tissue.SKIN, Tissue.FAT, Tissue.VISCERAL_FAT, Tissue.MEDIASTINUM, Tissue.GAS)
"""Labels that nobody would draw a box around."""

_VERSION = 1
_NOTE = "case.json"


@dataclass(frozen=True, eq=False)
class StoredCase:
    """One case: arrays (z, y, x) on one grid, read from disk slice by slice.

    `images` hold HU or SUVbw as float16. `labels` are numbers of structures (0 none), `regions` bits, `lesions` n for
    the n-th lesion, all uint8. `groups` name structures of several labels; `single` are the labels that are one alone;
    `slices` are those that show any of it, `lesion_slices` those with a lesion. Of a phantom (`simulated`) the labels
    are its tissues, so every voxel's is known.
    """

    name: str
    spacing_mm: tuple[float, float, float]
    images: Mapping[Modality, npt.NDArray[np.float16]]
    labels: npt.NDArray[np.uint8]
    regions: npt.NDArray[np.uint8]
    lesions: npt.NDArray[np.uint8]
    groups: Mapping[str, tuple[int, ...]]
    single: tuple[int, ...]
    simulated: bool
    lesion_slices: tuple[int, ...]
    slices: tuple[int, ...]


def write_case(
    folder: Path,
    name: str,
    spacing_mm: tuple[float, float, float],
    images: Mapping[Modality, npt.NDArray[Any]],
    structures: Mapping[str, npt.NDArray[Any]],
    groups: Mapping[str, tuple[int, ...]],
    single: tuple[int, ...],
    *,
    simulated: bool,
) -> None:
    """Keep a case under `folder`, whole or not at all; `structures` holds any of labels, regions and lesions."""
    shape = next(iter(images.values())).shape
    masks = {key: structures.get(key, np.zeros(shape, np.uint8)) for key in ("labels", "regions", "lesions")}
    anything = (masks["labels"] > 0) | (masks["regions"] > 0) | (masks["lesions"] > 0)
    note = {
        "version": _VERSION,
        "name": name,
        "spacing_mm": spacing_mm,
        "groups": {key: [int(value) for value in values] for key, values in groups.items()},
        "single": [int(value) for value in single],
        "simulated": simulated,
        "lesion_slices": np.flatnonzero((masks["lesions"] > 0).any(axis=(1, 2))).tolist(),
        "slices": np.flatnonzero(anything.any(axis=(1, 2))).tolist(),
    }
    with atomic_folder(folder, overwrite=True, ours=_NOTE) as partial:
        for modality, voxels in images.items():
            # Beyond these values no window looks; float16 holds whole HU up to 2048.
            np.save(partial / f"{modality}.npy", np.clip(voxels, -1024, 3000).astype(np.float16))
        for key, mask in masks.items():
            np.save(partial / f"{key}.npy", mask.astype(np.uint8))
        (partial / _NOTE).write_text(json.dumps(note) + "\n", encoding="utf-8")


def read_case(folder: Path) -> StoredCase:
    """A case that `write_case` kept. Raises InputError where it is damaged or of another version."""

    def array(key: str) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False)
        return found

    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        if note["version"] != _VERSION:
            raise ValueError(f"version {note['version']}")
        return StoredCase(
            name=note["name"],
            spacing_mm=tuple(note["spacing_mm"]),
            images={key: array(key) for key in MODALITIES if (folder / f"{key}.npy").exists()},
            labels=array("labels"),
            regions=array("regions"),
            lesions=array("lesions"),
            groups={key: tuple(values) for key, values in note["groups"].items()},
            single=tuple(note["single"]),
            simulated=note["simulated"],
            lesion_slices=tuple(note["lesion_slices"]),
            slices=tuple(note["slices"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The stored case {folder} cannot be read ({error}); delete that folder.") from error


def store_phantom(case: ScenarioCase, name: str, folder: Path) -> None:
    """Keep a simulated patient with its true tissues and lesions; the regions are those a model gets."""
    regions = np.zeros(case.ct.shape, np.uint8)
    regions[case.spine_dilated.voxels > 0] |= SPINE_DILATED
    regions[case.skeleton.voxels > 0] |= SKELETON
    labels = np.asarray(case.phantom.labels.voxels)
    write_case(
        folder,
        name,
        case.ct.spacing_mm,
        {"CT": case.ct.voxels, "PET": resample_onto(case.pet, case.ct, linear=True).voxels},
        {"labels": labels, "regions": regions, "lesions": np.minimum(case.lesions.voxels, 255)},
        TISSUE_GROUPS,
        tuple(int(tissue) for tissue in Tissue if tissue not in UNPROMPTED),
        simulated=True,
    )


def phantom_cases(
    folder: Path,
    cohort_seed: int,
    count: int,
    generator: Generator = "first",
    progress: ProgressCallback = ignore_progress,
) -> list[StoredCase]:
    """`count` simulated patients of a cohort seed, made once (2 to 5 s each) and kept under `folder`."""
    scenario = load_scenario("main" if generator == "first" else "second")
    images = name_images(scenario)
    found = []
    for number in track(range(count), f"phantoms ({generator})", count, progress):
        name = f"{images}-{cohort_seed}-{number:03d}"
        place = folder / name
        if not place.exists():
            store_phantom(simulate_patient(draw_patient(scenario, cohort_seed, number)), name, place)
        found.append(read_case(place))
    return found
