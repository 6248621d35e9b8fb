"""The search for identifiers finds what is hidden in every way we know, and nothing where there is nothing."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import struct
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import save, slice_header
from made_up import make_patient

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.privacy.identifiers import (
    Identifier,
    date_forms,
    identifiers_in_path,
    identifiers_of,
    needles,
    too_short,
)
from MemorySurvivalLib.privacy.scan import find_identifiers, find_in_bytes

WHO = (
    Identifier("name", "Grünwald-Ortiz^Zoë"),
    Identifier("ID", "QX-88127"),
    Identifier("date", "19470923"),
    Identifier("UID", "1.2.826.0.1.3680043.9.99.12345"),
    Identifier("name", "Яковлев^Пётр"),
    Identifier("name", "山田^太郎"),
)


def kinds(data: bytes) -> set[str]:
    return {one.kind for one in find_in_bytes(data, WHO)}


def zipped(data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("scene/node.mrml", data)
    return stream.getvalue()


def png(data: bytes, kind: bytes = b"tEXt") -> bytes:
    body = b"Title\0" + (b"\0" + zlib.compress(data) if kind == b"zTXt" else data)
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def pdf(data: bytes) -> bytes:
    shown = b"BT (" + data.decode("utf-8").encode("latin-1", "replace") + b") Tj ET"
    stream = base64.a85encode(zlib.compress(shown)) + b"~>"
    return b"%PDF-1.4\n1 0 obj <</Filter[/ASCII85Decode/FlateDecode]>>\nstream\n" + stream + b"\nendstream\nendobj"


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "upper case": lambda data: data.decode().upper().encode(),
    "UTF-16": lambda data: data.decode().encode("utf-16-le"),
    "UTF-16 within binary": lambda data: b"\0\x01\xff" * 50 + data.decode().encode("utf-16-be"),
    "gzip": gzip.compress,
    "zip": zipped,
    "gzip in zip": lambda data: zipped(gzip.compress(data)),
    "PNG text": png,
    "PNG packed text": lambda data: png(data, b"zTXt"),
    "PDF stream": pdf,
    "base64 in a page": lambda data: b'<img src="data:image/png;base64,' + base64.b64encode(png(data)) + b'">',
    "HTML escapes": lambda data: (
        html.escape("".join(f"&#{ord(c)};" for c in data.decode()), False).replace("&amp;", "&").encode()
    ),
    "URL escapes": lambda data: urllib.parse.quote(data).encode(),
    "JSON escapes": lambda data: json.dumps(data.decode()).encode(),
    "NRRD voxels": lambda data: b"NRRD0004\nencoding: gzip\n\n" + gzip.compress(b"\0" * 300 + data),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_name_is_found_however_it_is_packed(way: str) -> None:
    assert "name" in kinds(WAYS[way]("patient Grünwald came".encode()))
    assert kinds(WAYS[way](b"patient somebody came")) == set()


@pytest.mark.parametrize(
    "text",
    [
        "GRUNWALD",
        "gruenwald",
        "Ortiz, Z.",
        "grünwald",
        "Gru\u0308nwald",
        "x_Grunwald_01.nrrd",
        "ЯКОВЛЕВ",
        "山田 太郎",
        "zoe",
    ],
)
def test_other_spellings_of_a_name(text: str) -> None:
    assert kinds(text.encode()) == {"name"}


def test_older_character_sets() -> None:
    for text, encoding in (("Яковлев", "cp1251"), ("山田太郎さん", "shift_jis"), ("Grünwald", "latin-1")):
        assert "name" in kinds(b"\0\1\2" + text.encode(encoding) + b"\0"), encoding


@pytest.mark.parametrize(
    "text", ["1947-09-23", "23.09.1947", "09/23/1947", "23 September 1947", "Sep 23, 1947", "(19470923)", "23.9.1947"]
)
def test_a_date_in_any_form(text: str) -> None:
    assert kinds(text.encode()) == {"date"}


@pytest.mark.parametrize("text", ["119470923", "1947-09-230", "zoeller", "QX-8812", "a zebra", "1.2.826.0.1.3680043"])
def test_what_only_resembles_is_no_finding(text: str) -> None:
    assert kinds(text.encode()) == set()


def test_random_voxels_hold_no_names() -> None:
    noise = np.random.default_rng(5).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
    assert find_in_bytes(noise, (*WHO, Identifier("name", "Kim^Lee"))) == ()


def test_names_of_files_and_folders_and_links_count(tmp_path: Path) -> None:
    (tmp_path / "out" / "GRUNWALD").mkdir(parents=True)
    (tmp_path / "out" / "GRUNWALD" / "ct.txt").write_text("nothing")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "QX-88127")
    found = find_identifiers([tmp_path / "out"], WHO)
    assert {(one.kind, one.place) for one in found} == {("name", "its name"), ("ID", "its name")}
    assert "GRUNWALD" not in repr(found[0].sentence.removeprefix(str(found[0].file)))


def test_a_path_that_is_not_there_is_no_clean_result(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no .*gone to search"):
        find_identifiers([tmp_path / "gone"], WHO)


def test_everything_in_a_header_that_tells_of_a_person_is_found_again(tmp_path: Path) -> None:
    ds = slice_header(make_patient(tmp_path).ct, 0, "CT")
    ds.SpecificCharacterSet = "ISO_IR 144"
    ds.PatientName, ds.PatientID, ds.InstitutionName = "Яковлев^Пётр", "QX-88127", "Hospital of Nowhere"
    ds.add_new(0x00331010, "LO", "a private remark")
    found = identifiers_of(ds)
    assert {one.kind for one in found} == {"name", "ID", "date", "UID", "text"}
    assert not any("1.2.840.10008" in one.text for one in found)
    save(ds, tmp_path / "slice.dcm")
    assert {one.kind for one in find_identifiers([tmp_path / "slice.dcm"], found)} >= {
        "name",
        "ID",
        "date",
        "UID",
        "text",
    }


def test_identifiers_do_not_show_in_messages() -> None:
    assert "QX-88127" not in repr(WHO)
    assert "qx-88127" not in repr(needles(WHO))


def test_what_is_too_short_is_said() -> None:
    assert too_short((Identifier("ID", "P1"), Identifier("ID", "1234"), *WHO)) == (
        Identifier("ID", "P1"),
        Identifier("ID", "1234"),
    )


def test_what_is_no_date_has_no_forms() -> None:
    assert date_forms("20231345") == ()
    assert date_forms("2023") == ()


def test_words_of_a_path_that_tell() -> None:
    words = {one.text for one in identifiers_in_path(Path("/home/data/Doe_John/CT_2020/ct.nrrd"), known=["john"])}
    assert words == {"Doe", "2020"}
    assert identifiers_in_path(Path("PETCT/dcm/ct.dcm")) == (), "objects written here are called .dcm"


def test_letters_that_pack_a_file_make_no_words() -> None:
    who = (Identifier("name", "Zoë"),)
    packed = b"data:image/png;base64," + base64.b64encode(b"\x00" * 30) + b"/Zoe/" + b"A" * 39 + b'">'
    assert b"/Zoe/" in packed
    assert find_in_bytes(b"<img src=" + packed, who) == ()
    assert len(find_in_bytes(b"<img alt='Zoe' src=" + packed, who)) == 1
    assert find_in_bytes(b"base64, /Zoe/ is no file", who) != ()
