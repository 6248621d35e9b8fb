"""Adding to a saved result what was made after it: its stability, or an explanation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.files import write_heatmaps
from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.report.drawing import FOLDER, draw_pictures, write_pictures
from MemorySurvivalLib.report.model import FILE_NAME, Report, read_report
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.writing import make_report, write_formats
from MemorySurvivalLib.stability.record import StabilityRecord

if TYPE_CHECKING:
    from MemorySurvivalLib.explaining import ExplainOutput
    from MemorySurvivalLib.preparing import ScoredCase

SAME_LOG_RISK = 0.001
"""Two devices give one case log-risks that are closer than this."""

MAP_FILES = ("heatmap.nrrd", "heatmap_PET.nrrd", "heatmap_CT.nrrd", "agreement.nrrd", "gradient.nrrd")
"""What an explanation leaves in a result; those of an earlier one go."""

_RESULT = "result.json"
_ELSEWHERE = "The heatmap was made after the score, on "


def add_stability(folder: Path, stability: StabilityRecord) -> CaseRecord:
    """Put a stability into a result folder: into result.json, report.json and report.html; return the record.

    Whom the report names, its findings and its pictures stay. Where anything fails the folder is as it was. Raises
    InputError where it holds no result with a report, or where the stability was measured around another log-risk,
    which then is of another case.
    """
    record, saved = read_record(folder / _RESULT), read_report(folder)
    _check_log_risk(record, stability.log_risk, "its stability does")
    amended = replace(record, stability=stability)
    with _changed_whole(folder) as new:
        _write(amended, make_report(amended, saved.pictures, saved.where, saved.subject, saved.findings), new)
    return amended


def add_explanation(folder: Path, output: ExplainOutput) -> CaseRecord:
    """Put an explanation into a result folder, in the place of an earlier one: maps, pictures, record and report.

    The folder then says what `score --explain` would have written, and what a thorough explanation knows beyond that;
    whom the report names and its findings stay. Where anything fails the folder is as it was. Returns the record.
    Raises InputError where the folder holds no result with a report, or the explanation is of another one: of another
    model, region or log-risk.
    """
    record, saved = read_record(folder / _RESULT), read_report(folder)
    made, case, roi = output.record, output.scored.prepared.case, output.scored.prepared.region.roi
    check_same_case(record, output.scored, made.bundle_sha256)
    notes = [note for note in (*record.notes, *output.noted) if not note.startswith(_ELSEWHERE)]
    if made.device != record.device:
        notes.append(f"{_ELSEWHERE}{made.device} instead of {record.device}.")
    amended = replace(
        record,
        heatmap=made.heatmap,
        notes=tuple(dict.fromkeys(notes)),
        seconds={**record.seconds, "explain": made.seconds["explain"]},
    )
    with _changed_whole(folder) as new:
        for name in MAP_FILES:
            (new / name).unlink(missing_ok=True)
        shutil.rmtree(new / FOLDER, ignore_errors=True)
        write_heatmaps(new, case, output.explanation, every=True)
        pictures = draw_pictures(amended, case, roi, output.explanation.heatmap)
        entries = write_pictures(pictures, new)
        _write(amended, make_report(amended, entries, pictures.where, saved.subject, saved.findings), new)
    return amended


def check_same_case(record: CaseRecord, scored: ScoredCase, bundle_sha256: str) -> None:
    """Raises InputError where a case that was scored again is not the one of a record: another bundle, region or
    log-risk."""
    if bundle_sha256 != record.bundle.sha256:
        raise _other("another model bundle was used")
    if scored.prepared.region.roi.mask.sha256() != record.roi.sha256:
        raise _other("its region is another one")
    _check_log_risk(record, scored.risk.log_risk, "this explanation does")


def _check_log_risk(record: CaseRecord, log_risk: float, what: str) -> None:
    if abs(record.risk.log_risk - log_risk) > SAME_LOG_RISK:
        raise InputError(
            f"Read again, the case has a log-risk of {log_risk:+.3f} instead of {record.risk.log_risk:+.3f}, so {what} "
            "not belong to this result; score the case again."
        )


def _other(why: str) -> InputError:
    return InputError(f"This explanation does not belong to the result, because {why}; score the case again.")


@contextmanager
def _changed_whole(folder: Path) -> Iterator[Path]:
    """Yield a copy of a result folder to change; it takes the folder's place when the block ends without an exception.

    Raises OutputError where the place cannot be written.
    """
    with atomic_folder(folder, overwrite=True, ours=_RESULT) as new:
        shutil.copytree(folder, new, symlinks=True, dirs_exist_ok=True)
        yield new


def _write(record: CaseRecord, report: Report, folder: Path) -> None:
    write_formats(report, folder / FOLDER, folder, overwrite=True)
    report.write(folder / FILE_NAME)
    record.write(folder / _RESULT)
