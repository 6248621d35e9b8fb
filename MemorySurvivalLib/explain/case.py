"""Explaining a case that a run has scored: the run's device, model and structures put together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from MemorySurvivalLib.explain.agreement import BUDGET
from MemorySurvivalLib.explain.coarse import SHARE, finished_share
from MemorySurvivalLib.explain.explanation import Explanation, explain_subject
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.finished import Finished, key_of
from MemorySurvivalLib.explain.occlusion import count_encodings, touched_positions
from MemorySurvivalLib.explain.plan import ExplainChoice, ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.explain.statistics import OccludedStatistics
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.preparing import Run, ScoredCase
from MemorySurvivalLib.roi.roi import Roi


def choose_config(run: Run, choice: ExplainChoice) -> ExplainConfig:
    """The settings of a map, with the bundle's defaults."""
    defaults = run.bundle.manifest.explain
    return choice.config(defaults.patch_mm, defaults.stride_mm, defaults.fill, defaults.modalities)


def make_subject(run: Run, scored: ScoredCase, engine: MemoryEngine, config: ExplainConfig) -> Subject:
    """What is explained: the head that scored the case and the passes it reads."""
    head = run.bundle.heads[scored.risk.head]
    case, roi = scored.prepared.case, scored.prepared.region.roi
    return Subject(
        engine,
        case,
        {modality: scored.passes[modality] for modality in head.spec.modalities},
        head,
        scored.risk.covariates.vector if scored.risk.covariates else (),
        config.modalities,
        run.bundle.manifest.propagation.direction,
        OccludedStatistics(case, roi, head.spec.statistics) if head.spec.statistics else None,
    )


def explain_scored(
    run: Run, scored: ScoredCase, choice: ExplainChoice, cache: MemoryCache | None, *, thorough: bool = False
) -> Explanation:
    """The explanation of a scored case; when a GPU has no memory left, made on the CPU.

    `thorough` adds what puts the map into perspective and takes longer: the whole region, organs outside it, whether
    another fill agrees, the gradient map.
    """
    config = choose_config(run, choice)

    def explain(engine: MemoryEngine) -> Explanation:
        return explain_subject(
            make_subject(run, scored, engine, config),
            scored.prepared.region.roi,
            config,
            run.bundle.manifest.explain.display_limit,
            lambda: run.structures_or_none(scored.prepared),
            thorough=thorough,
            batch_size=engine.batch_size(1),
            cache=cache,
            progress=run.progress,
        )

    return run.on_device(explain)


FOLLOWED_SLICE = 0.7
"""What a slice that is only followed through memory costs, as a share of one that is encoded (hiera-tiny, 512 px)."""

EXTRA_SCANS = 4
"""What the noise floor, the whole region and what lies outside it encode, in scans of all used slices (measured)."""


@dataclass(frozen=True)
class Work:
    """What a map will take: patches, slices to encode, the effort in encoded slices of the whole explanation, and how
    many patches an earlier run has finished (of a coarse map, which looks at parts of patches: as much of its work)."""

    patches: int
    encodings: int
    effort: float
    resumable: int


def patches_to_do(subject: Subject, roi: Roi, config: ExplainConfig, cache: MemoryCache | None) -> Work:
    """Count the work of a map, without doing any of it."""
    config = replace(config, modalities=subject.modalities)
    patches = plan_patches(roi, config)
    scan = len(subject.any_pass.boxes) * len(subject.modalities)
    fills = make_fills(subject.case, roi, config.fill, config.patch_mm) if cache is not None else None
    if config.coarse:
        share = finished_share(subject, roi, config, fills, cache) if cache is not None and fills is not None else 0.0
        encodings = round((1 - share) * SHARE * count_encodings(subject, patches))
        done = min(round(share * len(patches)), len(patches) - (share < 1))
        return Work(len(patches), encodings, encodings + scan * EXTRA_SCANS, done)
    done = 0
    left = list(patches)
    if cache is not None and fills is not None:
        finished = Finished(cache, key_of(subject, patches, fills), len(patches), len(subject.names))
        done = finished.resumed
        left = [patch for patch, known in zip(patches, finished.done, strict=True) if not known]
    encodings = count_encodings(subject, left)
    effort = encodings * (1 + BUDGET) + scan * EXTRA_SCANS
    if subject.mode != "boxed":
        effort += FOLLOWED_SLICE * _followed(subject, left)
    return Work(len(patches), encodings, effort, done)


def _followed(subject: Subject, patches: list[Patch]) -> int:
    """How many slices of all modalities go through memory again where slices look back."""
    count = len(subject.any_pass.boxes)
    steps = 0
    for patch in patches:
        touched = touched_positions(subject, patch)
        if touched:
            steps += count - touched[0]
            steps += touched[-1] + 1 if subject.direction == "both" else 0
    return steps * len(subject.modalities)
