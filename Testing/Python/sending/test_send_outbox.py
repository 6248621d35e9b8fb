"""The outbox keeps the very bytes that were to go, and says plainly where it can no longer."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from made_dicom import make_results
from node_servers import free_port

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.sending.guard import look_at
from MemorySurvivalLib.sending.nodes import DimseNode
from MemorySurvivalLib.sending.outbox import Outbox, Parcel
from MemorySurvivalLib.sending.sending import resend

NODE = DimseNode("PACS", "127.0.0.1", free_port(), "A", timeout_s=1)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


@pytest.fixture
def parcel(outbox: Outbox, tmp_path: Path) -> Parcel:
    return outbox.add(NODE, look_at(make_results(tmp_path / "results", 2, name="Doe^Jane")), identified=True)


def test_a_send_is_kept_byte_for_byte_and_names_nobody_in_its_record(outbox: Outbox, parcel: Parcel) -> None:
    folder = outbox.folder / parcel.id
    assert sorted(path.name for path in folder.iterdir()) == ["0001.dcm", "0002.dcm", "job.json"]
    assert outbox.find(parcel.id) == parcel and outbox.unfinished() == (parcel,)
    assert "Doe" not in (folder / "job.json").read_text() and "ID 7" not in (folder / "job.json").read_text()
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0


def test_a_copy_that_changed_or_went_is_not_sent(outbox: Outbox, parcel: Parcel) -> None:
    path = outbox.folder / parcel.id / "0001.dcm"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputError, match="is not the file that was to be sent"):
        resend(parcel.id, outbox=outbox)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        resend(parcel.id, outbox=outbox)


@pytest.mark.parametrize("damage", ["{", "{}", '{"schema_version": 9}'])
def test_a_damaged_record_is_told_and_does_not_hide_the_others(outbox: Outbox, parcel: Parcel, damage: str) -> None:
    other = outbox.folder / "20260101-000000-abcdef"
    other.mkdir()
    record = json.loads((outbox.folder / parcel.id / "job.json").read_text())
    changed = {**record, "id": other.name, "schema_version": 9}
    (other / "job.json").write_text(json.dumps(changed) if "9" in damage else damage)
    parcels, problems = outbox.parcels()
    assert parcels == (parcel,) and len(problems) == 1 and other.name in problems[0]


def test_a_send_that_is_not_there_is_told(outbox: Outbox) -> None:
    for name, said in (("20260101-000000-abcdef", "There is no send"), ("../x", "is not the number of a send")):
        with pytest.raises(InputError, match=said):
            outbox.find(name)
    assert outbox.parcels() == ((), ())


def test_nothing_is_left_where_a_file_goes_while_it_is_copied(outbox: Outbox, tmp_path: Path) -> None:
    paths = make_results(tmp_path / "results", 2)
    items = look_at(paths)
    paths[1].write_bytes(b"changed meanwhile")
    with pytest.raises(InputError, match="is not the file that was to be sent"):
        outbox.add(NODE, items, identified=False)
    assert list(outbox.folder.iterdir()) == []
