"""Fetching one large file over HTTP into a partial file that the next attempt continues."""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

from MemorySurvivalLib import __version__
from MemorySurvivalLib.errors import WeightsError
from MemorySurvivalLib.files import explain_os_error
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 2**16
_LONGEST_WAIT_S = 60.0
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """How long to wait for a silent server, and how often to try again without any new byte; waits double."""

    timeout_s: float = 30.0
    attempts: int = 5
    first_wait_s: float = 1.0


class _Interrupted(Exception):
    """The transfer broke off in a way that another attempt may mend."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def public_address(url: str) -> str:
    """`url` without user name, password, query and fragment, which may be secrets: fit for messages and records."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download(
    url: str,
    partial: Path,
    size_bytes: int,
    *,
    progress: ProgressCallback = ignore_progress,
    patience: Patience | None = None,
) -> None:
    """Grow `partial` until it holds `size_bytes` bytes of `url`; what it holds already is not fetched again.

    Proxies come from the usual environment variables. Progress counts bytes. When the callback raises (or Ctrl-C is
    pressed) the partial file stays and a later call continues it. Raises WeightsError when the address cannot be used,
    the server refuses, offers another size, or stays away; OutputError when `partial` cannot be written. The content
    is not judged here: compare its hash.
    """
    patience = patience or Patience()
    _check_address(url)
    opener = urllib.request.build_opener()
    meter = _Meter(partial.name.removesuffix(".partial"), size_bytes, progress)
    best, failures = _size(partial), 0
    while (have := _size(partial)) != size_bytes:
        if have > size_bytes:
            partial.unlink()
            have = 0
        try:
            _transfer(opener, url, partial, have, meter, patience.timeout_s)
        except _Interrupted as error:
            now = _size(partial)
            failures = 0 if now > best else failures + 1
            best = max(best, now)
            if failures >= patience.attempts:
                raise WeightsError(
                    f"{public_address(url)} could not be fetched after {failures} attempts ({error}; {now:,} of "
                    f"{size_bytes:,} bytes are kept for next time); check the network or HTTPS_PROXY, name a mirror "
                    "with --url, or fetch it on another machine and use `memory-survival weights import FILE`."
                ) from error
            wait_s = max(patience.first_wait_s * 2.0 ** max(failures - 1, 0), error.wait_s)
            _log.warning("%s: %s; trying again in %.0f s", public_address(url), error, wait_s)
            time.sleep(min(wait_s, _LONGEST_WAIT_S))


@contextlib.contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold the lock file `lock` for the block, so that two processes never write one partial file.

    Raises WeightsError when another process holds it. The system frees the lock however the process ends.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("ab")
    except OSError as error:
        raise explain_os_error(error, lock.parent) from error
    with handle:
        try:
            _lock(handle.fileno())
        except (BlockingIOError, PermissionError) as error:
            raise WeightsError(
                "Another process is fetching these weights at this moment; wait until it has finished."
            ) from error
        except OSError as error:  # some network file systems know no locks
            _log.warning("%s cannot be locked (%s); do not fetch the same weights twice at once", lock, error)
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _Meter:
    """Turns bytes into progress events; the time left follows the rate of this run, not of bytes kept from before."""

    def __init__(self, name: str, total: int, progress: ProgressCallback) -> None:
        self.total = total
        self._stage, self._progress = f"download {name}", progress
        self._fetched, self._start = 0, time.monotonic()

    def report(self, have: int, fetched: int) -> None:
        self._fetched += fetched
        elapsed_s = time.monotonic() - self._start
        eta_s = elapsed_s / self._fetched * (self.total - have) if self._fetched else None
        self._progress(ProgressEvent(self._stage, have, self.total, eta_s))


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[^!-~]", url):
        raise WeightsError(
            f"{url!r} is not an http or https address; correct --url, or use `memory-survival weights import FILE` for "
            "a file on this machine."
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _transfer(
    opener: urllib.request.OpenerDirector, url: str, partial: Path, have: int, meter: _Meter, timeout_s: float
) -> None:
    """One request: append to `partial`, or start it again when the server ignores the wanted range."""
    headers = {"User-Agent": f"memory-survival/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            _judge_refusal(error, url, partial)
    except http.client.InvalidURL as error:
        raise WeightsError(f"{public_address(url)!r} is not an address that can be used; correct --url.") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise WeightsError(
                f"The certificate of {urlsplit(url).hostname} is not trusted ({reason.verify_message}); set "
                "SSL_CERT_FILE to your institution's certificates."
            ) from error
        raise _Interrupted(_explain(error)) from error
    with response:
        start = _start_of(response, url, partial, have, meter)
        _receive(response, url, partial, start, meter)


def _judge_refusal(error: urllib.error.HTTPError, url: str, partial: Path) -> NoReturn:
    """Raise what an HTTP error status means."""
    status = f"the server answered {error.code} {error.reason}"
    if error.code == 416:  # nothing lies beyond what we have: it is another file than the one begun
        partial.unlink(missing_ok=True)
        raise _Interrupted(status)
    if error.code in _TRANSIENT:
        retry_after = error.headers.get("Retry-After", "")
        raise _Interrupted(status, float(retry_after) if retry_after.isdecimal() else 0.0)
    raise WeightsError(
        f"{public_address(url)} cannot be fetched: {status}; check the address, or name a mirror with --url."
    )


def _start_of(response: http.client.HTTPResponse, url: str, partial: Path, have: int, meter: _Meter) -> int:
    """The offset at which this answer begins. Refuses at once an answer that announces another size."""
    length = response.headers.get("Content-Length")
    offered = int(length) if length is not None and length.isdecimal() else None
    start = 0
    if response.status == 206:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != have:
            partial.unlink(missing_ok=True)
            raise _Interrupted("the server answered with another range than asked for")
        start, offered = have, None if match[3] == "*" else int(match[3])
    elif response.status != 200:
        raise WeightsError(
            f"{public_address(url)} answered with the unexpected status {response.status}; check the address."
        )
    if offered is not None and offered != meter.total:
        kind = response.headers.get_content_type()
        raise WeightsError(
            f"{public_address(url)} offers {offered:,} bytes of {kind} where the weights have {meter.total:,}; a "
            "log-in page may stand in between, or it is another file: check the address."
        )
    return start


def _receive(response: http.client.HTTPResponse, url: str, partial: Path, start: int, meter: _Meter) -> None:
    have = start
    try:
        stream = partial.open("ab" if start else "wb")
    except OSError as error:
        raise explain_os_error(error, partial) from error
    with stream:
        meter.report(have, 0)
        while have < meter.total:
            try:
                chunk = response.read(min(_CHUNK_BYTES, meter.total - have))
            except (OSError, http.client.HTTPException) as error:
                raise _Interrupted(_explain(error)) from error
            if not chunk:
                raise _Interrupted(f"the connection ended after {have:,} bytes")
            try:
                stream.write(chunk)
            except OSError as error:
                raise explain_os_error(error, partial) from error
            have += len(chunk)
            meter.report(have, len(chunk))


def _explain(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "the server did not answer in time"
    return str(getattr(reason, "strerror", None) or reason or type(reason).__name__).rstrip(".")
