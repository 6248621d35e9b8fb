"""Segmentations that Slicer itself writes as .seg.nrrd are read voxel for voxel, with names, codes and overlaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.existing import choose_roi, read_existing

SHAPE = (16, 24, 20)
MIRROR = np.diag([1.0, 1.0, -1.0, 1.0])
PERMUTED = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
ENTRY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
    "~SCT^{code}^{meaning}~{side}~Anatomic codes - DICOM master list~^^~^^"
)


def masks() -> dict[str, np.ndarray]:
    """Two vertebrae, a kidney, and a region that overlaps a vertebra."""
    found = {}
    for name, where in {
        "L4": np.s_[5:9, 10:18, 4:11],
        "L3": np.s_[9:12, 10:18, 4:11],
        "Kidney": np.s_[2:4, 3:6, 3:6],
        "spine_dilated": np.s_[4:13, 8:20, 2:13],
    }.items():
        found[name] = np.zeros(SHAPE, np.uint8)
        found[name][where] = 1
    return found


def write_by_slicer(folder: Path, matrix: np.ndarray) -> tuple[Path, Volume]:
    """Save a segmentation through Slicer's own storage node; the CT comes back as a file holds it."""
    import slicer
    from scenes import add_segmentation, add_volume

    ct = add_volume(np.zeros(SHAPE, np.int16), matrix, "CT")
    drawn = masks()
    node = add_segmentation(drawn["L4"], ct, "Regions", "L4")
    for name in list(drawn)[1:]:
        identifier = node.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn[name], node, identifier, ct)
    segment = node.GetSegmentation().GetSegment("Kidney")
    entry = ENTRY.format(code="64033007", meaning="Kidney", side="SCT^24028007^Right")
    segment.SetTag(segment.GetTerminologyEntryTagName(), entry)
    paths = folder / "rég.seg.nrrd", folder / "ct.nrrd"
    for each, path, storage_class in (
        (node, paths[0], "vtkMRMLSegmentationStorageNode"),
        (ct, paths[1], "vtkMRMLVolumeArchetypeStorageNode"),
    ):
        storage = slicer.mrmlScene.AddNewNodeByClass(storage_class)
        storage.SetFileName(str(path))
        assert storage.WriteData(each) == 1
    return paths[0], read_volume(paths[1], "CT")


@pytest.mark.parametrize("turn", ["straight", "oblique", "mirrored", "permuted"])
def test_what_slicer_writes_is_read_voxel_for_voxel(panel: Any, tmp_path: Path, turn: str) -> None:
    from scenes import CT_IJK_TO_RAS, rotation

    matrix = {
        "straight": CT_IJK_TO_RAS,
        "oblique": rotation(0, 17) @ rotation(2, -9) @ CT_IJK_TO_RAS,
        "mirrored": CT_IJK_TO_RAS @ MIRROR,
        "permuted": CT_IJK_TO_RAS @ PERMUTED,
    }[turn]
    path, ct = write_by_slicer(tmp_path, matrix)
    found = read_existing(path, ct)
    assert [each.structure.name for each in found.segments] == ["L4", "L3", "kidney_right", "spine_dilated"]
    for segment, mask in zip(found.segments, masks().values(), strict=True):
        assert np.array_equal(found.mask(segment), mask > 0), segment.name
    assert len(found.layers) == 2
    assert found.notes == ()
    roi = choose_roi(found, "spine_dilated")
    assert int(roi.mask.voxels.sum()) == int(masks()["spine_dilated"].sum())
