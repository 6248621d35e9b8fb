"""What goes with the weights of a trained backbone: how they were made, as a file and as text for a model card."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.training.backbone_data import StoredCase

CARD = "backbone.json"

LICENCES = "petct_sts10 CC BY 3.0 (TCIA Soft-tissue-Sarcoma); CT with labels and vertebrae Apache-2.0"
"""Of the real images in the training's folder layout."""


def write_backbone_card(
    folder: Path,
    recipe: Mapping[str, Any],
    windows: Mapping[Modality, Window],
    cases: list[StoredCase],
    *,
    weights_sha256: str,
    begun_with: str | None,
    steps: int,
    seconds: float,
) -> None:
    """Write `backbone.json` beside the weights. Raises OutputError when there is no room."""
    real = [case.name for case in cases if not case.simulated]
    card = {
        "what": "Compact network of SAM 2.1's classes (not MedSAM2)",
        "notice": RESEARCH_USE,
        "weights_sha256": weights_sha256,
        "begun_with": begun_with or "seeded random weights",
        "steps": steps,
        "of": recipe["steps"],
        "seconds": round(seconds),
        "recipe": dict(recipe),
        "windows": {modality: msgspec.to_builtins(window) for modality, window in windows.items()},
        "simulated_cases": [case.name for case in cases if case.simulated],
        "real_cases": real,
        "licences": LICENCES if real else None,
        "software": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "threads": torch.get_num_threads(),
    }
    with atomic_file(folder / CARD) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_backbone_card(folder: Path) -> dict[str, Any]:
    """What `write_backbone_card` wrote. Raises InputError where there is none or it is damaged."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if not isinstance(card, dict):
            raise ValueError("not a description")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no training of a backbone ({error}); choose the folder of one.") from error
    return card


def backbone_card_section(card: Mapping[str, Any]) -> str:
    """The training as a paragraph in Markdown for the card of a bundle that holds the weights."""
    real = card["real_cases"]
    images = (
        f"and on {len(real)} real image series of patients ({', '.join(real)}; {card['licences']})"
        if real
        else "and on no patient's images"
    )
    ended = "" if card["steps"] == card["of"] else f" of the {card['of']} that the recipe has: it was not finished"
    hours = f"{card['seconds'] / 3600:.1f} hours on {card['threads']} processor thread(s)"
    return (
        f"The backbone ({card['what']}) was trained for {card['steps']} steps{ended}, {hours}, on "
        f"{len(card['simulated_cases'])} simulated patients {images}. Begun with: {card['begun_with']}. "
        f"Weights (sha256): {card['weights_sha256']}."
    )
