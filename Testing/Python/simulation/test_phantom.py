"""The phantom against what a reader of PET/CT expects: anatomy, attenuation, uptake, geometry, repeatability."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.simulation.anatomy import Phantom, build_phantom
from MemorySurvivalLib.simulation.body_plan import Distractors, PhantomSpec, draw_spec
from MemorySurvivalLib.simulation.disease import Disease, Focus
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue
from MemorySurvivalLib.simulation.uptake import simulate_pet

SPEC = PhantomSpec(spacing_mm=(4.0, 4.0, 4.0))
SEED = 5


def core(phantom: Phantom, *tissues: Tissue) -> npt.NDArray[np.bool_]:
    """Voxels of the tissues without their outermost layer."""
    return ndimage.binary_erosion(np.isin(phantom.labels.voxels, tissues))


def hu(phantom: Phantom, *tissues: Tissue) -> float:
    return float(np.median(phantom.ct.voxels[core(phantom, *tissues)]))


def suv_on_ct(phantom: Phantom) -> npt.NDArray[np.float32]:
    pet = simulate_pet(phantom, SEED)
    return np.asarray(resample_onto(pet, phantom.ct, linear=True).voxels, dtype=np.float32)


@pytest.fixture(scope="module")
def healthy() -> Phantom:
    return build_phantom(SPEC, SEED)


@pytest.fixture(scope="module")
def healthy_suv(healthy: Phantom) -> npt.NDArray[np.float32]:
    return suv_on_ct(healthy)


def test_the_same_seed_gives_the_same_voxels_and_another_seed_does_not(healthy: Phantom) -> None:
    again, other = build_phantom(SPEC, SEED), build_phantom(SPEC, SEED + 1)
    assert again.ct.sha256() == healthy.ct.sha256()
    assert simulate_pet(again, SEED).sha256() == simulate_pet(healthy, SEED).sha256()
    assert other.ct.sha256() != healthy.ct.sha256()


def test_disease_leaves_the_anatomy_as_it_was(healthy: Phantom) -> None:
    sick = build_phantom(SPEC, SEED, Disease((Focus("focal", 20, 8, True),), 0.6))
    np.testing.assert_array_equal(sick.labels.voxels, healthy.labels.voxels)


def test_every_tissue_is_there(healthy: Phantom) -> None:
    present = set(np.unique(healthy.labels.voxels))
    # These need arms down, an implant or a female body.
    optional = {Tissue.IMPLANT, Tissue.BREAST, Tissue.FOREARM_LEFT, Tissue.FOREARM_RIGHT}
    assert {tissue for tissue in Tissue if tissue not in present} <= optional


@pytest.mark.parametrize(
    ("tissues", "low", "high"),
    [
        ((Tissue.OUTSIDE,), -1024, -985),
        ((Tissue.LUNG,), -900, -700),
        ((Tissue.FAT,), -125, -85),
        ((Tissue.MUSCLE,), 40, 65),
        ((Tissue.LIVER,), 40, 75),
        ((Tissue.SPLEEN,), 40, 60),
        ((Tissue.BLADDER,), -5, 20),
        ((Tissue.GREY_MATTER, Tissue.WHITE_MATTER), 20, 45),
        ((Tissue.HEART_BLOOD,), 32, 55),
        (VERTEBRAE[19:], 80, 320),
        ((Tissue.SKULL,), 350, 1500),
    ],
)
def test_attenuation_is_that_of_the_tissue(
    healthy: Phantom, tissues: tuple[Tissue, ...], low: float, high: float
) -> None:
    assert low <= hu(healthy, *tissues) <= high


@pytest.mark.parametrize(
    ("tissue", "low", "high"),
    [
        (Tissue.GREY_MATTER, 5, 20),
        (Tissue.BLADDER, 5, 80),
        (Tissue.KIDNEY, 1.8, 12),
        (Tissue.LIVER, 1.5, 3.3),
        (Tissue.SPLEEN, 1.1, 2.8),
        (Tissue.MUSCLE, 0.4, 1.1),
        (Tissue.LUNG, 0.2, 0.8),
        (Tissue.L3, 0.6, 1.8),
    ],
)
def test_uptake_is_that_of_the_organ(
    healthy: Phantom, healthy_suv: npt.NDArray[np.float32], tissue: Tissue, low: float, high: float
) -> None:
    assert low <= float(np.median(healthy_suv[core(healthy, tissue)])) <= high


def test_brain_and_bladder_are_hotter_than_the_liver_and_healthy_marrow_is_colder(
    healthy: Phantom, healthy_suv: npt.NDArray[np.float32]
) -> None:
    def mean(*tissues: Tissue) -> float:
        return float(healthy_suv[core(healthy, *tissues)].mean())

    liver = mean(Tissue.LIVER)
    assert min(mean(Tissue.GREY_MATTER), mean(Tissue.BLADDER)) > 2 * liver
    assert mean(*VERTEBRAE[7:]) < 0.8 * liver


def test_the_grid_runs_from_the_vertex_to_the_middle_of_the_thigh(healthy: Phantom) -> None:
    assert healthy.ct.affine.orientation == "LPS"
    np.testing.assert_allclose(healthy.ct.spacing_mm, SPEC.spacing_mm)
    assert healthy.ct.voxels.dtype == np.int16
    labels = healthy.labels.voxels
    assert set(np.unique(labels[-1])).isdisjoint({Tissue.SKULL, Tissue.GREY_MATTER})  # arms may be cut, not the head
    bottom = set(np.unique(labels[0]))
    assert {Tissue.FEMUR_LEFT, Tissue.FEMUR_RIGHT} <= bottom
    assert not labels[:, :, 0].any() and not labels[:, :, -1].any()  # nobody is cut off at the sides
    assert 900 < healthy.ct.shape[0] * 4 < 1100


def test_vertebrae_are_stacked_from_top_to_bottom_and_left_is_on_the_left(healthy: Phantom) -> None:
    centres = ndimage.center_of_mass(np.ones(healthy.ct.shape), healthy.labels.voxels, [int(v) for v in BONES])
    place = dict(zip(BONES, centres, strict=True))
    levels = [place[v][0] for v in VERTEBRAE]
    assert all(upper > lower for upper, lower in pairwise(levels))
    x = {bone: healthy.ct.affine.points_mm(place[bone][::-1])[0] for bone in (Tissue.HIP_LEFT, Tissue.HIP_RIGHT)}
    assert x[Tissue.HIP_LEFT] > 40 and x[Tissue.HIP_RIGHT] < -40
    liver = ndimage.center_of_mass(healthy.labels.voxels == Tissue.LIVER)
    assert healthy.ct.affine.points_mm(liver[::-1])[0] < -20


def test_pet_has_its_own_grid_that_covers_the_ct(healthy: Phantom) -> None:
    pet = simulate_pet(healthy, SEED)
    assert pet.voxels.dtype == np.float32 and float(pet.voxels.min()) >= 0
    assert pet.spacing_mm != healthy.ct.spacing_mm
    (nz, ny, nx), ct = healthy.ct.shape, healthy.ct.affine
    low, high = pet.affine.indices(ct.points_mm((0, 0, 0))), pet.affine.indices(ct.points_mm((nx - 1, ny - 1, nz - 1)))
    assert (low >= 0).all()
    assert (high <= np.asarray(pet.shape[::-1]) - 1).all()


def test_the_skin_is_closed_and_one_piece(healthy: Phantom) -> None:
    _, pieces = ndimage.label(healthy.labels.voxels > 0)
    assert pieces == 1


def test_a_thick_layer_of_fat_has_no_corners() -> None:
    # The fat's outline must be as far from the thigh's muscle in every direction.
    spec = replace(SPEC, sex="female", height_cm=160.0, weight_kg=95.0, arms="up")
    labels = build_phantom(spec, SEED).labels.voxels
    level = labels[8, :, labels.shape[2] // 2 :]
    muscle = ndimage.distance_transform_edt(~((level == Tissue.MUSCLE) | (level >= Tissue.C1)), sampling=(4, 4))
    skin = muscle[(level > 0) & ~ndimage.binary_erosion(level > 0, border_value=1)]
    assert float(np.percentile(skin, 95) - np.percentile(skin, 5)) < 14


FOCI = (
    *(Focus("focal", 18, 9, True) for _ in range(8)),
    *(Focus("focal", 18, 9, False) for _ in range(8)),
    *(Focus("paramedullary", 35, 9, True) for _ in range(3)),
    *(Focus("extramedullary", 30, 9, True) for _ in range(4)),
)


@pytest.fixture(scope="module")
def sick() -> Phantom:
    return build_phantom(SPEC, SEED, Disease(FOCI))


def test_focal_lesions_lie_in_bone_and_extramedullary_ones_outside(sick: Phantom) -> None:
    labels, lesions = sick.labels.voxels, sick.lesions.voxels
    assert len(sick.foci) == len(FOCI)
    for number, focus in enumerate(sick.foci, start=1):
        under = labels[lesions == number]
        in_bone = float(np.isin(under, BONES).mean()) if len(under) else 1.0
        if focus.kind == "focal":
            assert in_bone == 1.0, (number, focus.site)
        elif focus.kind == "paramedullary":
            assert 0 < in_bone < 1, (number, focus.site)
        else:
            assert in_bone < 0.5, (number, focus.site)
        assert not len(under) or under.min() > 0


def test_lesions_are_hot_and_lytic_ones_are_holes(
    sick: Phantom, healthy: Phantom, healthy_suv: npt.NDArray[np.float32]
) -> None:
    suv = suv_on_ct(sick)
    lytic_drop, hot = [], []
    for number, focus in enumerate(sick.foci, start=1):
        where = sick.lesions.voxels == number
        if not where.any():
            continue
        hot.append(float(suv[where].max() - healthy_suv[where].max()))
        if focus.kind == "focal" and focus.lytic:
            lytic_drop.append(float(np.mean(healthy.ct.voxels[where]) - np.mean(sick.ct.voxels[where])))
    assert np.mean(np.asarray(hot) > 1.5) > 0.85
    assert np.median(lytic_drop) > 80


def test_fdg_negative_lesions_are_seen_on_ct_only(healthy_suv: npt.NDArray[np.float32]) -> None:
    cold = build_phantom(SPEC, SEED, Disease(tuple(Focus("focal", 20, 1.3, True) for _ in range(8)), avidity=0.1))
    where = cold.lesions.voxels > 0
    assert abs(float(suv_on_ct(cold)[where].mean() - healthy_suv[where].mean())) < 0.5


def test_infiltrated_marrow_is_hotter_than_the_liver(healthy: Phantom) -> None:
    sick = build_phantom(SPEC, SEED, Disease((), marrow_infiltration=0.8))
    suv = suv_on_ct(sick)
    assert suv[core(sick, *VERTEBRAE[19:])].mean() > suv[core(sick, Tissue.LIVER)].mean()
    assert hu(sick, *VERTEBRAE[19:]) < hu(healthy, *VERTEBRAE[19:]) - 15


def test_benign_findings_look_as_they_should(healthy: Phantom) -> None:
    found = Distractors(
        fracture=Tissue.L1, degeneration=(Tissue.L4,), implant="left", contrast=True, marrow_stimulation=2.0
    )
    phantom = build_phantom(replace(SPEC, distractors=found), SEED)
    assert (phantom.labels.voxels == Tissue.L1).sum() < 0.9 * (healthy.labels.voxels == Tissue.L1).sum()
    assert (phantom.labels.voxels == Tissue.L4).sum() > 1.03 * (healthy.labels.voxels == Tissue.L4).sum()
    assert phantom.ct.voxels[phantom.labels.voxels == Tissue.IMPLANT].max() > 2500
    implant = ndimage.center_of_mass(phantom.labels.voxels == Tissue.IMPLANT)
    assert phantom.ct.affine.points_mm(implant[::-1])[0] > 50
    assert hu(phantom, Tissue.ARTERY) > hu(healthy, Tissue.ARTERY) + 80
    stimulated, normal = (suv_on_ct(p)[core(p, Tissue.L3)].mean() for p in (phantom, healthy))
    assert stimulated > 1.5 * normal


def test_no_benign_finding_counts_as_a_lesion() -> None:
    found = Distractors(Tissue.L1, (Tissue.L4,), "left", True, 2.0)
    assert not build_phantom(replace(SPEC, distractors=found), SEED).lesions.voxels.any()


def test_bodies_differ_as_their_measures_say(healthy: Phantom) -> None:
    def litres(volume: Volume) -> float:
        return float((volume.voxels > 0).sum() * np.prod(volume.spacing_mm) / 1e6)

    heavy = build_phantom(replace(SPEC, weight_kg=110.0), SEED)
    assert litres(heavy.labels) > 1.15 * litres(healthy.labels)
    tall = build_phantom(replace(SPEC, height_cm=192.0), SEED)
    assert tall.ct.shape[0] > healthy.ct.shape[0]
    brittle = build_phantom(replace(SPEC, bone_density=0.5), SEED)
    assert hu(brittle, *VERTEBRAE[19:]) < hu(healthy, *VERTEBRAE[19:]) - 40
    down = build_phantom(replace(SPEC, arms="down"), SEED)
    humerus = [ndimage.center_of_mass(p.labels.voxels == Tissue.HUMERUS_LEFT)[0] for p in (down, healthy)]
    assert humerus[0] < humerus[1]


@pytest.mark.parametrize("seed", range(4))
def test_anybody_who_is_drawn_can_be_built(seed: int) -> None:
    spec = draw_spec(np.random.default_rng(seed), (8.0, 8.0, 8.0))
    phantom = build_phantom(spec, seed)
    assert (phantom.labels.voxels == Tissue.L3).any()


def test_measures_of_nobody_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        PhantomSpec(height_cm=90.0)
    assert str(caught.value) == (
        "A phantom of 90 cm and 78 kg cannot be built; give a height of 130-215 cm and a weight of 30-200 kg."
    )
    with pytest.raises(InputError) as caught:
        PhantomSpec(spacing_mm=(4.0, 0.0, 4.0))
    assert str(caught.value) == (
        "The voxel spacing (4.0, 0.0, 4.0) mm cannot be simulated; give 0.5 to 10 mm along every axis."
    )
