"""Signatures of bundles: Ed25519 over the file's hash, in a file beside the bundle, so that old bundles can be signed.

The bundle itself stays as it is; its format knows no signature. Keys lie in the user's settings folder.
"""

from __future__ import annotations

import binascii
import os
import re
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.errors import BundleError, InputError, OutputError
from MemorySurvivalLib.files import atomic_file, explain_os_error

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_SUFFIX = ".sig"
FORMAT = "msbundle-signature"
FORMAT_VERSION = 1
LIMIT_BYTES = 64 << 10

PRIVATE_KEY_FILE = "signing-key.pem"
KNOWN_KEYS_FILE = "known-keys.json"

_NAME = re.compile(r"[^\W_][\w .()@-]{0,99}")

SignatureState = Literal["unsigned", "known key", "unknown key"]


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signed which file. `key` is the public key (32 bytes, base64); `signed_by` is what the signer calls
    themselves, which proves nothing unless the key is known. `signature` covers all other fields."""

    format: str
    format_version: int
    bundle_sha256: str
    signed_by: str
    created: str
    key: str
    signature: str = ""

    def message(self) -> bytes:
        """What is signed: the other fields as compact JSON in their fixed order."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""))


@dataclass(frozen=True)
class Verdict:
    """What a signature says of a bundle whose bytes it matches, or that there is none."""

    state: SignatureState
    key: str = ""
    known_as: str = ""
    signed_by: str = ""
    created: str = ""

    @property
    def sentence(self) -> str:
        """For people."""
        if self.state == "unsigned":
            return "It is not signed: nobody vouches for it, only its own hashes hold."
        if self.state == "known key":
            return f"It was signed by {self.known_as} on {self.created[:10]} (key {self.key})."
        return (
            f"It was signed on {self.created[:10]} with a key that you do not know (key {self.key}); the signer calls "
            f"themselves {self.signed_by!r}, which proves nothing. Compare the key with its owner over another way."
        )


@dataclass(frozen=True)
class KeyStore:
    """The user's own key and the public keys they know, in a folder of theirs."""

    folder: Path = field(default_factory=lambda: _settings_folder())

    @property
    def private_file(self) -> Path:
        """The own key: PEM (PKCS 8), without a passphrase, readable by the user alone."""
        return self.folder / PRIVATE_KEY_FILE

    def make_key(self) -> str:
        """Make the own key and return the public one (base64). Raises OutputError where there is one already."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Created with its final rights: there is no moment in which others can read it.
            handle = os.open(self.private_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise OutputError(
                f"There is a signing key in {self.private_file} already; move it away first if you want a new one "
                "(bundles that it signed stay signed)."
            ) from None
        except OSError as error:
            raise explain_os_error(error, self.private_file) from error
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        return _public_text(key)

    def own_key(self) -> Ed25519PrivateKey:
        """The own key. Raises InputError where there is none, where it cannot be read, or others can read it."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        try:
            rights = stat.S_IMODE(self.private_file.stat().st_mode)
            pem = self.private_file.read_bytes()
        except FileNotFoundError:
            raise InputError(f"There is no signing key in {self.folder}; make one with `bundle key --new`.") from None
        except OSError as error:
            raise InputError(f"The signing key {self.private_file} cannot be read ({error.strerror}).") from error
        if os.name == "posix" and rights & 0o077:
            raise InputError(
                f"The signing key {self.private_file} can be read by others; make it yours alone with chmod 600, or "
                "replace it if somebody may have copied it."
            )
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.private_file} is not a signing key; put the right file there.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"{self.private_file} is not an Ed25519 key; put the right file there.")
        return key

    def own_public_key(self) -> str:
        """The public half of the own key (base64)."""
        return _public_text(self.own_key())

    def known_keys(self) -> dict[str, str]:
        """Names by public key: those that the user trusts, and "you" for the own one.

        Raises InputError where the file cannot be read.
        """
        path = self.folder / KNOWN_KEYS_FILE
        keys: dict[str, str] = {}
        if path.is_file():
            try:
                keys = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
            except (OSError, msgspec.MsgspecError) as error:
                raise InputError(f"The known keys {path} cannot be read ({error}); correct or remove it.") from error
        if self.private_file.is_file():
            keys.setdefault(self.own_public_key(), "you")
        return keys

    def trust(self, key: str, name: str) -> None:
        """Keep a public key under its owner's name. Raises InputError for what is no key or no name."""
        _public_key(key)
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} cannot be a key owner's name; use letters, digits, blanks and .()@-.")
        keys = {known: owner for known, owner in self.known_keys().items() if owner != "you"}
        with atomic_file(self.folder / KNOWN_KEYS_FILE) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode({**keys, key: name}), indent=1))


def signature_file(bundle: Path) -> Path:
    """Where a bundle's signature lies: beside it, under its name and `.sig`."""
    return bundle.with_name(bundle.name + SIGNATURE_SUFFIX)


def sign_bundle(bundle: Path, signed_by: str, keys: KeyStore | None = None) -> Path:
    """Sign a bundle (read and verified first) with the user's own key; the path of the signature.

    A signature that lies there is replaced only if it is the user's own. Raises BundleError for a damaged bundle,
    InputError without a key or name.
    """
    keys = keys or KeyStore()
    if not _NAME.fullmatch(signed_by):
        raise InputError(f"{signed_by!r} cannot be a signer's name; use letters, digits, blanks and .()@-.")
    archive = read_archive(bundle)
    key = keys.own_key()
    target = signature_file(bundle)
    if target.exists() and _read(target).key != _public_text(key):
        raise OutputError(f"{target} is the signature of somebody else; move it away before you sign.")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    said = Signature(FORMAT, FORMAT_VERSION, archive.sha256, signed_by, now, _public_text(key))
    signed = msgspec.structs.replace(said, signature=b64encode(key.sign(said.message())).decode())
    with atomic_file(target) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(signed), indent=1) + b"\n")
    return target


def verify_signature(bundle: Path, sha256: str, keys: KeyStore | None = None) -> Verdict:
    """What the file beside the bundle says. `sha256` is that of the bundle as it was read (`Archive.sha256`).

    An unknown key is told, not refused; BundleError is raised for a signature that does not fit the bundle.
    """
    keys = keys or KeyStore()
    path = signature_file(bundle)
    if not path.exists():
        return Verdict("unsigned")
    from cryptography.exceptions import InvalidSignature

    signature = _read(path)
    if signature.bundle_sha256 != sha256:
        raise BundleError(
            f"The signature {path} is of another file (or the bundle was changed after it was signed); do not use "
            f"{bundle.name}."
        )
    try:
        raw = b64decode(signature.signature, validate=True)
        _public_key(signature.key).verify(raw, signature.message())
    except (InvalidSignature, binascii.Error, InputError):
        raise BundleError(f"The signature {path} is forged or damaged; do not use {bundle.name}.") from None
    known_as = keys.known_keys().get(signature.key, "")
    state: SignatureState = "known key" if known_as else "unknown key"
    return Verdict(state, signature.key, known_as, signature.signed_by, signature.created)


def describe_signature(bundle: Path, sha256: str, keys: KeyStore | None = None) -> str:
    """What to tell a person of a bundle's signature, also where the package that checks one is not installed.

    Raises BundleError for a signature that does not fit.
    """
    try:
        return verify_signature(bundle, sha256, keys).sentence
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        return "It has a signature, which cannot be checked here: install the package cryptography (extra train)."


def _read(path: Path) -> Signature:
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise BundleError(f"{path} is not a signature: it is too large.")
        signature = msgspec.json.decode(path.read_bytes(), type=Signature)
    except OSError as error:
        raise BundleError(f"The signature {path} cannot be read ({error.strerror}).") from error
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path} is not a signature of a bundle ({str(error).rstrip('.')}).") from error
    if (signature.format, signature.format_version) != (FORMAT, FORMAT_VERSION):
        raise BundleError(
            f"{path} is a signature of another version ({signature.format} {signature.format_version}); update "
            "MemorySurvival."
        )
    return signature


def _public_text(key: Ed25519PrivateKey) -> str:
    return b64encode(key.public_key().public_bytes_raw()).decode()


def _public_key(text: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        return Ed25519PublicKey.from_public_bytes(b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{text!r} is not a public key (32 bytes as base64).") from error


def _settings_folder() -> Path:
    from MemorySurvivalLib.sending.nodes import config_folder

    return config_folder()
