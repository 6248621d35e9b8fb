"""Bundles that are not exactly as declared are refused with one sentence; honest ones read back bit for bit."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import SMALL, make_head, make_manifest

from MemorySurvivalLib.bundle import archive as archive_module
from MemorySurvivalLib.bundle.archive import BACKBONE, CARD, HEADS, LIMITS_BYTES, MANIFEST, read_archive, write_archive
from MemorySurvivalLib.bundle.bundle import as_float16, load_bundle, save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry
from MemorySurvivalLib.errors import BundleError, WeightsError
from MemorySurvivalLib.memory.backbone import build_backbone, weights_sha256
from MemorySurvivalLib.memory.propagation import PropagationConfig

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def light_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose backbone is external, so that it is small; in it one image-only head."""
    head, entry = make_head("image", None, 1)
    backbone = BackboneEntry(SMALL.architecture, SMALL.image_size, "external", "0" * 64, "elsewhere")
    path = tmp_path_factory.mktemp("light") / "light.msbundle"
    save_bundle(path, make_manifest((entry,), backbone), {"image": head}, "# Card\n", None)
    return path


@pytest.fixture
def members(light_bundle: Path) -> Members:
    """The content of an honest bundle, to be spoilt."""
    with zipfile.ZipFile(light_bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, members: Members, *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip of these members, whatever they are."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    """The sentence with which a bundle is refused."""
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    return str(caught.value)


def edited(members: Members, change: Callable[[dict[str, Any]], object]) -> Members:
    """The members with a changed manifest."""
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    return {**members, MANIFEST: json.dumps(manifest).encode()}


def set_in(*keys: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    """A change that sets one nested field."""

    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def with_member(members: Members, name: str, content: bytes) -> Members:
    """The members with another content of `name`, and a manifest that vouches for it."""
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return edited({**members, name: content}, set_in("members", name, value=entry))


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


@pytest.mark.parametrize("version", [0, 2, 99])
def test_an_unknown_version(tmp_path: Path, members: Members, version: int) -> None:
    """Said even when the rest of the manifest has changed beyond reading."""
    changed = {**members, MANIFEST: json.dumps({"format": "msbundle", "format_version": version, "new": 1}).encode()}
    path = pack(tmp_path / "a.msbundle", changed)
    assert refusal(path) == (
        f"The model bundle {path} has format version {version}; this program reads version 1. "
        "Update MemorySurvival or get a bundle made for it."
    )


def test_another_format(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, set_in("format", value="onnx")))
    assert refusal(path) == f"{path} is not a model bundle (its format is 'onnx')."


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": "msbundle"}'])
def test_a_manifest_that_is_none(tmp_path: Path, members: Members, content: bytes) -> None:
    path = pack(tmp_path / "a.msbundle", {**members, MANIFEST: content})
    assert refusal(path).startswith(f"The manifest of the model bundle {path} is not valid: ")


@pytest.mark.parametrize("field", ["status", "backbone", "windows", "roi", "heads", "provenance", "licence", "members"])
def test_a_missing_field(tmp_path: Path, members: Members, field: str) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, lambda manifest: manifest.pop(field)))
    assert refusal(path) == (
        f"The manifest of the model bundle {path} is not valid: Object missing required field `{field}`."
    )


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (set_in("surprise", value=1), "Object contains unknown field `surprise`"),
        (
            set_in("windows", "PET", "gamma", value=1),
            "Object contains unknown field `gamma` - at `$.windows.PET`",
        ),
        (set_in("status", value="approved"), "Invalid enum value 'approved' - at `$.status`"),
        (set_in("roi", value="liver"), "Invalid enum value 'liver' - at `$.roi`"),
        (set_in("windows", "CT", "low", value=5000), "a window needs low < high, got 5000.0 and 1000.0"),
        (set_in("heads", 0, "spec", "modalities", value=["PET"]), "gated fusion mixes two modalities, got ['PET']"),
        (
            set_in("heads", 0, "spec", "modalities", value=["PET", "PET"]),
            "a head needs one or both modalities once each, got ['PET', 'PET']",
        ),
        (set_in("heads", 0, "spec", "hidden", value=[10**9]), "layers must be 1 to 4096 wide, got [32, 1000000000]"),
        (set_in("heads", 0, "spec", "dropout", value=1.5), "a head cannot have 0 covariates with dropout 1.5"),
    ],
)
def test_a_field_that_cannot_be(tmp_path: Path, members: Members, change: Any, clause: str) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, change))
    assert refusal(path).startswith(f"The manifest of the model bundle {path} is not valid: {clause}")


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


def contradiction(path: Path, clause: str) -> str:
    return f"The model bundle {path} contradicts itself: {clause}."


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (set_in("heads", value=[]), "it has no head"),
        (lambda m: m["heads"].append(m["heads"][0]), "two heads have the same name"),
        (
            set_in("backbone", "weights", value="bundled"),
            "its backbone entry and its members disagree on bundled weights",
        ),
        (
            set_in("status", value="validated"),
            "it learned from simulated cases, so its status cannot be 'validated'",
        ),
        (
            set_in("status", value="local-research"),
            "it learned from simulated cases, so its status cannot be 'local-research'",
        ),
        (set_in("propagation", "slice_step", value=0), "its slice step and batch size must be at least 1"),
        (set_in("propagation", "batch_size", value=0), "its slice step and batch size must be at least 1"),
        (
            set_in("explain", "stride_mm", value=41),
            "its occlusion patches need 0 < stride <= size and a colour limit above 0",
        ),
        (
            set_in("explain", "display_limit", value=0),
            "its occlusion patches need 0 < stride <= size and a colour limit above 0",
        ),
    ],
)
def test_a_contradicting_manifest(tmp_path: Path, members: Members, change: Any, clause: str) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, change))
    assert refusal(path) == contradiction(path, clause)


SEX = {"name": "sex", "levels": ["male", "female"], "shares": [0.5, 0.5]}
AGE = {"name": "age", "unit": "years", "low": 18, "high": 110, "mean": 60, "sd": 10}
CALIBRATION = {"horizon_months": 24, "out_of_fold": True, "slope": 1.0, "slope_interval": [0.8, 1.2]}


@pytest.mark.parametrize(
    ("field", "value", "clause"),
    [
        (
            ("reference", "origin"),
            "resubstitution",
            "its reference risks are 'resubstitution'; only held-out cases can be a reference "
            "(a model's risks of its own training cases flatter it)",
        ),
        (("reference", "log_risks"), [0.1] * 19, "its reference has only 19 cases, at least 20 are needed"),
        (
            ("groups", "thresholds"),
            [0.5, -0.5],
            "its risk groups need rising thresholds and one name more than thresholds",
        ),
        (
            ("groups", "names"),
            ["low", "high"],
            "its risk groups need rising thresholds and one name more than thresholds",
        ),
        (
            ("groups", "names"),
            ["low", "low", "high"],
            "its risk groups need rising thresholds and one name more than thresholds",
        ),
        (
            ("baseline", "cumulative_hazard"),
            [0.1, 0.3, 0.2],
            "its baseline hazard needs as many rising values as rising times",
        ),
        (("baseline", "times_months"), [12, 24], "its baseline hazard needs as many rising values as rising times"),
        (
            ("baseline",),
            {"times_months": [], "cumulative_hazard": []},
            "its baseline hazard needs as many rising values as rising times",
        ),
        (("baseline", "times_months"), [-1, 24, 36], "its baseline hazard has a negative time or value"),
        (
            ("covariates",),
            {"continuous": [AGE], "categorical": [SEX]},
            "its covariate schema has 3 values, its network expects 0",
        ),
        (
            ("covariates",),
            {"continuous": [{**AGE, "sd": 0}], "categorical": []},
            "its covariate schema cannot be used: age needs low < high and an SD above 0",
        ),
        (
            ("covariates",),
            {"continuous": [], "categorical": [{**SEX, "shares": [1]}]},
            "its covariate schema cannot be used: sex needs a share of at least 0 for each level",
        ),
        (
            ("covariates",),
            {"continuous": [], "categorical": [{**SEX, "levels": ["male", "Male"]}]},
            "its covariate schema cannot be used: sex names a level twice",
        ),
        (
            ("covariates",),
            {"continuous": [], "categorical": []},
            "its covariate schema cannot be used: it needs one or more covariates, each named once",
        ),
        (
            ("calibration",),
            {**CALIBRATION, "horizon_months": 60},
            "it is calibrated at 60 months, where it has no baseline hazard",
        ),
        (
            ("calibration",),
            {**CALIBRATION, "slope_interval": [1.1, 1.2]},
            "its calibration slope lies outside its own interval",
        ),
    ],
)
def test_evidence_that_cannot_be(
    tmp_path: Path, members: Members, field: tuple[str, ...], value: object, clause: str
) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, set_in("heads", 0, *field, value=value)))
    assert refusal(path) == contradiction(path, f"head 'image': {clause}")


def test_a_contradicting_bundle_is_not_written_either(tmp_path: Path, light_bundle: Path) -> None:
    archive = read_archive(light_bundle)
    wrong = msgspec.structs.replace(archive.manifest, propagation=PropagationConfig(readout="mean", slice_step=0))
    path = tmp_path / "a.msbundle"
    with pytest.raises(BundleError) as caught:
        write_archive(path, wrong, archive.members)
    assert str(caught.value) == contradiction(path, "its slice step and batch size must be at least 1")
    assert not path.exists()


def head_tensors(members: Members) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(members[HEADS])


def test_a_head_without_one_of_its_weights(tmp_path: Path, members: Members) -> None:
    tensors = head_tensors(members)
    del tensors["image.offset"]
    path = pack(tmp_path / "a.msbundle", with_member(members, HEADS, safetensors.torch.save(tensors)))
    assert refusal(path) == f"The model bundle {path} does not fit its own head 'image': offset."


def test_a_head_of_another_shape(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, set_in("heads", 0, "spec", "hidden", value=[32])))
    assert refusal(path) == f"The model bundle {path} does not fit its own head 'image': deepsurv.0.bias."


def test_weights_that_belong_to_no_head(tmp_path: Path, members: Members) -> None:
    tensors = {**head_tensors(members), "other.weight": torch.zeros(1)}
    path = pack(tmp_path / "a.msbundle", with_member(members, HEADS, safetensors.torch.save(tensors)))
    assert refusal(path) == f"The model bundle {path} holds weights of no head: other.weight."


def test_weights_that_are_not_safetensors(tmp_path: Path, members: Members) -> None:
    """A torch file, which is a pickle inside, is not opened."""
    buffer = io.BytesIO()
    torch.save({"image.offset": torch.zeros(())}, buffer)
    path = pack(tmp_path / "a.msbundle", with_member(members, HEADS, buffer.getvalue()))
    assert refusal(path).startswith(f"The model bundle {path} is damaged: heads.safetensors is not readable (")


def test_a_card_that_is_not_text(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", with_member(members, CARD, b"\xff\xfe"))
    assert refusal(path) == f"The model bundle {path} is damaged: model_card.md is not UTF-8 text."


def test_a_bundle_made_for_another_backbone(tmp_path: Path, small_bundle: Path) -> None:
    """Heads and backbone are each whole, but do not belong together."""
    archive = read_archive(small_bundle)
    other = as_float16(build_backbone(SMALL, seed=4))
    content = {**archive.members, BACKBONE: safetensors.torch.save(dict(other.state_dict()))}
    path = tmp_path / "a.msbundle"
    write_archive(path, archive.manifest, content)
    bundle = load_bundle(path)
    with pytest.raises(BundleError) as caught:
        bundle.backbone()
    assert str(caught.value) == (
        f"The model bundle {path} was made for another backbone (its heads name "
        f"{archive.manifest.backbone.sha256[:12]}, its weights are {weights_sha256(other)[:12]}); "
        "use a bundle that belongs together."
    )


def test_a_backbone_that_is_not_of_its_architecture(tmp_path: Path, small_bundle: Path) -> None:
    archive = read_archive(small_bundle)
    content = {**archive.members, BACKBONE: safetensors.torch.save({"a.weight": torch.zeros(1)})}
    write_archive(tmp_path / "a.msbundle", archive.manifest, content)
    with pytest.raises(WeightsError, match=r"^The weights do not fit this backbone \(\d+ keys missing, 1 unexpected; "):
        load_bundle(tmp_path / "a.msbundle").backbone()
