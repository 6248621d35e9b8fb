"""A bundle that reads lesions in memories: scored, replayed, explained; its reader travels with it and is verified."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import safetensors.torch
import torch
from made_up import SMALL, make_head, make_manifest, make_patient, make_reader

from MemorySurvivalLib.bundle.archive import READER, read_archive, write_archive
from MemorySurvivalLib.bundle.bundle import ModelBundle, as_float16, load_bundle, save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry, Manifest, ReaderEntry
from MemorySurvivalLib.errors import BundleError
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.memory.backbone import build_backbone, weights_sha256
from MemorySurvivalLib.memory.lesion_reader import reader_sha256
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, embed_case, score_case
from MemorySurvivalLib.replay.rebuild import ReplayRequest
from MemorySurvivalLib.replay.replaying import replay_result
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.stability.changes import grow, shift_pet
from MemorySurvivalLib.stability.measuring import read_changes


def write_bundle(path: Path, seed: int = 0) -> ModelBundle:
    backbone, reader = as_float16(build_backbone(SMALL, seed=3)), make_reader(seed)
    spec = HeadSpec(("PET", "CT"), "concatenation", 0, hidden=(), downsampler="pooled", memory_shape=(12, 1, 1))
    torch.manual_seed(4)
    head = RiskHead(spec).eval()
    entry = msgspec.structs.replace(make_head("image", None, 1)[1], spec=spec)
    named = ReaderEntry(reader_sha256(reader), reader.kinds, 3)
    weights = BackboneEntry(
        SMALL.architecture, SMALL.image_size, "bundled", weights_sha256(backbone), "random", reader=named
    )
    manifest = make_manifest((entry,), weights)
    propagation = msgspec.structs.replace(
        manifest.propagation, readout="tops:3", slice_step=4, inside="lesions", close_up_mm=12
    )
    manifest = msgspec.structs.replace(manifest, propagation=propagation)
    return save_bundle(path, manifest, {"image": as_float16(head)}, "#", backbone, reader=reader)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "lesions.msbundle")


def test_scored_explained_and_replayed(tmp_path: Path, bundle: ModelBundle) -> None:
    patient = make_patient(tmp_path).written()
    request = ScoreRequest(
        tmp_path / "result",
        patient.ct_path,
        patient.pet_path,
        roi=patient.spine_path,
        bundle=str(bundle.archive.path),
        device="cpu",
        alignment="off",
        explain=True,
    )
    models = Models()
    score_case(request, models)
    record = read_record(tmp_path / "result" / "result.json")
    assert record.bundle.backbone.reader == bundle.manifest.backbone.reader
    assert record.heatmap is not None and record.heatmap.maximum != record.heatmap.minimum
    page = (tmp_path / "result" / "report.html").read_text(encoding="utf-8")
    assert bundle.manifest.backbone.reader is not None and bundle.manifest.backbone.reader.sha256 in page
    assert "trained on the planted lesions of 3 simulated patients" in page
    assert "a second small network, trained on simulated patients, looked for lesions" in " ".join(page.split())
    again = replay_result(ReplayRequest(tmp_path / "result" / "result.json"), models)
    assert again.verdict == "identical" and again.bit_for_bit, again.differences
    other = write_bundle(tmp_path / "other.msbundle", seed=1)
    score_case(replace(request, out=tmp_path / "b", bundle=str(other.archive.path)), models)
    assert read_record(tmp_path / "b" / "result.json").risk.log_risk != record.risk.log_risk


def test_its_stability_is_measured_with_its_reader(tmp_path: Path, bundle: ModelBundle) -> None:
    patient = make_patient(tmp_path)
    case = make_case(patient.ct, patient.pet)
    roi = Roi(patient.spine.with_voxels(patient.spine.voxels > 0), "spine_dilated", "test")
    engine = Models().engine(bundle, torch.device("cpu"))
    assert engine.reader is bundle.reader
    readings = read_changes(engine, bundle, case, roi, (grow(8.0), shift_pet(left_mm=40.0)))
    own, larger, shifted = readings.own, *readings.changed
    assert {modality: state.shape for modality, state in own.items()} == {"PET": (3, 4, 1, 1), "CT": (3, 4, 1, 1)}
    passes = embed_case(engine, bundle, case, roi)
    torch.testing.assert_close(own["PET"], passes["PET"].readout.state(), rtol=0, atol=2e-3)
    assert not torch.allclose(larger["CT"], own["CT"]) and not torch.allclose(shifted["PET"], own["PET"])


def spoil(path: Path, bundle: ModelBundle, manifest: Manifest, reader: bytes | None) -> str:
    members = {name: content for name, content in bundle.archive.members.items() if name != READER}
    with pytest.raises(BundleError) as caught:
        write_archive(path, manifest, members if reader is None else {**members, READER: reader})
        load_bundle(path)
    return str(caught.value)


def test_a_reader_that_does_not_belong_is_refused(tmp_path: Path, bundle: ModelBundle) -> None:
    manifest, content = bundle.manifest, bundle.archive.members[READER]
    backbone = manifest.backbone
    without = msgspec.structs.replace(manifest, backbone=msgspec.structs.replace(backbone, reader=None))
    path = tmp_path / "a.msbundle"
    assert "disagree on a lesion reader" in spoil(path, bundle, manifest, None)
    assert "disagree on a lesion reader" in spoil(path, bundle, without, content)
    assert "it reads lesions in memories, but has no lesion reader" in spoil(path, bundle, without, None)
    state = {key: tensor.half() for key, tensor in make_reader(7).state_dict().items()}
    found = spoil(path, bundle, manifest, safetensors.torch.save(state))
    assert "names the lesion reader" in found and "use a bundle that belongs together" in found
    assert "is damaged: lesion_reader.safetensors is no lesion reader" in spoil(
        path, bundle, manifest, safetensors.torch.save({"weight": torch.zeros(1)})
    )
    assert read_archive(bundle.archive.path).manifest.backbone.reader is not None
