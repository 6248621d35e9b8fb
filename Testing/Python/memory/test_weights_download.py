"""The download of weights against a real HTTP server that misbehaves in the ways real ones do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from MemorySurvivalLib.errors import OutputError, WeightsError
from MemorySurvivalLib.memory.weights import Patience, WeightsStore, accept_licence, fetch_weights, find_weights
from MemorySurvivalLib.memory.weights_download import download, exclusive, public_address
from MemorySurvivalLib.memory.weights_releases import CC_BY_SA_4, Release
from MemorySurvivalLib.progress import ProgressEvent

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes: eight chunks
QUICK = Patience(timeout_s=5.0, attempts=3, first_wait_s=0.01)
AGREE = accept_licence("CC-BY-SA-4.0")


@dataclass
class Host:
    """What the server serves, how it misbehaves, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    honours_range: bool = True
    skips: int = 0  # how far beyond the wanted offset an answered range begins
    says_length: bool = True
    drops_after: list[int] = field(default_factory=list)  # bytes sent before hanging up, one a request
    statuses: list[int] = field(default_factory=list)  # error statuses answered first, one a request
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # (path, Range)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.requests.append((self.path, wanted))
            if served.statuses:
                self.send_response(served.statuses.pop(0))
                for name, value in served.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and served.honours_range else 0
            if start and start >= len(served.content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start += served.skips if start else 0
            body = served.content[start:]
            self.send_response(206 if start else 200)
            if served.says_length:
                self.send_header("Content-Length", str(len(body)))
            if start:
                total = len(served.content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.end_headers()
            self.wfile.write(body[: served.drops_after.pop(0)] if served.drops_after else body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/files/Fake.pt"
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def make_store(folder: Path, url: str, content: bytes = CONTENT) -> WeightsStore:
    sha256 = hashlib.sha256(content).hexdigest()
    return WeightsStore(folder, (Release("Fake", "Fake.pt", len(content), sha256, CC_BY_SA_4, url, "tests only."),))


def test_fetch_stores_the_file_its_record_and_reports_progress(host: Host, tmp_path: Path) -> None:
    store, events = make_store(tmp_path, host.url), list[ProgressEvent]()
    record = fetch_weights("fake.PT", AGREE, store=store, progress=events.append, patience=QUICK)
    assert (tmp_path / "Fake.pt").read_bytes() == CONTENT
    assert find_weights(record.sha256, store=store) == tmp_path / "Fake.pt"
    assert record.origin == host.url and record.release and record.licence == "CC-BY-SA-4.0"
    assert record.consent is not None and record.consent.version == "4.0" and "tests only" in record.consent.notice
    assert not list(tmp_path.glob("*.partial"))
    download_events = [e for e in events if e.stage == "download Fake.pt"]
    assert [e.done for e in download_events] == sorted({e.done for e in download_events})
    assert download_events[-1].done == download_events[-1].total == len(CONTENT)
    fetch_weights("Fake", AGREE, store=store, patience=QUICK)
    assert len(host.requests) == 1, "a second fetch must not go to the network"


def test_dropped_connection_is_resumed_with_a_range(host: Host, tmp_path: Path) -> None:
    host.drops_after = [200_000, 0, 100_000]
    fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert (tmp_path / "Fake.pt").read_bytes() == CONTENT
    assert [r for _, r in host.requests] == [None, "bytes=200000-", "bytes=200000-", "bytes=300000-"]


def test_server_that_ignores_ranges_is_read_from_the_start(host: Host, tmp_path: Path) -> None:
    host.honours_range, host.drops_after = False, [200_000]
    fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert (tmp_path / "Fake.pt").read_bytes() == CONTENT
    assert len(host.requests) == 2


def test_server_that_always_drops_is_given_up_and_the_partial_kept(host: Host, tmp_path: Path) -> None:
    host.honours_range, host.drops_after = False, [1000] * 50
    with pytest.raises(WeightsError, match=r"after 3 attempts .*1,000 of 512,000 bytes are kept.*--url"):
        fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert len(host.requests) == 4
    assert (tmp_path / "Fake.pt.partial").stat().st_size == 1000
    assert not (tmp_path / "Fake.pt").exists()


def test_interrupt_keeps_the_partial_for_the_next_run(host: Host, tmp_path: Path) -> None:
    def stop(event: ProgressEvent) -> None:
        if event.done >= 128_000:
            raise KeyboardInterrupt

    store = make_store(tmp_path, host.url)
    with pytest.raises(KeyboardInterrupt):
        fetch_weights("Fake", AGREE, store=store, progress=stop, patience=QUICK)
    kept = (tmp_path / "Fake.pt.partial").stat().st_size
    assert 128_000 <= kept < len(CONTENT) and not (tmp_path / "Fake.pt").exists()
    fetch_weights("Fake", AGREE, store=store, patience=QUICK)
    assert host.requests[-1][1] == f"bytes={kept}-"
    assert (tmp_path / "Fake.pt").read_bytes() == CONTENT


def test_wrong_content_is_refused_with_both_hashes_and_removed(host: Host, tmp_path: Path) -> None:
    store = make_store(tmp_path, host.url)
    host.content = CONTENT[:-1] + b"!"
    with pytest.raises(WeightsError) as caught:
        fetch_weights("Fake", AGREE, store=store, patience=QUICK)
    assert hashlib.sha256(host.content).hexdigest() in str(caught.value)
    assert store.releases[0].sha256 in str(caught.value)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == []


def test_another_size_is_refused_before_anything_is_fetched(host: Host, tmp_path: Path) -> None:
    host.content = b"<html>log in first</html>"
    with pytest.raises(WeightsError, match=r"offers 25 bytes of text/plain where the weights have 512,000; .*log-in"):
        fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert len(host.requests) == 1


def test_absent_file_is_not_asked_for_twice(host: Host, tmp_path: Path) -> None:
    host.statuses = [404]
    with pytest.raises(WeightsError, match=r"the server answered 404 Not Found; check the address"):
        fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert len(host.requests) == 1


def test_busy_server_is_asked_again_after_the_time_it_names(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = list[float]()
    monkeypatch.setattr("time.sleep", waits.append)
    host.statuses, host.headers = [503, 429], {"Retry-After": "7"}
    fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert waits == [7.0, 7.0]
    host.statuses, host.headers, waits[:] = [503, 503], {}, []
    download(host.url, tmp_path / "again.partial", len(CONTENT), patience=QUICK)
    assert waits == [0.01, 0.02], "without a hint the waits double"


@pytest.mark.parametrize("excess", [0, 5])
def test_partial_at_or_beyond_full_size_is_judged_by_its_hash(host: Host, tmp_path: Path, excess: int) -> None:
    (tmp_path / "Fake.pt.partial").write_bytes(CONTENT + b"x" * excess)
    fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert (tmp_path / "Fake.pt").read_bytes() == CONTENT
    assert len(host.requests) == (1 if excess else 0)


def test_range_beyond_the_servers_file_starts_again(host: Host, tmp_path: Path) -> None:
    (tmp_path / "Fake.pt.partial").write_bytes(CONTENT[:300_000])
    host.statuses = [416]
    fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert [r for _, r in host.requests] == ["bytes=300000-", None]


def test_answer_with_another_range_is_not_glued_on(host: Host, tmp_path: Path) -> None:
    (tmp_path / "Fake.pt.partial").write_bytes(CONTENT[:300_000])
    host.skips = 1
    fetch_weights("Fake", AGREE, store=make_store(tmp_path, host.url), patience=QUICK)
    assert [r for _, r in host.requests] == ["bytes=300000-", None]
    assert (tmp_path / "Fake.pt").read_bytes() == CONTENT


def test_server_that_names_no_length_is_read_to_the_expected_size_only(host: Host, tmp_path: Path) -> None:
    host.says_length, host.content = False, CONTENT + b"endless" * 100_000
    download(host.url, tmp_path / "x.partial", len(CONTENT), patience=QUICK)
    assert (tmp_path / "x.partial").read_bytes() == CONTENT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_full_disk_is_one_sentence(host: Host, tmp_path: Path) -> None:
    (tmp_path / "x.partial").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space is left to write"):
        download(host.url, tmp_path / "x.partial", len(CONTENT), patience=QUICK)


def test_url_replaces_the_address_and_leaves_no_secret_in_the_record(host: Host, tmp_path: Path) -> None:
    store = make_store(tmp_path, "http://127.0.0.1:9/unreachable.pt")
    record = fetch_weights("Fake", AGREE, store=store, url=host.url + "?token=secret", patience=QUICK)
    assert host.requests == [("/files/Fake.pt?token=secret", None)]
    assert record.origin == host.url
    assert "secret" not in (tmp_path / "Fake.json").read_text()
    assert public_address("https://me:word@host.example/a.pt?sig=1#x") == "https://host.example/a.pt"


def test_standard_proxy_variables_are_used(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = host.url.removesuffix("/files/Fake.pt")
    monkeypatch.setenv("http_proxy", proxy)
    store = make_store(tmp_path, "http://weights.example/Fake.pt")
    fetch_weights("Fake", AGREE, store=store, patience=QUICK)
    assert host.requests == [("http://weights.example/Fake.pt", None)], "a proxy is asked for the whole address"


def test_no_server_gives_one_sentence_with_the_ways_out(host: Host, tmp_path: Path) -> None:
    store = make_store(tmp_path, "http://127.0.0.1:9/Fake.pt")
    with pytest.raises(
        WeightsError, match=r"after 3 attempts \(Connection refused; .*HTTPS_PROXY.*weights import FILE"
    ):
        fetch_weights("Fake", AGREE, store=store, patience=QUICK)


def test_silent_server_times_out(host: Host, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/Fake.pt"
        with pytest.raises(WeightsError, match="did not answer in time"):
            download(url, tmp_path / "x.partial", 10, patience=Patience(timeout_s=0.1, attempts=1, first_wait_s=0.01))


@pytest.mark.parametrize(
    "url", ["file:///etc/hosts", "ftp://host/x", "Fake.pt", "http://", "http://a b/", "http://h:x/"]
)
def test_addresses_that_are_not_http_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(WeightsError, match="is not an http or https address; correct --url"):
        download(url, tmp_path / "x.partial", 10, patience=QUICK)


def test_two_fetches_of_one_file_do_not_mix(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / ".Fake.lock"),
        pytest.raises(WeightsError, match="Another process is fetching these weights"),
        exclusive(tmp_path / ".Fake.lock"),
    ):
        pytest.fail("the lock was given twice")
    with exclusive(tmp_path / ".Fake.lock"):
        pass


def test_store_that_cannot_be_written_is_named(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"is a file, not a folder|cannot be written"):
        fetch_weights("Fake", AGREE, store=make_store(tmp_path / "file" / "weights", host.url), patience=QUICK)


def test_without_consent_nothing_is_fetched(host: Host, tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", host.url)
    with pytest.raises(WeightsError, match=r"must be accepted first: add --accept-licence CC-BY-SA-4.0\."):
        fetch_weights("Fake", accept_licence(None), store=store)
    with pytest.raises(WeightsError, match=r"under the licence CC-BY-SA-4.0, not MIT\."):
        fetch_weights("Fake", accept_licence("MIT"), store=store)
    with pytest.raises(WeightsError, match=r"No published weights are called 'Other'; known are Fake\."):
        fetch_weights("Other", AGREE, store=store)
    assert host.requests == [] and not (tmp_path / "store").exists()


def test_file_moved_into_place_without_its_record_is_adopted(host: Host, tmp_path: Path) -> None:
    store = make_store(tmp_path, host.url)
    (tmp_path / "Fake.pt").write_bytes(CONTENT)
    fetch_weights("Fake", AGREE, store=store, patience=QUICK)
    assert host.requests == [] and store.entries()[0].status == "present"


def test_damaged_file_is_fetched_again(host: Host, tmp_path: Path) -> None:
    store = make_store(tmp_path, host.url)
    fetch_weights("Fake", AGREE, store=store, patience=QUICK)
    (tmp_path / "Fake.pt").write_bytes(b"damaged")
    assert store.entries()[0].status == "damaged"
    fetch_weights("Fake", AGREE, store=store, patience=QUICK)
    assert (tmp_path / "Fake.pt").read_bytes() == CONTENT and store.entries()[0].status == "present"
