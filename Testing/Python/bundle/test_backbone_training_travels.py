"""Card and log of the backbone's training inside a bundle: carried, checked, told, and never without one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from backbone_cards import LOG, carry_training, make_card

from MemorySurvivalLib.bundle.archive import BACKBONE, read_archive, write_archive
from MemorySurvivalLib.bundle.backbone_training import (
    PHANTOMS_ONLY,
    RANDOM,
    TRAINING_CARD,
    TRAINING_LOG,
    parse_training_card,
)
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.bundle.manifest import LearnedFrom, Manifest
from MemorySurvivalLib.bundle.recalibrate import SitePatients, recalibrate_bundle
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.errors import BundleError


def carrying(bundle: ModelBundle, card: bytes, learned_from: LearnedFrom | None) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and members of a bundle with this card and this statement."""
    backbone = msgspec.structs.replace(bundle.manifest.backbone, learned_from=learned_from)
    manifest = msgspec.structs.replace(bundle.manifest, backbone=backbone)
    return manifest, {**bundle.archive.members, TRAINING_CARD: card, TRAINING_LOG: LOG}


@pytest.fixture(scope="module")
def bundle(light_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """A bundle with its backbone inside, whose weights nobody reads here."""
    light = load_bundle(light_bundle)
    backbone = msgspec.structs.replace(light.manifest.backbone, weights="bundled", sha256="1" * 64)
    manifest = msgspec.structs.replace(light.manifest, backbone=backbone)
    path = tmp_path_factory.mktemp("bundled") / "bundled.msbundle"
    write_archive(path, manifest, {**light.archive.members, BACKBONE: b"weights"})
    return load_bundle(path)


def test_a_bundle_carries_the_training_and_says_which_images(bundle: ModelBundle, tmp_path: Path) -> None:
    card = make_card(bundle.manifest.backbone.sha256)
    learned = parse_training_card(card).learned_from
    loaded = carry_training(bundle, tmp_path / "a.msbundle")
    assert loaded.backbone_training == {TRAINING_CARD: card, TRAINING_LOG: LOG}
    assert loaded.manifest.members[TRAINING_LOG].bytes == len(LOG)
    assert loaded.manifest.backbone.learned_from == learned == LearnedFrom(2, ("real-STS_002-PET",), "CC BY 3.0", True)
    assert not loaded.manifest.backbone.simulated_only
    assert learned.sentence == ("the images of 2 simulated patients and 1 real image series of a patient (CC BY 3.0)")


def test_a_recalibrated_bundle_still_carries_it(bundle: ModelBundle, tmp_path: Path) -> None:
    base = carry_training(bundle, tmp_path / "a.msbundle")
    rng = np.random.default_rng(0)
    risks = {entry.name: rng.normal(size=60) for entry in base.manifest.heads}
    patients = SitePatients("B", rng.exponential(30, 60) + 1, rng.random(60) < 0.7, risks, simulated=True)
    after = recalibrate_bundle(base, patients, tmp_path / "b.msbundle")
    assert after.backbone_training == base.backbone_training
    assert after.manifest.backbone == base.manifest.backbone


def test_bundles_without_one_are_as_they_were(bundle: ModelBundle, tmp_path: Path) -> None:
    assert bundle.backbone_training == {} and bundle.manifest.backbone.simulated_only
    assert b"learned_from" not in msgspec.json.encode(bundle.manifest)
    again = write_archive(tmp_path / "a.msbundle", bundle.manifest, bundle.archive.members)
    assert again.sha256 == bundle.archive.sha256


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sha256": "0" * 64}, "its backbone.json is of other weights than its backbone"),
        ({"real_cases": []}, "its backbone.json names other images than its backbone entry"),
        ({"licences": None}, "its backbone.json names other images than its backbone entry"),
        ({"real_cases": None}, "its backbone.json cannot be read"),
    ],
)
def test_a_card_that_says_otherwise_is_refused(
    changes: dict[str, Any], complaint: str, bundle: ModelBundle, tmp_path: Path
) -> None:
    sha256 = bundle.manifest.backbone.sha256
    learned = parse_training_card(make_card(sha256)).learned_from
    manifest, members = carrying(bundle, make_card(**{"sha256": sha256, **changes}), learned)
    with pytest.raises(BundleError, match=complaint):
        write_archive(tmp_path / "a.msbundle", manifest, members)
    assert not (tmp_path / "a.msbundle").exists()


def test_statement_card_and_weights_come_together(bundle: ModelBundle, tmp_path: Path) -> None:
    card = make_card(bundle.manifest.backbone.sha256)
    manifest, members = carrying(bundle, card, parse_training_card(card).learned_from)
    path = tmp_path / "a.msbundle"
    for lacking in ({TRAINING_CARD}, {TRAINING_CARD, TRAINING_LOG}):
        kept = {name: content for name, content in members.items() if name not in lacking}
        with pytest.raises(BundleError, match="disagree on how the backbone was trained"):
            write_archive(path, manifest, kept)
    with pytest.raises(BundleError, match="disagree on how the backbone was trained"):
        write_archive(path, bundle.manifest, members)
    with pytest.raises(BundleError, match="log of a backbone's training without its card"):
        write_archive(path, bundle.manifest, {**bundle.archive.members, TRAINING_LOG: LOG})
    external = msgspec.structs.replace(manifest.backbone, weights="external")
    without = {name: content for name, content in members.items() if name != "backbone.safetensors"}
    with pytest.raises(BundleError, match="how a backbone was trained that is not in it"):
        write_archive(path, msgspec.structs.replace(manifest, backbone=external), without)


@pytest.mark.parametrize(("begun_with", "clean"), [(RANDOM, True), (PHANTOMS_ONLY[0], True), ("f" * 64, False)])
def test_what_weights_began_with_is_not_passed_over(begun_with: str, clean: bool) -> None:
    learned = parse_training_card(make_card("0" * 64, real_cases=[], begun_with=begun_with)).learned_from
    assert learned.begun_clean is clean
    assert ("began with weights whose images are not named here" in learned.sentence) is not clean


def test_the_weights_known_to_be_of_phantoms_are_those_that_ship() -> None:
    backbone = read_archive(find_bundle("demonstration")).manifest.backbone
    assert backbone.learned_from is not None or backbone.sha256 in PHANTOMS_ONLY
