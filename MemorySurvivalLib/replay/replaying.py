"""Running a recorded case again and comparing what comes out with what was recorded."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from MemorySurvivalLib.amending import add_explanation
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explaining import explain_to_folder
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import score_case
from MemorySurvivalLib.preparing import NoteCallback, ignore_note
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.recent import RecentCase
from MemorySurvivalLib.replay.causes import name_causes
from MemorySurvivalLib.replay.compare import TOLERANCES, compare_records
from MemorySurvivalLib.replay.rebuild import Rebuilt, ReplayRequest, rebuild
from MemorySurvivalLib.replay.record import Cause, Difference, ReplayRecord, Verdict
from MemorySurvivalLib.report.record import CaseRecord, read_record

RECORD_FILE = "replay.json"


def replay_result(
    replay: ReplayRequest,
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
    tell: NoteCallback = ignore_note,
) -> ReplayRecord:
    """Run a result again, nothing taken from the cache, with the recorded number of threads, and compare.

    With `replay.out` the new result and replay.json are kept there. Raises InputError, BundleError, WeightsError or
    DeviceError with one sentence where the run cannot be done again because something is missing.
    """
    was = read_record(replay.result)
    if replay.out is not None and replay.out.resolve() == replay.result.resolve().parent:
        raise InputError(
            f"{replay.out} holds the result that is to be replayed; choose another folder for the new one."
        )
    stored = msgspec.json.decode(replay.result.read_bytes())
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="memory-survival-replay-") as scratch:
        out = replay.out or Path(scratch) / "result"
        rebuilt = rebuild(was, replay, out, progress)
        for note in rebuilt.notes:
            tell(note)
        with _threads(replay.threads or was.threads):
            now = _run_again(rebuilt, Path(scratch), models or Models(), progress, tell)
        record = _judge(was, stored, now, rebuilt.notes, time.monotonic() - start)
        if replay.out is not None:
            with atomic_file(replay.out / RECORD_FILE) as path:
                path.write_bytes(record.as_json())
    return record


def _run_again(
    rebuilt: Rebuilt, scratch: Path, models: Models, progress: ProgressCallback, tell: NoteCallback
) -> CaseRecord:
    """Score, and where the result holds a heatmap explain as that was made, whether with the score or later."""
    recent, asked = RecentCase(), rebuilt.explanation
    record = score_case(rebuilt.request, models, progress, tell, recent).record
    if asked is None:
        return record
    # What it notes of images and region was told with the score.
    maps = replace(rebuilt.request, out=scratch / "maps", overwrite=False)
    output = explain_to_folder(maps, asked.choice, models, progress, ignore_note, recent, thorough=asked.thorough)
    return add_explanation(rebuilt.request.out, output)


def _judge(
    was: CaseRecord, stored: dict[str, Any], now: CaseRecord, notes: tuple[str, ...], seconds: float
) -> ReplayRecord:
    compared, differences = compare_records(stored, msgspec.to_builtins(now))
    causes = name_causes(was, now, differences)
    verdict: Verdict = "identical"
    if any(not one.within for one in differences):
        verdict = "different"
    elif differences:
        verdict = "same within tolerance"
    return ReplayRecord(
        verdict=verdict,
        sentence=_summarise(verdict, compared, differences, causes),
        bit_for_bit=not differences,
        compared=compared,
        differences=differences,
        causes=causes,
        notes=notes,
        tolerances=dict(TOLERANCES),
        log_risk_was=was.risk.log_risk,
        log_risk_now=now.risk.log_risk,
        seconds=round(seconds, 3),
        software=now.software,
    )


def _summarise(verdict: Verdict, compared: int, differences: tuple[Difference, ...], causes: tuple[Cause, ...]) -> str:
    if verdict == "identical":
        return f"Identical: all {compared} values of the result came out the same, bit for bit."
    moved = [one for one in differences if verdict != "different" or not one.within]
    text = f"{len(moved)} of {compared} values differ"
    if verdict == "same within tolerance":
        text = f"Same within tolerance: {text}, none by more than stated"
    else:
        text = f"Different: {text} by more than rounding"
    definite = [cause.what for cause in causes if cause.kind == "input"]
    possible = [cause.what for cause in causes if cause.kind == "environment"]
    if definite:
        return f"{text}; not the same: {', '.join(definite)}."
    if possible:
        return f"{text}; not the same as then: {', '.join(possible)}."
    return f"{text}, and nothing that is recorded explains it."


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads: the order of float sums depends on it."""
    if count < 1:
        raise InputError(f"{count} is no number of threads; give 1 or more.")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
