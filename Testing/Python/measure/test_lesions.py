"""The lesion list: what is found, what is told apart, and what its numbers are."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest
from measure_makers import Ball, all_bone, ball_case, make_structure, phantom, rotation, true_roi, whole

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.basins import divide
from MemorySurvivalLib.measure.frame import make_frame
from MemorySurvivalLib.measure.lesion import LesionConfig, threshold_suv
from MemorySurvivalLib.measure.lesions import LesionList, find_lesions
from MemorySurvivalLib.measure.organs import HotSpot, find_organs
from MemorySurvivalLib.measure.reference import References, ReferenceSphere
from MemorySurvivalLib.measure.tables import MeasurementRecord
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Segmentation
from MemorySurvivalLib.simulation.tissues import Tissue

ONE: Ball = ((-20.0, 5.0, 0.0), 12.0, 10.0)
TWO: Ball = ((25.0, -5.0, 10.0), 10.0, 6.0)


def find(case: Case, config: LesionConfig | None = None, roi: Roi | None = None) -> LesionList:
    segmentation = all_bone(case)
    frame = make_frame(case, segmentation)
    return find_lesions(case, segmentation, roi or whole(case), frame, References(), config or LesionConfig())


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (4.0, 4.0, 5.0), (1.5, 2.0, 3.3)])
@pytest.mark.parametrize("tilted", [False, True])
def test_two_balls_are_two_lesions_with_their_own_volumes(spacing_mm: tuple[float, float, float], tilted: bool) -> None:
    case = ball_case(ONE, TWO, spacing_mm=spacing_mm, direction=rotation() if tilted else None)
    found = find(case)
    assert [lesion.kind for lesion in found.lesions] == ["focal", "focal"]
    for lesion, (centre, radius, suv) in zip(found.lesions, (ONE, TWO), strict=True):
        true_ml = 4 / 3 * np.pi * (radius / 10) ** 3
        assert lesion.suv_max == pytest.approx(suv, rel=1e-3)
        assert lesion.mtv_ml == pytest.approx(true_ml, rel=0.35 if min(spacing_mm) > 3 else 0.2)
        assert lesion.tlg_g == pytest.approx((lesion.suv_mean or 0) * (lesion.mtv_ml or 0))
        assert lesion.diameter_mm == pytest.approx(2 * radius, abs=1.3 * max(spacing_mm))
        assert lesion.centre_lps_mm == pytest.approx(centre, abs=0.5)
        assert lesion.site == "Block"
    assert found.totals.mtv_ml == pytest.approx(sum(lesion.mtv_ml or 0 for lesion in found.lesions))
    for lesion in found.lesions:
        count = np.count_nonzero(found.labels.voxels == lesion.number)
        assert count * np.prod(spacing_mm) / 1000 == pytest.approx(lesion.mtv_ml)


def test_each_lesion_is_outlined_by_its_own_maximum() -> None:
    """A hot lesion must not raise the level of a fainter one: 41 % of 20 is more than all of the second."""
    hot: Ball = (ONE[0], 12.0, 20.0)
    alone, both = find(ball_case(TWO)), find(ball_case(hot, TWO))
    assert both.lesions[1].suv_max < 0.41 * both.lesions[0].suv_max
    assert both.lesions[1].mtv_ml == pytest.approx(alone.lesions[0].mtv_ml)


def test_no_volume_by_a_share_of_the_whole_region_is_offered() -> None:
    names = {field.name for field in fields(LesionConfig)}
    assert not any("share" in name or "percent" in name or "41" in name for name in names)
    with pytest.raises(InputError, match="unknown"):
        LesionConfig(threshold="41 %")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        LesionConfig(share_of_maximum=0.41)  # type: ignore[call-arg]
    assert "share" not in inspect.signature(find_lesions).parameters
    region = next(field for field in fields(MeasurementRecord) if field.name == "roi")
    assert "mtv" not in str(region)


def test_touching_lesions_are_split_where_uptake_falls_between_them() -> None:
    case = ball_case(((-13.0, 0.0, 0.0), 11.0, 10.0), ((13.0, 0.0, 0.0), 11.0, 9.0), background=3.0)
    assert len(find(case, LesionConfig(focal_contrast=1.01)).lesions) == 2
    merged = find(case, LesionConfig(prominence=0.9, focal_contrast=1.01))
    assert len(merged.lesions) == 1


def test_prominence_decides_between_one_peak_and_two() -> None:
    uptake = np.zeros((3, 3, 12), dtype=np.float32)
    uptake[1, 1] = [1, 5, 10, 8, 6.2, 7, 8, 5, 2, 1, 1, 1]
    assert len(divide(uptake, 1.0, 0.20).peaks) == 2  # 6.2 lies 22 % below the lower peak of 8
    assert len(divide(uptake, 1.0, 0.25).peaks) == 1
    split = divide(uptake, 1.0, 0.20)
    assert sorted(len(group) for group in split.groups()) == [4, 8] or sorted(map(len, split.groups())) == [5, 7]


def test_plateaus_belong_to_one_basin() -> None:
    uptake = np.full((4, 5, 6), 3.0, dtype=np.float32)
    assert len(divide(uptake, 1.0, 0.25).peaks) == 1


def test_nothing_above_the_level_is_no_basin() -> None:
    assert len(divide(np.zeros((3, 3, 3), dtype=np.float32), 1.0, 0.25).peaks) == 0
    found = find(ball_case())
    assert found.lesions == ()
    assert found.totals.suv_max is None


def test_small_and_faint_uptake_is_left_out() -> None:
    assert find(ball_case(((0.0, 0.0, 0.0), 3.0, 30.0))).lesions == ()
    assert find(ball_case(((0.0, 0.0, 0.0), 12.0, 3.9))).lesions == ()
    assert len(find(ball_case(((0.0, 0.0, 0.0), 12.0, 3.9)), LesionConfig(suv=2.5)).lesions) == 1


def test_marrow_as_hot_as_the_lesion_is_called_diffuse() -> None:
    case = ball_case(((0.0, 0.0, 0.0), 12.0, 6.0), background=4.6)
    (lesion,) = find(case).lesions
    assert lesion.kind == "diffuse"
    assert lesion.mtv_ml is None


def test_a_lesion_on_warm_marrow_counts_but_has_no_volume() -> None:
    case = ball_case(((0.0, 0.0, 0.0), 12.0, 6.0), background=3.0)
    found = find(case)
    assert [lesion.kind for lesion in found.lesions] == ["focal"]
    assert found.lesions[0].mtv_ml is None
    assert found.totals.without_volume == 1
    assert any("no volume" in note for note in found.notes)


def test_uptake_that_leads_out_of_the_region_is_spill_in() -> None:
    case = ball_case(((20.0, 0.0, 0.0), 20.0, 12.0))
    z, y, x = np.indices(case.ct.shape)
    half = case.ct.affine.points_mm(np.stack([x, y, z], axis=-1))[..., 0] < 4.0
    segmentation = replace(all_bone(case), labels=Volume(half.astype(np.uint8), case.ct.affine))
    roi = Roi(Volume(half, case.ct.affine), "other", "a test")
    found = find_lesions(case, segmentation, roi, make_frame(case, segmentation), References())
    (lesion,) = found.lesions
    assert lesion.kind == "spill-in"
    assert lesion.spill_in == "uptake outside the region"
    assert found.totals.focal == 0
    assert found.totals.mtv_ml == 0
    assert any("not counted" in note for note in found.notes)


@pytest.mark.parametrize("name", ["brain", "bladder", "kidney"])
def test_physiologic_organs_are_named(name: str) -> None:
    """With the whole body as region, the hot organs must be named and not counted as lesions."""
    simulated, case, _ = phantom(21)
    tissues = np.asarray(simulated.phantom.labels.voxels)
    found = _body_list(21)
    truth = {
        "brain": np.isin(tissues, (Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.CEREBELLUM)),
        "bladder": tissues == Tissue.BLADDER,
        "kidney": np.isin(tissues, (Tissue.KIDNEY, Tissue.RENAL_PELVIS)),
    }[name]
    here = {lesion.spill_in for lesion in found.lesions if truth[_index(case, lesion.suv_max_lps_mm)]}
    assert name in here


def test_a_mass_before_the_sacrum_is_no_bladder() -> None:
    """Soft tissue nearer to the sacral canal than any bladder lies, and the middle of the bladder itself."""
    simulated, case, segmentation = phantom(21)
    frame = make_frame(case, segmentation)
    organs = find_organs(frame)
    assert frame.spine_z is not None
    z = frame.spine_z[0]
    middle, canal = round(float(frame.mid_x[z])), float(frame.canal_y[z])
    rows = [y for y in range(frame.hu.shape[1]) if 18 < (canal - y) * frame.spacing_mm[1] < 42]
    soft = [(y, x) for y in rows for x in range(middle - 8, middle + 9) if -30 < frame.hu[z, y, x] < 60]
    assert len(soft) > 10
    for y, x in soft:
        point = frame.grid.affine.points_mm((x, y, z))
        spot = HotSpot((float(point[0]), float(point[1]), float(point[2])), 20.0, 20.0)
        assert organs.name(spot) != "bladder"
    bladder = np.argwhere(simulated.phantom.labels.voxels == Tissue.BLADDER).mean(axis=0)[::-1]
    x_mm, y_mm, z_mm = (float(v) for v in case.ct.affine.points_mm(bladder))
    assert organs.name(HotSpot((x_mm, y_mm, z_mm), 60.0, 60.0)) == "bladder"


def _index(case: Case, point: tuple[float, float, float]) -> tuple[int, int, int]:
    x, y, z = np.rint(case.ct.affine.indices(point)).astype(int)
    return int(z), int(y), int(x)


def _body_list(seed: int) -> LesionList:
    simulated, case, segmentation = phantom(seed)
    body = Volume(simulated.phantom.labels.voxels > 0, case.ct.affine)
    frame = make_frame(case, segmentation)
    return find_lesions(case, segmentation, Roi(body, "other", "a test"), frame, References())


def test_avid_lesions_of_a_phantom_are_found_and_spill_in_is_not() -> None:
    simulated, case, segmentation = phantom(21)
    roi = true_roi(simulated, case)
    found = find_lesions(case, segmentation, roi, make_frame(case, segmentation), References())
    focal = [lesion for lesion in found.lesions if lesion.kind == "focal"]
    truth = simulated.lesions.voxels
    hit = {int(v) for lesion in focal for v in np.unique(truth[found.labels.voxels == lesion.number]) if v}
    large = {n for n, focus in enumerate(simulated.phantom.foci, start=1) if focus.kind == "focal"}
    visible = {n for n in large if case.pet.voxels[truth == n].max() >= 5.0}
    assert visible
    assert visible <= hit
    assert len(focal) <= len(hit)
    assert all(lesion.spill_in for lesion in found.lesions if lesion.kind == "spill-in")


def test_thresholds_relative_to_the_liver() -> None:
    liver = ReferenceSphere("liver", (0.0, 0.0, 0.0), 30.0, 2.0, 0.2, 2.5, 55.0, 8.0, "a test")
    assert threshold_suv(LesionConfig("liver"), References(liver)) == pytest.approx(3.0)
    assert threshold_suv(LesionConfig("percist"), References(liver)) == pytest.approx(3.4)
    assert threshold_suv(LesionConfig(suv=2.5), References()) == 2.5
    with pytest.raises(InputError, match="--liver-at"):
        threshold_suv(LesionConfig("liver"), References())


@pytest.mark.parametrize(
    "wrong", [{"suv": 0.0}, {"suv": float("nan")}, {"least_volume_ml": -1.0}, {"prominence": 1.0}, {"margin_mm": 0.0}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        LesionConfig(**wrong)  # type: ignore[arg-type]


def test_the_site_is_the_bone_at_the_maximum_or_the_nearest() -> None:
    case = ball_case(ONE, TWO)
    labels = np.zeros(case.ct.shape, dtype=np.uint8)
    z, y, x = np.indices(case.ct.shape)
    points = case.ct.affine.points_mm(np.stack([x, y, z], axis=-1))
    labels[points[..., 0] < 0] = 1
    labels[points[..., 0] > 45] = 2
    structures = {1: make_structure("L1", "vertebra"), 2: make_structure("Rib", "bone")}
    segmentation: Segmentation = replace(all_bone(case), labels=Volume(labels, case.ct.affine), structures=structures)
    found = find_lesions(case, segmentation, whole(case), make_frame(case, segmentation), References())
    assert [lesion.site for lesion in found.lesions] == ["L1", "Rib"]
    assert found.lesions[0].site_distance_mm == 0.0
    assert 15 < found.lesions[1].site_distance_mm < 25
