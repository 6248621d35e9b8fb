"""Patches that are finished, kept in the cache's folder, so that an interrupted map goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib import __version__
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.explain.fills import Filling, Fills
from MemorySurvivalLib.explain.plan import Blob, Occlusion, Patch
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.memory.cache import MemoryCache, pack, unpack
from MemorySurvivalLib.memory.cache_keys import code_sha256, describe_arithmetic, fingerprint_model
from MemorySurvivalLib.memory.inside import InsideReadout, name_pool
from MemorySurvivalLib.memory.readout import Readout, StationsReadout

WRITE_EVERY_S = 0.5
"""A killed process loses the patches of this time at most."""

_CODE = ("plan", "fills", "subject", "occlusion", "sequential", "statistics")
_LOG = logging.getLogger(__name__)


class Finished:
    """Log-risks (occlusions, variants) of one plan; NaN where a patch is not finished yet.

    Used as a context: leaving it, however that happens, writes what was finished since the last time. Without `cache`
    (or with its limit at 0) everything is computed anew. No trouble with the files ever stops the run.
    """

    def __init__(self, cache: MemoryCache | None, key: str, count: int, width: int) -> None:
        self._cache = cache if cache is not None and cache.folder.limit_bytes > 0 else None
        self._key = key
        self.risks: npt.NDArray[np.float64] = np.full((count, width), np.nan)
        self._written_s = time.monotonic()
        self._fresh = 0
        self._trouble = False
        self._read()
        self.resumed = int(self.done.sum())

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """Which patches are finished."""
        return np.asarray(~np.isnan(self.risks).any(axis=1))

    def add(self, index: int, risks: npt.NDArray[np.float64]) -> None:
        """One more patch is finished."""
        self.risks[index] = risks
        self._fresh += 1
        if time.monotonic() - self._written_s >= WRITE_EVERY_S:
            self.write()

    def write(self) -> None:
        """Keep what is finished."""
        if self._cache is None or self._trouble or not self._fresh:
            return
        try:
            self._cache.folder.write(self._key, pack(self._key, torch.from_numpy(self.risks)))
        except OutputError as error:  # the map matters more than resuming it
            self._trouble = True
            _LOG.warning("Finished patches cannot be kept: %s", error)
        self._fresh, self._written_s = 0, time.monotonic()

    def __enter__(self) -> Finished:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write()

    def _read(self) -> None:
        if self._cache is None:
            return
        try:
            content = self._cache.folder.read(self._key)
        except OutputError as error:
            _LOG.warning("Finished patches cannot be read and are made again: %s", error)
            return
        kept = unpack(self._key, content) if content is not None else None
        if kept is not None and tuple(kept.shape) == self.risks.shape and kept.dtype == torch.float64:
            self.risks = kept.numpy().copy()
        elif content is not None:
            self._cache.folder.drop(self._key)


def key_of(subject: Subject, occlusions: Sequence[Occlusion], fills: Fills) -> str:
    """Hash of everything that the occluded log-risks depend on: images, region, model, head, plan, fills, software."""
    one = subject.any_pass
    content: dict[str, Any] = {
        "what": "occluded log-risks 1",
        "library": __version__,
        "code": [code_sha256(), _own_code()],
        "arithmetic": {
            **describe_arithmetic(subject.engine.device),
            "how": asdict(subject.engine.acceleration),
        },
        "model": fingerprint_model(subject.engine.model),
        "head": [_digest(tensor.numpy()) for _, tensor in sorted(subject.head.state_dict().items())],
        "spec": msgspec.to_builtins(subject.head.spec),
        "covariates": list(subject.covariates),
        "statistics": [list(subject.statistics.key), subject.follow_statistics] if subject.statistics else None,
        "images": {m: subject.case.image(m).sha256() for m in subject.modalities},
        "air": subject.case.ct.sha256() if any(fills[m].ct is not None for m in subject.modalities) else None,
        "memories": {m: _digest(p.memories.view(torch.int16).numpy()) for m, p in sorted(subject.passes.items())},
        "readout": _name_readout(one.readout) + str(tuple(one.readout.state().shape)),
        "mode": [one.mode, subject.direction],
        "prompts": msgspec.to_builtins(one.prompter.config),
        "roi": one.prompter.mask.sha256() if one.prompter.mask is not None else None,
        "frame": asdict(one.frame),
        "boxes": [asdict(box) for box in one.boxes],
        "windows": {m: msgspec.structs.asdict(p.window) for m, p in sorted(subject.passes.items())},
        "modalities": list(subject.modalities),
        "plan": [
            _digest(occlusion.mask) if isinstance(occlusion, Blob) else list(_corners(occlusion))
            for occlusion in occlusions
        ],
        "fills": {m: _fill_key(fills[m]) for m in subject.modalities},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _name_readout(readout: Readout) -> str:
    if isinstance(readout, InsideReadout):  # which cells count follows from the mask
        return f"{name_pool(readout.pool)} {_name_readout(readout.within)} {_digest(readout.cells.numpy())}"
    if isinstance(readout, StationsReadout):
        return f"StationsReadout of {type(readout.within[0]).__name__}"
    return type(readout).__name__


def _fill_key(filling: Filling) -> object:
    return filling.value if filling.blurred is None else filling.blurred.sha256()


def _corners(patch: Patch) -> tuple[int, ...]:
    return patch.z0, patch.z1, *patch.plane


def _digest(array: npt.NDArray[Any]) -> str:
    values = np.ascontiguousarray(array)
    return hashlib.sha256(f"{values.dtype}{values.shape}".encode() + values.tobytes()).hexdigest()


def _own_code() -> str:
    digest = hashlib.sha256()
    for name in _CODE:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()
