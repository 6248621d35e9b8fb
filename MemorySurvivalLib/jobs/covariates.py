"""The job that reads clinical values for a form: from a CSV or JSON file, or from the tags of a DICOM image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.risk.covariate_fields import CovariateField, hash_patient, plain_name, take_known
from MemorySurvivalLib.risk.covariate_sources import read_dicom_covariates
from MemorySurvivalLib.risk.covariates import PATIENT_ID_COLUMNS, find_patient_id, read_covariates


@dataclass(frozen=True)
class CovariatesRequest:
    """The bundle whose fields are asked for, and one of: `file`, a CSV or JSON; `dicom`, an image file."""

    bundle: str
    file: Path | None = None
    dicom: Path | None = None


def read(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """`values` by field, `unknown` names that the bundle has no field for, and `patient`, a hash of the patient ID.

    The hash lets a viewer compare whose the values are without keeping the identifier ("" where none is stated).
    """
    request = convert(parameters, CovariatesRequest)
    fields = find_fields(request.bundle)
    if request.file is not None:
        values = read_covariates(request.file)
        known = take_known(fields, values)
        asked = {plain_name(field.name) for field in fields}
        unknown = [name for name in values if plain_name(name) not in asked and name.lower() not in PATIENT_ID_COLUMNS]
        return JobOutput({"values": known, "unknown": unknown, "patient": hash_patient(find_patient_id(values) or "")})
    if request.dicom is None:
        raise InputError("The job needs a file or a DICOM image.")
    from MemorySurvivalLib.imaging.dicom_header import read_whole_header, text

    header = read_whole_header(request.dicom)
    values = read_dicom_covariates(header, fields)
    return JobOutput({"values": values, "unknown": [], "patient": hash_patient(text(header, "PatientID"))})


def find_fields(bundle: str) -> tuple[CovariateField, ...]:
    """The fields of a bundle's head that takes covariates; empty where it has none."""
    manifest = read_archive(find_bundle(bundle)).manifest
    return next((head.covariates.fields for head in manifest.heads if head.covariates), ())
