"""Where the head begins, by each of the rules, however the image lies; and images without it."""

from __future__ import annotations

import numpy as np
import pytest

from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto
from MemorySurvivalLib.privacy.head import (
    AIR_HU,
    HEADLESS_NOTE,
    PRECAUTION_NOTE,
    Head,
    above,
    find_head,
    head_note,
    leave_head_out,
    shows_head,
)
from MemorySurvivalLib.roi.segments import Code, Maker, Segmentation, Structure, StructureGroup
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case
from MemorySurvivalLib.simulation.tissues import Tissue


@pytest.fixture(scope="module")
def case() -> SimulatedCase:
    return simulate_case(2, spacing_mm=(8.0, 8.0, 6.0))


def face_points_mm(case: SimulatedCase) -> np.ndarray:
    """Where eyes and mandible are (LPS)."""
    labels = case.phantom.labels
    z, y, x = np.nonzero(np.isin(labels.voxels, [Tissue.EYE, Tissue.MANDIBLE]))
    return labels.affine.points_mm(np.stack([x, y, z], axis=1))


def named(case: SimulatedCase, *tissues: Tissue) -> Segmentation:
    """A label map of some of the phantom's bones."""
    labels = case.phantom.labels
    groups: dict[bool, StructureGroup] = {True: "vertebra", False: "bone"}
    structures = {
        int(one): Structure(
            one.name if one < Tissue.SACRUM else one.name.lower(),
            groups[one < Tissue.SACRUM],
            Code("1", "SCT", one.name),
        )
        for one in tissues
    }
    kept = np.where(np.isin(labels.voxels, list(structures)), labels.voxels, 0).astype(np.uint8)
    return Segmentation(Volume(kept, labels.affine), structures, Maker("test"))


def turned(volume: Volume, degrees: float = 12.0) -> Volume:
    """The same patient on a grid that is tilted about the x axis."""
    angle = np.deg2rad(degrees)
    direction = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    centre = volume.affine.points_mm([(n - 1) / 2 for n in reversed(volume.shape)])
    half = np.array([(n - 1) / 2 * s for n, s in zip(reversed(volume.shape), volume.spacing_mm, strict=True)])
    grid = Volume(
        np.zeros(volume.shape, np.uint8), Affine.from_parts(volume.spacing_mm, direction, centre - direction @ half)
    )
    return resample_onto(volume, grid, linear=True, outside=AIR_HU)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SPR", "AIL"])
def test_the_brain_shows_where_the_head_is_whatever_way_the_axes_run(case: SimulatedCase, orientation: str) -> None:
    straight = find_head(case.ct)
    head = find_head(case.ct.reoriented(orientation))
    assert head.from_z_mm == pytest.approx(straight.from_z_mm, abs=1e-6)
    assert head.known and "brain" in head.rule


def test_the_face_is_gone_from_straight_and_oblique_images(case: SimulatedCase) -> None:
    for ct in (case.ct, case.ct.reoriented("RAS"), turned(case.ct)):
        head = find_head(ct)
        left = leave_head_out(ct, head, AIR_HU)
        assert left.same_grid(ct)
        assert shows_head(ct, head, background=-300.0)
        assert not shows_head(left, head, background=-300.0)
        index = np.round(ct.affine.indices(face_points_mm(case))).astype(int)
        inside = ((index >= 0) & (index < ct.shape[::-1])).all(axis=1)
        x, y, z = index[inside].T
        assert len(x) > 20
        assert (left.voxels[z, y, x] <= AIR_HU).all()


def test_the_chest_stays(case: SimulatedCase) -> None:
    left = leave_head_out(case.ct, find_head(case.ct), AIR_HU)
    lungs = case.phantom.labels.voxels == Tissue.LUNG
    same = resample_onto(Volume(lungs.astype(np.uint8), case.phantom.labels.affine), case.ct, linear=False).voxels > 0
    assert (left.voxels[same] == case.ct.voxels[same]).mean() > 0.97


def test_known_bones_decide(case: SimulatedCase) -> None:
    blind = Volume(np.full(case.ct.shape, 40, np.int16), case.ct.affine)
    bones = named(case, Tissue.MANDIBLE, Tissue.SKULL)
    head = find_head(blind, bones)
    chin = face_points_mm(case)[:, 2].min()
    assert head.from_z_mm is not None
    assert chin - 20 < head.from_z_mm < chin
    neck = find_head(blind, named(case, Tissue.C4, Tissue.C5))
    assert neck.from_z_mm is not None and "C4" in neck.rule
    assert abs(neck.from_z_mm - chin) < 40
    assert "C1 to C3" in find_head(blind, named(case, Tissue.C2, Tissue.C3)).rule


def test_an_image_that_ends_below_the_neck_shows_no_head(case: SimulatedCase) -> None:
    body = case.ct.cropped((0, 0, 0), (case.ct.shape[0] // 2, *case.ct.shape[1:]))
    head = find_head(body, named(case, Tissue.L3, Tissue.T12))
    assert head.from_z_mm is None
    assert head_note(head) == "" and not above(body, head).any()
    assert leave_head_out(body, head) is body


def test_where_nothing_is_known_it_is_said_and_the_top_goes(case: SimulatedCase) -> None:
    body = case.ct.cropped((0, 0, 0), (case.ct.shape[0] // 2, *case.ct.shape[1:]))
    head = find_head(body)
    assert not head.known and head.from_z_mm is not None
    top = body.affine.points_mm((0, 0, body.shape[0] - 1))[2]
    assert top - head.from_z_mm == pytest.approx(300.0)
    assert head_note(head) == PRECAUTION_NOTE
    air = Volume(np.full((4, 5, 6), -1000, np.int16), body.affine)
    assert find_head(air).from_z_mm is None


def test_ct_and_pet_without_the_head_keep_their_grids(case: SimulatedCase) -> None:
    head = find_head(case.ct)
    ct, pet = leave_head_out(case.ct, head, AIR_HU), leave_head_out(case.pet, head)
    assert ct.same_grid(case.ct) and pet.same_grid(case.pet)
    assert shows_head(case.ct, head, -300.0) and not shows_head(ct, head, -300.0) and not shows_head(pet, head)
    assert head_note(head) == HEADLESS_NOTE


def test_masks_keep_their_type() -> None:
    mask = Volume(np.ones((4, 3, 3), dtype=bool), Affine.from_parts((1, 1, 1), np.eye(3), (0, 0, 0)))
    left = leave_head_out(mask, Head(2.0, ""))
    assert left.voxels.dtype == np.bool_
    assert left.voxels.any(axis=(1, 2)).tolist() == [True, True, False, False]
