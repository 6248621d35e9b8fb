"""Saving and opening .mrb files in the host, with what the application gives a scene for it in Slicer."""

from __future__ import annotations

from pathlib import Path

import slicer

_KEPT: list[object] = []


def save_bundle(path: Path) -> None:
    """Write the scene as .mrb, as Slicer's Save does."""
    _give_cache(path.parent)
    messages = slicer.vtkMRMLMessageCollection()
    assert slicer.mrmlScene.WriteToMRB(str(path), None, messages), messages.GetAllMessagesAsString()


def open_bundle(path: Path) -> None:
    """Close the scene and read another one."""
    _give_cache(path.parent)
    messages = slicer.vtkMRMLMessageCollection()
    assert slicer.mrmlScene.ReadFromMRB(str(path), True, messages), messages.GetAllMessagesAsString()


def _give_cache(folder: Path) -> None:
    """Bundles are packed in the cache folder, which belongs to the application."""
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(folder / "cache"))
    (folder / "cache").mkdir(exist_ok=True)
    manager.SetCacheManager(cache)
    slicer.mrmlScene.SetCacheManager(cache)
    slicer.mrmlScene.SetDataIOManager(manager)
    _KEPT[:] = [cache, manager]
