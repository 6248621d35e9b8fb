"""Statistics of the region under occlusion: as if the region were measured again, and so are the log-risks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from explain_makers import WINDOWS, make_engine, make_scene, occlude, run_pass

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.coarse import find_coarse_to_fine
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.gradient import contributions
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.plan import Blob, ExplainConfig, Occlusion, Patch, plan_patches
from MemorySurvivalLib.explain.statistics import OccludedStatistics
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import MODALITIES
from MemorySurvivalLib.measure.statistics import STATISTICS, measure_statistics
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.roi.roi import Roi

NAMES = tuple(STATISTICS)
TILTED = np.asarray([[0.0, -0.6, 0.8], [1.0, 0.0, 0.0], [0.0, 0.8, 0.6]])


def noise_case(spacing_mm: tuple[float, float, float], direction: np.ndarray | None = None) -> tuple[Case, Roi]:
    """Random uptake with hot spots at the region's end and beside it, and a region that touches the image's border."""
    rng = np.random.default_rng(3)
    shape = (12, 24, 22)
    affine = Affine.from_parts(spacing_mm, np.eye(3) if direction is None else direction, np.asarray([5.0, -3.0, 9.0]))
    suv = rng.uniform(0, 5, shape).astype(np.float32)
    suv[2, 5, 5] = 14
    suv[9, 20, 12] = 20
    mask = np.zeros(shape, dtype=np.bool_)
    mask[0:11, 3:20, 4:18] = rng.uniform(size=(11, 17, 14)) < 0.6
    case = Case(
        Volume(rng.normal(200, 90, shape).astype(np.float32), affine),
        Volume(suv, affine),
        affine.orientation,
        False,
        {},
    )
    return case, Roi(Volume(mask, affine), "other", "a test")


def some_occlusions(roi: Roi) -> list[Occlusion]:
    inside = roi.mask.voxels
    corner = np.zeros_like(inside)
    corner[:3, :8, :8] = True
    return [
        Patch(1, 5, 3, 9, 3, 9),  # holds the hottest voxel
        Patch(8, 12, 19, 24, 9, 16),  # beside the region, within a sphere of it
        Patch(0, 2, 0, 2, 20, 22),  # far from it
        Patch(5, 7, 10, 14, 10, 14),
        Blob(np.asarray(inside)),
        Blob(~inside),
        Blob(corner),
    ]


@pytest.mark.parametrize(
    ("spacing_mm", "direction", "fill"),
    [
        ((4.0, 4.0, 5.0), None, "roi_median"),
        ((1.2, 1.2, 2.0), None, "volume_mean"),
        ((1.0, 2.0, 6.5), TILTED, "blur"),
        ((2.7, 0.9, 1.3), -TILTED, "roi_median"),
    ],
)
def test_as_if_measured_again(spacing_mm: tuple[float, float, float], direction: np.ndarray | None, fill: str) -> None:
    case, roi = noise_case(spacing_mm, direction)
    fills = make_fills(case, roi, fill, 8.0)  # type: ignore[arg-type]
    statistics = OccludedStatistics(case, roi, NAMES)
    assert statistics.values == pytest.approx(tuple(measure_statistics(case, roi.mask.voxels).values()), rel=1e-12)
    moved = 0
    for occlusion in some_occlusions(roi):
        measured = statistics.measure(occlusion, fills, MODALITIES)
        for modalities in (("PET",), ("CT",), ("PET", "CT")):
            again = measure_statistics(occlude(case, occlusion, fills, modalities), roi.mask.voxels)
            found = statistics.with_changes(measured, modalities)
            assert found == pytest.approx(tuple(again.values()), rel=1e-12)
            moved += found != statistics.values
    assert moved >= 9


def with_statistics(folder: Path, config: PropagationConfig, names: tuple[str, ...]) -> tuple[Subject, Roi]:
    case, roi = make_scene(folder)
    torch.manual_seed(2)
    spec = HeadSpec(("PET", "CT"), "gated", 0, downsampler="channels", memory_shape=(64, 4, 4), statistics=names)
    engine = make_engine()
    passes = run_pass(engine, case, roi, config)
    shape = passes["PET"].readout.state().flatten(0, 1).shape
    head = RiskHead(msgspec.structs.replace(spec, memory_shape=tuple(shape))).eval()
    for downsampler in head.downsamplers.values():
        downsampler.sd.fill_(0.05)  # type: ignore[operator, union-attr]
    head.statistics.sd.fill_(0.1)
    return Subject(engine, case, passes, head, (), MODALITIES, statistics=OccludedStatistics(case, roi, names)), roi


@pytest.mark.parametrize(("mode", "readout"), [("boxed", "last"), ("tracked", "mean")])
def test_log_risks_equal_running_everything_again(tmp_path: Path, mode: str, readout: str) -> None:
    config = PropagationConfig(readout=readout, mode=mode)  # type: ignore[arg-type]
    subject, roi = with_statistics(tmp_path, config, ("suv_max_g_ml", "suv_peak_g_ml", "tlg_g", "hu_mean"))
    plan = ExplainConfig(40, 40)
    fills = make_fills(subject.case, roi, "roi_median", 40)
    patches = plan_patches(roi, plan)[-1:]  # the readout `last` does not see it, the statistics do
    found = occluded_log_risks(subject, patches, fills).risks
    still = occluded_log_risks(replace(subject, follow_statistics=False), patches, fills).risks
    assert np.abs(found - still).max() > 1e-3, "the statistics must count in this test"
    for patch, risks in zip(patches, found, strict=True):
        for risk, (_, modalities) in zip(risks, subject.variants, strict=True):
            case = occlude(subject.case, patch, fills, modalities)
            states = {m: one.readout.state() for m, one in run_pass(subject.engine, case, roi, config).items()}
            names = subject.head.spec.statistics
            again = tuple(measure_statistics(case, roi.mask.voxels, names).values())
            assert risk == pytest.approx(subject.head.score(states, (), again).log_risk.item(), abs=1e-5)


def test_a_coarse_map_has_the_statistics_part_of_every_patch(tmp_path: Path) -> None:
    subject, roi = with_statistics(tmp_path, PropagationConfig(readout="mean"), ("suv_max_g_ml",))
    config = ExplainConfig(40, 40, coarse=True)
    fills = make_fills(subject.case, roi, "roi_median", 40)
    found = find_coarse_to_fine(subject, roi, config, fills)
    still = find_coarse_to_fine(replace(subject, follow_statistics=False), roi, config, fills)
    assert found.effects.shape == still.effects.shape
    part = found.effects - still.effects
    assert part[:, 0] == pytest.approx(part[:, 1], abs=1e-6)  # all of it through the PET
    assert part[:, 2] == pytest.approx(0, abs=1e-6)  # log-risks are float32
    n = int(np.abs(part[:, 0]).argmax())
    rows = [
        subject.statistics.with_changes(subject.measure(found.patches[n], fills), ("PET",))  # type: ignore[union-attr]
    ]
    alone = subject.baseline() - subject.log_risks([subject.baseline_states()], rows)[0]
    assert part[n, 0] == pytest.approx(alone, abs=1e-6) and abs(alone) > 1e-3


def test_the_gradient_map_of_other_downsamplers(tmp_path: Path) -> None:
    subject, _ = with_statistics(tmp_path, PropagationConfig(readout="bank:2"), ("tlg_g",))
    cells = contributions(subject)
    assert set(cells) == {"PET", "CT"} and set(WINDOWS) == set(cells)
    for one, cell in zip(subject.passes.values(), cells.values(), strict=True):
        assert cell.shape == (len(one.boxes), *one.memories.shape[2:])
        assert not cell[:-2].any() and cell[-1].any()


def test_a_subject_measures_what_its_head_takes(tmp_path: Path) -> None:
    subject, roi = with_statistics(tmp_path, PropagationConfig(readout="last"), ("tlg_g",))
    with pytest.raises(InputError, match="takes the statistics tlg_g, but none are measured"):
        replace(subject, statistics=None)
    with pytest.raises(InputError, match="MTV is no statistic"):
        OccludedStatistics(subject.case, roi, ("MTV",))
