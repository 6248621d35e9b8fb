"""Which patches there are, what they become, and how their effects are spread over the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from explain_makers import make_scene
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.heatmap import spread_effects
from MemorySurvivalLib.explain.plan import Blob, ExplainChoice, ExplainConfig, FillName, Patch, plan_patches
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.roi import Roi


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Roi]:
    return make_scene(tmp_path_factory.mktemp("patient"))


def test_patch_centres_lie_in_the_roi_and_sizes_are_millimetres(scene: tuple[Case, Roi]) -> None:
    _, roi = scene
    patches = plan_patches(roi, ExplainConfig(patch_mm=24, stride_mm=12))
    inner = [p for p in patches if p.z0 > 0 and p.z1 < roi.mask.shape[0]]
    assert {(p.x1 - p.x0, p.y1 - p.y0, p.z1 - p.z0) for p in inner} == {(6, 6, 4)}  # 24 mm at 4 x 4 x 6 mm
    for patch in patches:
        centre = ((patch.z0 + patch.z1) // 2, (patch.y0 + patch.y1) // 2, (patch.x0 + patch.x1) // 2)
        assert roi.mask.voxels[centre]
    assert [p.z0 for p in patches] == sorted(p.z0 for p in patches)


def test_a_roi_between_lattice_points_still_gets_a_patch(scene: tuple[Case, Roi]) -> None:
    _, roi = scene
    ring = np.zeros(roi.mask.shape, dtype=np.bool_)
    ring[5, 10:20, 10] = True
    ring[5, 10, 10:20] = True
    patches = plan_patches(Roi(roi.mask.with_voxels(ring), "other", "test"), ExplainConfig(500, 500))
    assert len(patches) == 1


def test_a_map_that_would_take_days_is_refused(scene: tuple[Case, Roi]) -> None:
    everything = Roi(scene[1].mask.with_voxels(np.ones(scene[1].mask.shape, dtype=np.bool_)), "other", "test")
    with pytest.raises(
        InputError, match="would need 34560 of them, at most 20000 are possible; choose a larger stride"
    ):
        plan_patches(everything, ExplainConfig(10, 1))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patch_mm": 0}, "0 < stride <= patch <= 500 mm"),
        ({"stride_mm": 50}, "got patch 40 mm and stride 50 mm"),
        ({"fill": "paint"}, "Unknown fill 'paint'.*roi_median, volume_mean, blur"),
        ({"modalities": ()}, "PET, CT or both, got none"),
        ({"modalities": ("PET", "PET")}, "got PET, PET"),
        ({"modalities": ("MR",)}, "got MR"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ExplainConfig(**{"patch_mm": 40, "stride_mm": 20, **changes})  # type: ignore[arg-type]


def test_what_is_left_open_takes_the_defaults() -> None:
    assert ExplainChoice().config(40, 20, "volume_mean") == ExplainConfig(40, 20, "volume_mean")
    assert ExplainChoice(patch_mm=10).config(40, 20, "roi_median") == ExplainConfig(10, 10)
    assert ExplainChoice().config(40, 20, "blur", ("PET",)) == ExplainConfig(40, 20, "blur", ("PET",))
    both = ExplainChoice(modalities=("PET", "CT")).config(40, 20, "blur", ("PET",))
    assert both == ExplainConfig(40, 20, "blur", ("PET", "CT"))
    chosen = ExplainChoice(30, 15, "blur", ("CT",), True)
    assert chosen.config(40, 20, "roi_median") == ExplainConfig(30, 15, "blur", ("CT",), True)
    with pytest.raises(InputError, match="got patch 0 mm"):
        ExplainChoice(patch_mm=0).config(40, 20, "roi_median")


def test_the_blur_leaves_nothing_of_a_patch_and_keeps_what_is_larger(scene: tuple[Case, Roi]) -> None:
    case, roi = scene
    filling = make_fills(case, roi, "blur", 24)["PET"]
    hot = np.unravel_index(int(case.pet.voxels.argmax()), case.pet.shape)
    z = int(hot[0])
    patch = Patch(z, z + 1, 0, case.ct.shape[1], 0, case.ct.shape[2])
    blurred = filling.occlude(case.pet.voxels[z], z, patch)
    assert blurred[hot[1], hot[2]] < 0.5 * case.pet.voxels[hot]
    assert blurred[20, 24] == pytest.approx(1.0, abs=0.3), "the body's own uptake stays"
    half = Patch(z, z + 1, 0, 20, 0, case.ct.shape[2])
    kept = filling.occlude(case.pet.voxels[z], z, half)
    assert (kept[20:] == case.pet.voxels[z][20:]).all()
    assert (kept[:20] == blurred[:20]).all()


@pytest.mark.parametrize("fill", ["roi_median", "blur", "volume_mean"])
def test_air_stays_air_in_both_images_but_for_the_papers_fill(scene: tuple[Case, Roi], fill: FillName) -> None:
    case, roi = scene
    lung = np.zeros(case.ct.shape, dtype=bool)
    lung[:, :, : case.ct.shape[2] // 2] = True
    breathing = replace(case, ct=case.ct.with_voxels(np.where(lung, -800.0, 40.0)))
    fills = make_fills(breathing, roi, fill, 24)
    z = case.ct.shape[0] // 2
    patch = Patch(z, z + 1, 4, 20, 4, case.ct.shape[2] - 4)
    blob = Blob(np.broadcast_to(patch_mask(patch, case), case.ct.shape))
    for modality, ramp in (("CT", breathing.ct.voxels[z]), ("PET", np.indices(case.ct.shape[1:]).sum(0) + 100.0)):
        occluded = fills[modality].occlude(ramp, z, patch)
        assert (fills[modality].occlude(ramp, z, blob) == occluded).all()
        changed = occluded != ramp
        inside = patch_mask(patch, case)[0]
        assert not changed[~inside].any()
        assert (changed & lung[z]).any() == (fill == "volume_mean")
        if modality == "PET":
            assert changed[inside & ~lung[z]].all()


def patch_mask(patch: Patch, case: Case) -> npt.NDArray[np.bool_]:
    """One slice of it."""
    inside = np.zeros((1, *case.ct.shape[1:]), dtype=bool)
    inside[(0, *patch.where(patch.z0))] = True
    return inside


def test_the_blur_lies_at_its_place_on_every_grid(scene: tuple[Case, Roi]) -> None:
    """A ramp stays the ramp it was, so a shift of the coarse grid by a part of a voxel would show."""
    for spacing in ((4.0, 4.0, 6.0), (1.5, 3.0, 2.0)):
        affine = Affine.from_parts(spacing, Rotation.from_euler("z", 20, degrees=True).as_matrix(), (-9.0, 5.0, 80.0))
        z, y, x = np.indices((24, 40, 36), dtype=np.float32)
        ramp = Volume(3 * x + 2 * y + z, affine)
        case = replace(scene[0], ct=ramp, pet=ramp)
        filling = make_fills(case, scene[1], "blur", 12)["CT"]
        middle = Patch(0, 24, 15, 25, 14, 22)
        found = filling.occlude(ramp.voxels[12], 12, middle)
        assert np.allclose(found[15:25, 14:22], ramp.voxels[12][15:25, 14:22], atol=0.05)
        blob = Blob(np.broadcast_to((y[0] > 15) & (y[0] < 25) & (x[0] > 14) & (x[0] < 22), ramp.shape))
        assert np.allclose(filling.occlude(ramp.voxels[12], 12, blob), ramp.voxels[12], atol=0.05)


def test_effects_are_averaged_inside_the_roi(scene: tuple[Case, Roi]) -> None:
    _, roi = scene
    (z0, y0, x0), _ = roi.bounds_zyx
    first = Patch(z0, z0 + 4, y0, y0 + 8, x0, x0 + 8)
    second = Patch(z0 + 2, z0 + 6, y0, y0 + 8, x0, x0 + 8)
    volume, covered = spread_effects(roi, (first, second), np.array([0.4, -0.2]))
    inside = roi.mask.cropped(*roi.bounds_zyx).voxels
    effect = volume.voxels
    assert effect[0][:8, :8][inside[0][:8, :8]] == pytest.approx(0.4)
    assert effect[3][:8, :8][inside[3][:8, :8]] == pytest.approx(0.1)
    assert effect[5][:8, :8][inside[5][:8, :8]] == pytest.approx(-0.2)
    assert not effect[~inside].any()
    assert covered == pytest.approx(inside[:6, :8, :8].sum() / inside.sum())
    assert np.allclose(volume.affine.points_mm((0, 0, 0)), roi.mask.affine.points_mm((x0, y0, z0)))
