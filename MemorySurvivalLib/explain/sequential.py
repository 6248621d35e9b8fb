"""Occlusion in the modes whose slices look back on others: a pass is resumed where the occlusion begins."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby

import numpy as np
import torch

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.finished import Finished
from MemorySurvivalLib.explain.plan import Occlusion, Patch
from MemorySurvivalLib.explain.subject import Subject, exchanged
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.engine import History, Trace
from MemorySurvivalLib.memory.features import FeatureFile, Features
from MemorySurvivalLib.memory.mapped import take_slices
from MemorySurvivalLib.memory.prompts import MaskPrompt, PointPrompt, Prompt
from MemorySurvivalLib.progress import Meter, ProgressCallback

Changed = Mapping[int, Features]
"""Features of slices that differ from the baseline's, by position in the pass (n = 1)."""


class Track:
    """One modality's pass in one direction: what every slice left, and the features to go through it again."""

    def __init__(self, subject: Subject, modality: Modality, features: FeatureFile, reverse: bool) -> None:
        self._subject, self._engine, self._features, self._reverse = subject, subject.engine, features, reverse
        self._pass = subject.passes[modality]
        model = subject.engine.model
        self._reach = max(
            1 + (model.num_maskmem - 2) * model.memory_temporal_stride_for_eval, model.max_obj_ptrs_in_encoder - 1
        )
        self.count = len(self._pass.boxes)
        self.traces: dict[int, Trace] = {}

    def step_of(self, position: int) -> int:
        """When in this direction the slice at a position of the pass comes; its own inverse."""
        return self.count - 1 - position if self._reverse else position

    def start(self) -> Iterator[None]:
        """Go through the baseline once; yields after every slice."""
        for step in range(self.count):
            self.traces[step] = self._take(step, self._baseline(step), self._prompt(step), self.traces)
            yield

    def resume(
        self, first: int, changed: Sequence[Changed], prompts: Mapping[int, Prompt] | None = None
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Go on from step `first` with other features, several variants at once; (step, memories (n, ...)) each.

        `changed` and `prompts` go by step, not by position.
        """
        count = len(changed)
        past = {
            step: _widen(self.traces[step], count)
            for step in {0, *range(max(1, first - self._reach), first)}
            if step < first
        }
        for step in range(first, self.count):
            features = _stack([one.get(step) or self._baseline(step) for one in changed])
            own = self._prompt(step)
            prompt = own if own is None or prompts is None else prompts.get(step, own)
            past[step] = self._take(step, features, _repeat(prompt, count), past)
            yield step, past[step].memory.cpu()
            if step - self._reach > 0:
                past.pop(step - self._reach, None)

    def _take(self, step: int, features: Features, prompt: Prompt | None, past: Mapping[int, Trace]) -> Trace:
        if step == 0:
            if prompt is None:
                raise ValueError("the first slice of a pass needs a prompt")
            return self._engine.condition(features, prompt)
        near = {k: past[k] for k in range(max(1, step - self._reach), step)}
        return self._engine.follow(features, prompt, History(step, self.count, {0: past[0]}, near))

    def _prompt(self, step: int) -> Prompt | None:
        prompted = step == 0 or self._pass.mode == "streamed"
        return self._pass.prompt(self.step_of(step)) if prompted else None

    def _baseline(self, step: int) -> Features:
        return self._features.read(self.step_of(step))


class Tracks:
    """The pass of every occluded modality, in one direction or both."""

    def __init__(self, subject: Subject, files: Mapping[Modality, FeatureFile]) -> None:
        self.subject = subject
        both = subject.direction == "both"
        self.each = {
            m: [Track(subject, m, files[m], way) for way in ((False, True) if both else (False,))] for m in files
        }

    def steps(self, first_position: int, last_position: int) -> int:
        """How many slices each modality goes through again for changes between these positions."""
        tracks = next(iter(self.each.values()))
        return sum(t.count - min(t.step_of(first_position), t.step_of(last_position)) for t in tracks)

    def memories(
        self,
        modality: Modality,
        changed: Sequence[Changed],
        meter: Meter,
        prompts: Mapping[int, Prompt] | None = None,
    ) -> list[dict[int, torch.Tensor]]:
        """For each variant (features by position) the memories of every slice that may differ from the baseline's."""
        tracks = self.each[modality]
        positions = sorted({k for one in changed for k in one} | set(prompts or {}))
        found: list[list[dict[int, torch.Tensor]]] = []
        for track in tracks:
            first = min(track.step_of(k) for k in positions)
            by_step = [{track.step_of(k): features for k, features in one.items()} for one in changed]
            asked = {track.step_of(k): prompt for k, prompt in (prompts or {}).items()}
            one_way: list[dict[int, torch.Tensor]] = [{} for _ in changed]
            for step, memories in track.resume(first, by_step, asked):
                for variant, memory in zip(one_way, memories, strict=True):
                    variant[track.step_of(step)] = memory
                meter.step()
            found.append(one_way)
        if len(tracks) == 1:
            return found[0]
        return [self._mean(tracks, *pair) for pair in zip(*found, strict=True)]

    def _mean(
        self, tracks: list[Track], there: dict[int, torch.Tensor], back: dict[int, torch.Tensor]
    ) -> dict[int, torch.Tensor]:
        """The mean of both directions, as `propagate` takes it; where one did not change, its baseline."""
        joined = {}
        for k in there.keys() | back.keys():
            pair = []
            for track, one in zip(tracks, (there, back), strict=True):
                memory = one.get(k)
                pair.append(track.traces[track.step_of(k)].memory[0].cpu() if memory is None else memory)
            joined[k] = ((pair[0].float() + pair[1].float()) / 2).to(torch.bfloat16)
        return joined


@contextmanager
def open_tracks(subject: Subject, stage: str, progress: ProgressCallback) -> Iterator[Tracks]:
    """Encode every slice once and go through the baseline; its features lie in temporary files meanwhile."""
    with ExitStack() as stack:
        files = {
            m: FeatureFile(
                stack.enter_context(tempfile.TemporaryFile(prefix="memory-survival-")), subject.engine.device
            )
            for m in subject.modalities
        }
        tracks = Tracks(subject, files)
        count = len(subject.any_pass.boxes)
        meter = Meter(f"{stage}, baseline", sum(count * (1 + len(ways)) for ways in tracks.each.values()), progress)
        for modality, ways in tracks.each.items():
            one, voxels = subject.passes[modality], subject.case.image(modality).voxels
            for box in one.boxes:
                pixels = take_slices(voxels, [box.z]).astype(np.float32)
                files[modality].append(
                    subject.engine.encode(one.frame.picture(pixels, one.window, subject.engine.device))
                )
                meter.step()
            for track in ways:
                for _ in track.start():
                    meter.step()
        yield tracks


def run_sequential(
    subject: Subject,
    occlusions: Sequence[Occlusion],
    wanted: list[int],
    fills: Fills,
    finished: Finished,
    stage: str,
    batch_size: int,
    progress: ProgressCallback,
) -> None:
    """Each patch resumes the pass at its first slice; patches that share slices share their encoding.

    With `batch_size` above 1 so many patches that begin at the same slice go through the rest of the pass together.
    """
    baseline = subject.baseline_states()
    slices = {n: [k for k, box in enumerate(subject.any_pass.boxes) if occlusions[n].touches(box.z)] for n in wanted}
    unmoved = subject.variant_risks(baseline, baseline)
    for n in wanted:
        if not slices[n]:
            measured = subject.measure(occlusions[n], fills)
            finished.add(n, subject.variant_risks(baseline, baseline, measured) if measured else unmoved)
    wanted = [n for n in wanted if slices[n]]
    if not wanted:
        return
    with open_tracks(subject, stage, progress) as tracks:
        groups = _groups(occlusions, wanted, slices, batch_size)
        total = sum(tracks.steps(min(slices[g[0]]), max(max(slices[n]) for n in g)) for g in groups)
        meter = Meter(stage, total * len(subject.modalities), progress)
        encoded: dict[Modality, dict[tuple[int, object], Features]] = {m: {} for m in subject.modalities}
        for group in groups:
            states: dict[Modality, list[torch.Tensor]] = {}
            for modality in subject.modalities:
                store = encoded[modality]
                needed = {(k, _key(occlusions[n])): occlusions[n] for n in group for k in slices[n]}
                encoded[modality] = store = {
                    key: store[key] if key in store else _encode(subject, occlusion, modality, key[0], fills)
                    for key, occlusion in needed.items()
                }
                changed = [{k: store[k, _key(occlusions[n])] for k in slices[n]} for n in group]
                found = tracks.memories(modality, changed, meter)
                states[modality] = [exchanged(subject.passes[modality].readout, memories) for memories in found]
            for index, n in enumerate(group):
                measured = subject.measure(occlusions[n], fills)
                finished.add(n, subject.variant_risks(baseline, {m: s[index] for m, s in states.items()}, measured))


def _groups(
    occlusions: Sequence[Occlusion], wanted: list[int], slices: Mapping[int, list[int]], batch_size: int
) -> list[list[int]]:
    """Patches that go through the pass together; alone, they come column by column, so that neighbours share work."""
    if batch_size == 1:
        return [[n] for n in sorted(wanted, key=lambda n: (str(_key(occlusions[n])), slices[n][0]))]
    by_start = sorted(wanted, key=lambda n: (slices[n][0], slices[n][-1]))
    groups = []
    for _, members in groupby(by_start, key=lambda n: (slices[n][0], slices[n][-1])):
        same = list(members)
        groups += [same[start : start + batch_size] for start in range(0, len(same), batch_size)]
    return groups


def _key(occlusion: Occlusion) -> object:
    return occlusion.plane if isinstance(occlusion, Patch) else id(occlusion)


def _encode(subject: Subject, occlusion: Occlusion, modality: Modality, position: int, fills: Fills) -> Features:
    one = subject.passes[modality]
    z = one.boxes[position].z
    pixels = fills[modality].occlude(subject.case.image(modality).voxels[z], z, occlusion)
    return subject.engine.encode(one.frame.picture(pixels[None], one.window, subject.engine.device))


def _stack(parts: list[Features]) -> Features:
    if len(parts) == 1:
        return parts[0]
    maps = tuple(torch.cat(same) for same in zip(*(one.maps for one in parts), strict=True))
    return Features(maps, tuple(torch.cat(same) for same in zip(*(one.positions for one in parts), strict=True)))


def _widen(trace: Trace, count: int) -> Trace:
    """A trace (n = 1) as that of `count` variants that do not differ."""
    if count == 1:
        return trace

    def repeat(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.expand(count, *tensor.shape[1:])

    return Trace(repeat(trace.memory), tuple(repeat(one) for one in trace.places), repeat(trace.pointer))


def _repeat(prompt: Prompt | None, count: int) -> Prompt | None:
    if prompt is None or count == 1:
        return prompt
    if isinstance(prompt, MaskPrompt):
        return MaskPrompt(prompt.masks.expand(count, -1, -1, -1))
    return PointPrompt(prompt.points.expand(count, -1, -1), prompt.labels.expand(count, -1))
