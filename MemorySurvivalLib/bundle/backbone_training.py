"""How the backbone inside a bundle was trained: the card and log that travel with its weights, checked against it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from MemorySurvivalLib.bundle.manifest import LearnedFrom, Manifest

TRAINING_CARD, TRAINING_LOG = "backbone.json", "backbone_log.jsonl"
"""Members of a bundle: the training as its own card has it, and its log, thinned."""

RANDOM = "seeded random weights"
PHANTOMS_ONLY = ("3407502ff623e11fef6c1d033c118ab6debb8332ad3dfa728fd205fa4e7637cc",)
"""Weights that are known to have learned from phantoms alone: those of the demonstration bundle, version 1."""


class BackboneCard(msgspec.Struct, frozen=True):
    """What is used of a training's card; the rest of it (recipe, windows, software) is kept unread."""

    weights_sha256: str
    begun_with: str
    simulated_cases: tuple[str, ...]
    real_cases: tuple[str, ...]
    licences: str | None

    @property
    def learned_from(self) -> LearnedFrom:
        """The images as a manifest states them."""
        clean = self.begun_with in (RANDOM, *PHANTOMS_ONLY)
        return LearnedFrom(len(self.simulated_cases), self.real_cases, self.licences or "", clean)


def parse_training_card(text: bytes) -> BackboneCard:
    """The card. Raises ValueError for one that is damaged or lacks something."""
    try:
        return msgspec.json.decode(text, type=BackboneCard)
    except msgspec.DecodeError as error:
        raise ValueError(str(error).rstrip(".")) from error


def find_training_problem(manifest: Manifest, members: Mapping[str, bytes]) -> str | None:
    """How the card that travels with the weights contradicts the manifest, as a clause; None where it does not."""
    if TRAINING_CARD not in members:
        return None
    try:
        card = parse_training_card(members[TRAINING_CARD])
    except ValueError as error:
        return f"its {TRAINING_CARD} cannot be read: {error}"
    backbone = manifest.backbone
    if card.weights_sha256 != backbone.sha256:
        return f"its {TRAINING_CARD} is of other weights than its backbone"
    said, found = backbone.learned_from, card.learned_from
    # What weights are known to be clean may grow with the program; only the rest must be the same.
    if said is None or said != msgspec.structs.replace(found, begun_clean=said.begun_clean):
        return f"its {TRAINING_CARD} names other images than its backbone entry"
    return None
