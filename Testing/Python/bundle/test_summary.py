"""What the panel is told of bundles: rights, fields, weights, damage; and how a file becomes one of the user's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from made_up import SMALL, make_head, make_manifest

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.bundle import save_bundle
from MemorySurvivalLib.bundle.importing import import_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry
from MemorySurvivalLib.bundle.summary import (
    BundleSummary,
    DamagedBundle,
    summarize_bundle,
    summarize_bundles,
    summarize_file,
)
from MemorySurvivalLib.errors import BundleError
from MemorySurvivalLib.memory.weights_releases import CC_BY_SA_4, Release
from MemorySurvivalLib.memory.weights_store import Stamp, WeightsRecord, WeightsStore, timestamp


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_shipped_bundle_says_what_it_may_show(own_data: Path) -> None:
    (demonstration,) = summarize_bundles()
    assert isinstance(demonstration, BundleSummary)
    assert (demonstration.shipped, demonstration.status, demonstration.roi) == (True, "demonstration", "spine_dilated")
    assert demonstration.weights.state == "bundled"
    image, clinical = demonstration.heads
    assert image.covariates == ()
    assert (image.real.position, image.real.group, image.real.survival) == (True, False, False)
    assert (image.simulated.group, image.simulated.survival) == (True, True)
    assert "SIMULATED MODEL" in image.real.labels
    age = clinical.covariates[0]
    assert (age.name, age.title, age.unit, age.low, age.high) == ("age_years", "Age", "years", 18, 110)
    assert next(each for each in clinical.covariates if each.name == "sex").levels == ("male", "female")
    assert demonstration.sha256 == hashlib.sha256(Path(demonstration.path).read_bytes()).hexdigest()
    assert demonstration.card.startswith("# Demonstration model")


def test_a_damaged_bundle_is_listed_with_its_sentence(own_data: Path, light_bundle: Path) -> None:
    folder = own_data / "bundles"
    folder.mkdir(parents=True)
    (folder / "sound.msbundle").write_bytes(light_bundle.read_bytes())
    (folder / "broken.msbundle").write_bytes(light_bundle.read_bytes()[:-200])
    found = {each.name: each for each in summarize_bundles()}
    assert list(found) == ["demonstration", "broken", "sound"]
    broken = found["broken"]
    assert isinstance(broken, DamagedBundle)
    assert "damaged" in broken.damaged
    assert not found["sound"].damaged


def test_a_bundle_in_the_place_of_a_shipped_one_is_not_listed(own_data: Path, light_bundle: Path) -> None:
    (own_data / "bundles").mkdir(parents=True)
    (own_data / "bundles" / "demonstration.msbundle").write_bytes(light_bundle.read_bytes())
    (only,) = summarize_bundles()
    assert only.shipped


def make_needy_bundle(folder: Path, sha256: str) -> Path:
    head, entry = make_head("image", None, 1)
    backbone = BackboneEntry(SMALL.architecture, SMALL.image_size, "external", sha256, "TinyNet")
    path = folder / "needy.msbundle"
    save_bundle(path, make_manifest((entry,), backbone), {"image": head}, "# Card\n", None)
    return path


def test_weights_are_absent_present_and_damaged(tmp_path: Path) -> None:
    content = b"weights"
    sha256 = hashlib.sha256(content).hexdigest()
    release = Release("TinyNet", "TinyNet.pt", len(content), sha256, CC_BY_SA_4, "https://example.org/t.pt", "tests.")
    store = WeightsStore(tmp_path / "weights", (release,))
    archive = read_archive(make_needy_bundle(tmp_path, sha256))
    need = summarize_bundle(archive, store).weights
    assert (need.state, need.name, need.size_bytes) == ("absent", "TinyNet", len(content))
    assert (need.licence, need.url) == ("CC-BY-SA-4.0", "https://example.org/t.pt")
    store.folder.mkdir()
    file = store.folder / "TinyNet.pt"
    file.write_bytes(content)
    store.write_record(
        WeightsRecord("TinyNet", file.name, sha256, len(content), True, "x", "y", None, timestamp(), Stamp.of(file))
    )
    assert summarize_bundle(archive, store).weights.state == "present"
    file.write_bytes(b"Weights")
    assert summarize_bundle(archive, store).weights.state == "damaged"


def test_weights_of_no_release_have_no_address(tmp_path: Path) -> None:
    archive = read_archive(make_needy_bundle(tmp_path, "1" * 64))
    need = summarize_bundle(archive, WeightsStore(tmp_path / "weights")).weights
    assert (need.state, need.url, need.licence) == ("absent", None, None)


def test_a_file_is_verified_and_copied(own_data: Path, light_bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "ward-7.msbundle"
    source.write_bytes(light_bundle.read_bytes())
    target = import_bundle(source)
    assert target == own_data / "bundles" / "ward-7.msbundle"
    assert target.read_bytes() == light_bundle.read_bytes()
    assert import_bundle(source) == target, "the same file again changes nothing"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_nothing_is_replaced(own_data: Path, light_bundle: Path, tmp_path: Path, small_bundle: Path) -> None:
    source = tmp_path / "ward-7.msbundle"
    source.write_bytes(light_bundle.read_bytes())
    import_bundle(source)
    source.write_bytes(small_bundle.read_bytes())
    with pytest.raises(BundleError, match="is called ward-7 already; rename the file"):
        import_bundle(source)
    shipped = tmp_path / "demonstration.msbundle"
    shipped.write_bytes(light_bundle.read_bytes())
    with pytest.raises(BundleError, match="that ships with MemorySurvival is called demonstration"):
        import_bundle(shipped)


def test_a_damaged_file_is_refused_and_nothing_is_left(own_data: Path, light_bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "ward-7.msbundle"
    source.write_bytes(light_bundle.read_bytes()[:-100])
    with pytest.raises(BundleError, match="damaged"):
        import_bundle(source)
    with pytest.raises(BundleError, match=r"does not end in \.msbundle"):
        import_bundle(tmp_path / "notes.txt")
    assert not list(own_data.glob("bundles/*"))


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    found = summarize_file(tmp_path / "gone.msbundle", WeightsStore(tmp_path))
    assert isinstance(found, DamagedBundle)
    assert "does not exist" in found.damaged
