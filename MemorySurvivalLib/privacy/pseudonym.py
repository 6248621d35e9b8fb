"""Codes in the place of names: the same for the same patient on this machine, and of no use to anybody else."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import explain_os_error
from MemorySurvivalLib.resources import data_folder

KEY_FILE = "pseudonym.key"
KEY_BYTES = 32
LONGEST = 64
"""What a DICOM long string (LO), such as the patient ID, may hold."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O and U, which are misread."""
_SIGNS = 12
_FORBIDDEN = "\\^="


def default_key_file() -> Path:
    """Where this user's key lies: in the platform's data folder (or $MEMORYSURVIVAL_DATA)."""
    return data_folder() / KEY_FILE


def load_key(path: Path | None = None) -> bytes:
    """This user's random key (32 bytes), made at the first call; only the user may read the file (mode 0600).

    Raises OutputError where it cannot be made, InputError where the file is not a key.
    """
    path = path or default_key_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(handle, secrets.token_bytes(KEY_BYTES))
                os.fsync(handle)
            finally:
                os.close(handle)
        key = _read(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    if len(key) != KEY_BYTES:
        raise InputError(
            f"{path} is not a key for pseudonyms ({len(key)} bytes, expected {KEY_BYTES}); restore it from a backup, "
            "or move it away to begin with new codes."
        )
    return key


def _read(path: Path) -> bytes:
    """The key; another process may be about to write it."""
    for _ in range(20):
        key = path.read_bytes()
        if key:
            break
        time.sleep(0.05)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        with suppress(OSError):  # a file system without modes
            path.chmod(0o600)
    return key


def make_pseudonym(patient_id: str, birth_date: str = "", name: str = "", *, key: bytes | None = None) -> str:
    """A code such as MS-7K2M-9QXT-4BHD for a patient: HMAC-SHA256 of patient ID and birth date under this user's key.

    The birth date tells patients of two hospitals with one ID apart. Without an ID the name takes its place. Case and
    blanks do not count. Nobody without the key can compute the code or try names against it. Raises InputError where
    nothing says who the patient is.
    """
    who = [_plain(patient_id), "" if _plain(patient_id) else _plain(name), _plain(birth_date)]
    if not any(who[:2]):
        raise InputError("The images do not say whose they are, so no pseudonym can be made; give one of your own.")
    digest = hmac.new(load_key() if key is None else key, msgspec.json.encode(["patient", *who]), hashlib.sha256)
    number = int.from_bytes(digest.digest(), "big")
    signs = "".join(_ALPHABET[number >> (5 * place) & 31] for place in range(_SIGNS))
    return "MS-" + "-".join(signs[start : start + 4] for start in range(0, _SIGNS, 4))


def check_pseudonym(text: str) -> str:
    """A code that a user gave, without blanks around it. Raises InputError for one that DICOM cannot hold."""
    code = text.strip()
    if not code:
        raise InputError("The pseudonym is empty; give one, or leave it out to have one made.")
    if len(code) > LONGEST or not code.isprintable() or any(sign in _FORBIDDEN for sign in code):
        raise InputError(
            f"A pseudonym has at most {LONGEST} printable characters without \\, ^ and =, because DICOM separates with "
            "these; choose another one."
        )
    return code


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
