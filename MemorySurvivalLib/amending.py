"""Adding to a saved result what was measured after it: its stability."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.report.drawing import FOLDER
from MemorySurvivalLib.report.model import FILE_NAME, read_report
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.writing import make_report, write_formats
from MemorySurvivalLib.stability.record import StabilityRecord

SAME_LOG_RISK = 0.001
"""Two devices give one case log-risks that are closer than this."""


def add_stability(folder: Path, stability: StabilityRecord) -> CaseRecord:
    """Put a stability into a result folder: into result.json, report.json and report.html; return the record.

    Whom the report names, its findings and its pictures stay. Raises InputError where the folder holds no result with
    a report, or where the stability was measured around another log-risk, which then is of another case.
    """
    record, saved = read_record(folder / "result.json"), read_report(folder)
    if abs(record.risk.log_risk - stability.log_risk) > SAME_LOG_RISK:
        raise InputError(
            f"Read again, the case has a log-risk of {stability.log_risk:+.3f} instead of {record.risk.log_risk:+.3f}, "
            "so its stability does not belong to this result; score the case again."
        )
    amended = replace(record, stability=stability)
    report = make_report(amended, saved.pictures, saved.where, saved.subject, saved.findings)
    write_formats(report, folder / FOLDER, folder, overwrite=True)
    report.write(folder / FILE_NAME)
    amended.write(folder / "result.json")
    return amended
