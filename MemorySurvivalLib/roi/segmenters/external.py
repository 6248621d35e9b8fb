"""What segmenters that run as separate programs share: finding them, a private folder, progress, and their output."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import explain_os_error
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.processes import Ending, ExternalToolError, run_tree
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent
from MemorySurvivalLib.roi.existing_labels import place_on, read_label_map
from MemorySurvivalLib.roi.segmenters.protocol import Availability

_OFFLINE = (
    "ConnectionError",
    "Failed to download model",
    "Max retries exceeded",
    "Name or service not known",
    "URLError",
    "ProxyError",
    "SSLError",
)
_NO_MEMORY = ("out of memory", "MemoryError", "Unable to allocate", "Cannot allocate memory")
_NO_SPACE = ("No space left on device", "Disk quota exceeded")


@dataclass(frozen=True)
class Program:
    """A program of others: its distribution on the package index, the module that runs it, its console script.

    The environment variable `variable` may name the script where it is not on the PATH.
    """

    title: str
    distribution: str
    module: str
    script: str
    variable: str
    versions: tuple[str, ...]
    """Beginnings of the versions whose command line and labels are the recorded ones."""

    def find(self) -> tuple[tuple[str, ...], Availability]:
        """The command that starts it (empty where it is not there) and what to say about it. Starts nothing."""
        chosen = os.environ.get(self.variable, "").strip()
        if chosen:
            script = shutil.which(chosen)
            if script is None:
                reason = f"{chosen}, which {self.variable} names, is not a program that can be started; correct it."
                return (), Availability(False, "", reason)
            return self._judge((script,), _version_beside(Path(script), self.distribution), script)
        version = _version_here(self.distribution)
        if version and importlib.util.find_spec(self.module.partition(".")[0]) is not None:
            return self._judge((sys.executable, "-m", self.module), version, "this Python")
        script = shutil.which(self.script)
        if script is not None:
            return self._judge((script,), _version_beside(Path(script), self.distribution), script)
        reason = (
            f"{self.title} is not installed; install it with `pip install {self.distribution}` "
            f"or name its program in {self.variable}."
        )
        return (), Availability(False, "", reason)

    def _judge(self, command: tuple[str, ...], version: str, where: str) -> tuple[tuple[str, ...], Availability]:
        if version and not version.startswith(self.versions):
            known = " or ".join(f"{each.rstrip('.')}.x" for each in self.versions)
            reason = f"{self.title} {version} in {where} is not a known version ({known}); install one of these."
            return (), Availability(False, version, reason)
        return command, Availability(True, version, f"{self.title} {version or 'of unknown version'} is in {where}.")


def _version_here(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _version_beside(script: Path, distribution: str) -> str:
    """The version in the environment that a console script belongs to ("" where that cannot be seen)."""
    home = script.resolve().parent.parent
    places = [
        str(each) for pattern in ("lib/python*/site-packages", "Lib/site-packages") for each in home.glob(pattern)
    ]
    return next((each.version for each in importlib.metadata.distributions(name=distribution, path=places)), "")


@contextmanager
def private_folder(title: str) -> Iterator[Path]:
    """A folder that only this user may read, gone afterwards: patients' images pass through it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="memory-survival-"))
    except OSError as error:
        raise explain_os_error(error, Path(tempfile.gettempdir())) from error
    try:
        (folder / "tmp").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_ct(ct: Volume, path: Path) -> None:
    """Write the CT (HU, rounded to whole numbers) for another program, uncompressed because it is read once."""
    hu = np.clip(np.rint(ct.voxels), -32768, 32767).astype(np.int16)
    write_volume(Volume(hu, ct.affine), path)


class ProgressOfLines:
    """Reports the progress that a program's lines tell, and asks the watcher again while the program is silent."""

    def __init__(self, stage: str, total: int, progress: ProgressCallback) -> None:
        self._progress = progress
        self._event = ProgressEvent(stage, 0, total, None)

    def reach(self, done: int) -> None:
        """`done` of the total steps are finished; going back is ignored."""
        done = min(max(done, self._event.done), self._event.total)
        self._event = ProgressEvent(self._event.stage, done, self._event.total, None)

    def beat(self) -> None:
        """Tell the watcher where the work stands; it may raise."""
        self._progress(self._event)


def run_program(
    command: tuple[str, ...],
    title: str,
    folder: Path,
    on_line: Callable[[str], None],
    on_beat: Callable[[], None],
    stop: Callable[[], bool],
    environment: Mapping[str, str],
) -> Ending:
    """Run to the end in a private folder, its temporary files in there too; raise ExternalToolError if it fails."""
    temporary = str(folder / "tmp")
    ending = run_tree(
        command,
        what=title,
        on_line=on_line,
        stop=stop,
        on_beat=on_beat,
        environment={"TMPDIR": temporary, "TEMP": temporary, "TMP": temporary, "MPLBACKEND": "Agg", **environment},
        folder=folder,
    )
    if ending.status != 0:
        raise ExternalToolError(explain_failure(title, ending))
    return ending


def explain_failure(title: str, ending: Ending) -> str:
    """One sentence from how a program ended and what it said last."""
    said = " ".join(ending.lines[-15:])
    if any(sign in said for sign in _OFFLINE):
        return (
            f"{title} could not download its weights, because there is no connection to its server; connect once, or "
            "put the weights where it looks for them."
        )
    if any(sign in said for sign in _NO_SPACE):
        return f"{title} ran out of disk space; free some and try again."
    if any(sign in said for sign in _NO_MEMORY) or ending.status == -9:
        return f"{title} ran out of memory; close other programs, use its fast model, or run it on the CPU."
    reason = ending.reason.rstrip(".")
    how = f"was ended by signal {-ending.status}" if ending.status < 0 else f"failed (exit status {ending.status})"
    return f"{title} {how}: {reason[:300] or 'it said nothing'}."


def read_output(path: Path, ct: Volume, title: str) -> tuple[Volume, tuple[str, ...]]:
    """The label map that a program wrote, on the CT's grid, with notes. Raises ExternalToolError."""
    if not path.is_file():
        raise ExternalToolError(f"{title} ended without writing its result; run it by hand to see why.")
    try:
        return place_on(read_label_map(path, "label map"), ct, f"result of {title}")
    except InputError as error:
        raise ExternalToolError(f"{title} wrote a result that cannot be used: {error}") from error
