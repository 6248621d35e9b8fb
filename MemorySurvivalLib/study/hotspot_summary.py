"""Explained cases as a table: how often maps point at planted lesions, beside chance."""

from __future__ import annotations

import numpy as np

from MemorySurvivalLib.study.hotspot_places import Place
from MemorySurvivalLib.study.hotspot_results import HotspotResults

AVID_SUV = 2.5
"""SUVbw (g/mL) from which a lesion counts as avid here, a customary bound; said beside all cases, never instead."""

_ASTRAY: tuple[Place, ...] = ("distractor", "organ", "elsewhere")


def summarise(kept: HotspotResults, tolerance_mm: float) -> list[dict[str, object]]:
    """A row for each model: how often its top hotspot lies in or near a lesion, with a 95 % Wilson interval, and how
    much of its risk-raising effect lies in lesions against what an evenly spread effect would have there."""
    cases = list(kept.cases.values())
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys(name for case in cases for name in case.findings):
        found = [case.findings[name] for case in cases]
        hit = [one.distance_mm is not None and one.distance_mm <= tolerance_mm for one in found]
        avid = [yes for yes, case in zip(hit, cases, strict=True) if case.lesion_suv_max >= AVID_SUV]
        hits = sum(hit)
        low, high = _wilson(hits, len(found))
        energies = [
            (one.energy_in_lesions, case.lesion_share)
            for one, case in zip(found, cases, strict=True)
            if one.energy_in_lesions is not None
        ]
        gain = np.median([energy / share for energy, share in energies]) if energies else None
        rows.append(
            {
                "map": name,
                "cases": len(found),
                "top_in_or_near_a_lesion": round(hits / len(found), 3),
                "interval": [round(low, 3), round(high, 3)],
                "with_an_avid_lesion": f"{sum(avid)} of {len(avid)}",
                **{f"at_{place}": sum(one.place == place for one in found) for place in _ASTRAY},
                "without_any_hotspot": sum(one.distance_mm is None for one in found),
                "median_energy_in_lesions": _round(np.median([e for e, _ in energies]) if energies else None),
                "median_energy_against_chance": _round(gain),
            }
        )
    if cases:
        share = float(np.mean([case.lesion_share for case in cases]))
        near = {place: float(np.mean([case.place_shares[place] for case in cases])) for place in ("lesion", *_ASTRAY)}
        rows.append(
            {
                "map": "a point by chance",
                "cases": len(cases),
                "top_in_or_near_a_lesion": round(near.pop("lesion"), 3),
                "interval": "",
                "with_an_avid_lesion": "",
                **{f"at_{place}": f"{value:.0%}" for place, value in near.items()},
                "without_any_hotspot": "",
                "median_energy_in_lesions": round(share, 4),
                "median_energy_against_chance": 1.0,
            }
        )
    return rows


def _wilson(hits: int, n: int) -> tuple[float, float]:
    z = 1.96
    middle = (hits + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * float(np.sqrt(hits * (n - hits) / n + z**2 / 4))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _round(value: float | np.floating | None) -> float | str:
    return "" if value is None else float(f"{value:.3g}")
