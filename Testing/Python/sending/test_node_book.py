"""Nodes are checked, kept whole in one file without a secret, and found by name; there is no default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.sending.nodes import DimseNode, NodeBook, Tls, WebNode, config_folder


@pytest.fixture
def book(tmp_path: Path) -> NodeBook:
    return NodeBook(tmp_path / "config" / "nodes.json")


def test_nodes_come_back_as_they_were_kept(book: NodeBook) -> None:
    pacs = DimseNode("PACS", "192.0.2.7", 104, "ARCHIVE", calling_aet="ME", timeout_s=5, tls=Tls(ca_file="/ca.pem"))
    web = WebNode("Archive im Web", "https://pacs.example.org/dicom-web")
    assert book.nodes() == ()
    book.save(pacs)
    book.save(web)
    assert NodeBook(book.path).nodes() == (web, pacs)
    assert book.find("pacs") == pacs
    assert pacs.address == "ARCHIVE at 192.0.2.7 port 104 (TLS)"
    assert book.remove("PACS") == pacs and book.nodes() == (web,)


def test_a_node_is_replaced_only_when_asked(book: NodeBook) -> None:
    book.save(DimseNode("PACS", "a", 104, "A"))
    with pytest.raises(InputError, match="already"):
        book.save(DimseNode("pacs", "b", 104, "A"))
    book.save(DimseNode("pacs", "b", 104, "A"), replace=True)
    (node,) = book.nodes()
    assert isinstance(node, DimseNode) and node.host == "b"


def test_an_unknown_node_is_told_with_those_that_there_are(book: NodeBook) -> None:
    with pytest.raises(InputError, match="there are none yet"):
        book.find("PACS")
    book.save(DimseNode("PACS", "a", 104, "A"))
    with pytest.raises(InputError, match="known: PACS"):
        book.find("other")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": ""}, "cannot name a node"),
        ({"name": "a/b"}, "cannot name a node"),
        ({"host": ""}, "host name"),
        ({"host": "a b"}, "host name"),
        ({"host": "http://a"}, "host name"),
        ({"port": 0}, "ports are 1 to 65535"),
        ({"port": 65536}, "ports are 1 to 65535"),
        ({"called_aet": ""}, "is not an AE title"),
        ({"called_aet": "  "}, "is not an AE title"),
        ({"called_aet": "A" * 17}, "is not an AE title"),
        ({"called_aet": "A\\B"}, "is not an AE title"),
        ({"calling_aet": "Bücher"}, "is not an AE title"),
    ],
)
def test_a_node_is_valid_or_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        DimseNode(**{"name": "PACS", "host": "::1", "port": 104, "called_aet": "A", **changes})


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("ftp://a/b", "has the form"),
        ("https://", "has the form"),
        ("https://a:99999/b", "has the form"),
        ("https://me:secret@a/b", "no user name, password"),
        ("https://a/b?token=secret", "no user name, password"),
    ],
)
def test_an_address_is_valid_and_holds_no_secret(url: str, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        WebNode("web", url)
    assert "secret" not in str(caught.value)


def test_tokens_travel_encrypted_or_not_at_all() -> None:
    assert WebNode("a", "https://a/b").keeps_secrets and WebNode("a", "http://127.0.0.1:1/b").keeps_secrets
    assert not WebNode("a", "http://pacs.example.org/b").keeps_secrets


def test_a_damaged_list_is_told_and_left_alone(book: NodeBook) -> None:
    book.save(DimseNode("PACS", "a", 104, "A"))
    stored = json.loads(book.path.read_text())
    for damage in ("{", json.dumps({**stored, "password": "x"}), json.dumps({**stored, "schema_version": 9})):
        book.path.write_text(damage)
        with pytest.raises(InputError, match=r"nodes\.json is (damaged|of another version)"):
            book.save(DimseNode("other", "a", 104, "A"))
        assert book.path.read_text() == damage
    stored["nodes"][0]["port"] = 0
    book.path.write_text(json.dumps(stored))
    with pytest.raises((InputError, msgspec.ValidationError), match="ports are"):
        book.nodes()


def test_settings_go_beside_the_data_where_that_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path))
    assert NodeBook().path == tmp_path / "config" / "nodes.json"
    monkeypatch.delenv("MEMORYSURVIVAL_DATA")
    assert tmp_path not in config_folder().parents
