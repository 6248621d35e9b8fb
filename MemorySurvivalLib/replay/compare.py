"""Comparing the numbers of two records, each with a stated tolerance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from MemorySurvivalLib.replay.record import Difference

SECTIONS = ("inputs", "simulated_case", "acquisition", "roi", "bundle", "memory", "risk", "heatmap", "measurements")
"""What of a record is compared; `stability` is, where the record holds one."""

TOLERANCES: Mapping[str, float] = {
    "risk.log_risk": 1e-4,
    "risk.position": 0.01,
    "risk.survival": 1e-4,
    "risk.gate_pet": 1e-4,
    "risk.statistics": 1e-6,
    "heatmap": 1e-4,
    "heatmap.fill_agreement": 0.02,
    "measurements": 1e-6,
    "acquisition": 1e-6,
    "stability": 1e-3,
}
"""How far a number may move, by its place in the record; the longest place counts. Everything else has to be equal.

Log-risk, PET weight and the heatmap's effects are float32 sums whose order depends on threads, device and library;
1e-4 is far above that and far below what anybody reads. A hundredth in the position is one of a hundred reference
cases. Measurements, statistics and acquisition are float64 and no network, so only rounding in the last digits is let
pass; their tolerance is relative to the number where it is above 1.
"""
RELATIVE = ("measurements", "acquisition", "risk.statistics")

_TIMES = ("seconds", "encoded_slices", "resumed")
_TEXTS = ("path", "made_by", "provenance", "notes", "sentence", "summary", "reasons", "warning", "rule", "meaning")
_NOTICES = ("version", "research_use", "schema", "schema_version")
_NOT_COMPARED = frozenset((*_TIMES, *_TEXTS, *_NOTICES))
_NOT_COMPARED_PLACES = frozenset({"risk.covariates.ignored"})
"""Times, texts and names of files, which say how a run went and not what came of it."""


def compare_records(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[int, tuple[Difference, ...]]:
    """How many values were compared, and those that differ at all, in the order of the record.

    `was` and `now` are decoded result.json files; what `was` does not hold, because it is older or did not ask for it,
    is not compared.
    """
    sections = (*SECTIONS, *(("stability",) if was.get("stability") is not None else ()))
    before = dict(_flatten({name: was[name] for name in sections if was.get(name) is not None}))
    after = dict(_flatten({name: now.get(name) for name in sections}))
    found = []
    for name, value in before.items():
        there = name in after
        difference = _compare(name, value, after.get(name), there=there)
        if difference is not None:
            found.append(difference)
    return len(before), tuple(found)


def tolerance_of(name: str) -> float:
    """What the number at this place of the record may differ by."""
    plain = name.split("[")[0]
    places = [place for place in TOLERANCES if plain == place or plain.startswith(place + ".")]
    return TOLERANCES[max(places, key=len)] if places else 0.0


_TELLING = ("acquisition", "roi.parts")
"""Where texts may have been taken out or changed, so that a record names nobody: there only numbers count."""


def _compare(name: str, was: Any, now: Any, *, there: bool) -> Difference | None:
    if there and was == now and type(was) is type(now):
        return None
    if isinstance(was, str) and name.startswith(_TELLING):
        return None
    numbers = there and _is_number(was) and _is_number(now)
    if not numbers:
        # A memory's hash has no tolerance: the numbers made of it say how much its change matters.
        return Difference(name, was, now if there else "not there any more", None, 0.0, name.startswith("memory["))
    if was == now:  # 1 and 1.0
        return None
    change, tolerance = abs(float(was) - float(now)), tolerance_of(name)
    scale = max(1.0, abs(float(was))) if name.startswith(RELATIVE) else 1.0
    within = math.isfinite(change) and change <= tolerance * scale
    return Difference(name, was, now, change, tolerance, within)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flatten(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            inner = f"{place}.{key}" if place else str(key)
            if key not in _NOT_COMPARED and inner not in _NOT_COMPARED_PLACES:
                yield from _flatten(one, inner)
    elif isinstance(value, list | tuple):
        yield f"{place}.length", len(value)
        for index, one in enumerate(value):
            yield from _flatten(one, f"{place}[{index}]")
    else:
        yield place, value
