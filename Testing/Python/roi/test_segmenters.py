"""Segmenters behind one protocol; other programs are stood in for by their recorded interface (fake_segmenters.py)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_segmenters import write_program
from odd_grids import GRIDS

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.processes import ExternalToolError, Stopped
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.roi.derive import derive_roi
from MemorySurvivalLib.roi.segmenters.builtin import BuiltIn
from MemorySurvivalLib.roi.segmenters.choice import choose_segmenter, list_segmenters
from MemorySurvivalLib.roi.segmenters.moose import MODELS, Moose
from MemorySurvivalLib.roi.segmenters.protocol import Segmenter
from MemorySurvivalLib.roi.segmenters.totalsegmentator import TotalSegmentator

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are scripts with a first line #!")

VARIABLES = {"totalsegmentator": "MEMORYSURVIVAL_TOTALSEGMENTATOR", "moosez": "MEMORYSURVIVAL_MOOSEZ"}
OTHERS: dict[str, Segmenter] = {"totalsegmentator": TotalSegmentator(device="cpu"), "moosez": Moose()}

Fake = Callable[..., Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a stand-in where the user would name the program."""

    def install(which: str, mode: str = "") -> Path:
        monkeypatch.setenv(VARIABLES[which], str(write_program(tmp_path / "programs", which)))
        monkeypatch.setenv("FAKE_MODE", mode)
        monkeypatch.setenv("FAKE_SEEN", str(tmp_path / "seen.json"))
        monkeypatch.setenv("FAKE_CHILD", str(tmp_path / "child"))
        return tmp_path

    return install


def make_ct(affine: Affine, labels: tuple[int, ...], shape: tuple[int, int, int] = (9, 10, 12)) -> Volume:
    """Soft tissue with a small block for each label, at a density that the stand-ins know it by."""
    voxels = np.full(shape, 40, np.int16)
    for n, label in enumerate(labels):
        voxels[1 + n : 4 + n, 2 + n : 5 + n, 1 + 2 * n : 3 + 2 * n] = 1000 + label
    return Volume(voxels, affine)


def expected_labels(ct: Volume) -> np.ndarray:
    return np.where(ct.voxels > 1000, ct.voxels - 1000, 0)


def named(segmentation_of: Segmenter, ct: Volume) -> dict[str, np.ndarray]:
    found = segmentation_of.segment(ct)
    return {each.name: found.labels.voxels == label for label, each in found.structures.items()}


@pytest.mark.parametrize("grid", ["straight", "flipped", "permuted and flipped", "oblique and flipped"])
def test_totalsegmentator_labels_come_back_where_they_were(fake: Fake, grid: str) -> None:
    fake("totalsegmentator")
    ct = make_ct(GRIDS[grid], (28, 79, 77))
    found = OTHERS["totalsegmentator"].segment(ct)
    assert found.labels.affine is ct.affine
    assert np.array_equal(found.labels.voxels, expected_labels(ct))
    assert {label: each.name for label, each in found.structures.items()} == {
        28: "L4",
        77: "hip_left",
        79: "spinal_cord",
    }
    assert str(found.maker) == "TotalSegmentator" and "1.5 mm" in found.maker.settings


@pytest.mark.parametrize("grid", ["left-handed", "oblique"])
def test_moose_models_are_joined_and_come_back_where_they_were(fake: Fake, grid: str) -> None:
    """Label 23 is L4, a right rib and the skull: each model answers for its own labels, the vertebrae win."""
    fake("moosez")
    ct = make_ct(GRIDS[grid], (23, 5, 30))
    parts = named(OTHERS["moosez"], ct)
    truth = expected_labels(ct)
    assert {name: int(mask.sum()) for name, mask in parts.items()} == {
        "L4": int((truth == 23).sum()),
        "C5": int((truth == 5).sum()),
        "ulna_left": int((truth == 30).sum()),
    }
    assert np.array_equal(parts["L4"], truth == 23)


def test_a_result_on_another_grid_is_brought_back(fake: Fake) -> None:
    fake("totalsegmentator", "turned")
    ct = make_ct(GRIDS["flipped"], (28, 79))
    assert np.array_equal(OTHERS["totalsegmentator"].segment(ct).labels.voxels, expected_labels(ct))


def test_both_rois_follow_from_other_segmenters(fake: Fake) -> None:
    fake("totalsegmentator")
    ct = make_ct(GRIDS["straight"], (28, 79, 77))
    found = OTHERS["totalsegmentator"].segment(ct)
    spine, skeleton = derive_roi(found, "spine_dilated"), derive_roi(found, "skeleton")
    assert (skeleton.mask.voxels[found.labels.voxels == 77]).all()
    assert (spine.mask.voxels[(found.labels.voxels == 28) | (found.labels.voxels == 79)]).all()


def test_totalsegmentator_gets_the_recorded_command_line_and_no_telemetry(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake("totalsegmentator")
    own = folder / "own home"
    own.mkdir()
    (own / "config.json").write_text('{"send_usage_stats": true, "totalseg_id": "mine"}')
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(own))
    TotalSegmentator(device="gpu", fast=True).segment(make_ct(GRIDS["straight"], (28,)))
    seen = json.loads((folder / "seen.json").read_text())
    options = seen["arguments"]
    assert options[0] == "-i" and options[2] == "-o" and options[4:] == ["-ml", "-ta", "total", "-d", "gpu", "-f"]
    assert seen["configuration"]["send_usage_stats"] is False
    assert seen["weights"] == str(own / "nnunet" / "results")
    assert json.loads((own / "config.json").read_text())["send_usage_stats"] is True  # the user's own is left alone
    assert seen["rights"] == "0o700"
    assert Path(seen["temporary"]).parent == Path(options[1]).parent
    assert not Path(options[1]).parent.exists()  # nothing of the patient stays behind


def test_weights_of_the_user_are_used(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake("totalsegmentator")
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", "/my/weights")
    OTHERS["totalsegmentator"].segment(make_ct(GRIDS["straight"], (28,)))
    assert json.loads((folder / "seen.json").read_text())["weights"] == "/my/weights"


def test_names_in_the_file_count_more_than_numbers(fake: Fake) -> None:
    """Version 2.1.0 numbered the ribs otherwise than 2.18.0; both write the names into the file."""
    ct = make_ct(GRIDS["straight"], (92,))
    fake("totalsegmentator", "old")
    assert list(named(OTHERS["totalsegmentator"], ct)) == ["rib_right_4"]
    fake("totalsegmentator", "nameless")
    assert list(named(OTHERS["totalsegmentator"], ct)) == ["rib_left_1"]


def test_moose_must_name_its_labels(fake: Fake) -> None:
    """moosez 3.0 wrote no list of names, and numbers alone say nothing between versions."""
    fake("moosez", "nameless")
    with pytest.raises(ExternalToolError, match="wrote no list of its labels"):
        OTHERS["moosez"].segment(make_ct(GRIDS["straight"], (24,)))


def test_a_temporary_folder_with_other_letters(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake("moosez") / "Übergang ütf 文件"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert list(named(OTHERS["moosez"], make_ct(GRIDS["straight"], (24,)))) == ["L5"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("which", OTHERS)
def test_progress_goes_up(fake: Fake, which: str) -> None:
    fake(which)
    events: list[ProgressEvent] = []
    OTHERS[which].segment(make_ct(GRIDS["straight"], (24,)), events.append)
    done = [event.done for event in events]
    assert done[0] == 0 and done == sorted(done)
    assert {event.stage for event in events} == {f"segmenting with {OTHERS[which].title}"}
    assert done[-1] >= (90 if which == "totalsegmentator" else len(MODELS) - 1)


@pytest.mark.parametrize("which", OTHERS)
@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("crash", r"failed \(exit status 1\): ValueError: The image is two-dimensional\.$"),
        ("offline", r"could not download its weights"),
        ("memory", r"ran out of memory"),
        ("full", r"ran out of disk space"),
        ("silent", r"without (writing its result|a result)"),
        ("elsewhere", r"wrote a result that cannot be used: .*does not overlap"),
        ("fractions", r"wrote a result that cannot be used: .*not whole numbers"),
        ("unnamed", r"wrote labels that it does not name \(\[255\]\)"),
        ("nothing", r"found no"),
    ],
)
def test_failures_are_one_sentence(fake: Fake, which: str, mode: str, sentence: str) -> None:
    fake(which, mode)
    with pytest.raises(ExternalToolError, match=sentence) as failure:
        OTHERS[which].segment(make_ct(GRIDS["straight"], (24, 5)))
    assert str(failure.value).startswith(OTHERS[which].title) and "\n" not in str(failure.value)


@pytest.mark.parametrize("which", OTHERS)
@pytest.mark.parametrize("how", ["stop", "progress"])
def test_cancelling_ends_the_whole_tree(fake: Fake, which: str, how: str) -> None:
    folder = fake(which, "hang")
    child = folder / "child"

    def started() -> bool:
        return child.exists() and bool(child.read_text())

    def watch(event: ProgressEvent) -> None:
        if how == "progress" and started():
            raise KeyboardInterrupt

    with pytest.raises(Stopped if how == "stop" else KeyboardInterrupt):
        OTHERS[which].segment(make_ct(GRIDS["straight"], (24,)), watch, lambda: how == "stop" and started())
    grandchild = int(child.read_text())
    for _ in range(100):
        try:
            state = Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            break
        if state == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the grandchild still runs")


@pytest.mark.parametrize("which", OTHERS)
def test_where_it_is_not_installed(which: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = OTHERS[which].available()
    assert not found.found and "is not installed" in found.reason and VARIABLES[which] in found.reason
    with pytest.raises(ExternalToolError, match="is not installed"):
        OTHERS[which].segment(make_ct(GRIDS["straight"], (24,)))
    with pytest.raises(InputError, match="is not installed"):
        choose_segmenter(OTHERS[which].name)
    monkeypatch.setenv(VARIABLES[which], str(tmp_path / "gone"))
    assert "correct it" in OTHERS[which].available().reason


@pytest.mark.parametrize(("version", "usable"), [("2.18.0", True), ("1.5.7", False)])
def test_the_version_is_read_from_the_environment_around_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, usable: bool
) -> None:
    """A program on the PATH in an environment of its own, reached through a link, as pipx makes it."""
    program = write_program(tmp_path / "own" / "bin", "totalsegmentator")
    metadata = tmp_path / "own" / "lib" / "python3.11" / "site-packages" / f"TotalSegmentator-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: TotalSegmentator\nVersion: {version}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "TotalSegmentator").symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = OTHERS["totalsegmentator"].available()
    assert (found.found, found.version) == (usable, version)
    assert usable or "not a known version (2.x)" in found.reason


def test_the_built_in_segmenter_is_always_there_and_stops() -> None:
    assert [each.name for each in list_segmenters()] == ["built-in", "totalsegmentator", "moose"]
    assert isinstance(choose_segmenter("built-in"), BuiltIn)
    with pytest.raises(InputError, match="There is no segmenter"):
        choose_segmenter("nnunet")
    ct = make_ct(GRIDS["straight"], ())
    with pytest.raises(Stopped):
        BuiltIn().segment(ct, stop=lambda: True)
    assert "No spine" in " ".join(BuiltIn().segment(ct).notes)


def test_python_is_started_with_the_module_where_it_is_installed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MemorySurvivalLib.roi.segmenters import totalsegmentator

    package = tmp_path / "totalsegmentator" / "bin"
    package.mkdir(parents=True)
    (tmp_path / "totalsegmentator" / "__init__.py").touch()
    metadata = tmp_path / "TotalSegmentator-2.18.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: TotalSegmentator\nVersion: 2.18.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    command, found = totalsegmentator.PROGRAM.find()
    assert command == (sys.executable, "-m", "totalsegmentator.bin.TotalSegmentator")
    assert found.version == "2.18.0"
