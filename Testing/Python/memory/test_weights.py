"""Checkpoints on their way into the store and out of it: recognised by hash, read without running code, re-checked."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands import weights as command
from MemorySurvivalLib.errors import WeightsError
from MemorySurvivalLib.memory import weights_store
from MemorySurvivalLib.memory.backbone import MEDSAM2, build_backbone
from MemorySurvivalLib.memory.weights import (
    RELEASES,
    WeightsStore,
    accept_licence,
    check_keys,
    find_weights,
    import_weights,
    load_state_dict,
)
from MemorySurvivalLib.memory.weights_releases import CC_BY_SA_4, Release, find_release

AGREE = accept_licence("CC-BY-SA-4.0")
REFUSE = accept_licence(None)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as MedSAM2 publishes it, with all of its keys and seeded random values."""
    path = tmp_path_factory.mktemp("checkpoint") / "random_hiera_tiny.pt"
    torch.save({"model": build_backbone(MEDSAM2, seed=7).state_dict()}, path)
    return path


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    """A store that knows one small release, `Fake`, whose file is `make_fake`'s."""
    content = b"fake weights" * 1000
    release = Release(
        "Fake", "Fake.pt", len(content), hashlib.sha256(content).hexdigest(), CC_BY_SA_4, "http://x.example/", "tests."
    )
    return WeightsStore(tmp_path / "store", (release,))


def make_fake(folder: Path, name: str = "Fake.pt") -> Path:
    path = folder / name
    path.write_bytes(b"fake weights" * 1000)
    return path


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="memory-survival")
    command.register(parser.add_subparsers(required=True))
    args = parser.parse_args(["weights", *arguments])
    code: int = args.run(args)
    return code


def test_table_of_releases_is_the_published_one() -> None:
    assert [(r.name, r.size_bytes, r.sha256[:8], r.licence.identifier) for r in RELEASES] == [
        ("MedSAM2_latest", 156_040_129, "c92743b9", "CC-BY-SA-4.0"),
        ("MedSAM2_CTLesion", 156_041_079, "78f7e125", "CC-BY-SA-4.0"),
        ("sam2.1_hiera_tiny", 156_008_466, "7402e0d8", "Apache-2.0"),
    ]
    revision = "e4a6f35edd7e091619cbc0750f462f1574e23955"
    assert RELEASES[0].url == f"https://huggingface.co/wanglab/MedSAM2/resolve/{revision}/MedSAM2_latest.pt"
    assert find_release("medsam2_ctlesion.PT") is RELEASES[1]
    assert all(len(set(map(lambda r, key=key: getattr(r, key), RELEASES))) == 3 for key in ("name", "sha256", "url"))


# --- what goes in -----------------------------------------------------------------------------------------------------


def test_random_hiera_tiny_goes_in_under_a_name_of_its_own_and_is_found(checkpoint: Path, store: WeightsStore) -> None:
    record = import_weights(checkpoint, REFUSE, name="my-random", store=store)
    assert record.sha256 == sha256_of(checkpoint) and record.file == "my-random.pt" and not record.release
    assert record.consent is None and record.licence.startswith("unknown")
    found = find_weights(record.sha256, store=store)
    state = load_state_dict(found)
    assert len(state) == 471
    model = build_backbone(MEDSAM2, seed=1)
    model.load_state_dict(state, strict=True)
    assert sha256_of(found) == record.sha256
    again = import_weights(checkpoint, REFUSE, name="another-name", store=store)
    assert again == record, "the same file is not stored twice"


def test_safetensors_with_the_same_keys_go_in(checkpoint: Path, store: WeightsStore, tmp_path: Path) -> None:
    source = tmp_path / "converted.safetensors"
    safetensors.torch.save_file({k: v.half() for k, v in load_state_dict(checkpoint).items()}, source)
    record = import_weights(source, REFUSE, name="half", store=store)
    assert record.file == "half.safetensors"
    assert load_state_dict(find_weights(record.sha256, store=store)).keys() == load_state_dict(checkpoint).keys()


def test_unknown_file_needs_a_name(store: WeightsStore, tmp_path: Path) -> None:
    source = tmp_path / "mine.pt"
    torch.save({"a": torch.zeros(1)}, source)
    with pytest.raises(WeightsError, match=rf"no published release \(sha256 {sha256_of(source)}\).*--name NAME"):
        import_weights(source, AGREE, store=store)
    assert not store.folder.exists()


def test_release_is_recognised_by_its_hash_whatever_its_file_is_called(store: WeightsStore, tmp_path: Path) -> None:
    source = make_fake(tmp_path, "download (1).bin")
    with pytest.raises(WeightsError, match="must be accepted first"):
        import_weights(source, REFUSE, store=store)
    assert not store.folder.exists()
    record = import_weights(source, AGREE, store=store)
    assert (record.name, record.file, record.release) == ("Fake", "Fake.pt", True)
    assert record.consent is not None and record.consent.licence == "CC-BY-SA-4.0"
    assert sorted(p.name for p in store.folder.iterdir()) == ["Fake.json", "Fake.pt"]


@pytest.mark.parametrize(("file", "name"), [("Fake.pt", None), ("fake.PT", "mine"), ("other.pt", "Fake")])
def test_file_that_claims_to_be_a_release_is_refused(
    store: WeightsStore, tmp_path: Path, file: str, name: str | None
) -> None:
    source = tmp_path / file
    source.write_bytes(b"not it")
    with pytest.raises(WeightsError) as caught:
        import_weights(source, AGREE, name=name, store=store)
    assert sha256_of(source) in str(caught.value) and store.releases[0].sha256 in str(caught.value)
    assert "is not Fake" in str(caught.value)


def test_one_release_is_not_taken_for_another(store: WeightsStore, tmp_path: Path) -> None:
    other = dataclasses.replace(store.releases[0], name="Other", file="Other.pt", sha256="0" * 64)
    both = dataclasses.replace(store, releases=(*store.releases, other))
    with pytest.raises(WeightsError, match=r"is not Other: .*; it is Fake\."):
        import_weights(make_fake(tmp_path), AGREE, name="Other", store=both)


def test_taken_and_impossible_names_are_refused(store: WeightsStore, tmp_path: Path) -> None:
    source = tmp_path / "mine.pt"
    torch.save({"a": torch.zeros(1)}, source)
    for name in ("../up", "a/b", ".hidden", "CON", "a" * 65, "", "ende.", "ümlaut"):
        with pytest.raises(WeightsError, match="cannot name weights"):
            import_weights(source, REFUSE, name=name, store=store)
    record = import_weights(make_fake(tmp_path), AGREE, store=store)
    store.write_record(msgspec.structs.replace(record, name="taken", file="taken.pt"))
    with pytest.raises(WeightsError, match="The name Taken belongs to other weights"):
        import_weights(source, REFUSE, name="Taken", store=store)


def test_missing_file_is_one_sentence(store: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"The checkpoint .*gone.pt does not exist; check the path\."):
        import_weights(tmp_path / "gone.pt", AGREE, store=store)


# --- what is refused because of its content ---------------------------------------------------------------------------


class Malicious:
    """Creates a file when an ordinary unpickler reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_refused_and_not_run(store: WeightsStore, tmp_path: Path, zipped: bool) -> None:
    trap, source = tmp_path / "code-was-run", tmp_path / "evil.pt"
    torch.save({"model": Malicious(trap)}, source, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        WeightsError, match=r"holds Python objects or code beside its weights, which are never run here"
    ):
        import_weights(source, REFUSE, name="evil", store=store)
    assert not trap.exists() and not store.folder.exists()
    torch.load(source, weights_only=False)
    assert trap.exists(), "the trap itself works"


@pytest.mark.parametrize("cut", [0, 1, 100, 2000, -1, -50])
@pytest.mark.parametrize("zipped", [True, False])
def test_cut_files_are_one_sentence(tmp_path: Path, cut: int, zipped: bool) -> None:
    whole = io.BytesIO()
    torch.save({"a": torch.randn(50, 50)}, whole, _use_new_zipfile_serialization=zipped)
    path = tmp_path / "cut.pt"
    path.write_bytes(whole.getvalue()[:cut])
    with pytest.raises(WeightsError, match=r"cut\.pt (is damaged|is not|holds)"):
        load_state_dict(path)


@pytest.mark.parametrize(
    "content", [b"<html>log in</html>", b"\x80\x02}q\x00.", b"PK\x03\x04rest", b"}", b"\x00" * 500]
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_other_files_are_one_sentence(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"other{suffix} (is damaged|is not|holds)"):
        load_state_dict(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"model": {}}, {"a": 1}, {1: torch.zeros(1)}, torch.zeros(2)])
def test_content_that_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"no state dict|not a plain state dict"):
        load_state_dict(tmp_path / "x.pt")


def test_archive_that_unpacks_to_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little")  # the unpacked size that the directory claims
    path.write_bytes(raw)
    with pytest.raises(WeightsError, match=r"unpacks to 4\.3 GB"):
        load_state_dict(path)


def test_bare_state_dicts_are_read_too(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3.0)}, tmp_path / "bare.pt")
    assert load_state_dict(tmp_path / "bare.pt")["a"].tolist() == [0, 1, 2]


def test_other_networks_are_refused_by_name_of_the_first_difference(tmp_path: Path, store: WeightsStore) -> None:
    expected = {"a": torch.zeros(2), "b": torch.zeros(3)}
    check_keys({"a": torch.ones(2), "b": torch.ones(3).half()}, expected, "F")
    for state, sentence in [
        ({"a": torch.zeros(2)}, "1 of 2 keys are missing and 0 are unknown (first: b is missing)"),
        ({**expected, "c": torch.zeros(1)}, "0 of 2 keys are missing and 1 are unknown (first: c is not part of"),
        ({"a": torch.zeros(2), "b": torch.zeros(4)}, "b has shape (4,) where (3,) belongs"),
        ({"a": torch.zeros(2), "b": torch.zeros(3, dtype=torch.int8)}, "b is stored as torch.int8"),
    ]:
        with pytest.raises(WeightsError) as caught:
            check_keys(state, expected, "F")
        assert sentence in str(caught.value)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"not a checkpoint of sam2.1 hiera-tiny: 471 of 471 keys are missing"):
        import_weights(tmp_path / "other.pt", REFUSE, name="other", store=store)


def test_values_that_are_not_finite_are_refused(checkpoint: Path, store: WeightsStore, tmp_path: Path) -> None:
    state = load_state_dict(checkpoint)
    state["no_mem_embed"][..., 0] = torch.nan
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(WeightsError, match="not finite in no_mem_embed"):
        import_weights(tmp_path / "nan.pt", REFUSE, name="nan", store=store)


# --- what lies in the store -------------------------------------------------------------------------------------------


def test_absent_weights_say_how_to_get_them(store: WeightsStore) -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights(store.releases[0].sha256, store=store)
    assert str(caught.value) == (
        f"The weights Fake with sha256 {store.releases[0].sha256} are not on this machine; import them with "
        "`memory-survival weights import FILE` or fetch them with `memory-survival weights fetch Fake`."
    )
    with pytest.raises(WeightsError, match=r"import them with `memory-survival weights import FILE --name NAME`\.$"):
        find_weights("f" * 64, store=store)


def test_changed_file_is_noticed_even_at_the_same_size_and_time(store: WeightsStore, tmp_path: Path) -> None:
    record = import_weights(make_fake(tmp_path), AGREE, store=store)
    path = find_weights(record.sha256, store=store)
    before = path.stat()
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    path.write_bytes(b"FAKE" + path.read_bytes()[4:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match=r"have changed since they were imported; import them again with"):
        find_weights(record.sha256, store=store)
    assert [e.status for e in store.entries()] == ["damaged"]
    path.unlink()
    with pytest.raises(WeightsError, match="are missing or have changed"):
        find_weights(record.sha256, store=store)


def test_hash_is_computed_once_while_the_file_stays_the_same(
    store: WeightsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = import_weights(make_fake(tmp_path), AGREE, store=store)
    reads = list[Path]()
    real = weights_store.hash_file
    monkeypatch.setattr(weights_store, "hash_file", lambda path, *rest: reads.append(path) or real(path, *rest))
    find_weights(record.sha256, store=store)
    assert reads == []
    os.utime(store.path(record))
    find_weights(record.sha256, store=store)
    find_weights(record.sha256, store=store)
    assert len(reads) == 1, "read once after the touch, then the new times are remembered"


def test_store_moved_to_another_folder_still_works(store: WeightsStore, tmp_path: Path) -> None:
    record = import_weights(make_fake(tmp_path), AGREE, store=store)
    shutil.copytree(store.folder, tmp_path / "moved", copy_function=shutil.copyfile)
    moved = dataclasses.replace(store, folder=tmp_path / "moved")
    assert find_weights(record.sha256, store=moved).parent == tmp_path / "moved"


@pytest.mark.parametrize(
    "change", [b"{", b"{}", {"file": "../Fake.pt"}, {"extra": 1}, {"sha256": "short"}, {"name": "x", "file": "x.pt"}]
)
def test_unreadable_record_is_shown_as_damage_and_never_believed(
    store: WeightsStore, tmp_path: Path, change: bytes | dict[str, Any]
) -> None:
    record = import_weights(make_fake(tmp_path), AGREE, store=store)
    path = store.folder / "Fake.json"
    path.write_bytes(
        change if isinstance(change, bytes) else json.dumps(json.loads(path.read_bytes()) | change).encode()
    )
    (entry,) = store.entries()
    assert entry.status == "damaged" and str(path) in entry.detail
    with pytest.raises(WeightsError, match="not on this machine"):
        find_weights(record.sha256, store=store)
    import_weights(make_fake(tmp_path), AGREE, store=store)
    assert store.entries()[0].status == "present", "importing again repairs it"


def test_interrupted_import_leaves_nothing(store: WeightsStore, tmp_path: Path) -> None:
    def stop(event: Any) -> None:
        if event.stage.startswith("check"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_weights(make_fake(tmp_path), AGREE, store=store, progress=stop)
    assert list(store.folder.iterdir()) == []


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake_world(store: WeightsStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WeightsStore:
    """The default store lies in a temporary folder and knows only `Fake`; nobody sits at the terminal."""
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(weights_store, "RELEASES", store.releases)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    return WeightsStore()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_folder_follows_the_environment_variable(fake_world: WeightsStore, tmp_path: Path) -> None:
    assert fake_world.folder == tmp_path / "data" / "weights"


def test_command_imports_lists_and_verifies(
    fake_world: WeightsStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_fake(tmp_path)
    assert run(["verify"]) == 0
    assert "No weights are stored" in capsys.readouterr().out
    with pytest.raises(WeightsError, match=r"add --accept-licence CC-BY-SA-4\.0"):
        run(["import", str(source)])
    assert run(["import", str(source), "--accept-licence", "CC-BY-SA-4.0"]) == 0
    assert RESEARCH_USE in capsys.readouterr().out
    assert run(["list"]) == 0
    header, line, *rest = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "status", "size", "sha256", "licence"]
    assert line.split() == ["Fake", "present", "0.0", "MB", sha256_of(source)[:12], "CC-BY-SA-4.0"]
    assert rest[-1] == f"{RESEARCH_USE}."
    assert run(["verify"]) == 0 and run(["verify", "fake"]) == 0
    (fake_world.folder / "Fake.pt").write_bytes(b"damaged")
    assert run(["verify"]) == 1
    assert "Fake: DAMAGED" in capsys.readouterr().out
    assert run(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["research_use"] == RESEARCH_USE
    assert [(w["name"], w["status"]) for w in listed["weights"]] == [("Fake", "damaged")]
    with pytest.raises(WeightsError, match="No weights called Nothing are stored"):
        run(["verify", "Nothing"])


@pytest.mark.parametrize("answer", ["yes\n", "no\n", ""])
def test_terminal_is_asked_with_licence_size_and_restriction(
    fake_world: WeightsStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    arguments = ["import", str(make_fake(tmp_path))]
    if answer == "yes\n":
        assert run(arguments) == 0
    else:
        with pytest.raises(WeightsError, match="must be accepted first"):
            run(arguments)
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("CC-BY-SA-4.0", " MB", "tests.", RESEARCH_USE, "Type yes"))


def test_interrupted_fetch_says_that_it_can_be_continued(
    fake_world: WeightsStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("MemorySurvivalLib.memory.weights.download", interrupt)
    assert run(["fetch", "Fake", "--accept-licence", "CC-BY-SA-4.0"]) == 130
    assert "run the same command again to continue" in capsys.readouterr().err
