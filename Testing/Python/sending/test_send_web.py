"""STOW-RS to services that refuse, want a token, fail, or fall silent: a sentence each, and nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from made_dicom import make_results
from node_servers import free_port

from MemorySurvivalLib.sending.errors import SendError
from MemorySurvivalLib.sending.nodes import WebNode
from MemorySurvivalLib.sending.outbox import Outbox
from MemorySurvivalLib.sending.sending import check_node, resend, send
from MemorySurvivalLib.sending.web import TOKEN_VARIABLE


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    return make_results(tmp_path / "results", 2)


class Service(ThreadingHTTPServer):
    """Answers with what `replies` holds, one after the other, and keeps the headers and bodies that came."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, replies: list[Any]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = replies
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.ended = threading.Event()

    @property
    def node(self) -> WebNode:
        return self.reached_within(30)

    def reached_within(self, timeout_s: float) -> WebNode:
        return WebNode("web", f"http://127.0.0.1:{self.server_address[1]}/dicom", timeout_s=timeout_s)


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        self.server.headers.append(dict(self.headers))
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        reply = self.server.replies.pop(0) if self.server.replies else 200
        if reply == "stall":
            self.server.ended.wait(60)
            return
        if reply == "drop":
            self.connection.close()
            return
        status, body = reply if isinstance(reply, tuple) else (reply, None)
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


@contextmanager
def offer(*replies: Any) -> Iterator[Service]:
    service = Service(list(replies))
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.ended.set()
        service.shutdown()
        service.server_close()
        thread.join()


def failure(uid: str, reason: int) -> dict[str, Any]:
    return {
        "00081198": {
            "vr": "SQ",
            "Value": [
                {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}},
            ],
        }
    }


def test_each_instance_is_a_request_with_the_token(
    results: list[Path], outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "from-environment")
    with offer() as service:
        assert not send(results, service.node, outbox=outbox).left
        assert not send(results[:1], service.node, outbox=outbox, token="Basic asked").left
    assert [each["Authorization"] for each in service.headers] == ["Bearer from-environment"] * 2 + ["Basic asked"]
    assert all(b"Content-Type: application/dicom" in body and b"DICM" in body for body in service.bodies)
    for path in outbox.folder.rglob("*"):
        assert not path.is_file() or b"from-environment" not in path.read_bytes()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (401, "wants a token"),
        (403, "does not allow this token"),
        (404, "no DICOMweb service at this address"),
        (503, "cannot store at the moment"),
        ("drop", "dropped the connection"),
    ],
)
def test_trouble_with_the_service_keeps_the_rest(results: list[Path], outbox: Outbox, reply: Any, said: str) -> None:
    with offer(200, reply) as service:
        parcel = send(results, service.node, outbox=outbox)
        assert parcel.accepted == 1 and said in parcel.problem
        assert len(service.bodies) == 2  # no second attempt behind the user's back
        assert not resend(parcel.id, outbox=outbox).left


def test_a_service_that_falls_silent_keeps_everything(results: list[Path], outbox: Outbox) -> None:
    with offer("stall") as service:
        # Only the request that is to time out is in a hurry, so that a busy machine cannot fail the others.
        parcel = send(results, service.reached_within(1), outbox=outbox)
        assert parcel.accepted == 0 and "did not answer within 1 s" in parcel.problem
        give_up = time.monotonic() + 60
        while service.replies and time.monotonic() < give_up:  # the service may not have read the request yet
            time.sleep(0.01)
        assert len(service.bodies) == 1
        assert not resend(parcel.id, node=service.node, outbox=outbox).left
        assert len(service.bodies) == 3


def test_a_refused_instance_is_told_and_the_others_still_go(results: list[Path], outbox: Outbox) -> None:
    with offer((409, failure("1.2.3", 0xA700)), 413, 415, 400, 200) as service:
        parcel = send([*results, *make_results(outbox.folder.parent / "more", 3)], service.node, outbox=outbox)
    assert [entry.state for entry in parcel.entries] == ["refused"] * 4 + ["accepted"]
    assert "HTTP 409" in parcel.entries[0].said and "as large as this" in parcel.entries[1].said


def test_the_reason_for_an_instance_is_read_from_the_reply(results: list[Path], outbox: Outbox) -> None:
    with offer() as service:
        uids = [entry.sop_instance_uid for entry in send(results, service.node, outbox=outbox).entries]
        service.replies = [(409, failure(uids[0], 0xA700)), (202, failure(uids[1], 0x0122))]
        parcel = send(results, service.node, outbox=outbox)
    assert "out of resources" in parcel.entries[0].said and "does not take this kind" in parcel.entries[1].said


def test_nobody_there_and_no_service(outbox: Outbox) -> None:
    with pytest.raises(SendError, match="cannot be reached"):
        check_node(WebNode("web", f"http://127.0.0.1:{free_port()}/dicom", timeout_s=1))
    with offer(401) as service, pytest.raises(SendError, match="wants a token"):
        check_node(service.node)


def test_a_token_is_not_sent_in_the_clear(results: list[Path], outbox: Outbox) -> None:
    parcel = send(results, WebNode("web", "http://pacs.example.org/dicom"), outbox=outbox, token="secret")
    assert len(parcel.left) == 2 and "is not encrypted" in parcel.problem and "secret" not in parcel.describe()
