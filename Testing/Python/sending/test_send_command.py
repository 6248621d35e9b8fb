"""Nodes and sends from the command line and from the worker's jobs, with a real server at the other end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_dicom import SIMULATED, make_object, make_results, write
from node_servers import REFUSED, free_port, serve

from MemorySurvivalLib.cli import main
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.progress import ignore_progress


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def ask(job: str, **parameters: Any) -> dict[str, Any]:
    return dict(find_job(job)(parameters, JobContext(ignore_progress, lambda text: None)).result)


def run(*arguments: object) -> int:
    return main([str(each) for each in arguments])


def test_a_node_is_defined_checked_and_sent_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_results(tmp_path / "results", 2)
    with serve() as server:
        assert run("node", "add", "PACS", "--host", "127.0.0.1", "--port", server.node.port, "--aet", "TEST_SCP") == 0
        assert run("node", "check", "PACS") == 0
        assert "PACS answers" in capsys.readouterr().out
        assert run("send", tmp_path / "results", "--node", "pacs") == 0
        said = capsys.readouterr()
    assert "only objects that do not name the patient" in said.err and "2 of 2 objects are at PACS" in said.out
    assert run("send", "--list", "--json") == 0
    (sent,) = json.loads(capsys.readouterr().out)["sends"]
    assert [entry["state"] for entry in sent["entries"]] == ["accepted", "accepted"]
    assert run("send", "--clear") == 0 and run("node", "remove", "PACS") == 0
    assert run("send", "--list") == 0
    assert "The outbox is empty" in capsys.readouterr().out


@REFUSED
def test_what_waits_is_listed_sent_again_or_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_results(tmp_path / "results", 2)
    nobody = ("--host", "127.0.0.1", "--port", free_port(), "--aet", "TEST_SCP", "--timeout", 2)
    assert run("send", tmp_path / "results", *nobody) == 1
    said = capsys.readouterr().out
    assert "2 wait in the outbox" in said and "--resend" in said
    assert run("send", "--resend") == 1
    capsys.readouterr()
    (waiting,) = ask("outbox")["waiting"]
    with serve() as server:
        there = ("--host", "127.0.0.1", "--port", server.node.port, "--aet", "TEST_SCP")
        assert run("send", "--resend", *there) == 2  # a new place is for one send at a time
        assert run("send", "--resend", waiting["id"], *there) == 0
        assert len(server.stored) == 2
    assert run("send", "--resend") == 0
    assert "Nothing waits" in capsys.readouterr().out
    assert run("send", "--discard", waiting["id"]) == 0 and run("send", "--discard", waiting["id"]) == 2
    assert run("send", "--discard", "../../etc") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["results"], "Name the node"),
        (["--node", "PACS"], "No node is called PACS"),
        (["results", "--host", "a"], "--host, --port and --aet"),
        (["results", "--url", "http://a/b", "--host", "a"], "not both"),
        (["results", "--list"], "not both"),
        (["results", "--node", "a", "--url", "http://a/b"], "not both"),
        (["--url", "http://a/b"], "Name the DICOM files"),
        (["results", "--url", "http://a/b", "--timeout", "0"], "--timeout"),
    ],
)
def test_what_does_not_add_up_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_results(tmp_path / "results", 1)
    assert run("send", *(tmp_path / "results" if each == "results" else each for each in arguments)) == 2
    assert said in capsys.readouterr().err


def test_the_word_on_names_and_risk_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "results"
    make_results(folder, 2, name="Doe^Jane")
    write(make_object("pm", label=SIMULATED), folder / "map.dcm")
    with serve() as server:
        there = (folder, "--host", "127.0.0.1", "--port", server.node.port, "--aet", "TEST_SCP")
        assert run("send", *there, "--identified") == 2
        assert "never sent" in capsys.readouterr().err
        assert run("send", *there, "--without-risk") == 2
        assert "name the patient" in capsys.readouterr().err
        assert not server.stored
        assert run("send", *there, "--without-risk", "--identified") == 0
        assert len(server.stored) == 2
    assert "objects may name the patient" in capsys.readouterr().err


@REFUSED
def test_the_panel_defines_looks_sends_and_sends_again(tmp_path: Path) -> None:
    results = make_results(tmp_path / "results", 2, name="Doe^Jane")
    node = {"kind": "dimse", "name": "PACS", "host": "127.0.0.1", "port": free_port(), "called_aet": "TEST_SCP"}
    (kept,) = ask("save_node", node={**node, "timeout_s": 2})["nodes"]
    assert kept["address"].startswith("TEST_SCP at 127.0.0.1") and ask("nodes")["nodes"] == [kept]
    with pytest.raises(InputError, match="ports are"):
        ask("save_node", node={**node, "port": 0}, replace=True)
    with pytest.raises(InputError, match="parameters are not valid"):
        ask("save_node", node={**node, "password": "x"})
    paths = [str(path) for path in results]
    seen = ask("look_at_objects", paths=paths)
    assert seen["named"] == 2 and [each["kind"] for each in seen["objects"]] == ["seg", "sr"]
    said = ask("send", paths=paths, node="PACS", identified=True)
    assert (said["accepted"], said["left"]) == (0, 2) and "refused the connection" in said["problem"]
    with serve() as server:
        ask("save_node", node={**node, "port": server.node.port}, replace=True)
        assert ask("check_node", name="PACS")["name"] == "PACS"
        assert ask("resend")["left"] == 2  # the send keeps the place that it was meant for
        assert ask("resend", id=said["id"], node="PACS", identified=True)["left"] == 0
        assert ask("resend") == {"sends": [], "left": 0}
    assert ask("outbox") == {"waiting": [], "problems": []}
    assert ask("discard_send", ids=[said["id"]])["waiting"] == [] and ask("remove_node", name="PACS")["nodes"] == []
