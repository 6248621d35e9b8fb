"""A bundle whose head takes statistics of the region: scored, recorded, replayed, explained, its stability measured."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
import torch
from made_up import SMALL, make_head, make_manifest, make_patient

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.bundle import as_float16, load_bundle, save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry, ExplainDefaults, describe_statistics
from MemorySurvivalLib.bundle.summary import summarize_bundle
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.measure.segments import measure_roi
from MemorySurvivalLib.measure.statistics import HOT_SUV, STATISTICS, measure_statistics
from MemorySurvivalLib.memory.backbone import build_backbone, weights_sha256
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.weights_store import WeightsStore
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.replay.rebuild import ReplayRequest
from MemorySurvivalLib.replay.replaying import replay_result
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.scoring import score_states
from MemorySurvivalLib.stability.arrangement import grown
from MemorySurvivalLib.stability.changes import grow, shift_pet
from MemorySurvivalLib.stability.measuring import judge_readings, read_changes
from Testing.Benchmarks.subjects import embed_subject

NAMES = ("suv_max_g_ml", "tlg_g", "hu_mean")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image-only head on all channels and the statistics; it reads every fourth slice."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "statistics.msbundle", NAMES)


def write_bundle(path: Path, names: tuple[str, ...]) -> Path:
    backbone = as_float16(build_backbone(SMALL, seed=3))
    _, entry = make_head("image", None, 1)
    spec = msgspec.structs.replace(entry.spec, downsampler="channels", memory_shape=(64, 4, 4), statistics=names)
    torch.manual_seed(4)
    head = RiskHead(spec).eval()
    if names:
        head.statistics.sd.fill_(0.2)
    entry = msgspec.structs.replace(entry, spec=spec, statistics=describe_statistics(names) if names else None)
    weights = BackboneEntry(SMALL.architecture, SMALL.image_size, "bundled", weights_sha256(backbone), "random")
    manifest = make_manifest((entry,), weights, explain=ExplainDefaults(80, 80, "roi_median", 0.2))
    propagation = msgspec.structs.replace(manifest.propagation, slice_step=4)
    save_bundle(
        path, msgspec.structs.replace(manifest, propagation=propagation), {"image": as_float16(head)}, "#", backbone
    )
    return path


@pytest.mark.parametrize("names", [(), NAMES])
def test_figures_on_maps_explain_heads_with_and_without(tmp_path: Path, names: tuple[str, ...]) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "a.msbundle", names))
    patient = make_patient(tmp_path)
    case, mask = make_case(patient.ct, patient.pet), patient.spine.with_voxels(patient.spine.voxels > 0)
    engine = MemoryEngine(bundle.backbone(), torch.device("cpu"))
    subject = embed_subject(engine, bundle, case, Roi(mask, "spine_dilated", "test"))
    measured = tuple(measure_statistics(case, mask.voxels, names).values()) if names else None
    expected = bundle.heads["image"].score(subject.baseline_states(), (), measured)
    assert subject.baseline() == pytest.approx(expected.log_risk.item(), abs=1e-6)


def test_scored_recorded_replayed_and_explained(tmp_path: Path, bundle: Path) -> None:
    patient = make_patient(tmp_path).written()
    request = ScoreRequest(
        tmp_path / "result",
        patient.ct_path,
        patient.pet_path,
        roi=patient.spine_path,
        bundle=str(bundle),
        device="cpu",
        alignment="off",
        explain=True,
    )
    models = Models()
    score_case(request, models)
    record = read_record(tmp_path / "result" / "result.json")
    mask = patient.spine.voxels > 0
    case = make_case(patient.ct, patient.pet)
    expected = measure_statistics(case, mask, NAMES)
    found = {one.name: one.value for one in record.risk.statistics}
    assert found == pytest.approx(expected, rel=1e-5) and tuple(found) == NAMES
    assert [one.unit for one in record.risk.statistics] == ["g/mL", "g", "HU"]
    assert record.bundle.head_spec.statistics == NAMES
    (head,) = summarize_bundle(read_archive(bundle), WeightsStore(tmp_path / "weights")).heads
    assert head.statistics == ("SUVmax", "TLG", "HU mean")
    assert record.heatmap is not None and record.heatmap.maximum != record.heatmap.minimum
    again = replay_result(ReplayRequest(tmp_path / "result" / "result.json"), models)
    assert again.verdict == "identical" and again.bit_for_bit, again.differences


def test_stability_measures_changed_masks_and_shifted_images(tmp_path: Path, bundle: Path) -> None:
    patient, loaded = make_patient(tmp_path), load_bundle(bundle)
    case = make_case(patient.ct, patient.pet)
    roi = Roi(patient.spine.with_voxels(patient.spine.voxels > 0), "spine_dilated", "test")
    engine = MemoryEngine(loaded.backbone(), torch.device("cpu"))
    readings = read_changes(engine, loaded, case, roi, (grow(4.0), shift_pet(left_mm=40.0)))
    own, larger, shifted = readings.statistics
    assert own == measure_statistics(case, roi.mask.voxels, NAMES)
    assert larger == measure_statistics(case, grown(roi.mask, 4.0).voxels, NAMES) != own
    assert shifted["hu_mean"] == own["hu_mean"] and shifted["tlg_g"] != own["tlg_g"]
    record = judge_readings(loaded, case, roi, readings, None)
    alone = score_states(
        loaded, readings.changed[1], None, simulated_case=case.simulated, other_roi=False, statistics=shifted
    )
    assert record.trials[1].log_risk == alone.log_risk


def test_what_cannot_be_measured_is_named_and_taken_as_average(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    states = {m: torch.zeros(1, 64, 4, 4) for m in ("PET", "CT")}

    def score(statistics: dict[str, float] | None) -> object:
        return score_states(
            loaded,
            states,  # type: ignore[arg-type]
            None,
            simulated_case=False,
            other_roi=False,
            statistics=statistics,
        )

    full = score({"suv_max_g_ml": 9.0, "tlg_g": 100.0, "hu_mean": 200.0})
    part = score({"suv_max_g_ml": math.nan, "hu_mean": 200.0})
    assert full.log_risk != part.log_risk  # type: ignore[attr-defined]
    assert [one.value for one in part.statistics] == [None, None, 200.0]  # type: ignore[attr-defined]
    said = "Not measurable in this case, so the training cohort's average was taken: SUVmax, TLG."
    assert said in part.notes and said not in full.notes  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="takes 3 statistics of the region"):
        score(None)
    scale = loaded.heads["image"].statistics
    low, high = (torch.sinh(scale.mean + sds * scale.sd).tolist() for sds in (-7, 5.01))
    near = score({"suv_max_g_ml": math.sinh(scale.mean[0] + 4.9 * scale.sd[0]), "tlg_g": math.nan})
    assert not [note for note in near.notes if note.startswith("Far from")]  # type: ignore[attr-defined]
    far = score({"suv_max_g_ml": high[0], "tlg_g": math.nan, "hu_mean": low[2]})
    (said,) = (note for note in far.notes if note.startswith("Far from the cases"))  # type: ignore[attr-defined]
    assert "(SUVmax +5 SD, HU mean -7 SD): the score is extrapolated; look at the mask" in said


def test_the_definitions_are_those_of_the_measurements(tmp_path: Path) -> None:
    patient = make_patient(tmp_path)
    case, mask = make_case(patient.ct, patient.pet), patient.spine.voxels > 0
    found = measure_statistics(case, mask)
    assert tuple(found) == tuple(STATISTICS)
    region = measure_roi(case, Roi(patient.spine.with_voxels(mask), "spine_dilated", "test")).measure
    same = ("suv_max", "suv_peak", "suv_mean", "suv_median")
    assert [found[f"{name}_g_ml"] for name in same] == [getattr(region, name) for name in same]
    assert [found[name] for name in ("hu_mean", "hu_sd", "volume_ml")] == [
        region.hu_mean,
        region.hu_sd,
        region.volume_ml,
    ]
    hot = case.pet.voxels[mask & (case.pet.voxels >= HOT_SUV)]
    assert found["tlg_g"] == pytest.approx(float(hot.mean()) * found["mtv_ml"], rel=1e-5) and len(hot)
    with pytest.raises(InputError, match="has no voxels"):
        measure_statistics(case, mask & False)
