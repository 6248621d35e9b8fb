"""Reference spheres: in the right organ, placed by a click, or refused with a sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from measure_makers import all_bone, ball_case, phantom, rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.measure.frame import make_frame
from MemorySurvivalLib.measure.reference import References, ReferenceSphere, find_references, sphere_at, sphere_voxels
from MemorySurvivalLib.roi.segments import Segmentation
from MemorySurvivalLib.simulation.tissues import Tissue

SEEDS = (21, 6)
"""The second has contrast agent in its vessels."""


def find(case: Case, segmentation: Segmentation) -> References:
    return find_references(case, segmentation, make_frame(case, segmentation))


def share_inside(case: Case, sphere: ReferenceSphere, truth: np.ndarray) -> float:
    places, weights = sphere_voxels(case, sphere.centre_lps_mm, sphere.diameter_mm)
    return float(np.average(truth[tuple(places.T)], weights=weights))


@pytest.mark.parametrize("seed", SEEDS)
def test_both_spheres_lie_in_their_organs(seed: int) -> None:
    simulated, case, segmentation = phantom(seed)
    tissues = np.asarray(simulated.phantom.labels.voxels)
    references = find(case, segmentation)
    liver, pool = references.liver, references.blood_pool
    assert liver is not None
    assert pool is not None
    assert share_inside(case, liver, tissues == Tissue.LIVER) == pytest.approx(1.0)
    assert share_inside(case, pool, tissues == Tissue.ARTERY) > 0.95
    middle = float(np.median(case.pet.voxels[(tissues == Tissue.LIVER) & (simulated.lesions.voxels == 0)]))
    assert liver.suv_mean == pytest.approx(middle, rel=0.15)
    assert liver.homogeneous


def cut(simulated_part: slice) -> tuple[Case, Segmentation]:
    """The phantom with some slices only."""
    _, case, segmentation = phantom(21)
    start, stop, _ = simulated_part.indices(case.ct.shape[0])
    low, high = (start, 0, 0), (stop, *case.ct.shape[1:])
    body = segmentation.body
    assert body is not None
    part = replace(segmentation, labels=segmentation.labels.cropped(low, high), body=body.cropped(low, high))
    return replace(case, ct=case.ct.cropped(low, high), pet=case.pet.cropped(low, high)), part


@pytest.mark.parametrize(
    ("name", "part"),
    [("pelvis and legs", slice(0, 70)), ("head and neck", slice(150, 190)), ("belly below the lungs", slice(30, 85))],
)
def test_without_the_organ_in_view_there_is_a_sentence_and_no_guess(name: str, part: slice) -> None:
    references = find(*cut(part))
    assert references.liver is None, name
    assert references.blood_pool is None, name
    assert any("liver" in note for note in references.notes)
    assert any("blood-pool" in note for note in references.notes)


def test_a_chest_alone_has_a_blood_pool_but_no_wrong_liver() -> None:
    simulated, _, _ = phantom(21)
    tissues = np.asarray(simulated.phantom.labels.voxels)
    top = int(np.flatnonzero((tissues == Tissue.LIVER).any(axis=(1, 2)))[-1])
    case, segmentation = cut(slice(top - 1, top + 40))
    references = find(case, segmentation)
    assert references.liver is None
    assert references.blood_pool is not None
    truth = tissues[top - 1 : top + 40] == Tissue.ARTERY
    assert share_inside(case, references.blood_pool, truth) > 0.95


def test_a_block_of_tissue_has_no_references() -> None:
    case = ball_case(((0.0, 0.0, 0.0), 40.0, 2.3))
    references = find(case, all_bone(case))
    assert references.liver is None
    assert references.blood_pool is None


def test_liver_lesions_are_kept_out_of_the_sphere() -> None:
    simulated, case, segmentation = phantom(21)
    tissues = np.asarray(simulated.phantom.labels.voxels)
    first = find(case, segmentation).liver
    assert first is not None
    index = case.ct.affine.points_mm(np.stack(np.indices(case.ct.shape)[::-1], axis=-1))
    lesion = (((index - np.asarray(first.centre_lps_mm)) ** 2).sum(axis=-1) < 12.0**2) & (tissues == Tissue.LIVER)
    hot = np.where(lesion, 9.0, case.pet.voxels).astype(np.float32)
    second = find(replace(case, pet=case.pet.with_voxels(hot)), segmentation)
    if second.liver is None:
        assert any("liver" in note for note in second.notes)
    else:
        assert share_inside(case, second.liver, lesion) == 0.0


def test_turned_files_give_the_same_spheres() -> None:
    simulated, case, segmentation = phantom(21)
    other = make_case(simulated.ct.reoriented("SAR"), simulated.pet.reoriented("RPI"))
    one, two = find(case, segmentation), find(other, segmentation)
    assert one.liver is not None
    assert two.liver is not None
    assert one.liver.centre_lps_mm == pytest.approx(two.liver.centre_lps_mm, abs=0.01)
    assert one.liver.suv_mean == pytest.approx(two.liver.suv_mean, rel=1e-4)


def test_a_patient_lying_askew_gives_the_same_uptake() -> None:
    _, case, segmentation = phantom(21)
    turn = np.eye(4)
    turn[:3, :3] = rotation()
    affine = Affine(turn @ case.ct.affine.matrix)
    askew = replace(case, ct=Volume(case.ct.voxels, affine), pet=Volume(case.pet.voxels, affine))
    body = segmentation.body
    assert body is not None
    labels = replace(segmentation, labels=Volume(segmentation.labels.voxels, affine), body=Volume(body.voxels, affine))
    one, two = find(case, segmentation), find(askew, labels)
    assert one.liver is not None
    assert two.liver is not None
    assert two.liver.suv_mean == pytest.approx(one.liver.suv_mean, rel=1e-3)
    assert np.asarray(two.liver.centre_lps_mm) == pytest.approx(rotation() @ one.liver.centre_lps_mm, abs=0.05)


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (4.0, 4.0, 5.0), (1.0, 1.0, 3.3)])
@pytest.mark.parametrize("tilted", [False, True])
def test_a_sphere_placed_by_hand_weighs_partial_voxels(spacing_mm: tuple[float, float, float], tilted: bool) -> None:
    centre = (3.3, -2.2, 1.7)
    case = ball_case((centre, 15.0, 6.0), spacing_mm=spacing_mm, direction=rotation() if tilted else None)
    sphere = sphere_at(case, centre, 20.0)
    assert sphere.suv_mean == pytest.approx(6.0, abs=0.06)
    wide = sphere_at(case, centre, 40.0)
    assert wide.suv_mean == pytest.approx(0.5 + 5.5 * (15 / 20) ** 3, rel=0.03)
    assert not wide.homogeneous
    assert "not homogeneous" in " ".join(wide.quality)


@pytest.mark.parametrize(
    ("point", "diameter", "sentence"),
    [
        ((500.0, 0.0, 0.0), 30.0, "leaves the image"),
        ((45.0, 0.0, 0.0), 30.0, "leaves the image"),
        ((float("nan"), 0.0, 0.0), 30.0, "finite"),
        ((0.0, 0.0, 0.0), 0.0, "diameter"),
    ],
)
def test_a_sphere_outside_is_refused(point: tuple[float, float, float], diameter: float, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        sphere_at(ball_case(), point, diameter, "liver")
