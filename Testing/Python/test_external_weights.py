"""A published checkpoint's way through the product: imported by the command, named by a bundle, used by `score`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import Patient, make_head, make_manifest

from MemorySurvivalLib.bundle.bundle import save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.memory.backbone import MEDSAM2, build_backbone


def test_seeded_hiera_tiny_goes_through_import_and_score(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random weights under MedSAM2's real keys stand in for its checkpoint, which may not be redistributed."""
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(patient.folder / "data"))
    checkpoint = patient.folder / "checkpoint.pt"
    torch.save({"model": build_backbone(MEDSAM2, seed=17).state_dict()}, checkpoint)
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    head, entry = make_head("image", None, 1)
    backbone = BackboneEntry(MEDSAM2.architecture, MEDSAM2.image_size, "external", sha256, "seeded for a test")
    bundle = patient.folder / "external.msbundle"
    save_bundle(bundle, make_manifest((entry,), backbone), {"image": head}, "# Card\n", None)
    thin = np.zeros(patient.spine.shape, dtype=np.uint8)
    thin[4:8] = patient.spine.voxels[4:8]
    mask = patient.folder / "thin.nrrd"
    write_volume(patient.spine.with_voxels(thin), mask)
    images = ["--ct", str(patient.ct_path), "--pet", str(patient.pet_path), "--roi", str(mask), "--device", "cpu"]
    score = ["score", *images, "--bundle", str(bundle), "--out", str(patient.folder / "out")]

    assert main(score) == 2
    absent = capsys.readouterr().err
    assert absent.startswith(f"memory-survival: The backbone weights with sha256 {sha256[:12]}")
    assert "memory-survival weights import FILE" in absent

    assert main(["weights", "import", str(checkpoint), "--name", "seeded"]) == 0
    assert main(score) == 0
    result = json.loads((patient.folder / "out" / "result.json").read_text())
    assert result["memory"][0]["shape"] == [1, 64, 32, 32], "MedSAM2's memory grid at 512 pixels"
    assert result["bundle"]["backbone"]["sha256"] == sha256
    assert np.isfinite(result["risk"]["log_risk"])

    stored = next(Path(patient.folder / "data" / "weights").glob("*.pt"))
    damaged = bytearray(stored.read_bytes())
    damaged[5_000_000] ^= 0xFF
    stored.write_bytes(bytes(damaged))
    capsys.readouterr()
    assert main([*score, "--overwrite"]) == 2, "weights that changed on disk are not used"
    assert "have changed since they were imported" in capsys.readouterr().err
