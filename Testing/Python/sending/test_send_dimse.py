"""C-STORE against servers that accept, turn away, drop the association half-way, or fall silent: nothing is lost."""

from __future__ import annotations

import gc
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from made_dicom import make_object, make_results, write
from node_servers import CERTIFICATE, REFUSED, Server, free_port, serve
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.sending.answers import describe_status
from MemorySurvivalLib.sending.errors import SendError
from MemorySurvivalLib.sending.nodes import DimseNode, Tls
from MemorySurvivalLib.sending.outbox import Outbox
from MemorySurvivalLib.sending.sending import check_node, resend, send


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    return make_results(tmp_path / "results", 4)


def node_at(port: int, **changes: Any) -> DimseNode:
    return DimseNode("test", "127.0.0.1", port, **{"called_aet": "TEST_SCP", "timeout_s": 2.0, **changes})


def test_a_node_takes_all_in_one_association(results: list[Path], outbox: Outbox) -> None:
    events: list[ProgressEvent] = []
    with serve() as server:
        parcel = send(results, server.node, outbox=outbox, progress=events.append)
    assert parcel.left == () and parcel.accepted == 4 and server.associations == 1
    assert set(server.stored) == {entry.sop_instance_uid for entry in parcel.entries}
    assert [event.done for event in events if event.stage == "send"] == [0, 1, 2, 3, 4]
    assert [path.name for path in (outbox.folder / parcel.id).iterdir()] == ["job.json"]  # no copies of a patient stay


def test_many_kinds_of_object_go_in_one_association(tmp_path: Path, outbox: Outbox) -> None:
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
    for number, (kind, syntax) in enumerate(product(("seg", "sr", "pm", "pdf", "sc"), syntaxes)):
        write(make_object(kind, syntax=syntax, private_code="STATUS_LOCAL"), tmp_path / f"{number}.dcm")
    with serve() as server:
        parcel = send([tmp_path], server.node, outbox=outbox)
        assert not parcel.left, parcel.describe()
        assert len(server.stored) == 15 and server.associations == 1


def test_pixels_and_text_arrive_as_they_were(tmp_path: Path, outbox: Outbox) -> None:
    sent = make_object("seg", name="")
    sent.ContentDescription = "Größe 山田 Дарья"
    with serve() as server:
        parcel = send([write(sent, tmp_path / "a.dcm")], server.node, outbox=outbox)
    (got,) = server.stored.values()
    assert not parcel.left and got.ContentDescription == sent.ContentDescription
    assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, None])
def test_a_node_that_takes_implicit_only_gets_implicit(tmp_path: Path, outbox: Outbox, syntax: Any) -> None:
    dataset = make_object("seg") if syntax is None else make_object("seg", syntax=syntax)
    dataset.ContentDescription = "kept"
    with serve(only_implicit=True) as server:
        parcel = send([write(dataset, tmp_path / "a.dcm")], server.node, outbox=outbox)
    (got,) = server.stored.values()
    assert not parcel.left and got.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert got.ContentDescription == "kept"


def test_a_deflated_object_goes_deflated_where_it_may(tmp_path: Path, outbox: Outbox) -> None:
    dataset = make_object("seg", syntax=DeflatedExplicitVRLittleEndian)
    with serve() as server:
        send([write(dataset, tmp_path / "a.dcm")], server.node, outbox=outbox)
    (got,) = server.stored.values()
    assert got.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian


def test_an_association_dropped_half_way_loses_nothing(results: list[Path], outbox: Outbox) -> None:
    def drop_third(server: Server, event: Any) -> int:
        if len(server.stored) == 2 and server.associations == 1:
            event.assoc.abort()
            return 0x0110
        return 0

    with serve(answer=drop_third) as server:
        parcel = send(results, server.node, outbox=outbox)
        assert parcel.accepted == 2 and len(parcel.left) == 2
        assert "dropped the association" in parcel.problem and parcel.problem in parcel.describe()
        kept = outbox.find(parcel.id)
        assert kept == parcel
        for path in results:
            path.unlink()  # the outbox has copies of its own
        again = resend(parcel.id, outbox=outbox)
    assert again.left == () and again.problem == "" and len(server.stored) == 4
    assert outbox.unfinished() == ()


def test_a_silent_node_times_out_and_keeps_what_is_left(results: list[Path], outbox: Outbox) -> None:
    def stall(server: Server, event: Any) -> int:
        if len(server.stored) == 1:
            time.sleep(1.5)
        return 0

    with serve(answer=stall, timeout_s=0.5) as server:
        start = time.monotonic()
        parcel = send(results, server.node, outbox=outbox)
        assert time.monotonic() - start < 5
        assert parcel.accepted == 1 and "did not answer within 0.5 s" in parcel.problem


def test_a_refusal_is_told_and_the_others_still_go(results: list[Path], outbox: Outbox) -> None:
    answers = iter([0, 0xA700, 0xB006, 0x0122, 0, 0])
    with serve(answer=lambda server, event: next(answers)) as server:
        parcel = send(results, server.node, outbox=outbox)
        assert [entry.state for entry in parcel.entries] == ["accepted", "refused", "accepted", "refused"]
        said = parcel.describe()
        assert "2 of 4 objects are at test" in said and "2 wait in the outbox" in said
        assert "out of resources" in said and "does not take this kind" in said
        done = resend(parcel.id, outbox=outbox)
    assert not done.left and "left some elements out" in done.describe()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0xA700, "out of resources"),
        (0xA900, "does not match its SOP class"),
        (0xC123, "does not understand"),
        (0x0124, "does not allow this sender"),
        (0x1234, "status 0x1234"),
    ],
)
def test_every_refusal_has_its_words(status: int, said: str) -> None:
    answer = describe_status(status)
    assert not answer.accepted and said in answer.said


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0xB000, 0xB006, 0xB007])
def test_warnings_and_duplicates_count_as_taken(status: int) -> None:
    answer = describe_status(status)
    assert answer.accepted and bool(answer.said) == bool(status)


def test_an_unknown_name_is_told_from_other_refusals(results: list[Path], outbox: Outbox) -> None:
    with serve(title="OTHER", strict=True) as server:
        parcel = send(results, server.node, outbox=outbox)
        assert parcel.accepted == 0 and "it is not called TEST_SCP" in parcel.problem
        with pytest.raises(SendError, match="rejected the association: it is not called TEST_SCP"):
            check_node(server.node)


def test_a_node_without_storage_says_so(results: list[Path], outbox: Outbox) -> None:
    with serve(storage=False) as server:
        check_node(server.node)
        parcel = send(results, server.node, outbox=outbox)
    assert parcel.accepted == 0 and "takes none of these kinds of object" in parcel.problem


@REFUSED
def test_nobody_there_is_told_from_no_dicom_node(results: list[Path], outbox: Outbox) -> None:
    parcel = send(results, node_at(free_port()), outbox=outbox)
    assert len(parcel.left) == 4 and "refused the connection" in parcel.problem
    with pytest.raises(SendError, match="no machine has that name"):
        check_node(DimseNode("test", "nowhere.invalid", 104, "A"))


@REFUSED
def test_a_resend_may_go_elsewhere_but_names_need_a_word(tmp_path: Path, outbox: Outbox) -> None:
    named = make_results(tmp_path / "named", 1, name="Doe^Jane")
    parcel = send(named, node_at(free_port()), identified=True, outbox=outbox)
    with serve() as server:
        with pytest.raises(Exception, match="name the patient"):
            resend(parcel.id, node=server.node, outbox=outbox)
        assert not server.stored
        assert not resend(parcel.id, node=server.node, identified=True, outbox=outbox).left
    assert len(server.stored) == 1


@REFUSED
def test_tls_goes_to_a_trusted_node_only(results: list[Path], outbox: Outbox, tmp_path: Path) -> None:
    with serve(tls=True) as server:
        trusted = node_at(server.node.port, tls=Tls(ca_file=str(CERTIFICATE)))
        check_node(trusted)
        assert not send(results, trusted, outbox=outbox).left and len(server.stored) == 4
        with pytest.raises(SendError, match="could not agree on TLS"):
            check_node(node_at(server.node.port, tls=Tls()))
        with pytest.raises(SendError, match=r"not a DICOM node|closed the connection|dropped"):
            check_node(node_at(server.node.port))
        with pytest.raises(SendError, match="TLS files of the node test cannot be used"):
            check_node(node_at(server.node.port, tls=Tls(ca_file=str(tmp_path / "missing.pem"))))
    gc.collect()  # sockets that failed are let go while their warning is not an error


def test_a_cancelled_send_ends_the_association_and_can_go_on(results: list[Path], outbox: Outbox) -> None:
    def stop(event: ProgressEvent) -> None:
        if event.stage == "send" and event.done == 2:
            raise KeyboardInterrupt

    with serve() as server:
        with pytest.raises(KeyboardInterrupt):
            send(results, server.node, outbox=outbox, progress=stop)
        (parcel,) = outbox.unfinished()
        assert parcel.accepted == 2 and len(parcel.left) == 2
        assert not resend(parcel.id, outbox=outbox).left
    assert len(server.stored) == 4
