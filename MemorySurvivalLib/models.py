"""Bundles and engines kept loaded between jobs, so that a warm process scores the next case at once."""

from __future__ import annotations

from pathlib import Path

import torch

from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.memory.engine import MemoryEngine


class Models:
    """A store of loaded bundles and of one engine: models are large, and a session uses one at a time."""

    def __init__(self) -> None:
        self._bundles: dict[tuple[Path, int, int], ModelBundle] = {}
        self._engine: tuple[str, torch.device, MemoryEngine] | None = None

    def bundle(self, name_or_path: str) -> ModelBundle:
        """The verified bundle; read again only when its file changed."""
        path = find_bundle(name_or_path).absolute()
        stamp = path.stat() if path.exists() else None
        key = (path, stamp.st_mtime_ns if stamp else 0, stamp.st_size if stamp else 0)
        if key not in self._bundles:
            self._bundles = {key: load_bundle(path)}
        return self._bundles[key]

    def engine(self, bundle: ModelBundle, device: torch.device) -> MemoryEngine:
        """The bundle's backbone on `device`."""
        if self._engine is None or self._engine[:2] != (bundle.archive.sha256, device):
            self._engine = None  # frees the old model before the new one takes its memory
            self._engine = (
                bundle.archive.sha256,
                device,
                MemoryEngine(bundle.backbone(), device, reader=bundle.reader),
            )
        return self._engine[2]
