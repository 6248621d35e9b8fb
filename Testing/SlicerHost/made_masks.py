"""Masks as the library writes them, made with a stand-in for the segmenter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

LABELS = {1: "L4", 2: "L5", 3: "femur_left"}


def labels_voxels(shape: tuple[int, int, int] = (16, 24, 20)) -> np.ndarray:
    """Two vertebrae above each other and a femur, with corners that no flip maps onto themselves."""
    voxels = np.zeros(shape, np.uint8)
    voxels[8:11, 12:17, 6:11] = 1
    voxels[5:8, 12:17, 6:11] = 2
    voxels[2:5, 4:8, 12:16] = 3
    voxels[8, 12, 6] = voxels[2, 4, 15] = 0
    return voxels


def make_masks(folder: Path, ijk_to_ras: np.ndarray, shape: tuple[int, int, int] = (16, 24, 20)) -> Path:
    """Write a folder of masks on a CT's grid (matrix from voxel indices to RAS); its structures.json."""
    from MemorySurvivalLib.imaging.reading import write_volume
    from MemorySurvivalLib.imaging.volume import Affine, Volume
    from MemorySurvivalLib.roi.roi import Roi, RoiKind
    from MemorySurvivalLib.roi.segments import Maker, Segmentation
    from MemorySurvivalLib.roi.terminology import structure
    from MemorySurvivalLib.segmenting import SegmentRequest, segment_to_folder

    affine = Affine(np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_ras)
    ct = Volume(np.zeros(shape, np.int16), affine)
    write_volume(ct, folder / "ct.nrrd")

    def segment(ct: Volume, progress: Any) -> Segmentation:
        structures = {label: structure(name) for label, name in LABELS.items()}
        labels = Volume(labels_voxels(shape), ct.affine)
        return Segmentation(labels, structures, Maker("built-in CT segmenter", "0.1.0"), notes=("Check the masks.",))

    def derive(segmentation: Segmentation, kind: RoiKind) -> Roi:
        voxels = np.asarray(segmentation.labels.voxels)
        inside = voxels > 0 if kind == "skeleton" else (voxels == 1) | (voxels == 2)
        return Roi(Volume(inside, segmentation.labels.affine), kind, "stand-in")

    output = segment_to_folder(SegmentRequest(folder / "ct.nrrd", folder / "masks"), segmenter=segment, deriver=derive)
    return output.files["structures"]
