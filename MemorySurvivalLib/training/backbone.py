"""Training the compact backbone: masks from prompts and masks from memory, in a run that can be stopped.

Run as `python -m MemorySurvivalLib.training.backbone --out FOLDER --minutes M [--real DATA] [--start WEIGHTS]`, as
often as it takes: each run goes on where the last one stopped. docs/backbone.md describes recipe, data and results.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import SimpleITK as sitk
import torch

from MemorySurvivalLib.bundle.bundle import as_float16, load_bundle
from MemorySurvivalLib.errors import InputError, MemorySurvivalError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.backbone import COMPACT, BackboneSpec, build_backbone, load_weights, weights_sha256
from MemorySurvivalLib.memory.weights_checkpoint import load_state_dict
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.training.backbone_card import write_backbone_card
from MemorySurvivalLib.training.backbone_checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from MemorySurvivalLib.training.backbone_data import TRAINING_COHORT, StoredCase, phantom_cases
from MemorySurvivalLib.training.backbone_loss import Task, TrainingHeads, run_clips, training_heads_for
from MemorySurvivalLib.training.backbone_real import learned_cases
from MemorySurvivalLib.training.clips import ClipShape, draw_clip

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

WINDOWS: Mapping[Modality, Window] = {"CT": Window(-200, 1000), "PET": Window(0, 10)}
"""What the backbone sees of HU and SUVbw: those of the demonstration bundle."""

VERSION = 2
"""Counted up when the same recipe would draw or compute something else, so that no training goes on across it."""

SAVE_EVERY_S = 180.0
LOG_EVERY = 10

CHECKPOINT, WEIGHTS, LOG = "checkpoint.safetensors", "backbone.safetensors", "log.jsonl"

_HEAD = "training_heads."
_KINDS = ((True, True), (False, True), (False, False))


@dataclass(frozen=True)
class Stage:
    """Steps up to the share `until` of all: side of the pictures, and how many a step reads.

    A step with single slices takes `pictures` of them with `structures` each; a step with clips takes a quarter of
    that many clips of four slices, with three quarters of the structures.
    """

    until: float
    image_size: int
    pictures: int
    structures: int


@dataclass(frozen=True)
class BackboneTraining:
    """The recipe. Everything that is drawn depends on it and on the number of the step alone.

    The rate rises over the first `warm_up` share of the steps to `learning_rate` and falls as a cosine to a fiftieth.
    `clips_share` of the steps are clips. `mean_decay` is that of the weights' running mean, which is what is kept.
    `real_share` of the clips come from real images, where there are any.
    """

    steps: int = 6000
    stages: tuple[Stage, ...] = (Stage(0.5, 128, 16, 4), Stage(1.0, 256, 8, 6))
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warm_up: float = 0.03
    mean_decay: float = 0.998
    clips_share: float = 0.5
    real_share: float = 0.25
    cases: int = 40
    cohort_seed: int = TRAINING_COHORT
    seed: int = 21

    def stage(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        return next((one for one in self.stages if step < one.until * self.steps), self.stages[-1])

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        rise = max(1, round(self.warm_up * self.steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        fallen = (step - rise) / max(1, self.steps - rise)
        return self.learning_rate * (0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, fallen))) / 2)

    def settings(self, cases: list[StoredCase], start: str | None = None) -> str:
        """Recipe, material, hash of the weights begun with and software as text: a checkpoint is continued only where
        all of it is the same."""
        material = hashlib.sha256("\n".join(case.name for case in cases).encode()).hexdigest()[:16]
        also = {"version": VERSION, "material": material, "start": start, "torch": torch.__version__}
        return json.dumps({**asdict(self), **also}, sort_keys=True)


@dataclass(frozen=True)
class BackboneRun:
    """Where a training stands: steps done of all, seconds of training over all runs, steps a second in this run."""

    steps: int
    of: int
    seconds: float
    each_s: float

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.steps >= self.of


def train_backbone(
    training: BackboneTraining,
    cases: list[StoredCase],
    folder: Path,
    seconds: float = math.inf,
    progress: ProgressCallback = ignore_progress,
    stop: Callable[[], bool] = lambda: False,
    start: SAM2Base | None = None,
) -> BackboneRun:
    """Go on with the training in `folder` for so many seconds at most, or begin it there: from seeded random weights,
    or from those of `start`.

    Every few minutes and at the end the folder gets a checkpoint, the weights (the running mean, rounded to float16)
    and their description. On the same machine with the same number of threads an interrupted training gives the same
    weights to the bit as one without a break. Raises InputError where the folder holds a training of another recipe,
    material or version of torch.
    """
    kept = load_checkpoint(folder / CHECKPOINT) if (folder / CHECKPOINT).exists() else None
    if start is None and kept is not None:
        begun_with = json.loads(kept.settings)["start"]
    else:
        begun_with = weights_sha256(start) if start is not None else None
    settings = training.settings(cases, begun_with)
    if kept is not None and kept.settings != settings:
        raise InputError(
            f"{folder} holds a training of another recipe, material or version of torch; choose another folder, or "
            f"begin anew by deleting {CHECKPOINT} there (then it was {kept.settings}, now it is {settings})."
        )
    checkpoint = kept or _begin(training, settings, start)
    done, used = checkpoint.steps, checkpoint.seconds
    _cut_log(folder / LOG, done)
    learner = _Learner(training, training.stage(done), checkpoint)
    begun = saved = time.monotonic()
    lines: list[dict[str, Any]] = []
    recent: list[dict[str, float]] = []
    first = done

    def keep() -> None:
        spent = used + time.monotonic() - begun
        save_checkpoint(learner.checkpoint(done, spent, settings), folder / CHECKPOINT)
        _export(learner, cases, folder, done, spent, begun_with)
        with (folder / LOG).open("a", encoding="utf-8") as log:
            log.writelines(json.dumps(line) + "\n" for line in lines)
        lines.clear()

    while done < training.steps and not stop() and time.monotonic() - begun < seconds:
        stage = training.stage(done)
        if stage != learner.stage:
            learner = _Learner(training, stage, learner.checkpoint(done, 0.0, settings))
        recent.append(learner.step(done, cases))
        done += 1
        if done % LOG_EVERY == 0 or done == training.steps:
            lines.append({"step": done, "side": stage.image_size, **_mean_line(recent)})
            recent.clear()
        each_s = (time.monotonic() - begun) / (done - first)
        progress(ProgressEvent("backbone", done, training.steps, each_s * (training.steps - done)))
        if time.monotonic() - saved >= SAVE_EVERY_S:
            keep()
            saved = time.monotonic()
    keep()
    spent = time.monotonic() - begun
    return BackboneRun(done, training.steps, used + spent, spent / max(1, done - first))


class _Learner:
    """Network, training-only heads, optimiser and running mean of one stage."""

    def __init__(self, training: BackboneTraining, stage: Stage, start: Checkpoint) -> None:
        self.training, self.stage = training, stage
        # No parameter depends on the size of the pictures, so the stages hand on all of them.
        self.model = build_backbone(BackboneSpec(COMPACT.architecture, stage.image_size), seed=training.seed)
        self.heads = training_heads_for(self.model)
        if start.weights:
            self._load(start.weights)
        self.model.requires_grad_(True)
        self.model.train()
        _drop_nothing(self.model)
        self.parameters = dict(self.model.named_parameters())
        self.parameters |= {_HEAD + name: one for name, one in self.heads.named_parameters()}
        matrices = [one for one in self.parameters.values() if one.ndim > 1]
        others = [one for one in self.parameters.values() if one.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=training.learning_rate,
            betas=(0.9, 0.98),
        )
        for name, moments in start.moments.items():
            self.optimiser.state[self.parameters[name]] = dict(moments)
        self.mean = start.mean or {name: one.detach().clone() for name, one in self.model.named_parameters()}

    def step(self, number: int, cases: list[StoredCase]) -> dict[str, float]:
        """One step; what was drawn depends on its number alone. Returns what to log."""
        training, stage = self.training, self.stage
        rng = np.random.default_rng((training.seed, number))
        torch.manual_seed(training.seed * 1_000_003 + number)
        if rng.random() < training.clips_share:
            shape = ClipShape(stage.image_size, 4, max(1, stage.structures * 3 // 4))
            count, task = max(1, stage.pictures // 4), Task("mask" if rng.random() < 0.4 else "box")
        else:
            shape, count = ClipShape(stage.image_size, 1, stage.structures), stage.pictures
            task = Task("points") if rng.random() < 0.2 else Task("box", several=bool(rng.random() < 0.3))
        clips = [draw_clip(_draw_kind(cases, training.real_share, rng), WINDOWS, shape, rng) for _ in range(count)]
        loss, logged = run_clips(self.model, self.heads, clips, task, rng)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        rate = training.rate(number)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        # While the training is young its mean is young too.
        decay = min(training.mean_decay, (1 + number) / (10 + number))
        for name, one in self.model.named_parameters():
            self.mean[name].lerp_(one.detach(), 1 - decay)
        return {**logged, "gradient": norm.item(), "rate": rate}

    def checkpoint(self, steps: int, seconds: float, settings: str) -> Checkpoint:
        """All that another learner needs to go on."""
        weights = {**self.model.state_dict(), **{_HEAD + k: one for k, one in self.heads.state_dict().items()}}
        moments = {
            name: self.optimiser.state[one] for name, one in self.parameters.items() if one in self.optimiser.state
        }
        return Checkpoint(weights, self.mean, moments, steps, seconds, settings)

    def averaged(self) -> SAM2Base:
        """The network that is kept: the running mean at the size of the shipped model, in float16's values."""
        model = build_backbone(COMPACT, seed=self.training.seed)
        load_weights(model, {**self.model.state_dict(), **self.mean})
        as_float16(model)
        return model

    def _load(self, weights: Mapping[str, torch.Tensor]) -> None:
        load_weights(self.model, {name: one for name, one in weights.items() if not name.startswith(_HEAD)})
        self.heads.load_state_dict({k.removeprefix(_HEAD): one for k, one in weights.items() if k.startswith(_HEAD)})


def _drop_nothing(model: SAM2Base) -> None:
    """Memory attention without dropout: so short a training does not overfit, and drawing costs a tenth of a step."""
    for module in model.memory_attention.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_p"):
            module.dropout_p = 0.0


def _draw_kind(cases: list[StoredCase], real_share: float, rng: np.random.Generator) -> list[StoredCase]:
    """Phantoms, real cases with labelled bones, or real tumours: the few of a kind are drawn as often as the many."""
    kinds = [[case for case in cases if (case.simulated, bool(case.groups)) == kind] for kind in _KINDS]
    shares = np.array([1 - real_share, real_share / 2, real_share / 2]) * [bool(kind) for kind in kinds]
    return kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]


def _begin(training: BackboneTraining, settings: str, start: SAM2Base | None) -> Checkpoint:
    model = start or build_backbone(COMPACT, seed=training.seed)
    if start is None:
        # At first the network should say that something is there: where it says no, it gives no mask to learn from.
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data += 3.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        heads: TrainingHeads = training_heads_for(model)
    weights = {**model.state_dict(), **{_HEAD + name: one for name, one in heads.state_dict().items()}}
    return Checkpoint(weights, {}, {}, 0, 0.0, settings)


def _mean_line(recent: list[dict[str, float]]) -> dict[str, float]:
    """Means over the steps that have the number: not every step tracks, and one that begins with masks prompts none."""
    names = dict.fromkeys(name for one in recent for name in one)
    return {name: float(f"{np.mean([one[name] for one in recent if name in one]):.4g}") for name in names}


def _cut_log(path: Path, steps: int) -> None:
    """Take out lines of steps after the checkpoint: they will come again."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["step"] <= steps]
        with atomic_file(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _export(
    learner: _Learner, cases: list[StoredCase], folder: Path, steps: int, seconds: float, start: str | None
) -> None:
    training, model = learner.training, learner.averaged()
    with atomic_file(folder / WEIGHTS) as temporary:
        state = {name: one.half() if one.is_floating_point() else one for name, one in model.state_dict().items()}
        temporary.write_bytes(safetensors.torch.save({name: one.contiguous() for name, one in state.items()}))
    write_backbone_card(
        folder,
        asdict(training),
        WINDOWS,
        cases,
        weights_sha256=weights_sha256(model),
        begun_with=start,
        steps=steps,
        seconds=seconds,
    )


def read_weights(path: Path) -> SAM2Base:
    """The compact backbone with the weights of a .safetensors file or of a bundle. Raises WeightsError, BundleError."""
    if path.suffix == ".msbundle":
        return load_bundle(path).backbone()
    model = build_backbone(COMPACT)
    load_weights(model, load_state_dict(path))
    return model


def main(arguments: list[str] | None = None) -> int:
    """Command line of this module."""
    standard = BackboneTraining()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the training: begun there or gone on with")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; without it at the end")
    parser.add_argument("--real", type=Path, help="folder of real images (petct_sts10, ct_labels, ct_pieces)")
    parser.add_argument(
        "--start", type=Path, help="begin with these weights (.safetensors, or a bundle); not needed to go on"
    )
    parser.add_argument("--steps", type=int, default=standard.steps, help=f"length of the recipe ({standard.steps})")
    parser.add_argument(
        "--side", type=int, choices=(128, 256), help="pictures of this side alone, for weights that were trained before"
    )
    parser.add_argument("--rate", type=float, default=standard.learning_rate, help="the highest learning rate (0.001)")
    parser.add_argument("--cases", type=int, default=standard.cases, help=f"phantoms to learn from ({standard.cases})")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (1); another number rounds anew")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    asked_to_stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: asked_to_stop.append(received))
    stages = standard.stages
    if options.side is not None:
        stages = tuple(replace(one, until=1.0) for one in stages if one.image_size == options.side)
    training = BackboneTraining(steps=options.steps, stages=stages, learning_rate=options.rate, cases=options.cases)
    begun = time.monotonic()
    try:
        cases = phantom_cases(options.out / "cases", training.cohort_seed, training.cases)
        if options.real is not None:
            cases += learned_cases(options.real, options.out / "cases")
        start = read_weights(options.start) if options.start is not None else None
        left = options.minutes * 60 - (time.monotonic() - begun)
        run = train_backbone(training, cases, options.out, left, stop=lambda: bool(asked_to_stop), start=start)
    except MemorySurvivalError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    left_minutes = run.each_s * (run.of - run.steps) / 60
    sys.stdout.write(
        f"{run.steps} of {run.of} steps after {run.seconds / 60:.0f} minutes; "
        + ("finished\n" if run.finished else f"about {left_minutes:.0f} minutes are left: run this again\n")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
