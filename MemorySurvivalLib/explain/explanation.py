"""The explanation of one scored case: the map, its noise floor and hotspots, and what puts them into perspective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.fills import fill_values, make_fills
from MemorySurvivalLib.explain.heatmap import Heatmap, spread_effects
from MemorySurvivalLib.explain.hotspots import find_hotspots
from MemorySurvivalLib.explain.noise import NoiseFloor, find_noise_floor
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.plan import FILLS, ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.explain.sites import name_sites
from MemorySurvivalLib.explain.subject import FUSED, Subject
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Segmentation

Structures = Callable[[], Segmentation | None]
"""Gives the structures of the case, to name places by; None where there are none."""


@dataclass(frozen=True)
class OutsideEffect:
    """The change of log-risk when everything of an organ outside the region is replaced."""

    organ: str
    effect: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """The map with its hotspots, and beside it: the noise floor, how many slices were encoded, how many patches an
    earlier run had finished; the effect of occluding the whole region; organs outside it and those not found; where
    another fill agrees (2 agreed, 1 not, 0 nothing above the floor) and the share of the map above the floor that
    does; the gradient map. What was not asked for is None or empty."""

    heatmap: Heatmap
    noise: NoiseFloor
    encoded_slices: int
    resumed: int
    whole_roi_effect: float | None = None
    summed_effect: float | None = None
    outside: tuple[OutsideEffect, ...] = ()
    organs_unknown: tuple[str, ...] = ()
    agreement: Volume | None = None
    fill_agreement: float | None = None
    gradient: Volume | None = None


@dataclass(frozen=True, eq=False)
class Effects:
    """Patches and their effects (patches, variants): baseline - occluded log-risk."""

    patches: tuple[Patch, ...]
    values: npt.NDArray[np.float64]
    resumed: int

    @property
    def fused(self) -> npt.NDArray[np.float64]:
        """The effects of occluding all modalities at once."""
        column: npt.NDArray[np.float64] = self.values[:, 0]
        return column


def explain_subject(
    subject: Subject,
    roi: Roi,
    config: ExplainConfig,
    display_limit: float,
    structures: Structures = lambda: None,
    *,
    cache: MemoryCache | None = None,
    batch_size: int = 1,
    progress: ProgressCallback = ignore_progress,
) -> Explanation:
    """The map of a scored case, its noise floor and its hotspots."""
    config = replace(config, modalities=subject.modalities)
    before = subject.engine.encoded_slices
    fills = make_fills(subject.case, roi, config.fill, config.patch_mm)
    patches = plan_patches(roi, config)
    found = occluded_log_risks(subject, patches, fills, batch_size=batch_size, cache=cache, progress=progress)
    effects = Effects(patches, subject.baseline() - found.risks, found.resumed)
    others = {
        fill: make_fills(subject.case, roi, fill, config.patch_mm)
        for fill in FILLS
        if fill not in (config.fill, "blur")
    }
    noise = find_noise_floor(
        subject, patches, effects.fused, others, batch_size=batch_size, cache=cache, progress=progress
    )
    maps = {name: spread_effects(roi, patches, effects.values[:, column]) for column, name in enumerate(subject.names)}
    fused, covered = maps[FUSED]
    values = fill_values(subject.case, roi, config.fill)
    heatmap = Heatmap(
        effect=fused,
        config=config,
        fills={m: values[m] for m in subject.modalities if m in values},
        patches=len(patches),
        covered=covered,
        hotspots=find_hotspots(fused, noise.value, config.stride_mm, name_sites(structures())),
        display_limit=display_limit,
        noise_floor=noise.value,
        effects={m: maps[m][0] for m in subject.modalities if m in maps},
    )
    return Explanation(heatmap, noise, subject.engine.encoded_slices - before, found.resumed)


def summarise(explanation: Explanation) -> tuple[str, ...]:
    """The explanation in sentences for the user."""
    heatmap, floor = explanation.heatmap, explanation.noise.value
    where = " and ".join(heatmap.config.modalities)
    sentences = []
    if not heatmap.hotspots:
        sentences.append(
            f"There is no region above noise: replacing tissue in {where} moves the log-risk nowhere by more than "
            f"{floor:.2g}."
        )
    else:
        first = heatmap.hotspots[0]
        place = f" ({first.site})" if first.site else ""
        count = len(heatmap.hotspots)
        sentences.append(
            f"{count} hotspot{'' if count == 1 else 's'} above noise. At the strongest{place} the tissue "
            f"{'raised' if first.effect > 0 else 'lowered'} the log-risk by {abs(first.effect):.2g}, with "
            f"{first.share:.0%} of all effects in the region."
        )
    sentences.append(explanation.noise.how)
    return tuple(sentences)
