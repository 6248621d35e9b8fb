"""The card of a backbone's training as tests make it up, and a bundle that carries it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.bundle.archive import write_archive
from MemorySurvivalLib.bundle.backbone_training import RANDOM, TRAINING_CARD, TRAINING_LOG, parse_training_card
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle

LOG = b'{"step": 10}\n'


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


def carry_training(bundle: ModelBundle, path: Path) -> ModelBundle:
    """The bundle (its backbone inside) written anew with such a card and a log."""
    card = make_card(bundle.manifest.backbone.sha256)
    learned = parse_training_card(card).learned_from
    backbone = msgspec.structs.replace(bundle.manifest.backbone, learned_from=learned)
    members = {**bundle.archive.members, TRAINING_CARD: card, TRAINING_LOG: LOG}
    write_archive(path, msgspec.structs.replace(bundle.manifest, backbone=backbone), members)
    return load_bundle(path)
