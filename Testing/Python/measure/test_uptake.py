"""SUVpeak, volumes and diameters against what geometry says they must be."""

from __future__ import annotations

import numpy as np
import pytest
from measure_makers import all_bone, ball_case, phantom, rotation, true_roi

from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.measure.delineation import longest_mm, outline_lesion
from MemorySurvivalLib.measure.segments import measure_roi, measure_segments
from MemorySurvivalLib.measure.uptake import PEAK_RADIUS_MM, find_peak, measure_region, sphere_weights
from MemorySurvivalLib.roi.roi import Roi

SPACINGS = [(2.0, 2.0, 2.0), (4.0, 4.0, 5.0), (0.98, 0.98, 3.27), (5.5, 2.0, 3.0)]


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_the_peak_sphere_holds_one_cubic_centimetre(spacing_mm: tuple[float, float, float]) -> None:
    _, weights = sphere_weights(spacing_mm, PEAK_RADIUS_MM)
    assert weights.sum() * np.prod(spacing_mm) == pytest.approx(1000.0, rel=0.01)


def test_the_peak_of_a_uniform_ball_is_its_uptake() -> None:
    case = ball_case(((0.0, 0.0, 0.0), 15.0, 8.0))
    measure = measure_region(case, np.asarray(case.pet.voxels) > 4)
    assert measure.suv_peak == pytest.approx(8.0, abs=1e-4)
    assert measure.suv_max == pytest.approx(8.0, abs=1e-4)


def test_the_peak_of_a_small_ball_is_its_share_of_the_sphere() -> None:
    case = ball_case(((0.0, 0.0, 0.0), 4.0, 10.0), spacing_mm=(1.0, 1.0, 1.0), size_mm=40, background=0.0)
    measure = measure_region(case, np.asarray(case.pet.voxels) > 4)
    assert measure.suv_peak == pytest.approx(10.0 * (4.0 / PEAK_RADIUS_MM) ** 3, rel=0.02)


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_one_hot_voxel_counts_by_its_volume(spacing_mm: tuple[float, float, float]) -> None:
    suv = np.zeros((15, 21, 21), dtype=np.float32)
    suv[7, 10, 10] = 100.0
    peak, place = find_peak(suv, spacing_mm, np.argwhere(np.ones_like(suv)))
    assert peak == pytest.approx(100.0 * np.prod(spacing_mm) / 1000.0, rel=0.02)
    offset_mm = (place - (7, 10, 10)) * np.asarray(spacing_mm[::-1])
    assert np.linalg.norm(offset_mm) <= PEAK_RADIUS_MM


def test_a_sphere_cut_by_the_images_border_is_averaged_over_what_is_inside() -> None:
    suv = np.full((9, 9, 9), 3.0, dtype=np.float32)
    peak, _ = find_peak(suv, (2.0, 2.0, 2.0), np.asarray([[0, 0, 0]]))
    assert peak == pytest.approx(3.0)


def test_the_peak_on_a_fine_grid_does_not_depend_on_the_lattice_of_centres() -> None:
    rng = np.random.default_rng(3)
    suv = np.asarray(rng.random((30, 30, 30)), dtype=np.float32)
    z, y, x = np.indices(suv.shape)
    suv += 5 * np.exp(-((z - 14) ** 2 + (y - 15) ** 2 + (x - 17) ** 2) / 60.0).astype(np.float32)
    places = np.argwhere(np.ones_like(suv))
    found = [find_peak(suv, (1.0, 1.0, 1.0), places[shift:])[0] for shift in (0, 1, 31, 901)]
    assert np.ptp(found) < 0.01 * found[0]


@pytest.mark.parametrize("spacing_mm", SPACINGS[:3])
@pytest.mark.parametrize("tilted", [False, True])
def test_a_balls_volume_uptake_and_diameter(spacing_mm: tuple[float, float, float], tilted: bool) -> None:
    direction = rotation() if tilted else None
    case = ball_case(((6.0, -4.0, 3.0), 18.0, 10.0), spacing_mm=spacing_mm, direction=direction)
    spacing_zyx = (spacing_mm[2], spacing_mm[1], spacing_mm[0])
    own = np.argwhere(np.asarray(case.pet.voxels) > 1.0)
    outline = outline_lesion(np.asarray(case.pet.voxels), own, 0.41, spacing_zyx)
    volume_ml = len(outline.places) * np.prod(spacing_mm) / 1000
    assert outline.closed
    assert volume_ml == pytest.approx(4 / 3 * np.pi * 1.8**3, rel=0.12)  # voxels filled to 41 % count wholly
    assert outline.diameter_mm == pytest.approx(36.0, abs=1.3 * max(spacing_mm))


def test_the_diameter_of_a_rod_and_of_one_voxel() -> None:
    rod = np.asarray([[0, 0, x] for x in range(10)])
    assert longest_mm(rod, (3.0, 2.0, 2.0)) == pytest.approx(20.0)
    assert longest_mm(rod[:1], (3.0, 2.0, 2.0)) == pytest.approx(7 / 3)


def test_segments_are_measured_one_by_one() -> None:
    case = ball_case(((0.0, 0.0, 0.0), 15.0, 8.0))
    (row,) = measure_segments(case, all_bone(case))
    assert (row.name, row.label, row.group) == ("Block", 1, "bone")
    assert row.measure.volume_ml == pytest.approx(96**3 / 1000)
    assert row.measure.hu_mean == pytest.approx(40.0)
    assert row.measure.hu_sd == pytest.approx(0.0)
    assert row.measure.suv_median == pytest.approx(0.5)
    assert np.linalg.norm(row.measure.suv_max_lps_mm) < 15


def test_an_empty_region_is_refused() -> None:
    case = ball_case()
    with pytest.raises(ValueError, match="empty"):
        measure_region(case, np.zeros(case.ct.shape, dtype=np.bool_))


def test_the_same_patient_stored_another_way_measures_the_same() -> None:
    simulated, case, segmentation = phantom(21)
    straight = measure_segments(case, segmentation)
    turned = make_case(simulated.ct.reoriented("RAI"), simulated.pet.reoriented("SPR"))
    other = measure_segments(turned, type(segmentation)(
        segmentation.labels.reoriented("ASL"), segmentation.structures, segmentation.maker
    ))  # fmt: skip
    for one, two in zip(straight, other, strict=True):
        assert one.name == two.name
        assert one.measure.voxels == two.measure.voxels
        assert one.measure.hu_mean == pytest.approx(two.measure.hu_mean, abs=1e-3)
        assert one.measure.suv_mean == pytest.approx(two.measure.suv_mean, rel=1e-4)
        assert one.measure.suv_peak == pytest.approx(two.measure.suv_peak, rel=1e-4)
        assert one.measure.suv_max_lps_mm == pytest.approx(two.measure.suv_max_lps_mm, abs=1e-2)


def test_the_ct_grid_and_the_pets_own_grid_agree() -> None:
    simulated, case, _ = phantom(21)
    roi = true_roi(simulated, case)
    here = measure_roi(case, roi).measure
    mask = resample_onto(roi.mask.with_voxels(roi.mask.voxels.astype(np.uint8)), simulated.pet, linear=False)
    ct = resample_onto(simulated.ct, simulated.pet, linear=True, outside=-1000)
    own = type(case)(ct, simulated.pet, "LPS", True, {})
    there = measure_roi(own, Roi(Volume(mask.voxels != 0, mask.affine), "skeleton", "a test")).measure
    assert here.volume_ml == pytest.approx(there.volume_ml, rel=0.03)
    assert here.suv_mean == pytest.approx(there.suv_mean, rel=0.02)
    assert here.suv_median == pytest.approx(there.suv_median, rel=0.02)
    assert here.suv_peak == pytest.approx(there.suv_peak, rel=0.05)
    assert here.suv_max == pytest.approx(there.suv_max, rel=0.12)  # interpolation lowers single voxels
    assert here.suv_max <= float(simulated.pet.voxels.max()) + 1e-4
