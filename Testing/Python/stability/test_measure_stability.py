"""The stability of a score: every change equals scoring the changed case from scratch, wherever the axes run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up import BundleMaker, Patient, make_patient

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import MODALITIES
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext, Warm
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prompts import PromptConfig
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.progress import ProgressEvent, ignore_progress
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.roi import Roi, RoiKind
from MemorySurvivalLib.scoring import score_states
from MemorySurvivalLib.stability.arrangement import Arrangement, arrange, moved
from MemorySurvivalLib.stability.changes import BADGE, OTHER_SLICES, Change, grow, jitter, pad, shift_pet
from MemorySurvivalLib.stability.measuring import measure_stability
from MemorySurvivalLib.stability.record import RULE, THRESHOLD_SD, TrialRecord, judge, word

ROUNDING = 2e-5
"""In log-risk: prompts go through the decoder several at once, which rounds differently."""

VALUES = {"age_years": "60", "sex": "female"}


def load(path: Path) -> tuple[ModelBundle, MemoryEngine]:
    bundle = load_bundle(path)
    return bundle, MemoryEngine(bundle.backbone(), torch.device("cpu"))


@pytest.fixture(scope="module")
def loaded(small_bundle: Path) -> tuple[ModelBundle, MemoryEngine]:
    return load(small_bundle)


@pytest.fixture(scope="module")
def case() -> Case:
    made = make_patient(Path())
    return make_case(made.ct, made.pet)


@pytest.fixture(scope="module")
def mask() -> Volume:
    """The spine, curved: on the upper slices it lies one voxel farther to the left and back."""
    spine = make_patient(Path()).spine
    curved = [np.roll(one, (z // 8, z // 8), axis=(0, 1)) for z, one in enumerate(spine.voxels > 0)]
    return spine.with_voxels(np.stack(curved))


def region(mask: Volume, kind: RoiKind = "spine_dilated") -> Roi:
    return Roi(mask, kind, "the test")


def naive(bundle: ModelBundle, engine: MemoryEngine, case: Case, one: Arrangement) -> float:
    """The log-risk of an arrangement by plain passes."""
    windows = {"PET": bundle.manifest.windows.PET, "CT": bundle.manifest.windows.CT}
    images = {"PET": moved(case.pet, one.pet_steps), "CT": case.ct}
    states = {
        m: propagate(engine, images[m], m, windows[m], one.boxes, one.config, mask=one.mask).readout.state()
        for m in MODALITIES
    }
    return score_states(bundle, states, VALUES, simulated_case=False, other_roi=False).log_risk


CHANGES = (
    *jitter(0.1, 2),
    pad(8),
    grow(4),
    grow(-4),
    OTHER_SLICES,
    shift_pet(left_mm=4, up_mm=-6),
    Change("mask", prompt={"kind": "mask"}),
    Change("points", prompt={"kind": "points", "points": 3}),
    Change("coarse", boxes="coarse"),
    Change("beside", boxes="beside", seed=3),
    Change("feet first", direction="feet_to_head"),
    Change("every slice", slice_step=1),
    Change("streamed", mode="streamed"),
)


DIRECTED = (OTHER_SLICES, shift_pet(left_mm=4), Change("feet first", direction="feet_to_head"))


@pytest.mark.parametrize(("readout", "changes"), [("mean", CHANGES), ("bank:2", DIRECTED)])
def test_every_change_equals_scoring_the_changed_case(
    make_bundle: BundleMaker, case: Case, mask: Volume, readout: str, changes: tuple[Change, ...]
) -> None:
    bundle, engine = load(make_bundle(propagation=PropagationConfig(readout)))
    record = measure_stability(engine, bundle, case, region(mask), VALUES, changes)
    config = bundle.manifest.propagation
    for change, trial in zip(changes, record.trials, strict=True):
        expected = naive(bundle, engine, case, arrange(change, case, mask, config))
        assert trial.log_risk == pytest.approx(expected, abs=ROUNDING), change.family
        assert trial.moved == trial.log_risk - record.log_risk
    sizes = {trial.change: abs(trial.moved) for trial in record.trials}
    assert min(size for name, size in sizes.items() if name != "feet first") > 4 * ROUNDING
    assert (sizes["feet first"] > 4 * ROUNDING) == (readout == "bank:2")  # a mean has no direction


def test_a_picture_is_encoded_once_for_all_boxes(
    loaded: tuple[ModelBundle, MemoryEngine], case: Case, mask: Volume
) -> None:
    bundle, engine = loaded
    used = len(prompt_boxes(mask, 2))
    boxes_only = measure_stability(engine, bundle, case, region(mask), VALUES, (*jitter(0.05, 3), pad(5), grow(2)))
    assert boxes_only.encoded_slices == 2 * used
    others = measure_stability(engine, bundle, case, region(mask), VALUES, (OTHER_SLICES, shift_pet(up_mm=4)))
    assert others.encoded_slices == 2 * 2 * used + used


def test_the_badge_rests_on_the_largest_effect(
    loaded: tuple[ModelBundle, MemoryEngine], case: Case, mask: Volume
) -> None:
    bundle, engine = loaded
    record = measure_stability(engine, bundle, case, region(mask), VALUES)
    reference = bundle.manifest.heads[1].reference
    assert reference is not None and record.reference_sd == pytest.approx(np.std(reference.log_risks, ddof=1))
    assert len(record.trials) == len(BADGE)
    largest = max(abs(trial.moved_sd or 0) for trial in record.trials)
    assert record.verdict == ("stable" if largest <= THRESHOLD_SD else "sensitive")
    assert record.largest is not None and abs(record.largest.moved_sd or 0) == largest
    risks = [record.log_risk, *(trial.log_risk for trial in record.trials)]
    assert (record.lowest, record.highest) == (min(risks), max(risks))
    assert record.positions and 0 <= record.positions[0] <= record.positions[1] <= 1
    plain = record.as_builtins()
    assert (plain["rule"], plain["research_use"], plain["labels"]) == (RULE, RESEARCH_USE, ("SIMULATED MODEL",))
    again = measure_stability(engine, bundle, case, region(mask), VALUES)
    assert again.trials == record.trials


def trial(moved_sd: float | None, group: str | None = None) -> TrialRecord:
    return TrialRecord("a change", 0.0, moved_sd or 0.1, moved_sd, moved_sd, group)


def test_the_rule() -> None:
    assert judge((trial(0.1), trial(-THRESHOLD_SD)), 1.0) == "stable"
    assert judge((trial(0.1), trial(-THRESHOLD_SD - 1e-6)), 1.0) == "sensitive"
    assert judge((), 1.0) == judge((trial(None),), None) == "not judged"
    assert "was another one (low) in 1 of 2" in word((trial(0.1, "low"), trial(0.1, "high")), 1.0, "high")
    assert "not judged" in word((trial(None),), None, None)
    assert "was not judged" in word((), 1.0, "high")


def test_another_region_shows_the_log_risk_only(
    loaded: tuple[ModelBundle, MemoryEngine], case: Case, mask: Volume
) -> None:
    bundle, engine = loaded
    record = measure_stability(engine, bundle, case, region(mask, "other"), VALUES, (pad(5),))
    assert (record.verdict, record.positions, record.risk_groups, record.reference_sd) == ("not judged", (), (), None)
    assert record.trials[0].moved != 0 and record.trials[0].moved_sd is record.trials[0].moved_points is None


def test_a_region_on_one_slice_or_one_pixel_is_measured_as_far_as_it_goes(
    loaded: tuple[ModelBundle, MemoryEngine], case: Case, mask: Volume
) -> None:
    bundle, engine = loaded
    voxels = np.zeros_like(mask.voxels)
    voxels[7, 20, 20] = True
    record = measure_stability(engine, bundle, case, region(mask.with_voxels(voxels)), VALUES)
    assert len(record.left_out) == 2
    assert "Nothing of the mask is left" in record.left_out[0] and "one slice" in record.left_out[1]
    assert len(record.trials) == len(BADGE) - 2
    nothing = measure_stability(engine, bundle, case, region(mask.with_voxels(voxels)), VALUES, (OTHER_SLICES,))
    assert (nothing.verdict, nothing.largest) == ("not judged", None)


def test_a_region_in_pieces_with_empty_slices_between(
    loaded: tuple[ModelBundle, MemoryEngine], case: Case, mask: Volume
) -> None:
    bundle, engine = loaded
    voxels = mask.voxels.copy()
    voxels[6:11] = False
    record = measure_stability(engine, bundle, case, region(mask.with_voxels(voxels)), VALUES)
    assert len(record.trials) == len(BADGE) and not record.left_out


def test_a_bundle_that_is_prompted_with_masks(make_bundle: BundleMaker, case: Case, mask: Volume) -> None:
    bundle, engine = load(make_bundle(propagation=PropagationConfig("mean", prompt=PromptConfig("mask"))))
    record = measure_stability(engine, bundle, case, region(mask), VALUES)
    assert len(record.trials) == len(BADGE) - 4
    assert all("prompted with mask" in sentence for sentence in record.left_out)


GEOMETRIC = (pad(5), grow(4), shift_pet(left_mm=4, back_mm=8, up_mm=-6), Change("beside", boxes="beside", seed=2))


@pytest.mark.parametrize("orientation", ["RAS", "ILA"])
def test_numbers_do_not_depend_on_how_the_axes_run(
    loaded: tuple[ModelBundle, MemoryEngine], case: Case, mask: Volume, orientation: str
) -> None:
    bundle, engine = loaded
    made = make_patient(Path())
    turned = make_case(made.ct.reoriented(orientation), made.pet.reoriented("IRP"))
    turned_mask = mask.reoriented(orientation).reoriented()
    expected = measure_stability(engine, bundle, case, region(mask), VALUES, GEOMETRIC)
    found = measure_stability(engine, bundle, turned, region(turned_mask), VALUES, GEOMETRIC)
    for one, other in zip(found.trials, expected.trials, strict=True):
        assert (one.change, one.log_risk) == (other.change, pytest.approx(other.log_risk, abs=1e-6))


def test_numbers_of_an_obliquely_turned_patient(
    loaded: tuple[ModelBundle, MemoryEngine], case: Case, mask: Volume
) -> None:
    bundle, engine = loaded
    angle = np.deg2rad(11)
    turn = np.eye(4)
    turn[:3, :3] = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    ) @ np.array([[1, 0, 0], [0, np.cos(0.1), -np.sin(0.1)], [0, np.sin(0.1), np.cos(0.1)]])

    def turned(volume: Volume) -> Volume:
        return Volume(volume.voxels, Affine(turn @ volume.affine.matrix), volume.attributes)

    oblique = make_case(turned(make_patient(Path()).ct), turned(make_patient(Path()).pet))
    expected = measure_stability(engine, bundle, case, region(mask), VALUES, GEOMETRIC)
    found = measure_stability(engine, bundle, oblique, region(turned(mask)), VALUES, GEOMETRIC)
    for one, other in zip(found.trials, expected.trials, strict=True):
        assert (one.change, one.log_risk) == (other.change, pytest.approx(other.log_risk, abs=1e-3))


class Cancelled(BaseException):
    """What the worker raises through progress when a job is cancelled."""


@pytest.mark.parametrize("mode", ["boxed", "streamed"])
def test_progress_reaches_its_total_and_cancelling_stops(
    make_bundle: BundleMaker, case: Case, mask: Volume, mode: str
) -> None:
    propagation = PropagationConfig("mean", mode=mode, direction="both")  # type: ignore[arg-type]
    bundle, engine = load(make_bundle(propagation=propagation))
    events: list[ProgressEvent] = []
    measure_stability(engine, bundle, case, region(mask), VALUES, (pad(5),), events.append)
    assert events[-1].done == events[-1].total > 0
    assert {event.stage for event in events} == {"stability"}

    def cancel(event: ProgressEvent) -> None:
        if event.done == 3:
            raise Cancelled

    before = engine.encoded_slices
    with pytest.raises(Cancelled):
        measure_stability(engine, bundle, case, region(mask), VALUES, (pad(5),), cancel)
    assert engine.encoded_slices - before <= 3


def job(patient: Patient, bundle: Path, **parameters: Any) -> dict[str, Any]:
    given = {
        "ct": str(patient.ct_path),
        "pet": str(patient.pet_path),
        "roi": str(patient.spine_path),
        "roi_kind": "spine_dilated",
        "bundle": str(bundle),
        "alignment": "off",
        "device": "cpu",
        "use_cache": False,
        "covariate_values": {"age_years": {"value": "60", "source": "typed"}},
    }
    return dict(find_job("stability")({**given, **parameters}, JobContext(ignore_progress, lambda text: None)).result)


def test_the_job_takes_what_the_score_job_takes(patient: Patient, small_bundle: Path) -> None:
    before = sorted(patient.folder.iterdir())
    result = job(patient, small_bundle, out=str(patient.folder / "out"), explain=True, measure=True)
    score = find_job("score")(
        {
            "ct": str(patient.ct_path),
            "pet": str(patient.pet_path),
            "roi": str(patient.spine_path),
            "roi_kind": "spine_dilated",
            "bundle": str(small_bundle),
            "out": str(patient.folder / "out"),
            "covariate_values": {"age_years": {"value": "60", "source": "typed"}},
            "device": "cpu",
            "use_cache": False,
        },
        JobContext(ignore_progress, lambda text: None),
    ).result
    assert result["log_risk"] == pytest.approx(score["log_risk"], abs=1e-6)
    assert len(result["trials"]) == len(BADGE) and result["verdict"] in ("stable", "sensitive")
    assert sorted(p for p in patient.folder.iterdir() if p.name != "out") == before


def test_another_covariate_reads_nothing_again(patient: Patient, small_bundle: Path) -> None:
    warm = Warm()
    parameters = {"ct": str(patient.ct_path), "pet": str(patient.pet_path), "roi": str(patient.spine_path)}
    parameters |= {"roi_kind": "spine_dilated", "bundle": str(small_bundle), "device": "cpu"}
    events: list[ProgressEvent] = []
    context = JobContext(events.append, lambda text: None, warm)

    def run(age: str) -> Any:
        events.clear()
        typed = {"age_years": {"value": age, "source": "typed"}}
        return find_job("stability")({**parameters, "covariate_values": typed}, context).result

    first = run("60")
    assert any(event.stage == "stability" for event in events)
    second = run("75")
    assert not any(event.stage == "stability" for event in events)
    assert second["log_risk"] != first["log_risk"]
    assert run("60") == first


def test_the_job_says_what_is_wrong(patient: Patient, small_bundle: Path) -> None:
    with pytest.raises(InputError, match="parameters are not valid"):
        job(patient, small_bundle, roi_kind="liver")
    empty = patient.spine.with_voxels(np.zeros_like(patient.spine.voxels))
    write_volume(empty, patient.folder / "empty.nrrd")
    with pytest.raises(InputError, match="empty"):
        job(patient, small_bundle, roi=str(patient.folder / "empty.nrrd"))
