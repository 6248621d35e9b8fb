"""Staging scores, the visual reading and the reviewed lesions put together for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from MemorySurvivalLib.clinical.reading_file import check_reading
from MemorySurvivalLib.clinical.record import ClinicalFindings, VisualReading
from MemorySurvivalLib.clinical.staging import compute_scores
from MemorySurvivalLib.errors import InputError


def make_findings(
    values: Mapping[str, str] | None, reading: VisualReading | None = None, reviewed_lesions: Iterable[int] = ()
) -> ClinicalFindings:
    """What stands on the report beside the model's score.

    `values` are one patient's clinical values by column name; None leaves the staging scores out. Raises InputError for
    values that cannot be true.
    """
    scores = () if values is None else compute_scores(values)
    return ClinicalFindings(scores, reading, tuple(sorted(set(reviewed_lesions))))


def convert_findings(plain: Mapping[str, Any]) -> ClinicalFindings:
    """Findings from plain values, as a panel hands them over. Raises InputError for anything that is not valid."""
    try:
        findings = msgspec.convert(plain, ClinicalFindings)
    except msgspec.ValidationError as error:
        raise InputError(f"The clinical findings are not valid ({error}); enter them again.") from error
    if findings.reading is not None:
        check_reading(findings.reading, "the visual reading")
    return findings
