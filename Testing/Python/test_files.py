"""Nothing is ever half written, and the user reads why something could not be written at all."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import ROOT

from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.files import atomic_file, atomic_folder, explain_os_error

ENDINGS = ("nrrd", "nii", "nii.gz", "mha")

WRITE_VOLUMES = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
volume = Volume(np.random.default_rng(0).normal(size=(40, 60, 60)).astype(np.float32), Affine(np.eye(4)))
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for ending in ("nrrd", "nii", "nii.gz", "mha"):
    try:
        write_volume(volume, folder / f"image.{ending}")
    except OutputError as error:
        print(error)
print(sorted(os.listdir(folder)))
"""

WRITE_AS_NOBODY = """
import os, sys
from pathlib import Path
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.files import atomic_file, atomic_folder
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.errors import InputError
folder = Path(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for make, target in (
    (atomic_file, folder / "locked" / "file.txt"),
    (atomic_folder, folder / "locked" / "out"),
    (atomic_file, folder / "closed" / "file.txt"),
    (atomic_folder, folder / "closed" / "deep" / "out"),
):
    try:
        with make(target) as temporary:
            (temporary if make is atomic_file else temporary / "a").write_text("x")
        print("written")
    except OutputError as error:
        print(error)
try:
    read_volume(folder / "secret.nii", "CT")
except InputError as error:
    print(error)
"""


def run_python(code: str, *arguments: str, before: tuple[str, ...] = ()) -> list[str]:
    """Run code in a fresh interpreter that finds the library; the lines it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*before, sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.iterdir():
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.suffixes == target.suffixes
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("reason", [KeyboardInterrupt, ValueError])
def test_an_interrupted_file_leaves_what_was_there(tmp_path: Path, reason: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before")
    with pytest.raises(reason), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise reason
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out"
    with atomic_folder(target) as temporary:
        (temporary / "a.txt").write_text("whole")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o777 & ~mask


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with atomic_folder(target) as temporary:
        (temporary / "a.txt").write_text("whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a.txt"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_target_that_holds_something_is_kept(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out"
    if kind == "folder":
        target.mkdir()
        (target / "mine.txt").write_text("mine")
    else:
        target.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError) as caught, atomic_folder(target):
        raise AssertionError("nothing may be computed for a place that is taken")
    assert str(caught.value) == (
        f"{target} already holds something; choose another folder or allow overwriting with --overwrite."
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_overwriting_replaces_the_whole_folder(tmp_path: Path, kind: str) -> None:
    real, target = tmp_path / "out", tmp_path / ("out" if kind == "folder" else "link")
    real.mkdir()
    (real / "old.txt").write_text("old")
    if kind == "link":
        target.symlink_to(real)
    with atomic_folder(target, overwrite=True) as temporary:
        (temporary / "new.txt").write_text("new")
    assert [path.name for path in real.iterdir()] == ["new.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"out", target.name})
    assert target.is_symlink() == (kind == "link")


@pytest.mark.parametrize("reason", [KeyboardInterrupt, ValueError])
def test_an_interrupted_folder_leaves_nothing(tmp_path: Path, reason: type[BaseException]) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(reason), atomic_folder(target, overwrite=True) as temporary:
        (temporary / "half.txt").write_text("half")
        raise reason
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old.txt"]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "No space is left to write {}; free some disk space or choose another folder."),
        (errno.EDQUOT, "No space is left to write {}; free some disk space or choose another folder."),
        (errno.EACCES, "There is no permission to write {}; choose a folder that you may write to."),
        (errno.EROFS, "There is no permission to write {}; choose a folder that you may write to."),
        (errno.EIO, "{} cannot be written: Input/output error."),
    ],
)
@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_the_reason_is_one_sentence(tmp_path: Path, make: object, number: int, sentence: str) -> None:
    target = tmp_path / "out"
    with pytest.raises(OutputError) as caught, make(target) as temporary:  # type: ignore[operator]
        (temporary if make is atomic_file else temporary / "a.txt").write_text("half")
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == sentence.format(target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("deep", ["out", "deep/out"])
@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_a_path_through_a_file(tmp_path: Path, make: object, deep: str) -> None:
    (tmp_path / "file").write_text("x")
    target = tmp_path / "file" / deep
    with pytest.raises(OutputError) as caught, make(target):  # type: ignore[operator]
        raise AssertionError("nothing may be computed for a place that cannot be")
    assert str(caught.value) == f"Part of the path {target} is a file, not a folder; choose another place."


def test_a_name_too_long(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 300)
    with pytest.raises(OutputError) as caught, atomic_file(target) as temporary:
        temporary.write_text("x")
    assert str(caught.value) == f"{target} cannot be written: File name too long."


def test_an_unknown_reason_is_passed_on() -> None:
    assert str(explain_os_error(OSError("odd"), Path("out"))) == "out cannot be written: odd."


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_no_permission(open_folder: Path) -> None:
    """Also as root in a container: the writing process gives up its rights first."""
    for name, mode in (("locked", 0o555), ("closed", 0o000)):
        (open_folder / name).mkdir()
        (open_folder / name).chmod(mode)
    (open_folder / "secret.nii").write_bytes(b"x")
    (open_folder / "secret.nii").chmod(0)
    no_permission = "There is no permission to write {}; choose a folder that you may write to."
    assert run_python(WRITE_AS_NOBODY, str(open_folder)) == [
        no_permission.format(open_folder / "locked/file.txt"),
        no_permission.format(open_folder / "locked/out"),
        no_permission.format(open_folder / "closed/file.txt"),
        no_permission.format(open_folder / "closed/deep/out"),
        f"The CT file {open_folder / 'secret.nii'} cannot be opened (Permission denied); "
        "check the path and its permissions.",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX resource limits")
def test_no_image_format_leaves_a_file_that_is_cut_short(tmp_path: Path) -> None:
    """A limit on file size stops the writers in the middle, as a full disk does; ITK hides it for NIfTI."""
    assert run_python(WRITE_VOLUMES, str(tmp_path), "100000") == [
        *(f"{tmp_path / f'image.{ending}'} cannot be written: File too large." for ending in ENDINGS),
        "[]",
    ]


def test_no_space_left(tmp_path: Path) -> None:
    """On a real full disk: a small memory file system in a namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=300k tmpfs "$0" && exec "$@"'
    inside = ("unshare", "--map-root-user", "--mount", "sh", "-c", script, str(disk))
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    assert run_python(WRITE_VOLUMES, str(disk), "0", before=inside) == [
        *(
            f"No space is left to write {disk / f'image.{ending}'}; free some disk space or choose another folder."
            for ending in ENDINGS
        ),
        "[]",
    ]
