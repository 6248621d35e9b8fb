"""Backbone weights that do not ship with the project: fetched or imported with consent, then found by their hash."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from MemorySurvivalLib.errors import WeightsError
from MemorySurvivalLib.files import atomic_file, explain_os_error
from MemorySurvivalLib.memory.weights_checkpoint import check_finite, check_keys, load_state_dict
from MemorySurvivalLib.memory.weights_download import Patience, download, exclusive, public_address
from MemorySurvivalLib.memory.weights_releases import RELEASES, Licence, Release, find_release
from MemorySurvivalLib.memory.weights_store import (
    SUFFIXES,
    Consent,
    Stamp,
    StoreEntry,
    WeightsRecord,
    WeightsStore,
    check_name,
    hash_file,
    timestamp,
)
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.resources import data_folder

__all__ = [
    "RELEASES",
    "Consent",
    "Licence",
    "LicenceQuestion",
    "Patience",
    "Release",
    "StoreEntry",
    "WeightsRecord",
    "WeightsStore",
    "accept_licence",
    "check_keys",
    "data_folder",
    "fetch_weights",
    "find_release",
    "find_weights",
    "import_weights",
    "load_state_dict",
]

LicenceQuestion = Callable[[Release], str | None]
"""Asked once the release is known: returns the identifier of the licence that the user accepts, or None."""

_NO_LICENCE = "unknown (the person who imported the file answers for its use)"


def accept_licence(identifier: str | None) -> LicenceQuestion:
    """The answer of someone who accepts the licence `identifier`, or none, whatever the release."""
    return lambda release: identifier


def find_weights(
    sha256: str, *, store: WeightsStore | None = None, progress: ProgressCallback = ignore_progress
) -> Path:
    """The stored file with this hash; a file that changed since its import is read again and refused.

    Raises WeightsError, in one sentence that says how to get the weights, when they are absent or damaged.
    """
    return (store or WeightsStore()).find(sha256, progress)


def fetch_weights(
    name: str,
    agree: LicenceQuestion,
    *,
    url: str | None = None,
    store: WeightsStore | None = None,
    progress: ProgressCallback = ignore_progress,
    patience: Patience | None = None,
) -> WeightsRecord:
    """Download a published release into the store, or return it when it is there and intact.

    `url` replaces the release's own address (a mirror). An interrupted download is continued. Raises WeightsError when
    the name is unknown, the licence is not accepted, the address fails, or the content has another hash (it is then
    removed); OutputError when the store cannot be written.
    """
    store = store or WeightsStore()
    release = find_release(name, store.releases)
    if release is None:
        known = ", ".join(r.name for r in store.releases)
        raise WeightsError(f"No published weights are called {name!r}; known are {known}.")
    if (present := _present(store, release.sha256, progress)) is not None:
        return present
    consent = _ask(release, agree)
    target, address = store.folder / release.file, url or release.url
    with exclusive(store.folder / f".{release.name}.lock"):
        if not _holds(target, release.sha256, progress):
            partial = store.folder / f"{release.file}.partial"
            download(address, partial, release.size_bytes, progress=progress, patience=patience)
            actual = hash_file(partial, f"check {release.name}", progress)
            if actual != release.sha256:
                partial.unlink()
                raise WeightsError(
                    f"What {public_address(address)} sent is not {release.name}: its sha256 is {actual}, expected "
                    f"{release.sha256}; it was removed, try again or use another address."
                )
            _move(partial, target)
        return _record(store, release.name, target, release.sha256, release, public_address(address), consent)


def import_weights(
    source: Path,
    agree: LicenceQuestion,
    *,
    name: str | None = None,
    store: WeightsStore | None = None,
    progress: ProgressCallback = ignore_progress,
) -> WeightsRecord:
    """Copy a checkpoint from this machine into the store; needs no network.

    The hash decides what it is. A published release needs consent to its licence; any other file needs a `name` of its
    own and must fit sam2.1 hiera-tiny key by key. Raises WeightsError when the file claims to be a release that it is
    not, does not fit, holds code or is damaged; OutputError when the store cannot be written.
    """
    store = store or WeightsStore()
    if not source.is_file():
        raise WeightsError(f"The checkpoint {source} does not exist; check the path.")
    actual = hash_file(source, f"read {source.name}", progress)
    release = next((r for r in store.releases if r.sha256 == actual), None)
    for claim in (name, source.name):
        claimed = find_release(claim, store.releases) if claim else None
        if claimed is not None and claimed != release:
            identity = (
                f"it is {release.name}"
                if release
                else "get that release again, or rename the file and give it a --name of its own"
            )
            raise WeightsError(
                f"{source} is not {claimed.name}: its sha256 is {actual}, expected {claimed.sha256}; {identity}."
            )
    if (present := _present(store, actual, progress)) is not None:
        return present
    if release is not None:
        consent = _ask(release, agree)
        _copy(source, store.folder / release.file, actual, progress)
        return _record(store, release.name, store.folder / release.file, actual, release, "imported file", consent)
    target = _place_for(source, name, actual, store)
    check_checkpoint(source)
    _copy(source, target, actual, progress)
    return _record(store, target.stem, target, actual, None, f"imported from {source.name}", None)


def check_checkpoint(path: Path) -> None:
    """Raise WeightsError unless the file fits sam2.1 hiera-tiny key by key, shape by shape, with finite values."""
    from MemorySurvivalLib.memory.backbone import MEDSAM2, build_backbone  # sam2 takes seconds to import

    state = load_state_dict(path)
    check_keys(state, build_backbone(MEDSAM2).state_dict(), str(path))
    check_finite(state, str(path))


def _ask(release: Release, agree: LicenceQuestion) -> Consent:
    accepted, licence = agree(release), release.licence
    if accepted is None:
        raise WeightsError(
            f"{release.name} is under the licence {licence.identifier} ({licence.text_url}), which must be accepted "
            f"first: add --accept-licence {licence.identifier}."
        )
    if accepted.casefold() != licence.identifier.casefold():
        raise WeightsError(f"{release.name} is under the licence {licence.identifier}, not {accepted}.")
    return Consent(licence.identifier, licence.version, licence.text_url, release.notice, timestamp())


def _present(store: WeightsStore, sha256: str, progress: ProgressCallback) -> WeightsRecord | None:
    return next((r for r in store.records() if r.sha256 == sha256 and store.is_intact(r, progress)), None)


def _place_for(source: Path, name: str | None, sha256: str, store: WeightsStore) -> Path:
    """Where weights that match no release go. Raises WeightsError without a name that is free."""
    if name is None:
        raise WeightsError(
            f"{source} matches no published release (sha256 {sha256}); give it a name of its own with --name NAME."
        )
    check_name(name)
    taken = store.find_name(name)
    if taken is not None and taken.sha256 != sha256:
        raise WeightsError(
            f"The name {name} belongs to other weights (sha256 {taken.sha256}) in {store.folder}; choose another."
        )
    if source.suffix.lower() not in SUFFIXES:
        raise WeightsError(f"{source} has none of the suffixes {', '.join(SUFFIXES)} of a checkpoint; rename it.")
    return store.folder / (name + source.suffix.lower())


def _holds(path: Path, sha256: str, progress: ProgressCallback) -> bool:
    """Whether `path` has this hash already, as after a crash between moving a file into place and recording it."""
    return path.is_file() and hash_file(path, f"check {path.name}", progress) == sha256


def _copy(source: Path, target: Path, sha256: str, progress: ProgressCallback) -> None:
    if _holds(target, sha256, progress):
        return
    with atomic_file(target) as temporary:
        shutil.copyfile(source, temporary)
        if hash_file(temporary, f"check {target.name}", progress) != sha256:
            raise WeightsError(f"{source} changed while it was being copied; import it again when it is complete.")


def _move(partial: Path, target: Path) -> None:
    try:
        partial.replace(target)
    except OSError as error:
        raise explain_os_error(error, target) from error


def _record(
    store: WeightsStore,
    name: str,
    path: Path,
    sha256: str,
    release: Release | None,
    origin: str,
    consent: Consent | None,
) -> WeightsRecord:
    licence = release.licence.identifier if release else _NO_LICENCE
    stamp = Stamp.of(path)
    record = WeightsRecord(
        name=name,
        file=path.name,
        sha256=sha256,
        size_bytes=stamp.size_bytes,
        release=release is not None,
        licence=licence,
        origin=origin,
        consent=consent,
        imported_at=timestamp(),
        stamp=stamp,
    )
    store.write_record(record)
    return record
