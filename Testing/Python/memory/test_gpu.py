"""The same score on a GPU as on the CPU, within the tolerance of another device's arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_up import Patient

from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, score_case

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]


def test_log_risk_and_heatmap_agree_with_the_cpu(patient: Patient, small_bundle: Path) -> None:
    records = {}
    for device in ("cpu", "cuda"):
        request = ScoreRequest(
            ct=patient.ct_path,
            pet=patient.pet_path,
            roi=patient.spine_path,
            out=patient.folder / device,
            bundle=str(small_bundle),
            explain=True,
            device=device,  # type: ignore[arg-type]
        )
        records[device] = score_case(request, Models()).record
    assert records["cuda"].device.startswith("cuda")
    assert records["cuda"].risk.log_risk == pytest.approx(records["cpu"].risk.log_risk, abs=1e-2)
    cpu, cuda = records["cpu"].heatmap, records["cuda"].heatmap
    assert cpu is not None
    assert cuda is not None
    assert cuda.maximum == pytest.approx(cpu.maximum, abs=1e-2)
