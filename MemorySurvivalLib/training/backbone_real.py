"""Real CT and PET in the backbone's training and in its judgement, split by patient: no patient is in both.

The folder is laid out as the project's test data: `petct_sts10` (soft-tissue sarcoma, ten patients, CC BY 3.0),
`ct_labels` and `ct_pieces` (Apache-2.0). What is absent is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.imaging.window import MODALITIES
from MemorySurvivalLib.training.backbone_data import StoredCase, read_case, write_case

TUMOURS_LEARNED = ("STS_002", "STS_008", "STS_012", "STS_024", "STS_025", "STS_032")
TUMOURS_HELD_OUT = ("STS_019", "STS_035", "STS_041", "STS_042")
"""Patients of petct_sts10."""

# TotalSegmentator's label values (class map "total", version 2).
_VERTEBRAE = tuple(range(25, 51))
_BONES = (*_VERTEBRAE, *range(69, 79), *range(91, 117))
_ORGANS = (1, 2, 3, 5, 6, 7, 18, 19, 20, 21, 51, 52, 63, 64, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89)
_GROUPS = {"bones": _BONES, "vertebrae": _VERTEBRAE, "ribs and breastbone": tuple(range(92, 117))}
_SINGLE = (*_BONES, *_ORGANS)
_VERTEBRA_PIECES = {"vertebrae": tuple(range(1, 51))}


def learned_cases(data: Path, folder: Path) -> list[StoredCase]:
    """Real cases to learn from: tumours of six patients, on CT and on PET; a stretch of 20 slices of a CT with labels
    of bones and organs; three vertebrae of another."""
    cases = _tumours(data / "petct_sts10", TUMOURS_LEARNED, folder)
    labels = data / "ct_labels"
    cases += _labelled(
        "real-ct-stretch", labels / "example_ct_dicom", labels / "example_seg_dicom.nii.gz", _GROUPS, _SINGLE, folder
    )
    piece = data / "ct_pieces" / "tptbox_vertebra"
    cases += _labelled(
        "real-vertebrae",
        piece / "sub-ct_label-22_ct.nii.gz",
        piece / "sub-ct_seg-vert_label-22_msk.nii.gz",
        _VERTEBRA_PIECES,
        (21, 22, 23),
        folder,
    )
    return cases


def held_out_cases(data: Path, folder: Path) -> list[StoredCase]:
    """Real cases to judge on: tumours of the four other patients, and the CT from T11 to the upper femora."""
    labels = data / "ct_labels"
    return _tumours(data / "petct_sts10", TUMOURS_HELD_OUT, folder) + _labelled(
        "real-ct-trunk",
        labels / "example_ct.nii.gz",
        labels / "example_seg_fast_force_split.nii.gz",
        _GROUPS,
        _SINGLE,
        folder,
    )


def _tumours(data: Path, patients: tuple[str, ...], folder: Path) -> list[StoredCase]:
    """Each modality on its own grid: contours drawn on one are a few millimetres off on the other."""
    cases = []
    for patient in patients:
        for modality in MODALITIES:
            place = folder / f"real-{patient}-{modality}"
            if not place.exists():
                image_file, mask_file = (data / patient / f"{modality}_{kind}.nii.gz" for kind in ("image", "mask"))
                if not (image_file.exists() and mask_file.exists()):
                    continue
                image = read_volume(image_file, f"{modality} of {patient}").reoriented()
                mask = _mask_on(read_volume(mask_file, "tumour mask"), image)
                write_case(
                    place,
                    place.name,
                    image.spacing_mm,
                    {modality: image.voxels},
                    {"lesions": mask > 0},
                    {},
                    (),
                    simulated=False,
                )
            cases.append(read_case(place))
    return cases


def _labelled(
    name: str,
    image_file: Path,
    labels_file: Path,
    groups: dict[str, tuple[int, ...]],
    single: tuple[int, ...],
    folder: Path,
) -> list[StoredCase]:
    place = folder / name
    if not place.exists():
        if not (image_file.exists() and labels_file.exists()):
            return []
        image = read_volume(image_file, "CT").reoriented()
        labels = _mask_on(read_volume(labels_file, "label map"), image)
        write_case(
            place, name, image.spacing_mm, {"CT": image.voxels}, {"labels": labels}, groups, single, simulated=False
        )
    return [read_case(place)]


def _mask_on(mask: Volume, image: Volume) -> npt.NDArray[np.uint8]:
    return np.asarray(resample_onto(mask.reoriented(), image, linear=False).voxels, dtype=np.uint8)
