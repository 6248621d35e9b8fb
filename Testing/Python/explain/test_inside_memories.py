"""Memories averaged inside the region: where it lies, what an exchange gives, and that occlusion stays exact."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
import torch
from explain_makers import WINDOWS, make_engine, make_scene, naive_risks, run_pass
from made_up import make_reader

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.finished import key_of
from MemorySurvivalLib.explain.gradient import contributions
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.memory.inside import (
    CELL,
    Inside,
    InsideReadout,
    Region,
    average_inside,
    choose_pool,
    cover_cells,
    make_readout,
    peak_inside,
)
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.memory.readout import READOUTS, ReadoutName
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.stability.arrangement import arrange
from MemorySurvivalLib.stability.changes import UNCHANGED
from MemorySurvivalLib.stability.trying import read_arrangements


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 5.0), (1.0, 3.0, 4.0), (2.5, 1.0, 2.0)])
@pytest.mark.parametrize("flips", [(), (1,), (2,)])
def test_cells_lie_where_the_region_does(spacing_mm: tuple[float, float, float], flips: tuple[int, ...]) -> None:
    mask = np.zeros((1, 40, 60), dtype=np.bool_)
    mask[0, 6:16, 33:51] = True
    mask = np.flip(mask, flips)
    grid = Volume(np.zeros(mask.shape, dtype=np.float32), Affine.from_parts(spacing_mm, np.eye(3), np.zeros(3)))
    frame = SliceFrame.of(grid, 256)
    cells = cover_cells(frame, mask)[0, 0].numpy()
    assert cells.shape == (16, 16) and cells.min() >= 0 and cells.max() <= 1.0001
    rows, columns = frame.height / frame.rows, frame.width / frame.columns
    assert cells.sum() * CELL**2 == pytest.approx(mask.sum() * rows * columns, rel=0.03)
    _, y, x = np.argwhere(mask).mean(axis=0) + 0.5
    where = np.average(np.argwhere(cells >= 0) + 0.5, axis=0, weights=cells.ravel()) * CELL
    assert where == pytest.approx((frame.top + y * rows, frame.left + x * columns), abs=4)


@pytest.mark.parametrize("inside", [True, "peak", "lesions"])
@pytest.mark.parametrize("name", READOUTS)
def test_an_exchange_is_as_if_read_out_anew(name: ReadoutName, inside: Literal[True, "peak", "lesions"]) -> None:
    torch.manual_seed(0)
    memories = torch.randn(9, 5, 4, 4).to(torch.bfloat16)
    cells = torch.rand(9, 1, 4, 4)
    cells[3] = 0  # a region too thin for the grid: all cells
    others = {k: torch.randn(5, 4, 4).to(torch.bfloat16) for k in (0, 3, 8)}
    changed = memories.clone()
    for k, memory in others.items():
        changed[k] = memory
    pool = choose_pool(inside, "PET", make_reader(channels=5))
    readout = InsideReadout(name, memories, cells, pool)
    found, anew = readout.state_with(others), InsideReadout(name, changed, cells, pool).state()
    assert found.shape[1:] == (4 if inside == "lesions" else 5, 1, 1) and not torch.allclose(found, readout.state())
    torch.testing.assert_close(found, anew, rtol=0, atol=1e-6)
    k = 5
    own = (memories[k].float() * cells[k]).sum(dim=(1, 2)) / cells[k].sum()
    torch.testing.assert_close(average_inside(memories, cells)[k, :, 0, 0], own)
    torch.testing.assert_close(average_inside(memories, cells)[3, :, 0, 0], memories[3].float().mean(dim=(1, 2)))


def test_a_peak_is_that_of_the_cells_that_the_region_covers() -> None:
    memories = torch.zeros(4, 2, 4, 4).to(torch.bfloat16)
    cells = torch.zeros(4, 1, 4, 4)
    cells[0, 0, 1, 1:3] = torch.tensor([0.5, 0.09])  # the second one is too little to count
    memories[0, 0, 1, 1:3] = torch.tensor([-3.0, 7.0], dtype=torch.bfloat16)
    memories[0, 1, 3, 3] = 9.0  # outside
    cells[1, 0, 2, :2] = torch.tensor([0.05, 0.01])  # so thin that the best covered cell has to do
    memories[1, 0, 2, :2] = torch.tensor([-2.0, 8.0], dtype=torch.bfloat16)
    cells[2, 0, :2, 0] = 1.0
    memories[2, 0, :2, 0] = torch.tensor([4.0, -1.0], dtype=torch.bfloat16)
    memories[3, 0, 3, 0] = 5.0  # no cell is covered, so all count
    peaks = peak_inside(memories, cells)
    assert peaks.shape == (4, 2, 1, 1) and peaks.dtype == torch.float32
    assert peaks[:, 0, 0, 0].tolist() == [-3.0, -2.0, 4.0, 5.0]
    assert peaks[:, 1, 0, 0].tolist() == [0.0] * 4


@pytest.mark.parametrize("inside", [True, "peak", "lesions"])
def test_occlusion_and_stability_of_a_pooled_head(tmp_path: Path, inside: Inside) -> None:
    engine, (case, roi) = make_engine(), make_scene(tmp_path)
    engine.reader = make_reader()
    config = PropagationConfig(readout="max", slice_step=3, inside=inside)
    passes = run_pass(engine, case, roi, config)
    state = passes["PET"].readout.state()
    values = 4 if inside == "lesions" else 64
    assert state.shape == (1, values, 1, 1)
    spec = HeadSpec(("PET", "CT"), "concatenation", 0, hidden=(), downsampler="pooled", memory_shape=(values, 1, 1))
    torch.manual_seed(1)
    head = RiskHead(spec).eval()
    subject = Subject(engine, case, passes, head, ())
    fills = make_fills(case, roi, "roi_median", 40)
    patches = plan_patches(roi, ExplainConfig(40, 40))[:1]
    found = occluded_log_risks(subject, patches, fills).risks[0]
    assert found == pytest.approx(naive_risks(subject, roi, patches[0], fills, config), abs=1e-5)
    assert abs(found[0] - subject.baseline()) > 1e-4
    assert all(cell.any() for cell in contributions(subject).values())
    others: tuple[Inside, ...] = (False, True, "peak", "lesions")
    reading = [PropagationConfig(readout="max", slice_step=3, inside=one) for one in others]
    keys = {
        key_of(Subject(engine, case, run_pass(engine, case, roi, one), head, ()), patches, fills) for one in reading
    }
    engine.reader = make_reader()
    engine.reader.set_scale("PET", torch.zeros(64), torch.ones(64))
    keys.add(key_of(Subject(engine, case, run_pass(engine, case, roi, reading[-1]), head, ()), patches, fills))
    assert len(keys) == 5 and key_of(subject, patches, fills) in keys
    engine.reader = make_reader()
    own = read_arrangements(engine, case, [arrange(UNCHANGED, case, roi.mask, config)], {"PET": WINDOWS["PET"]})[0]
    torch.testing.assert_close(own["PET"], state, rtol=0, atol=1e-3)


def test_without_a_mask_there_is_no_inside(tmp_path: Path) -> None:
    case, roi = make_scene(tmp_path)
    config = PropagationConfig(readout="mean", inside=True)
    boxes = prompt_boxes(roi.mask, 1)[:1]
    with pytest.raises(InputError, match="pooled inside the region, but there is no mask"):
        propagate(make_engine(), case.pet, "PET", WINDOWS["PET"], boxes, config)
    region = Region(SliceFrame.of(case.pet, 64), None, [0])
    assert not isinstance(make_readout("mean", torch.zeros(1, 2, 4, 4), False, region, "PET"), InsideReadout)


def test_without_a_reader_no_lesions_are_read(tmp_path: Path) -> None:
    case, roi = make_scene(tmp_path)
    config = PropagationConfig(readout="mean", inside="lesions")
    with pytest.raises(InputError, match="no lesion reader came with this backbone"):
        propagate(make_engine(), case.pet, "PET", WINDOWS["PET"], prompt_boxes(roi.mask, 1)[:1], config, mask=roi.mask)


@pytest.mark.parametrize("inside", [False, True, "peak", "lesions"])
def test_a_bundle_keeps_how_memories_are_pooled(inside: Inside) -> None:
    config = PropagationConfig(readout="mean", inside=inside)
    assert msgspec.json.decode(msgspec.json.encode(config), type=PropagationConfig) == config
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"readout": "mean", "inside": "least"}', type=PropagationConfig)
