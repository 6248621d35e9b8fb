"""An honest bundle to be spoilt."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from made_up import SMALL, make_head, make_manifest
from spoilt_bundles import Members

from MemorySurvivalLib.bundle.bundle import save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry


@pytest.fixture(scope="module")
def light_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose backbone is external, so that it is small; in it one image-only head."""
    head, entry = make_head("image", None, 1)
    backbone = BackboneEntry(SMALL.architecture, SMALL.image_size, "external", "0" * 64, "elsewhere")
    path = tmp_path_factory.mktemp("light") / "light.msbundle"
    save_bundle(path, make_manifest((entry,), backbone), {"image": head}, "# Card\n", None)
    return path


@pytest.fixture
def members(light_bundle: Path) -> Members:
    """The content of an honest bundle, to be spoilt."""
    with zipfile.ZipFile(light_bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
