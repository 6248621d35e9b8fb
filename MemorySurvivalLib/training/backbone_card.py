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
from MemorySurvivalLib.bundle.backbone_training import (
    RANDOM,
    TRAINING_CARD,
    TRAINING_LOG,
    parse_training_card,
)
from MemorySurvivalLib.bundle.manifest import LearnedFrom
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.training.backbone_data import StoredCase

CARD = TRAINING_CARD

MOST_LOG_BYTES = 100_000
"""Of a log that travels in a bundle; a longer one is thinned."""

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
        "begun_with": begun_with or RANDOM,
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


def pack_training(folder: Path, log: Path, weights_sha256: str) -> dict[str, bytes]:
    """The members of a bundle with the training in `folder`: its card, and its `log` (thinned) where there is one.

    Raises InputError where the folder holds no training, its card lacks something, or is of other weights.
    """
    read_backbone_card(folder)
    card = (folder / CARD).read_bytes()
    try:
        found = parse_training_card(card).weights_sha256
    except ValueError as error:
        raise InputError(f"{folder / CARD} cannot travel in a bundle ({error}); train the backbone again.") from error
    if found != weights_sha256:
        raise InputError(
            f"{folder / CARD} is of other weights ({found[:12]}) than those given ({weights_sha256[:12]}); give the "
            "folder of their own training."
        )
    return {TRAINING_CARD: card, **({TRAINING_LOG: thin_log(log.read_bytes())} if log.is_file() else {})}


def thin_log(log: bytes, most_bytes: int = MOST_LOG_BYTES) -> bytes:
    """Every k-th line and the last one, with the smallest k that keeps it within `most_bytes`.

    Lines that are not whole, such as the last one of a training that was cut off, are left out.
    """
    lines = [line + b"\n" for line in log.splitlines() if _is_entry(line)]
    step = 1
    while len(kept := b"".join(_every(lines, step))) > most_bytes and step < len(lines):
        step += 1
    return kept if len(kept) <= most_bytes else b""


def _every(lines: list[bytes], step: int) -> list[bytes]:
    return lines[::step] if (len(lines) - 1) % step == 0 else [*lines[::step], lines[-1]]


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def read_learned_from(training: Mapping[str, bytes]) -> LearnedFrom | None:
    """Which images the weights learned from, of the members of a bundle; None where no card is among them."""
    return parse_training_card(training[TRAINING_CARD]).learned_from if TRAINING_CARD in training else None


def describe_training(training: Mapping[str, bytes]) -> str:
    """The training as a section in Markdown for a model card, from the members of a bundle; empty where there is none.

    The section says where the rest of it lies.
    """
    if TRAINING_CARD not in training:
        return ""
    said = backbone_card_section(json.loads(training[TRAINING_CARD]))
    if not parse_training_card(training[TRAINING_CARD]).learned_from.begun_clean:
        said += " What the weights that it began with had learned from is not named here."
    rest = f"Recipe and windows are in this bundle's {TRAINING_CARD}"
    rest += f", the course of the training in {TRAINING_LOG}." if TRAINING_LOG in training else "."
    return f"## How the backbone was trained\n\n{said} {rest} No outcome of any patient was part of it.\n"


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
