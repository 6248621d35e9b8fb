"""What the worker hands out when a prior study was compared, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np


def rigid_lps() -> np.ndarray:
    """Takes a point of the current study to the prior one: 10 degrees about z, then a shift."""
    from scenes import rotation

    matrix = rotation(2, 10)
    matrix[:3, 3] = (8, -6, 40)
    return matrix


def compared() -> dict[str, Any]:
    """What the worker hands out."""
    value = {"name": "focal MTV", "unit": "ml", "current": 12.0, "prior": 8.0, "change_percent": 50.0}
    lesion = {"fate": "only now", "current": 1, "prior": None, "site": "L4", "current_suv_max": 9.5}
    return {
        "match": {"current_to_prior": rigid_lps().tolist(), "spine_dice": 0.82, "doubtful": False},
        "comparison": {
            "values": [value],
            "lesions": [{**lesion, "prior_suv_max": None, "position_lps_mm": [-5.0, -12.0, -30.0]}],
        },
        "days_between": 365,
        "notes": ["A change of a risk that was trained at baseline is not a response assessment."],
    }
