"""The explanation of one scored case: the map, its noise floor and hotspots, and what puts them into perspective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.agreement import find_agreement, mark_agreement
from MemorySurvivalLib.explain.coarse import find_coarse_to_fine
from MemorySurvivalLib.explain.fills import Fills, box_of, fill_values, make_fills
from MemorySurvivalLib.explain.gradient import gradient_map
from MemorySurvivalLib.explain.heatmap import Heatmap, spread_effects
from MemorySurvivalLib.explain.hotspots import find_hotspots, name_hotspots
from MemorySurvivalLib.explain.noise import NoiseFloor, find_noise_floor
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.outside import EVERYTHING, ORGANS, OutsideEffect, find_perspective
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
    thorough: bool = False,
    cache: MemoryCache | None = None,
    batch_size: int = 1,
    progress: ProgressCallback = ignore_progress,
) -> Explanation:
    """The map of a scored case, its noise floor and its hotspots.

    `thorough` adds the whole region's effect, organs outside it, agreement with other fills, and the gradient map.
    """
    config = replace(config, modalities=subject.modalities)
    before = subject.engine.encoded_slices
    fills = make_fills(subject.case, roi, config.fill, config.patch_mm)
    effects, maps = _map(subject, roi, config, fills, batch_size, cache, progress)
    patches = effects.patches
    others = {fill: make_fills(subject.case, roi, fill, config.patch_mm) for fill in FILLS if fill != config.fill}
    noise = find_noise_floor(
        subject, patches, effects.fused, others, batch_size=batch_size, cache=cache, progress=progress
    )
    fused, covered = maps[FUSED]
    values = fill_values(subject.case, roi, config.fill)
    hotspots = find_hotspots(fused, noise.value, config.stride_mm)
    segmentation = structures() if hotspots or thorough else None
    heatmap = Heatmap(
        effect=fused,
        config=config,
        fills={m: values[m] for m in subject.modalities if m in values},
        patches=len(patches),
        covered=covered,
        hotspots=name_hotspots(hotspots, name_sites(segmentation)),
        display_limit=display_limit,
        noise_floor=noise.value,
        effects={m: maps[m][0] for m in subject.modalities if m in maps},
    )
    explanation = Explanation(heatmap, noise, 0, effects.resumed)
    if thorough:
        agreement = find_agreement(
            subject,
            roi,
            patches,
            effects.fused,
            fused,
            noise.value,
            others,
            batch_size=batch_size,
            cache=cache,
            progress=progress,
        )
        perspective = find_perspective(
            subject, roi, fills, segmentation, batch_size=batch_size, cache=cache, progress=progress
        )
        explanation = replace(
            explanation,
            heatmap=replace(heatmap, hotspots=mark_agreement(heatmap.hotspots, agreement.volume)),
            whole_roi_effect=perspective.whole_roi_effect,
            summed_effect=None if config.coarse else sum_effects(patches, effects.fused, roi),
            outside=perspective.outside,
            organs_unknown=perspective.unknown,
            agreement=agreement.volume,
            fill_agreement=agreement.share,
            gradient=gradient_map(subject, roi),
        )
    return replace(explanation, encoded_slices=subject.engine.encoded_slices - before)


def _map(
    subject: Subject,
    roi: Roi,
    config: ExplainConfig,
    fills: Fills,
    batch_size: int,
    cache: MemoryCache | None,
    progress: ProgressCallback,
) -> tuple[Effects, dict[str, tuple[Volume, float]]]:
    """The patches as they were asked for, with their effects, and by variant the map and what it covers."""
    if config.coarse:
        some = find_coarse_to_fine(subject, roi, config, fills, batch_size=batch_size, cache=cache, progress=progress)
        effects = Effects(some.patches, some.effects, some.resumed)
    else:
        patches = plan_patches(roi, config)
        found = occluded_log_risks(subject, patches, fills, batch_size=batch_size, cache=cache, progress=progress)
        effects = Effects(patches, subject.baseline() - found.risks, found.resumed)
    maps = {
        name: spread_effects(roi, effects.patches, effects.values[:, column])
        for column, name in enumerate(subject.names)
    }
    return effects, maps


def sum_effects(patches: Sequence[Patch], effects: npt.NDArray[np.float64], roi: Roi) -> float:
    """The effect of the whole region if those of its patches added up, each voxel counted once.

    The mean number of patches that hold a voxel of the region divides out their overlap, and makes up for what no
    patch holds.
    """
    held = sum(int(np.count_nonzero(roi.mask.voxels[box_of(patch)])) for patch in patches)
    return float(effects.sum() * np.count_nonzero(roi.mask.voxels) / max(held, 1))


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
    if heatmap.config.coarse:
        sentences.append(
            "This map is coarse: a fifth of its work was done and the rest estimated or left out (it holds "
            f"{heatmap.covered:.0%} of the region), so hotspots may be missing or misplaced."
        )
    if explanation.fill_agreement is not None:
        sentences.append(
            f"Where effects are above noise, at least two fills agree in {explanation.fill_agreement:.0%} of what was "
            "looked at."
        )
    if explanation.whole_roi_effect is not None:
        words = f"Replacing the whole region changes the log-risk by {-explanation.whole_roi_effect:+.2g}"
        if explanation.summed_effect is not None:
            words += f"; if the effects of its parts added up it would be {-explanation.summed_effect:+.2g}"
        sentences.append(f"{words}.")
        sentences.append(_say_outside(explanation))
    return tuple(sentences)


def _say_outside(explanation: Explanation) -> str:
    """What lies outside the region, and what of it nobody could look at."""
    floor = explanation.noise.value
    told = [one for one in explanation.outside if one.organ != EVERYTHING and abs(one.effect) > floor]
    everything = next((one.effect for one in explanation.outside if one.organ == EVERYTHING), 0.0)
    words = f"Replacing everything outside the region changes the log-risk by {-everything:+.2g}"
    if told:
        words += f" ({', '.join(f'{one.organ} {-one.effect:+.2g}' for one in told)})"
    if explanation.organs_unknown:
        words += f"; not found, so not looked at alone: {', '.join(explanation.organs_unknown)}"
    elif not told and len(explanation.outside) > 1:
        words += f"; none of {', '.join(ORGANS)} alone by more than the noise"
    return f"{words}."
