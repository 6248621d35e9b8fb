"""The noise floor: how far effects move by choices that should not matter, the exact box and the fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.occlusion import occluded_log_risks, touched_positions
from MemorySurvivalLib.explain.plan import FillName, Patch
from MemorySurvivalLib.explain.sequential import open_tracks
from MemorySurvivalLib.explain.subject import Subject, exchanged
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.prompts import Prompt, PromptBox
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress

STAGE = "noise floor"

JITTER = 0.05
"""Each edge of a box moves by at most this share of the box's side: what two careful people differ by."""

JITTER_SEEDS = (11, 12)
FILL_SAMPLE = 8
"""Patches, spread over the region, that are occluded with the other fills too."""

WIDTH = 2.0
"""The floor is so many standard deviations: of normal noise, 5 % of the patches exceed it."""

NUMERIC = 1e-5
"""Effects below this are rounding (the bound of exactness, docs/method.md)."""


@dataclass(frozen=True)
class NoiseFloor:
    """`value` in log-risk: effects smaller than this are not told from noise.

    `jitter` and `fill` are its two parts (standard deviations); `spans` and `patches` say how many places they come
    from. `how` is a sentence for the user.
    """

    value: float
    jitter: float
    fill: float
    spans: int
    patches: int

    @property
    def how(self) -> str:
        """Where the floor comes from."""
        return (
            f"Effects below {self.value:.2g} are hidden: about {WIDTH:g} standard deviations of what moving the boxes "
            f"by up to {JITTER:.0%} ({self.jitter:.2g}) and another fill ({self.fill:.2g}) change."
        )


def find_noise_floor(
    subject: Subject,
    patches: Sequence[Patch],
    effects: npt.NDArray[np.float64],
    others: Mapping[FillName, Fills],
    *,
    batch_size: int = 1,
    cache: MemoryCache | None = None,
    progress: ProgressCallback = ignore_progress,
) -> NoiseFloor:
    """The floor of a map with these patches and their effects (all modalities at once).

    Box part: the boxes of the slices that a patch touches are jittered, nothing is occluded, and the case is scored
    again; that is what the smallest disagreement about the same tissue does. Fill part: a spread sample of patches is
    occluded with the `others` fills; the floor takes the robust spread, so that a few strong patches, whose effect
    rightly depends on what they are replaced by, do not raise it.
    """
    spans = _spans(subject, patches)
    boxed = subject.mode == "boxed"
    moves = (_jitter_boxed if boxed else _jitter_sequential)(subject, spans, progress)
    sample = _spread([n for n, patch in enumerate(patches) if touched_positions(subject, patch)], FILL_SAMPLE)
    deviations: list[float] = []
    baseline = subject.baseline()
    for fills in others.values():
        found = occluded_log_risks(
            subject,
            [patches[n] for n in sample],
            fills,
            stage=STAGE,
            batch_size=batch_size,
            cache=cache,
            progress=progress,
        )
        deviations += ((baseline - found.risks[:, 0]) - effects[sample]).tolist()
    jitter, fill = _robust_sd(moves), _robust_sd(deviations)
    return NoiseFloor(max(WIDTH * float(np.hypot(jitter, fill)), NUMERIC), jitter, fill, len(spans), len(sample))


def _robust_sd(values: Sequence[float]) -> float:
    """1.4826 times the median size: the standard deviation of normal noise around zero, whatever its tails are."""
    return float(1.4826 * np.median(np.abs(values))) if len(values) else 0.0


def _spans(subject: Subject, patches: Sequence[Patch]) -> list[list[int]]:
    """The distinct sets of slices that patches touch, at most a dozen, spread over the pass."""
    distinct = sorted({tuple(touched_positions(subject, patch)) for patch in patches} - {()})
    return [list(distinct[n]) for n in _spread(list(range(len(distinct))), 12)]


def _spread(items: list[int], most: int) -> list[int]:
    """Some of the items, evenly spaced."""
    if len(items) <= most:
        return items
    return [items[int(n)] for n in np.linspace(0, len(items) - 1, most).round()]


def _jitter_boxed(subject: Subject, spans: list[list[int]], progress: ProgressCallback) -> list[float]:
    """Changes of log-risk when the boxes of each span's slices are jittered; every slice is encoded once for all."""
    wanted = sorted({k for span in spans for k in span})
    meter = Meter(STAGE, len(wanted) * len(subject.modalities), progress)
    moved: dict[Modality, dict[int, list[torch.Tensor]]] = {m: {} for m in subject.modalities}
    for modality in subject.modalities:
        one, voxels = subject.passes[modality], subject.case.image(modality).voxels
        for k in wanted:
            prompts = [_jittered(subject, modality, k, seed) for seed in JITTER_SEEDS]
            pixels = voxels[one.boxes[k].z].astype(np.float32)
            if all(prompt is not None for prompt in prompts):
                features = subject.engine.encode(one.frame.picture(pixels[None], one.window, subject.engine.device))
                moved[modality][k] = [
                    subject.engine.condition(features, prompt).memory[0].cpu() for prompt in prompts if prompt
                ]
            meter.step()
    baseline, risk = subject.baseline_states(), subject.baseline()
    changes = []
    for span in spans:
        for n in range(len(JITTER_SEEDS)):
            states = {
                m: exchanged(subject.passes[m].readout, {k: moved[m][k][n] for k in span if k in moved[m]})
                for m in subject.modalities
            }
            changes.append(risk - float(subject.variant_risks(baseline, states)[0]))
    return changes


def _jitter_sequential(subject: Subject, spans: list[list[int]], progress: ProgressCallback) -> list[float]:
    """The same where later slices change too: each span resumes the pass, so only a few are tried."""
    if subject.mode == "tracked":  # only the ends of the pass are prompted
        spans = [[0, len(subject.any_pass.boxes) - 1]]
    chosen = [spans[n] for n in _spread(list(range(len(spans))), 3)]
    baseline, risk = subject.baseline_states(), subject.baseline()
    changes = []
    with open_tracks(subject, STAGE, progress) as tracks:
        runs = [(span, seed) for span in chosen for seed in JITTER_SEEDS[:1]]
        total = sum(tracks.steps(span[0], span[-1]) for span, _ in runs) * len(subject.modalities)
        meter = Meter(STAGE, total, progress)
        for span, seed in runs:
            states = {}
            for m in subject.modalities:
                given = {k: _jittered(subject, m, k, seed) for k in span}
                prompts = {k: prompt for k, prompt in given.items() if prompt is not None}
                if not prompts:
                    return []
                states[m] = exchanged(subject.passes[m].readout, tracks.memories(m, [{}], meter, prompts)[0])
            changes.append(risk - float(subject.variant_risks(baseline, states)[0]))
    return changes


def _jittered(subject: Subject, modality: Modality, position: int, seed: int) -> Prompt | None:
    """A slice's prompt with its box jittered, or with other points; None for a mask, which leaves no choice."""
    one = subject.passes[modality]
    prompter, box = one.prompter, one.boxes[position]
    if prompter.config.kind == "mask":
        return None
    if prompter.config.kind == "points":
        config = msgspec.structs.replace(prompter.config, seed=prompter.config.seed + seed)
        return replace(prompter, config=config).prompt([box])
    shares = np.random.default_rng((seed, box.z)).uniform(-JITTER, JITTER, 4)
    wide, tall = box.x1 - box.x0, box.y1 - box.y0
    x0, y0, x1, y1 = np.asarray([box.x0, box.y0, box.x1, box.y1]) + shares * [wide, tall, wide, tall]
    columns, rows = float(prompter.frame.columns), float(prompter.frame.rows)
    moved = PromptBox(box.z, max(float(x0), 0.0), max(float(y0), 0.0), min(float(x1), columns), min(float(y1), rows))
    return prompter.prompt([moved])
