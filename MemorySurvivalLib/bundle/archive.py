"""Reading and writing .msbundle files: a zip of safetensors and JSON, checked member by member, never unpacked."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from MemorySurvivalLib.bundle.backbone_training import TRAINING_CARD, TRAINING_LOG, find_training_problem
from MemorySurvivalLib.bundle.manifest import FORMAT, FORMAT_VERSION, Manifest, Member, check_manifest
from MemorySurvivalLib.errors import BundleError, InputError
from MemorySurvivalLib.files import atomic_file

MANIFEST = "manifest.json"
HEADS = "heads.safetensors"
CARD = "model_card.md"
BACKBONE = "backbone.safetensors"
READER = "lesion_reader.safetensors"
REQUIRED = (HEADS, CARD)
TRAINING = (TRAINING_CARD, TRAINING_LOG)
ALLOWED = (HEADS, CARD, BACKBONE, READER, *TRAINING)
LIMITS_BYTES = {
    MANIFEST: 4 << 20,
    HEADS: 64 << 20,
    CARD: 1 << 20,
    BACKBONE: 512 << 20,
    READER: 16 << 20,
    TRAINING_CARD: 1 << 20,
    TRAINING_LOG: 1 << 20,
}
"""More than any honest member needs; a member that claims or unpacks to more is refused unread."""

_FIXED_TIME = (2020, 1, 1, 0, 0, 0)  # zip times would make the same content hash differently

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OverflowError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What zipfile raises, by experiment, for files with a few wrong bytes."""


class _Version(msgspec.Struct):
    format: str
    format_version: int


@dataclass(frozen=True)
class Archive:
    """The verified content of a bundle file: manifest, members by name, and the hash of the whole file."""

    path: Path
    sha256: str
    manifest: Manifest
    members: Mapping[str, bytes]


def read_archive(path: Path) -> Archive:
    """Read and verify a bundle. Raises BundleError with one sentence for anything that is not exactly as declared."""
    try:
        size = path.stat().st_size
        if size > sum(LIMITS_BYTES.values()):
            raise BundleError(f"{path} is not a model bundle: it is {size / 1e6:.0f} MB large.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"The model bundle {path} does not exist; check the path.") from None
    except OSError as error:
        raise BundleError(f"The model bundle {path} cannot be read ({error.strerror}).") from error
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = _member_names(archive, path)
            raw = {name: _read_member(archive, name, path) for name in names}
    except _ZIP_ERRORS as error:
        raise BundleError(f"{path} is not a model bundle, or it is damaged ({error}); get it again.") from error
    manifest = _parse_manifest(raw.pop(MANIFEST), path)
    for name in sorted(set(raw) ^ set(manifest.members)):
        side = "lists" if name in manifest.members else "does not list"
        raise BundleError(f"The model bundle {path} is not whole: its manifest {side} {name}; get it again.")
    for name, member in manifest.members.items():
        if len(raw[name]) != member.bytes or hashlib.sha256(raw[name]).hexdigest() != member.sha256:
            raise BundleError(f"The model bundle {path} is damaged: {name} does not match its hash; get it again.")
    _check_training(manifest, raw, path)
    return Archive(path, hashlib.sha256(data).hexdigest(), manifest, raw)


def write_archive(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> Archive:
    """Write a bundle (atomically, the same bytes for the same content) and read it back verified.

    Raises BundleError for a manifest that contradicts itself, before anything is written.
    """
    described = {
        name: Member(hashlib.sha256(content).hexdigest(), len(content)) for name, content in sorted(members.items())
    }
    manifest = msgspec.structs.replace(manifest, members=described)
    manifest = _parse_manifest(msgspec.json.encode(manifest), path)  # 40 and 40.0 are the same content
    _check_training(manifest, members, path)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in {MANIFEST: text, **dict(sorted(members.items()))}.items():
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return read_archive(path)


def _check_training(manifest: Manifest, members: Mapping[str, bytes], path: Path) -> None:
    problem = find_training_problem(manifest, members)
    if problem:
        raise BundleError(f"The model bundle {path} contradicts itself: {problem}.")


def _member_names(archive: zipfile.ZipFile, path: Path) -> list[str]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    for info in infos:
        name = info.filename
        if name.startswith(("/", "\\")) or ".." in Path(name.replace("\\", "/")).parts or ":" in name:
            raise BundleError(f"The model bundle {path} holds the unsafe path {name!r}; do not use it.")
        if name != MANIFEST and name not in ALLOWED:
            raise BundleError(f"The model bundle {path} holds the unexpected file {name!r}; do not use it.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f"The model bundle {path} packs {name} in a way that bundles do not use; do not use it.")
        if info.file_size > LIMITS_BYTES[name]:
            raise BundleError(
                f"The model bundle {path} is refused: {name} would unpack to {info.file_size / 1e6:.0f} MB, "
                f"at most {LIMITS_BYTES[name] / 1e6:.0f} MB are allowed."
            )
    if len(set(names)) != len(names):
        raise BundleError(f"The model bundle {path} holds the same file twice; do not use it.")
    for name in (MANIFEST, *REQUIRED):
        if name not in names:
            raise BundleError(f"The model bundle {path} is not whole: {name} is missing; get it again.")
    return names


def _read_member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    limit = LIMITS_BYTES[name]
    with archive.open(name) as file:
        content = file.read(limit + 1)  # a forged header can claim a small size for a large stream
    if len(content) > limit:
        raise BundleError(f"The model bundle {path} is refused: {name} unpacks to more than {limit / 1e6:.0f} MB.")
    return content


def _parse_manifest(text: bytes, path: Path) -> Manifest:
    try:
        version = msgspec.json.decode(text, type=_Version)
        if version.format != FORMAT:
            raise BundleError(f"{path} is not a model bundle (its format is {version.format!r}).")
        if version.format_version != FORMAT_VERSION:
            raise BundleError(
                f"The model bundle {path} has format version {version.format_version}; this program reads version "
                f"{FORMAT_VERSION}. Update MemorySurvival or get a bundle made for it."
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, InputError) as error:
        raise BundleError(f"The manifest of the model bundle {path} is not valid: {str(error).rstrip('.')}.") from error
    problem = check_manifest(manifest)
    if problem:
        raise BundleError(f"The model bundle {path} contradicts itself: {problem}.")
    return manifest
