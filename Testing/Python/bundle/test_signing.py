"""Signatures: what fits is told with its key, an unknown key is said, what does not fit is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from MemorySurvivalLib.bundle.archive import CARD, read_archive, write_archive
from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.bundle.signing import KeyStore, sign_bundle, signature_file, verify_signature
from MemorySurvivalLib.errors import BundleError, InputError, OutputError


@pytest.fixture
def bundle(tmp_path: Path, light_bundle: Path) -> Path:
    return Path(shutil.copy(light_bundle, tmp_path / "a.msbundle"))


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "config")
    store.make_key()
    return store


def sha256(bundle: Path) -> str:
    return read_archive(bundle).sha256


def test_no_signature(bundle: Path, keys: KeyStore) -> None:
    verdict = verify_signature(bundle, sha256(bundle), keys)
    assert verdict.state == "unsigned" and "not signed" in verdict.sentence


def test_ones_own_signature(bundle: Path, keys: KeyStore) -> None:
    before = bundle.read_bytes()
    assert sign_bundle(bundle, "Dr. A", keys) == signature_file(bundle)
    verdict = verify_signature(bundle, sha256(bundle), keys)
    assert (verdict.state, verdict.known_as, verdict.key) == ("known key", "you", keys.own_public_key())
    assert bundle.read_bytes() == before


def test_an_unknown_key_is_said_and_a_known_one_named(bundle: Path, keys: KeyStore, tmp_path: Path) -> None:
    sign_bundle(bundle, "Dr. A", keys)
    other = KeyStore(tmp_path / "other")
    verdict = verify_signature(bundle, sha256(bundle), other)
    assert verdict.state == "unknown key" and "a key that you do not know" in verdict.sentence
    assert keys.own_public_key() in verdict.sentence
    other.trust(keys.own_public_key(), "Hospital A")
    assert verify_signature(bundle, sha256(bundle), other).known_as == "Hospital A"


def test_a_bundle_changed_after_signing(bundle: Path, keys: KeyStore) -> None:
    sign_bundle(bundle, "Dr. A", keys)
    archive = read_archive(bundle)
    write_archive(bundle, archive.manifest, {**archive.members, CARD: b"# Another card\n"})
    with pytest.raises(BundleError, match="is of another file"):
        verify_signature(bundle, sha256(bundle), keys)


@pytest.mark.parametrize("name", ["signed_by", "created", "bundle_sha256", "signature", "key"])
def test_no_field_of_a_signature_can_be_changed(bundle: Path, keys: KeyStore, tmp_path: Path, name: str) -> None:
    sign_bundle(bundle, "Dr. A", keys)
    path = signature_file(bundle)
    said = msgspec.json.decode(path.read_bytes())
    other = KeyStore(tmp_path / "other")
    changes = {"signed_by": "Dr. B", "created": "1999-01-01", "bundle_sha256": "0" * 64, "signature": "AAAA"}
    said[name] = other.make_key() if name == "key" else changes[name]
    path.write_bytes(msgspec.json.encode(said))
    with pytest.raises(BundleError):
        verify_signature(bundle, sha256(bundle), keys)


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
def test_the_key_is_its_owners_alone(keys: KeyStore, bundle: Path) -> None:
    assert keys.private_file.stat().st_mode & 0o777 == 0o600
    keys.private_file.chmod(0o644)
    with pytest.raises(InputError, match="can be read by others"):
        sign_bundle(bundle, "Dr. A", keys)


def test_keys_are_never_replaced(keys: KeyStore) -> None:
    before = keys.private_file.read_bytes()
    with pytest.raises(OutputError, match="already"):
        keys.make_key()
    assert keys.private_file.read_bytes() == before


def test_no_key_no_signature(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no signing key"):
        sign_bundle(bundle, "Dr. A", KeyStore(tmp_path / "empty"))


def test_the_signature_of_somebody_else_stays(bundle: Path, keys: KeyStore, tmp_path: Path) -> None:
    sign_bundle(bundle, "Dr. A", keys)
    other = KeyStore(tmp_path / "other")
    other.make_key()
    with pytest.raises(OutputError, match="somebody else"):
        sign_bundle(bundle, "Dr. B", other)


def test_what_is_no_key_or_signature(bundle: Path, keys: KeyStore) -> None:
    with pytest.raises(InputError, match="is not a public key"):
        keys.trust("AAAA", "A")
    with pytest.raises(InputError, match="cannot be a key owner's name"):
        keys.trust(keys.own_public_key(), "a\nb")
    signature_file(bundle).write_text("{}")
    with pytest.raises(BundleError, match="is not a signature"):
        verify_signature(bundle, sha256(bundle), keys)


def test_a_validated_bundle_needs_a_whole_card(bundle: Path) -> None:
    archive = read_archive(bundle)
    provenance = msgspec.structs.replace(archive.manifest.provenance, simulated=False)
    local = msgspec.structs.replace(archive.manifest, status="local-research", provenance=provenance)
    card = b"- **Ethics**: TODO (a person must state this)\n"
    write_archive(bundle, local, {**archive.members, CARD: card})
    assert load_bundle(bundle).manifest.status == "local-research"
    write_archive(bundle, msgspec.structs.replace(local, status="validated"), {**archive.members, CARD: card})
    with pytest.raises(BundleError, match="Ethics"):
        load_bundle(bundle)
