"""How tests spoil an honest bundle, and read the sentence with which it is refused."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from MemorySurvivalLib.bundle.archive import MANIFEST
from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.errors import BundleError

Members = dict[str, bytes]


def pack(path: Path, members: Members, *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip of these members, whatever they are."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    """The sentence with which a bundle is refused."""
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    return str(caught.value)


def edited(members: Members, change: Callable[[dict[str, Any]], object]) -> Members:
    """The members with a changed manifest."""
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    return {**members, MANIFEST: json.dumps(manifest).encode()}


def set_in(*keys: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    """A change that sets one nested field."""

    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def with_member(members: Members, name: str, content: bytes) -> Members:
    """The members with another content of `name`, and a manifest that vouches for it."""
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return edited({**members, name: content}, set_in("members", name, value=entry))


def contradiction(path: Path, clause: str) -> str:
    return f"The model bundle {path} contradicts itself: {clause}."
