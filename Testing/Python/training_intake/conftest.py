"""A small bundle to build on."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import SMALL, make_head, make_manifest

from MemorySurvivalLib.bundle.bundle import save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry


@pytest.fixture(scope="session")
def light_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose backbone is external, so that it is small."""
    head, entry = make_head("image", None, 1)
    backbone = BackboneEntry(SMALL.architecture, SMALL.image_size, "external", "0" * 64, "elsewhere")
    path = tmp_path_factory.mktemp("base") / "base.msbundle"
    save_bundle(path, make_manifest((entry,), backbone), {"image": head}, "# Card\n", None)
    return path
