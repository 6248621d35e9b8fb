"""What a model reads of memories: readouts and how each slice is pooled inside the region, and their names."""

from __future__ import annotations

from typing import Literal

from MemorySurvivalLib.memory.inside import Inside
from MemorySurvivalLib.memory.readout import ReadoutName
from MemorySurvivalLib.study.configuration import CLOSE, Embedding

WHOLE_SCAN: tuple[tuple[str, str], ...] = (
    ("mean", "region"),
    ("stations:4", "region"),
    ("mean", "peak"),
    ("max", "peak"),
    ("mean", f"{CLOSE}lesions"),
    ("max", f"{CLOSE}lesions"),
    ("tops:3", f"{CLOSE}lesions"),
)
"""Readouts, with how each slice is pooled inside the ROI, between which the tuning of the fused models chooses with the
ROI; the last three of the lesions read in close-ups, which there are of one ROI. `max` of means is left out: probes of
development patients found least of the truth in it."""

POOLING_WORDS = {
    "region": "channels averaged inside the ROI",
    "peak": "channels' peaks inside the ROI",
    "grid": "channels averaged over the grid",
    f"{CLOSE}region": "channels averaged inside the ROI, close up",
    f"{CLOSE}peak": "channels' peaks inside the ROI, close up",
    "lesions": "lesions read inside the ROI",
    f"{CLOSE}lesions": "lesions read inside the ROI, close up",
}

ROI_WORDS = {"spine_dilated": "dilated spine", "skeleton": "skeleton"}


def whole_scan(embedding: Embedding, roi: str) -> tuple[tuple[ReadoutName, str], ...]:
    """Those of WHOLE_SCAN that are kept of an ROI: readout and pooling."""
    kept = {
        one.kind(pooling): readouts
        for one in embedding.ways
        if roi in one.rois
        for pooling, readouts in (
            ("region", one.region_readouts),
            ("peak", one.peak_readouts),
            ("lesions", one.lesion_readouts),
        )
    }
    return tuple((readout, pooling) for readout, pooling in WHOLE_SCAN if readout in kept.get(pooling, ()))


_CLOSE_UP = " close up"

_POOLED: dict[str, Inside] = {" of peaks": "peak", " of lesions": "lesions", "": True}
"""What follows the readout in an alternative's name, and how a bundle then pools inside its region."""


def name_pooled(readout: ReadoutName, pooling: str) -> str:
    """The name of an alternative: "mean", "mean of peaks", or "mean of lesions close up"."""
    inside = pool_inside(pooling)
    name = readout + next(word for word, one in _POOLED.items() if one == inside)
    return f"{name}{_CLOSE_UP}" if pooling.startswith(CLOSE) else name


def pool_inside(pooling: str) -> Literal[True, "peak", "lesions"]:
    """How a bundle pools inside its region what the study pools in this way."""
    plain = pooling.removeprefix(CLOSE)
    return "peak" if plain == "peak" else "lesions" if plain == "lesions" else True


def split_pooled(name: str) -> tuple[ReadoutName, Inside, bool]:
    """The readout of a name that `name_pooled` gave, how a bundle then pools inside its region, and whether its
    pictures are close-ups."""
    plain = name.removesuffix(_CLOSE_UP)
    word = next(word for word in _POOLED if plain.endswith(word))
    return plain.removesuffix(word), _POOLED[word], name.endswith(_CLOSE_UP)
