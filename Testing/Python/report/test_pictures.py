"""Pictures show the right side, the right colour and the right proportions, read back from their PNG files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from MemorySurvivalLib.report import pictures as module
from MemorySurvivalLib.report.charts import draw_survival
from MemorySurvivalLib.report.pictures import Scene, draw_close_ups, draw_overview
from MemorySurvivalLib.report.sheet import DPI, MM_PER_INCH, Picture

Example = Any
"""The type lives in conftest.py, which tests cannot import by name."""

Rgb = npt.NDArray[np.float64]


def rgb_of(picture: Picture) -> Rgb:
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"), dtype=np.float64) / 255


def scene_of(example: Example) -> Scene:
    return Scene.of(example.record, example.case, example.roi, example.heatmap)


def unmarked(example: Example) -> Example:
    """Without watermark and outline colours nothing but the image itself is red or blue."""
    return example.with_risk(labels=())


def heat_only(picture: Picture) -> Rgb:
    """The picture without the colour bars at its foot."""
    rgb = rgb_of(picture)
    return rgb[: rgb.shape[0] - round(max(module.OVERVIEW_FOOT_MM, module.CLOSE_UP_FOOT_MM) * DPI / MM_PER_INCH)]


def centre_of(mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Mean column and row of the marked pixels."""
    rows, columns = np.nonzero(mask)
    assert rows.size > 10
    return float(columns.mean()), float(rows.mean())


def is_red(rgb: Rgb) -> npt.NDArray[np.bool_]:
    return rgb[..., 0] > rgb[..., 1:].max(axis=-1) + 0.25


def is_blue(rgb: Rgb) -> npt.NDArray[np.bool_]:
    return rgb[..., 2] > rgb[..., :2].max(axis=-1) + 0.25


@pytest.mark.parametrize("spacing_mm", [(8.0, 7.0, 12.0), (6.0, 9.0, 5.0)])
def test_heat_and_uptake_land_where_the_patient_has_them(
    build_example: Callable[..., Example], spacing_mm: tuple[float, float, float]
) -> None:
    example = unmarked(build_example((48, 36, 44), spacing_mm))
    scene = scene_of(example)
    projection, fused, sagittal, heat = draw_overview(scene)
    # An effect of +0.04 on the lesion and -0.02 on the lowest sixth of the spine; find both in millimetres.
    hotspot, cold = example.record.heatmap.hotspots
    coronal = scene.view("coronal", scene.voxel_zyx(hotspot)[1])
    scale = heat.width_mm / coronal.size_mm[0]
    pixels = DPI / MM_PER_INCH * scale
    assert heat.height_mm - module.OVERVIEW_FOOT_MM == pytest.approx(coronal.size_mm[1] * scale)
    picture = rgb_of(heat)[: round(coronal.size_mm[1] * pixels)]
    for where, spot in ((is_red(picture), hotspot), (is_blue(picture), cold)):
        u, v = coronal.place(scene.index_xyz(spot))
        column, row = centre_of(where)
        assert column / pixels == pytest.approx(u, abs=10)
        assert row / pixels == pytest.approx(v, abs=14)
    red_row, blue_row = centre_of(is_red(picture))[1], centre_of(is_blue(picture))[1]
    assert red_row < blue_row, "superior is up"
    hot = rgb_of(fused)[: picture.shape[0]]
    column, row = centre_of(hot.sum(axis=-1) > 0.9 * hot[20:-40, 60:-60].sum(axis=-1).max())
    assert column > hot.shape[1] / 2, "the patient's left is on the right of the picture"
    dark = rgb_of(projection)[: picture.shape[0]].sum(axis=-1) < 0.3
    assert dark.any()
    spine = rgb_of(sagittal)
    assert spine.shape[1] == pytest.approx(scene.view("sagittal", 0).size_mm[0] * pixels, abs=2)


def test_all_overview_pictures_share_one_scale(example: Example) -> None:
    scene = scene_of(example)
    drawn = draw_overview(scene)
    heights = {round(picture.height_mm, 6) for picture in drawn}
    assert len(heights) == 1
    assert sum(p.width_mm for p in drawn) + module.OVERVIEW_GAP_MM * 3 <= module.OVERVIEW_WIDTH_MM + 1e-6
    assert heights.pop() <= module.OVERVIEW_HEIGHT_MM + module.OVERVIEW_FOOT_MM + 1e-6


def test_a_close_up_shows_ct_then_heatmap_then_pet(example: Example) -> None:
    close_ups = draw_close_ups(scene_of(unmarked(example)))
    assert len(close_ups) == 2
    rgb = rgb_of(close_ups[0])
    panel = round(close_ups[0].height_mm - module.CLOSE_UP_FOOT_MM) * DPI / MM_PER_INCH
    top = rgb[: int(panel)]
    red = is_red(top).any(axis=0)
    columns = np.flatnonzero(red)
    width = round(DPI / MM_PER_INCH * module.CLOSE_UP_WIDTH_MM / 3)
    assert width <= columns.min() and columns.max() <= 2 * width, "only the middle picture is coloured"
    assert is_blue(rgb_of(draw_close_ups(scene_of(unmarked(example)))[1])[: int(panel)]).any()


def test_without_heatmap_there_are_three_pictures_and_no_colour_of_effects(example: Example) -> None:
    drawn = draw_overview(scene_of(example.without_heatmap()))
    assert [picture.name for picture in drawn] == ["pet-projection", "fused-coronal", "fused-sagittal"]
    assert draw_close_ups(scene_of(example.without_heatmap())) == ()
    assert all("widest" in picture.alt for picture in drawn[1:])


def test_the_watermark_covers_every_picture(example: Example) -> None:
    marked, clean = scene_of(example), scene_of(unmarked(example))
    pairs = zip(
        (*draw_overview(marked), *draw_close_ups(marked)), (*draw_overview(clean), *draw_close_ups(clean)), strict=True
    )
    for with_label, without in pairs:
        difference = np.abs(rgb_of(with_label) - rgb_of(without)).max(axis=-1) > 0.1
        columns = np.flatnonzero(difference.any(axis=0))
        assert difference.mean() > 0.02
        assert columns.min() < 0.15 * difference.shape[1] and columns.max() > 0.85 * difference.shape[1]


def test_reversed_axes_give_the_same_pictures(example: Example) -> None:
    case, roi, heatmap = example.case, example.roi, example.heatmap
    mask = roi.mask.with_voxels(roi.mask.voxels.astype(np.uint8)).reoriented("RAI")
    turned = replace(
        example,
        case=replace(case, ct=case.ct.reoriented("RAI"), pet=case.pet.reoriented("RAI")),
        roi=replace(roi, mask=mask.with_voxels(mask.voxels > 0)),
        heatmap=replace(heatmap, effect=heatmap.effect.reoriented("RAI")),
    )
    straight = draw_overview(scene_of(example))
    assert [p.png for p in draw_overview(scene_of(turned))] == [p.png for p in straight]


def test_equal_input_gives_equal_bytes(example: Example) -> None:
    assert [p.png for p in draw_overview(scene_of(example))] == [p.png for p in draw_overview(scene_of(example))]


def test_record_and_heatmap_must_belong_together(example: Example) -> None:
    with pytest.raises(ValueError, match="both have a heatmap or neither"):
        Scene.of(example.record, example.case, example.roi, None)


def test_a_hotspot_on_the_edge_of_the_image_is_still_drawn(example: Example) -> None:
    ct = example.case.ct
    corner = tuple(float(v) for v in ct.affine.points_mm((ct.shape[2] - 1, ct.shape[1] - 1, 0)))
    spots = (replace(example.record.heatmap.hotspots[0], position_lps_mm=corner),)
    moved = example.with_record(heatmap=replace(example.record.heatmap, hotspots=spots))
    (picture,) = draw_close_ups(scene_of(moved))
    assert rgb_of(picture).std() > 0.05


def test_effects_within_the_noise_floor_are_not_drawn(example: Example) -> None:
    record = replace(example.record.heatmap, noise_floor=0.03)
    plain = unmarked(example)
    heat, close_up = draw_overview(scene_of(plain))[-1], draw_close_ups(scene_of(plain))[1]
    assert is_blue(heat_only(heat)).any() and is_blue(heat_only(close_up)).any()
    floored = unmarked(example.with_record(heatmap=record))
    heat, close_up = draw_overview(scene_of(floored))[-1], draw_close_ups(scene_of(floored))[1]
    assert is_red(heat_only(heat)).any(), "the effect of +0.04 exceeds it"
    assert not is_blue(heat_only(heat)).any() and not is_blue(heat_only(close_up)).any()
    assert "not drawn within ±0.03" in heat.alt


def test_the_colour_bar_is_bare_within_the_noise_floor(example: Example) -> None:
    bar, ticks, _ = module._effect_bar(0.05, 0.02)
    values = np.linspace(-0.05, 0.05, bar.shape[1])
    coloured = np.ptp(bar[0], axis=-1) > 0.01
    assert np.array_equal(coloured, np.abs(values) > 0.02)
    assert ticks == ("≤ −0.05", "0", "≥ +0.05")


def test_the_survival_curve_lies_in_its_band(example: Example) -> None:
    curve = example.record.risk.survival
    lower, upper = (tuple(p**power for p in curve.probability) for power in (1.5, 0.6))
    banded = rgb_of(draw_survival(replace(curve, lower=lower, upper=upper, slope_interval=(0.6, 1.5)), ()))
    bare = rgb_of(draw_survival(curve, ()))
    pale = (banded[..., 0] > 0.9) & (banded[..., 1] < 0.9) & (bare.min(axis=-1) > 0.99)
    rows, columns = np.nonzero(pale)
    assert pale.mean() > 0.02
    line = is_red(bare)
    late = columns > 0.8 * pale.shape[1]
    middle = np.flatnonzero(line[:, columns[late]].any(axis=1)).mean()
    assert rows[late].min() < middle < rows[late].max()
