"""What the report's page about the explanation lists beside the hotspots: the region and what lies outside it."""

from __future__ import annotations

from dataclasses import dataclass

from MemorySurvivalLib.report.language import later
from MemorySurvivalLib.report.record import HeatmapRecord


@dataclass(frozen=True)
class EffectRow:
    """Tissue that was replaced at once, the change of log-risk it causes, and whether that is within the noise."""

    tissue: str
    effect: float
    within_noise: bool


def list_effects(record: HeatmapRecord) -> tuple[EffectRow, ...]:
    """The whole region, the sum of its parts, and what lies outside; empty where none of it was asked for."""
    found: list[tuple[str, float]] = []
    if record.whole_roi_effect is not None:
        found.append((later("the whole region"), record.whole_roi_effect))
    if record.summed_effect is not None:
        found.append((later("its parts, as if they added up"), record.summed_effect))
    found += [(one.organ, one.effect) for one in record.outside]
    return tuple(EffectRow(tissue, effect, abs(effect) <= record.noise_floor) for tissue, effect in found)
