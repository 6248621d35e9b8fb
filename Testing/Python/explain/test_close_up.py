"""Close-ups of the region: what they show, that geometry holds, and that maps and stability know of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from explain_makers import WINDOWS, make_engine, make_scene, naive_risks, run_pass

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.finished import key_of
from MemorySurvivalLib.explain.gradient import contributions
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.memory.readout import MaxReadout, read_out
from MemorySurvivalLib.memory.slices import Field, SliceFrame, close_up
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes
from MemorySurvivalLib.stability.arrangement import arrange
from MemorySurvivalLib.stability.changes import UNCHANGED
from MemorySurvivalLib.stability.trying import read_arrangements

CLOSE = PropagationConfig(readout="tops:2", slice_step=3, inside="peak", close_up_mm=10)
SPACINGS = [(2.0, 2.0, 5.0), (1.0, 3.0, 4.0), (2.5, 1.0, 2.0)]


def make_mask(spacing_mm: tuple[float, float, float], direction: np.ndarray | None = None) -> Volume:
    voxels = np.zeros((6, 80, 90), dtype=np.bool_)
    voxels[1, 30:40, 41:52] = True
    voxels[4, 35:44, 45:49] = True
    axes = np.eye(3) if direction is None else direction
    return Volume(voxels, Affine.from_parts(spacing_mm, axes, np.array((-3.0, 7.0, 11.0))))


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_the_field_holds_the_region_of_all_slices_and_hardly_moves(spacing_mm: tuple[float, float, float]) -> None:
    mask = make_mask(spacing_mm)
    field = close_up(mask, 5)
    for low, high, first, last, spacing in (
        (field.x0, field.x1, 41, 52, spacing_mm[0]),
        (field.y0, field.y1, 30, 44, spacing_mm[1]),
    ):
        assert low * spacing <= first * spacing - 5 + spacing / 2 and high * spacing >= last * spacing + 5 - spacing / 2
        assert (first - low) * spacing <= 5 + 16 + spacing / 2, "no wider than the margin and the raster"
    assert close_up(mask.with_voxels(np.zeros_like(mask.voxels)), 5) == Field(0, 80, 0, 90)
    assert close_up(mask, 500) == Field(0, 80, 0, 90), "never beyond the slice"
    inner = mask.voxels.copy()
    inner[1, 33, 41:52] = False  # a correction within the region
    assert close_up(mask.with_voxels(inner), 5) == field


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_a_close_up_is_the_picture_of_the_cropped_slices(spacing_mm: tuple[float, float, float]) -> None:
    mask = make_mask(spacing_mm)
    field = close_up(mask, 5)
    start, stop = (0, field.y0, field.x0), (6, field.y1, field.x1)
    frame, cropped = SliceFrame.of(mask, 128, field), SliceFrame.of(mask.cropped(start, stop), 128)
    image = np.random.default_rng(0).normal(3, 2, mask.shape).astype(np.float32)
    part = image[:, field.y0 : field.y1, field.x0 : field.x1]
    window = Window(0, 10)
    torch.testing.assert_close(frame.picture(image[[1]], window), cropped.picture(part[[1]], window), rtol=0, atol=0)
    torch.testing.assert_close(frame.cover(mask.voxels), cropped.cover(mask.cropped(start, stop).voxels))
    torch.testing.assert_close(frame.mask(mask.voxels[1]), cropped.mask(mask.cropped(start, stop).voxels[1]))
    box = SliceBox(1, 41, 30, 52, 40)
    shifted = SliceBox(1, 41 - field.x0, 30 - field.y0, 52 - field.x0, 40 - field.y0)
    torch.testing.assert_close(frame.box(box), cropped.box(shifted))
    points = np.array([[41, 30], [51, 39]])
    torch.testing.assert_close(frame.points(points), cropped.points(points - (field.x0, field.y0)))
    x0, y0, x1, y1 = frame.box(box).tolist()
    inside = frame.mask(mask.voxels[1])
    assert inside.sum() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.05), "prompt and picture lie on one another"
    assert inside.sum() > 2 * SliceFrame.of(mask, 128).mask(mask.voxels[1]).sum(), "the region is larger than before"


@pytest.mark.parametrize("flips", [(), (0, 1), (1, 2), (0, 2)])
def test_how_a_scan_is_stored_does_not_change_a_close_up(tmp_path: Path, flips: tuple[int, ...]) -> None:
    """Voxels stored from another corner, or with turned axes, are the same patient."""
    engine, (case, roi) = make_engine(), make_scene(tmp_path)
    expected = run_pass(engine, case, roi, CLOSE)["PET"].readout.state()

    def stored(volume: Volume) -> Volume:
        """The same voxels from another corner (z, y, x axes in `flips`)."""
        matrix = np.array(volume.affine.matrix)
        for axis in flips:
            column = 2 - axis
            matrix[:3, 3] += matrix[:3, column] * (volume.shape[axis] - 1)
            matrix[:3, column] *= -1
        return Volume(np.ascontiguousarray(np.flip(volume.voxels, flips)), Affine(matrix))

    other = make_case(stored(case.ct), stored(case.pet))
    mask = stored(roi.mask.with_voxels(roi.mask.voxels.astype(np.uint8))).reoriented()
    found = run_pass(engine, other, replace(roi, mask=mask.with_voxels(mask.voxels > 0)), CLOSE)["PET"].readout.state()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_an_oblique_scan_is_shown_along_its_own_axes() -> None:
    turn = np.deg2rad(12)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    assert close_up(make_mask(SPACINGS[1], axes), 5) == close_up(make_mask(SPACINGS[1]), 5)


def test_tops_are_the_largest_values_of_equal_parts() -> None:
    memories = torch.randn(10, 3, 2, 2, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    state = read_out("tops:4", memories).state()
    spans = [(0, 2), (2, 5), (5, 7), (7, 10)]
    for layer, (start, stop) in zip(state, spans, strict=True):
        torch.testing.assert_close(layer, MaxReadout(memories[start:stop]).state()[0])
    with pytest.raises(InputError, match="tops:K with K from 1 to 64"):
        read_out("tops:65", memories)


def test_occlusion_gradient_and_stability_of_close_ups(tmp_path: Path) -> None:
    engine, (case, roi) = make_engine(), make_scene(tmp_path)
    passes = run_pass(engine, case, roi, CLOSE)
    state = passes["PET"].readout.state()
    assert state.shape == (2, 64, 1, 1)
    spec = HeadSpec(("PET", "CT"), "concatenation", 0, hidden=(), downsampler="pooled", memory_shape=(128, 1, 1))
    torch.manual_seed(1)
    head = RiskHead(spec).eval()
    subject = Subject(engine, case, passes, head, ())
    fills = make_fills(case, roi, "roi_median", 40)
    patches = plan_patches(roi, ExplainConfig(40, 40))[:2]
    found = occluded_log_risks(subject, patches, fills).risks
    for patch, risks in zip(patches, found, strict=True):
        assert risks == pytest.approx(naive_risks(subject, roi, patch, fills, CLOSE), abs=1e-5)
    assert np.abs(found - subject.baseline()).max() > 1e-4
    assert all(cell.any() for cell in contributions(subject).values())
    others = [msgspec.structs.replace(CLOSE, close_up_mm=wider) for wider in (None, 40)]
    others += [msgspec.structs.replace(CLOSE, readout="stations:2")]
    keys = {key_of(Subject(engine, case, run_pass(engine, case, roi, o), head, ()), patches, fills) for o in others}
    assert len(keys | {key_of(subject, patches, fills)}) == 4, "what was finished for another picture is not taken up"
    whole = arrange(UNCHANGED, case, roi.mask, others[0])
    own = read_arrangements(engine, case, [whole, arrange(UNCHANGED, case, roi.mask, CLOSE)], {"PET": WINDOWS["PET"]})
    torch.testing.assert_close(own[1]["PET"], state, rtol=0, atol=1e-3)
    assert not torch.allclose(own[0]["PET"], state, atol=1e-2)


def test_a_bundle_keeps_how_close_it_looks(tmp_path: Path) -> None:
    assert msgspec.json.decode(msgspec.json.encode(CLOSE), type=PropagationConfig) == CLOSE
    assert b"close_up_mm" in bytes(CLOSE.key())
    plain = PropagationConfig(readout="mean")
    assert b"close_up_mm" not in bytes(plain.key()), "what was kept before there were close-ups is still found"
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"readout": "mean", "close_up_mm": -1}', type=PropagationConfig)
    case, roi = make_scene(tmp_path)
    with pytest.raises(InputError, match="close-ups of the region, but there is no mask"):
        propagate(make_engine(), case.pet, "PET", WINDOWS["PET"], prompt_boxes(roi.mask, 1)[:1], CLOSE)
