"""Files that are not exactly the zip they should be are refused with one sentence; honest ones read back exactly."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import make_head
from spoilt_bundles import Members, edited, pack, refusal, set_in

from MemorySurvivalLib.bundle import archive as archive_module
from MemorySurvivalLib.bundle.archive import BACKBONE, CARD, HEADS, LIMITS_BYTES, MANIFEST, read_archive, write_archive
from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.errors import BundleError


def test_an_honest_bundle_reads_back(light_bundle: Path, members: Members) -> None:
    archive = read_archive(light_bundle)
    assert archive.members == {name: members[name] for name in (HEADS, CARD)}
    assert archive.manifest.name == "test"
    bundle = load_bundle(light_bundle)
    assert bundle.card == "# Card\n"
    head, _ = make_head("image", None, 1)
    for key, tensor in head.state_dict().items():
        assert torch.equal(bundle.heads["image"].state_dict()[key], tensor), key


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, light_bundle: Path) -> None:
    archive = read_archive(light_bundle)
    again = write_archive(tmp_path / "again.msbundle", archive.manifest, dict(reversed(archive.members.items())))
    assert again.sha256 == archive.sha256
    assert again.path.read_bytes() == light_bundle.read_bytes()


def test_a_bundle_with_its_backbone(small_bundle: Path) -> None:
    bundle = load_bundle(small_bundle)
    assert set(bundle.archive.members) == {HEADS, CARD, BACKBONE}
    model = bundle.backbone()
    assert not model.training
    assert all(not parameter.requires_grad for parameter in model.parameters())


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "no.msbundle"
    assert refusal(path) == f"The model bundle {path} does not exist; check the path."


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"The model bundle {tmp_path} cannot be read (Is a directory)."


def test_a_file_far_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a.msbundle"
    with path.open("wb") as file:
        file.truncate(5 << 30)  # sparse: takes no room
    assert refusal(path) == f"{path} is not a model bundle: it is 5369 MB large."


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 100])
def test_not_a_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.msbundle"
    path.write_bytes(content)
    assert refusal(path) == f"{path} is not a model bundle, or it is damaged (File is not a zip file); get it again."


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_zip(tmp_path: Path, light_bundle: Path, share: float) -> None:
    path = tmp_path / "a.msbundle"
    data = light_bundle.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert refusal(path) == f"{path} is not a model bundle, or it is damaged (File is not a zip file); get it again."


def test_a_damaged_member(tmp_path: Path, light_bundle: Path) -> None:
    data = bytearray(light_bundle.read_bytes())
    with zipfile.ZipFile(light_bundle) as archive:
        info = archive.getinfo(HEADS)
    data[info.header_offset + 200] ^= 0xFF
    path = tmp_path / "a.msbundle"
    path.write_bytes(data)
    assert refusal(path).startswith(f"{path} is not a model bundle, or it is damaged (")
    assert refusal(path).endswith("); get it again.")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_ends_in_another_error(tmp_path: Path, light_bundle: Path, data: st.DataObject) -> None:
    """A few wrong bytes near the zip's own structures, where the parser is most easily led astray."""
    content = bytearray(light_bundle.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.one_of(st.integers(0, 300), st.integers(len(content) - 300, len(content) - 1)))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.msbundle"
    path.write_bytes(content)
    try:
        archive = read_archive(path)
    except BundleError:
        return
    assert archive.members == read_archive(light_bundle).members  # damage where nothing is read


def test_a_wrong_hash(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", {**members, CARD: b"# Dard\n"})
    assert refusal(path) == (
        f"The model bundle {path} is damaged: model_card.md does not match its hash; get it again."
    )


def test_a_wrong_size(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, set_in("members", HEADS, "bytes", value=1)))
    assert refusal(path) == (
        f"The model bundle {path} is damaged: heads.safetensors does not match its hash; get it again."
    )


@pytest.mark.parametrize("name", ["evil.py", "weights.pkl", "sub/manifest.json", "MANIFEST.JSON", "manifest.json/"])
def test_an_extra_member(tmp_path: Path, members: Members, name: str) -> None:
    path = pack(tmp_path / "a.msbundle", {**members, name: b"x"})
    assert refusal(path) == f"The model bundle {path} holds the unexpected file {name!r}; do not use it."


def test_an_allowed_member_that_the_manifest_does_not_list(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", {**members, BACKBONE: b"x"})
    assert refusal(path) == (
        f"The model bundle {path} is not whole: its manifest does not list backbone.safetensors; get it again."
    )


def test_a_listed_member_that_is_not_there(tmp_path: Path, members: Members) -> None:
    entry = {"sha256": "0" * 64, "bytes": 1}
    changed = edited(members, set_in("members", BACKBONE, value=entry))
    changed = edited(changed, set_in("backbone", "weights", value="bundled"))
    path = pack(tmp_path / "a.msbundle", changed)
    assert refusal(path) == (
        f"The model bundle {path} is not whole: its manifest lists backbone.safetensors; get it again."
    )


@pytest.mark.parametrize("name", [MANIFEST, HEADS, CARD])
def test_a_missing_member(tmp_path: Path, members: Members, name: str) -> None:
    del members[name]
    path = pack(tmp_path / "a.msbundle", members)
    assert refusal(path) == f"The model bundle {path} is not whole: {name} is missing; get it again."


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", [MANIFEST, HEADS])
def test_a_member_twice(tmp_path: Path, members: Members, name: str) -> None:
    path = pack(tmp_path / "a.msbundle", members)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, members[name])
    assert refusal(path) == f"The model bundle {path} holds the same file twice; do not use it."


@pytest.mark.parametrize(
    "name",
    ["../manifest.json", "/manifest.json", "a/../../evil", "\\evil", "..\\evil", "C:evil", "C:\\evil", "//host/evil"],
)
def test_a_path_that_leads_out(tmp_path: Path, members: Members, name: str) -> None:
    path = pack(tmp_path / "a.msbundle", {**members, name: b"x"})
    assert refusal(path) == f"The model bundle {path} holds the unsafe path {name!r}; do not use it."
    assert [file.name for file in tmp_path.iterdir()] == ["a.msbundle"]


def test_an_honest_zip_bomb(tmp_path: Path, members: Members) -> None:
    """A member that says how large it is."""
    path = pack(tmp_path / "a.msbundle", {**members, CARD: bytes(3 << 20)})
    assert path.stat().st_size < 400_000
    assert refusal(path) == (
        f"The model bundle {path} is refused: model_card.md would unpack to 3 MB, at most 1 MB are allowed."
    )


def test_a_zip_bomb_with_a_forged_size(tmp_path: Path, members: Members) -> None:
    """A member that claims to be small is read no further than it claims, and then does not match its checksum."""
    path = pack(tmp_path / "a.msbundle", {**members, CARD: bytes(3 << 20)})
    data = bytearray(path.read_bytes())
    assert data.count(struct.pack("<I", 3 << 20)) == 2  # in the local header and in the directory
    path.write_bytes(data.replace(struct.pack("<I", 3 << 20), struct.pack("<I", 100)))
    assert refusal(path) == (
        f"{path} is not a model bundle, or it is damaged (Bad CRC-32 for file 'model_card.md'); get it again."
    )


def test_no_member_is_read_beyond_its_limit(tmp_path: Path, members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the sizes in the directory were believed, the stream is not."""
    path = pack(tmp_path / "a.msbundle", {**members, CARD: bytes(2_000_000)})
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive, pytest.raises(BundleError) as caught:
        archive_module._read_member(archive, CARD, path)
    assert str(caught.value) == f"The model bundle {path} is refused: model_card.md unpacks to more than 1 MB."
    assert LIMITS_BYTES[CARD] == 1 << 20


def test_a_bundle_may_be_stored_unpacked(tmp_path: Path, members: Members) -> None:
    assert load_bundle(pack(tmp_path / "a.msbundle", members, compression=zipfile.ZIP_STORED)).manifest.name == "test"


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_unused_compression(tmp_path: Path, members: Members, compression: int) -> None:
    path = pack(tmp_path / "a.msbundle", members, compression=compression)
    assert refusal(path) == (
        f"The model bundle {path} packs manifest.json in a way that bundles do not use; do not use it."
    )


def test_an_encrypted_member(tmp_path: Path, light_bundle: Path) -> None:
    data = bytearray(light_bundle.read_bytes())
    for magic, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(magic)
        data[place + flag] |= 1
    path = tmp_path / "a.msbundle"
    path.write_bytes(data)
    assert refusal(path).startswith(
        f"{path} is not a model bundle, or it is damaged (File 'manifest.json' is encrypted"
    )
