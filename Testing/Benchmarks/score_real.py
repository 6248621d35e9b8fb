"""All ten real patients of petct_sts10 through the whole line with their tumour masks (engineering use)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from Testing.Benchmarks.real_data import need


def run() -> dict[str, Any]:
    data = need("petct_sts10")
    models = Models()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for folder in sorted(path for path in data.iterdir() if path.is_dir()):
            request = ScoreRequest(
                ct=folder / "CT_image.nii.gz",
                pet=folder / "PET_image.nii.gz",
                roi=folder / "CT_mask.nii.gz",
                out=Path(name) / folder.name,
                explain=True,
                device="cpu",
                use_cache=False,
                allow_other_roi=True,
            )
            record = score_case(request, models).record
            assert record.heatmap is not None
            row = {
                "patient": folder.name,
                "log_risk": round(record.risk.log_risk, 4),
                "slices": record.roi.slices_used,
                "patches": record.heatmap.patches,
                "effect": [round(record.heatmap.minimum, 4), round(record.heatmap.maximum, 4)],
                "refused_without_permission": _refused(request, models, Path(name) / f"{folder.name}-strict"),
                "only_log_risk": (record.risk.position, record.risk.risk_group, record.risk.survival) == (None,) * 3,
                "seconds": round(sum(record.seconds.values()), 1),
            }
            rows.append(row)
            print(
                f"{row['patient']}  log-risk {row['log_risk']:+.4f}  {row['slices']:>3} slices  "
                f"{row['patches']:>3} patches  {row['seconds']:>5} s",
                flush=True,
            )
    ok = len(rows) == 10 and all(row["refused_without_permission"] and row["only_log_risk"] for row in rows)
    return {
        "patients": rows,
        "goal": "ten of ten scored and explained; each tumour mask refused unless allowed; log-risk only",
        "ok": ok,
    }


def _refused(request: ScoreRequest, models: Models, out: Path) -> bool:
    strict = ScoreRequest(ct=request.ct, pet=request.pet, roi=request.roi, out=out, device="cpu")
    try:
        score_case(strict, models)
    except InputError:
        return not out.exists()
    return False
