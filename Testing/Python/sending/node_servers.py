"""DICOM servers on the loopback for tests: pynetdicom's own with chosen manners, and Orthanc."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from MemorySurvivalLib.sending.nodes import DimseNode

ORTHANC = shutil.which("Orthanc")
REFUSED = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
"""For tests of nodes where nobody listens: pynetdicom does not close a socket that never was connected."""
CERTIFICATE = Path(__file__).with_name("loopback.pem")
PLUGINS = Path("/usr/share/orthanc/plugins")


@dataclass
class Server:
    """A running C-STORE SCP: how it answers, what it got, and a definition of it as a node."""

    node: DimseNode
    answer: Callable[[Server, Any], int]
    stored: dict[str, Any] = field(default_factory=dict)
    associations: int = 0


@contextmanager
def serve(
    *,
    answer: Callable[[Server, Any], int] = lambda server, event: 0,
    timeout_s: float = 5.0,
    **manners: Any,
) -> Iterator[Server]:
    """An SCP that answers each C-STORE with what `answer` returns, and keeps what it answers 0."""
    server = _start(**manners)
    server.node = DimseNode("test", "127.0.0.1", server.node.port, "TEST_SCP", timeout_s=timeout_s)
    server.answer, server.stored, server.associations = answer, {}, 0
    yield server


_LISTENING: list[Any] = []


def stop_servers() -> None:
    """End every server, all at once.

    A thread that is left behind collects garbage now and then, also Qt's objects of later tests; Qt and Python then
    wait for each other's locks for ever.
    """
    enders = [threading.Thread(target=listening.shutdown) for listening in _LISTENING]
    for ender in enders:
        ender.start()
    for ender in enders:
        ender.join()
    _LISTENING.clear()
    _start.cache_clear()


@cache
def _start(
    title: str = "TEST_SCP", strict: bool = False, storage: bool = True, only_implicit: bool = False, tls: bool = False
) -> Server:
    """One server for each set of manners; it runs until `stop_servers`, because its end takes half a second."""
    ae = AE(ae_title=title)
    ae.require_called_aet = strict
    ae.add_supported_context(Verification)
    if storage:
        for context in AllStoragePresentationContexts:
            syntaxes = [ImplicitVRLittleEndian] if only_implicit else context.transfer_syntax
            ae.add_supported_context(context.abstract_syntax, syntaxes)
    server = Server(DimseNode("test", "127.0.0.1", 1, "TEST_SCP"), lambda server, event: 0)

    def on_store(event: Any) -> int:
        stored = server.stored  # a late answer is not for the next test
        status = server.answer(server, event)
        if status == 0:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            stored[dataset.SOPInstanceUID] = dataset
        return status

    def on_accepted(event: Any) -> None:
        server.associations += 1

    handlers = [(evt.EVT_C_STORE, on_store), (evt.EVT_ACCEPTED, on_accepted), (evt.EVT_C_ECHO, lambda event: 0)]
    context = context_of(tls)
    listening = ae.start_server(("127.0.0.1", 0), block=False, ssl_context=context, evt_handlers=handlers)  # type: ignore[arg-type]
    _LISTENING.append(listening)
    server.node = DimseNode("test", "127.0.0.1", listening.socket.getsockname()[1], "TEST_SCP")
    return server


def context_of(tls: bool) -> ssl.SSLContext | None:
    """TLS with the certificate of the loopback, or none."""
    if not tls:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


def free_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc: its DICOM port, and the address of its own and its DICOMweb service."""

    dicom_port: int
    address: str
    dicomweb: bool

    def get(self, path: str) -> Any:
        """JSON of the server's own service."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=10) as reply:
            return json.load(reply)


@contextmanager
def run_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Orthanc with an empty store below `folder`, ended at the end of the block."""
    assert ORTHANC is not None
    dicom, http = free_port(), free_port()
    plugin = PLUGINS / "libOrthancDicomWeb.so"
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "store"),
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(plugin)] if plugin.exists() else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
    }
    (folder / "store").mkdir(parents=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen([ORTHANC, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder)
        server = Orthanc(dicom, f"http://127.0.0.1:{http}", plugin.exists())
        try:
            _wait(server, process, folder / "log.txt")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            server.get("/system")
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"Orthanc did not start: {log.read_text()[-2000:]}")
