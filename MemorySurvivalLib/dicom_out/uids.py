"""UIDs of what is written, and stand-ins for those of the source where nobody may be named."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Uids:
    """UIDs under 2.25 (PS3.5 section B.2), each derived from `key` and a few words: the same ones give the same UID.

    `key` is a digest of everything that an export is made from, so exporting the same again gives the same objects
    and a change of anything gives new ones. With `salt` the UIDs of the source are replaced too, by ones that nobody
    without the salt can trace back; b"" keeps them.
    """

    key: bytes
    salt: bytes = field(default=b"", repr=False)

    @classmethod
    def untraceable(cls, content: bytes, salt: bytes | None = None) -> Uids:
        """UIDs that nothing of the source or of the `content` can be told from.

        A `salt` that is kept gives the same stand-ins for the same source in later exports.
        """
        secret = salt or secrets.token_bytes(32)
        return cls(hmac.digest(secret, content, "sha256"), secret)

    def make(self, *words: object) -> str:
        """The UID for these words."""
        return _derive(self.key, "object", *words)

    def of_source(self, uid: str) -> str:
        """A UID of the source as it may be written."""
        return _derive(self.salt, "source", uid) if self.salt and uid else uid


def _derive(key: bytes, *words: object) -> str:
    text = "\x1f".join(map(str, words)).encode()
    digest = hashlib.sha256(len(key).to_bytes(4, "big") + key + text).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
