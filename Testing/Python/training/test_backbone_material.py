"""What the backbone learns from and is judged on: phantoms and real cases as kept on disk, and who is held out."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.simulation.anatomy import Phantom
from MemorySurvivalLib.simulation.patient import MOST_PATIENTS, Patient
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue
from MemorySurvivalLib.training.backbone_data import (
    HELD_OUT_COHORT,
    TISSUE_GROUPS,
    TRAINING_COHORT,
    UNPROMPTED,
    read_case,
    store_phantom,
)
from MemorySurvivalLib.training.backbone_real import (
    TUMOURS_HELD_OUT,
    TUMOURS_LEARNED,
    held_out_cases,
    learned_cases,
)
from MemorySurvivalLib.training.clips import CLASS_COUNT, CLASS_OF_TISSUE, LESION_CLASS
from MemorySurvivalLib.training.demonstration import DemonstrationConfig

LPS = np.eye(3)


def test_learned_and_judged_apart() -> None:
    assert not set(TUMOURS_LEARNED) & set(TUMOURS_HELD_OUT)
    assert TRAINING_COHORT != HELD_OUT_COHORT
    shown = DemonstrationConfig()
    first = min(TRAINING_COHORT, HELD_OUT_COHORT) * MOST_PATIENTS
    assert first > max(*shown.training_seeds, *shown.reference_seeds)


def test_every_tissue_has_a_class_or_is_left_open() -> None:
    assert {int(CLASS_OF_TISSUE[bone]) for bone in VERTEBRAE} == {11}
    assert all(CLASS_OF_TISSUE[bone] > 0 for bone in BONES)
    assert CLASS_OF_TISSUE.max() < LESION_CLASS == CLASS_COUNT - 1
    unknown = {tissue.name for tissue in Tissue if CLASS_OF_TISSUE[tissue] < 0}
    assert unknown == {"EYE", "SALIVARY_GLAND", "IMPLANT", "THYROID"}


def test_a_phantom_is_kept_with_its_truth_on_one_grid(tmp_path: Path) -> None:
    labels = np.zeros((6, 10, 12), np.uint8)
    labels[2:5, 3:7, 4:9] = Tissue.L3
    labels[1, 1, 1] = Tissue.FAT
    ct = Volume(
        np.where(labels == Tissue.L3, 700, -100).astype(np.int16), Affine.from_parts((4, 4, 5), LPS, (7, -3, 2))
    )
    lesions = ct.with_voxels((labels == Tissue.L3).astype(np.uint8) * 3)
    pet = Volume(np.where(labels == Tissue.L3, 6.0, 1.0).astype(np.float32), ct.affine).reoriented("RAS")
    spine = ct.with_voxels((labels > 0).astype(np.uint8))
    phantom = Phantom(None, None, ct, ct.with_voxels(labels), lesions, lesions, ())  # type: ignore[arg-type]
    case = ScenarioCase(cast(Patient, None), ct, pet, spine, lesions, lesions, phantom)
    store_phantom(case, "p", tmp_path / "p")
    kept = read_case(tmp_path / "p")
    bone = labels == Tissue.L3
    assert np.array_equal(kept.images["CT"] > 0, bone)
    assert np.array_equal(kept.images["PET"] > 3, bone)
    assert np.array_equal(kept.lesions == 3, bone)
    assert np.array_equal(kept.regions, np.where(bone, 3, (labels > 0).astype(np.uint8)))
    assert kept.simulated
    assert kept.groups.keys() == TISSUE_GROUPS.keys()
    assert Tissue.L3 in kept.single
    assert not set(UNPROMPTED) & set(kept.single)


@pytest.mark.parametrize("direction", [LPS, np.diag([-1, -1, 1]), np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])])
def test_real_images_and_masks_lie_on_each_other(tmp_path: Path, direction: np.ndarray) -> None:
    """Whatever axes the files have, and where the mask's grid is the finer one."""
    blob = np.zeros((8, 12, 14), np.float32)
    blob[2:5, 2:7, 8:12] = 5
    image = Volume(blob, Affine.from_parts((2, 3, 4), direction, (30, -20, 10)))
    mask = Volume((blob > 0).astype(np.uint8), image.affine).reoriented("RAS")
    for patient in (TUMOURS_LEARNED[0], TUMOURS_HELD_OUT[0]):
        folder = tmp_path / "petct_sts10" / patient
        folder.mkdir(parents=True)
        write_volume(image, folder / "PET_image.nii.gz")
        write_volume(mask, folder / "PET_mask.nii.gz")
    (learned,) = learned_cases(tmp_path, tmp_path / "cases")
    (held_out,) = held_out_cases(tmp_path, tmp_path / "cases")
    assert (learned.name, held_out.name) == ("real-STS_002-PET", "real-STS_019-PET")
    assert np.array_equal(learned.images["PET"] > 0, learned.lesions > 0)
    assert (learned.lesions > 0).sum() == (blob > 0).sum()
    assert not learned.simulated
    assert learned.spacing_mm == pytest.approx(image.reoriented().spacing_mm)


@pytest.mark.real_data
def test_the_real_data_hold_what_is_named(real_data: Path) -> None:
    folders = {path.name for path in (real_data / "petct_sts10").iterdir() if path.is_dir()}
    assert folders == {*TUMOURS_LEARNED, *TUMOURS_HELD_OUT}
