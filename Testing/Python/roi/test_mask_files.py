"""Masks written by the library are its own to replace; masks that a person may have touched are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.mask_files import refuse_edited, write_labels, write_roi
from MemorySurvivalLib.roi.provenance import RoiPart, read_roi_provenance
from MemorySurvivalLib.roi.segments import Maker

PARTS = (RoiPart("skeleton", Maker("built-in CT segmenter", "0.1.0")),)


@pytest.fixture
def mask() -> Volume:
    voxels = np.zeros((5, 6, 7), np.bool_)
    voxels[1:3, 2:5, 3:6] = True
    return Volume(voxels, Affine.from_parts((1, 2, 3), np.diag([-1, -1, 1]), (5, 6, 7)))


def edit(path: Path) -> bytes:
    """A person adds a voxel; the file's stamp stays."""
    volume = read_volume(path, "mask")
    voxels = volume.voxels.copy()
    voxels[0, 0, 0] = 1
    write_volume(volume.with_voxels(voxels), path)
    return path.read_bytes()


def test_a_mask_is_written_as_given_with_its_stamp(mask: Volume, tmp_path: Path) -> None:
    path = tmp_path / "mäske" / "skeleton.nrrd"
    write_roi(path, mask, "skeleton", PARTS)
    back = read_volume(path, "mask")
    assert back.voxels.dtype == np.uint8
    assert (back.voxels.astype(bool) == mask.voxels).all()
    assert back.same_grid(mask)
    assert back.attributes["research_use"] == RESEARCH_USE
    assert read_roi_provenance(back).kind == "skeleton"


def test_an_untouched_mask_is_replaced(mask: Volume, tmp_path: Path) -> None:
    path = tmp_path / "skeleton.nrrd"
    write_roi(path, mask, "skeleton", PARTS)
    write_roi(path, mask.with_voxels(~mask.voxels), "skeleton", PARTS)
    assert (read_volume(path, "mask").voxels.astype(bool) == ~mask.voxels).all()


def test_an_edited_mask_is_never_replaced_unasked(mask: Volume, tmp_path: Path) -> None:
    path = tmp_path / "skeleton.nrrd"
    write_roi(path, mask, "skeleton", PARTS)
    corrected = edit(path)
    with pytest.raises(OutputError, match=r"skeleton\.nrrd was edited after it was made, so it was left as it is"):
        write_roi(path, mask, "skeleton", PARTS)
    assert path.read_bytes() == corrected
    write_roi(path, mask, "skeleton", PARTS, replace_edited=True)
    assert read_roi_provenance(read_volume(path, "mask")).edited is False


def test_a_mask_of_unknown_origin_is_never_replaced_unasked(mask: Volume, tmp_path: Path) -> None:
    path = tmp_path / "skeleton.nrrd"
    write_volume(mask.with_voxels(mask.voxels.astype(np.uint8)), path)
    with pytest.raises(OutputError, match="does not say who made it, so a person may have drawn it"):
        refuse_edited(path)


def test_relabelling_a_structure_is_an_edit(mask: Volume, tmp_path: Path) -> None:
    path = tmp_path / "labels.nrrd"
    labels = mask.with_voxels(np.where(mask.voxels, 21, 0).astype(np.uint8))
    write_labels(path, labels, PARTS)
    refuse_edited(path)
    stamped = read_volume(path, "labels")
    write_volume(stamped.with_voxels(np.where(mask.voxels, 22, 0).astype(np.uint8)), path)
    with pytest.raises(OutputError, match="was edited"):
        refuse_edited(path)
