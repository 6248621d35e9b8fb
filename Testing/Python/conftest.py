"""Fixtures shared by all tests: real data, a small made-up patient, and a small bundle with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import SCHEMA, SMALL, BundleMaker, Patient, make_head, make_manifest, make_patient

from MemorySurvivalLib.bundle.bundle import as_float16, save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry
from MemorySurvivalLib.memory.backbone import build_backbone, weights_sha256


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A made-up patient written to files."""
    return make_patient(tmp_path).written()


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> BundleMaker:
    """Writes a bundle with a random compact backbone at 64 pixels; keyword arguments replace manifest fields."""

    def make(name: str = "test", **changes: object) -> Path:
        backbone = as_float16(build_backbone(SMALL, seed=3))
        made = [make_head("image", None, 1), make_head("image+clinical", SCHEMA, 2)]
        entry = BackboneEntry(SMALL.architecture, SMALL.image_size, "bundled", weights_sha256(backbone), "random")
        manifest = make_manifest(tuple(entry for _, entry in made), entry, **changes)
        path = tmp_path_factory.mktemp("bundle") / f"{name}.msbundle"
        save_bundle(path, manifest, {entry.name: head for head, entry in made}, "# Card\n", backbone)
        return path

    return make


@pytest.fixture(scope="session")
def small_bundle(make_bundle: BundleMaker) -> Path:
    """A demonstration-status bundle for tests."""
    return make_bundle()
