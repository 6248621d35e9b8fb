"""The check of a mask: its boxes lie where the mask lies, however the CT is turned, and what an edit does to them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from made_up import BundleMaker
from scipy.spatial.transform import Rotation

from MemorySurvivalLib import checking
from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.checking import CheckMaskRequest, ImageGrid, MaskCheck, check_mask, find_boxes, place_boxes
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.memory.prompts import PromptConfig
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.roi.roi import Roi

STEP = read_archive(find_bundle("demonstration")).manifest.propagation.slice_step
TILT = Rotation.from_euler("xyz", (11, -7, 20), degrees=True).as_matrix()


def make_mask(orientation: str = "LPS", direction: np.ndarray | None = None) -> Volume:
    """A leaning column on an anisotropic grid."""
    voxels = np.zeros((12, 14, 16), np.uint8)
    for z in range(2, 11):
        voxels[z, 3 + z // 3 : 8, 4 : 9 + z // 4] = 1
    affine = Affine.from_parts((1.5, 2.0, 4.0), np.eye(3) if direction is None else direction, (-30, 12, 90))
    return Volume(voxels, affine).reoriented(orientation)


def grid_of(mask: Volume) -> ImageGrid:
    rows = tuple(tuple(float(value) for value in row) for row in mask.affine.matrix)
    z, y, x = mask.shape
    return ImageGrid((x, y, z), rows)


def check(mask: Volume, folder: Path, **changes: Any) -> MaskCheck:
    write_volume(mask, folder / "mask.nrrd")
    return check_mask(CheckMaskRequest(folder / "mask.nrrd", grid=grid_of(mask), **changes))


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SLP", "PIR"])
@pytest.mark.parametrize("direction", [None, TILT], ids=["straight", "oblique"])
def test_each_box_holds_exactly_its_slice_of_the_mask(
    orientation: str, direction: np.ndarray | None, tmp_path: Path
) -> None:
    mask = make_mask(orientation, direction)
    checked = check(mask, tmp_path)
    straight = mask.reoriented()
    prompted = [int(z) for z in np.flatnonzero(straight.voxels.any(axis=(1, 2)))[::-1][::STEP]]
    assert [box.z for box in checked.placed] == prompted
    for box in checked.placed:
        inside = np.argwhere(straight.voxels[box.z])[:, ::-1]
        corners = straight.affine.indices(box.corners_lps_mm)
        assert np.allclose(corners[:, 2], box.z + np.repeat([-0.5, 0.5], 4), atol=1e-3)
        assert np.allclose(corners[:, :2].min(axis=0), inside.min(axis=0) - 0.5, atol=1e-3)
        assert np.allclose(corners[:, :2].max(axis=0), inside.max(axis=0) + 0.5, atol=1e-3)
        assert np.allclose(corners[1] - corners[0], np.array([np.ptp(inside[:, 0]) + 1, 0, 0]), atol=1e-3)


def test_the_grid_alone_says_the_same_as_the_ct(tmp_path: Path) -> None:
    mask = make_mask("RAS")
    write_volume(mask, tmp_path / "ct.nrrd")
    by_grid = check(mask, tmp_path)
    by_file = check_mask(CheckMaskRequest(tmp_path / "mask.nrrd", ct=tmp_path / "ct.nrrd"))
    assert by_grid.boxes == by_file.boxes
    assert by_grid.placed == by_file.placed


def test_padding_moves_the_edges_and_stops_at_the_image(tmp_path: Path) -> None:
    grid = make_mask().with_voxels(make_mask().voxels > 0)
    boxes = find_boxes(make_mask(), grid, 1)
    tight, padded = (place_boxes(boxes, grid, PromptConfig(padding_mm=mm))[0] for mm in (0.0, 3.0))
    moved_mm = np.array(padded.corners_lps_mm) - np.array(tight.corners_lps_mm)
    assert np.allclose(np.abs(moved_mm), [3, 3, 0], atol=1e-3)
    huge = place_boxes(boxes, grid, PromptConfig(padding_mm=500))[0]
    corners = grid.affine.indices(huge.corners_lps_mm)
    assert np.allclose(corners[[0, -1], :2], np.array([[-0.5, -0.5], [15.5, 13.5]]), atol=1e-3)


def test_an_edit_inside_the_boxes_leaves_the_risk_of_a_model_that_takes_boxes_alone(
    tmp_path: Path, make_bundle: BundleMaker
) -> None:
    mask, alone = make_mask(), str(make_bundle(propagation=PropagationConfig("mean", slice_step=STEP)))
    before = check(mask, tmp_path, bundle=alone).boxes
    voxels = mask.voxels.copy()
    voxels[5, 5, 6] = 0
    inside = check(mask.with_voxels(voxels), tmp_path, before=before, bundle=alone).prompts
    assert inside is not None
    assert (inside.changed, inside.since, inside.same_risk) == (0, "before", True)
    voxels[before[1].z, 12, 6] = 1
    moved = check(mask.with_voxels(voxels), tmp_path, before=before, bundle=alone).prompts
    assert moved is not None
    assert (moved.changed, moved.prompted, moved.same_risk) == (1, len(before), False)
    voxels[11, 5, 5] = 1  # one slice more at the head: all used slices change places
    shifted = check(mask.with_voxels(voxels), tmp_path, before=before).prompts
    assert shifted is not None
    assert shifted.changed > len(before)


@pytest.mark.parametrize("how", ["inside", "peak", "mask", "measured", "close up"])
def test_no_edit_leaves_the_risk_of_a_model_that_reads_the_mask_itself(
    tmp_path: Path, make_bundle: BundleMaker, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Memories inside the mask, a prompt that is the mask, statistics of what it covers, pictures cut around it."""
    if how == "measured":
        manifest = read_archive(find_bundle("demonstration")).manifest
        assert all(head.spec.statistics for head in manifest.heads)
        shown = msgspec.structs.replace(manifest, propagation=PropagationConfig("mean"))
        monkeypatch.setattr(checking, "read_archive", lambda _path: SimpleNamespace(manifest=shown))
    mask = make_mask()
    voxels = mask.voxels.copy()
    voxels[5, 5, 6] = 0
    reads = {
        "inside": PropagationConfig("mean", inside=True),
        "peak": PropagationConfig("mean", inside="peak"),
        "mask": PropagationConfig("mean", prompt=PromptConfig(kind="mask")),
        "close up": PropagationConfig("mean", close_up_mm=12),
    }
    bundle = str(make_bundle(propagation=reads[how])) if how in reads else "demonstration"
    before = check(mask, tmp_path, bundle=bundle).boxes
    found = check(mask.with_voxels(voxels), tmp_path, before=before, bundle=bundle).prompts
    assert found is not None and (found.changed, found.same_risk) == (0, False)


def test_boxes_are_those_that_scoring_makes(tmp_path: Path) -> None:
    from MemorySurvivalLib.roi.boxes import prompt_boxes

    mask = make_mask("SLP", TILT)
    straight = mask.reoriented()
    roi = Roi(Volume(straight.voxels > 0, straight.affine), "other", "test")
    assert check(mask, tmp_path).boxes == prompt_boxes(roi.mask, STEP)


def test_what_cannot_be_checked_is_said(tmp_path: Path) -> None:
    mask = make_mask()
    with pytest.raises(InputError, match="its file or its grid"):
        CheckMaskRequest(tmp_path / "mask.nrrd")
    with pytest.raises(InputError, match="voxels along every axis"):
        ImageGrid((4, 0, 4), grid_of(mask).index_to_lps)
    far = Affine.from_parts((1.5, 2.0, 4.0), np.eye(3), (5000, 0, 0))
    write_volume(Volume(mask.voxels, far), tmp_path / "far.nrrd")
    with pytest.raises(InputError, match="empty on the CT"):
        check_mask(CheckMaskRequest(tmp_path / "far.nrrd", grid=grid_of(mask)))
