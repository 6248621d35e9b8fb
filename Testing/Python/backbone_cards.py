"""The card of a backbone's training, as tests make it up."""

from __future__ import annotations

import json
from typing import Any

from MemorySurvivalLib.bundle.backbone_training import RANDOM


def make_card(sha256: str, **changes: Any) -> bytes:
    """A card as a training writes it, with two phantoms and one real series."""
    card = {
        "what": "Small network",
        "weights_sha256": sha256,
        "begun_with": RANDOM,
        "steps": 4,
        "of": 4,
        "seconds": 3600,
        "threads": 1,
        "recipe": {"seed": 1},
        "simulated_cases": ["a", "b"],
        "real_cases": ["real-STS_002-PET"],
        "licences": "CC BY 3.0",
    }
    return json.dumps({**card, **changes}).encode()
