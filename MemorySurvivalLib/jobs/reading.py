"""The jobs behind the form of clinical findings: suggestions from measurements, and staging values from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.clinical.prefill import prefill
from MemorySurvivalLib.clinical.staging import compute_scores
from MemorySurvivalLib.clinical.staging_fields import STAGING_FIELDS
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.measure.tables import MeasurementRecord
from MemorySurvivalLib.risk.covariate_fields import hash_patient, take_known
from MemorySurvivalLib.risk.covariates import find_patient_id, read_covariates


@dataclass(frozen=True)
class PrefillRequest:
    """`measurements` as result.json holds them; None for a case that was not measured."""

    measurements: dict[str, Any] | None = None


@dataclass(frozen=True)
class StagingRequest:
    """A CSV or JSON `file`, values that were typed, or both; what was typed wins."""

    file: Path | None = None
    values: dict[str, str] = field(default_factory=dict)


def suggest(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """`reading`: the IMPeTUs form with suggestions, nothing confirmed."""
    request = convert(parameters, PrefillRequest)
    record = None
    if request.measurements is not None:
        try:
            record = msgspec.convert(request.measurements, MeasurementRecord, strict=False)
        except msgspec.ValidationError as error:
            raise InputError(f"The measurements cannot be read ({error}); measure the case again.") from error
    return JobOutput({"reading": msgspec.to_builtins(prefill(record))})


def stage(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """`values`: what a file says of the staging inputs, by field; `scores` from these and the typed ones; `patient`,
    a hash of the patient ID in the file ("" where none is stated)."""
    request = convert(parameters, StagingRequest)
    found: dict[str, str] = {}
    patient = ""
    if request.file is not None:
        written = read_covariates(request.file)
        found, patient = take_known(STAGING_FIELDS, written), hash_patient(find_patient_id(written) or "")
    scores = compute_scores({**found, **request.values})
    return JobOutput({"values": found, "scores": msgspec.to_builtins(scores), "patient": patient})
