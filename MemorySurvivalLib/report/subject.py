"""Whom a report names: the patient, a pseudonym, or nobody, as the user chose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IdentityChoice = Literal["identified", "pseudonym", "none"]
IDENTITY_CHOICES: tuple[IdentityChoice, ...] = ("identified", "pseudonym", "none")


@dataclass(frozen=True)
class Subject:
    """Patient and study as far as the choice allows it; what may not be said, or is not known, is empty.

    `name` is the DICOM person name as it is shown (family, given), `patient_id` the patient ID or the pseudonym. Dates
    are ISO 8601 (2026-03-31). `age_years` is the age at the study.
    """

    choice: IdentityChoice = "none"
    name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    age_years: int | None = None
    study_date: str = ""
    study_description: str = ""
    accession_number: str = ""
    study_uid: str = ""

    def __post_init__(self) -> None:
        named = (self.name, self.birth_date, self.study_date, self.study_description, self.accession_number)
        if self.choice != "identified" and any((*named, self.study_uid)):
            raise ValueError("Only an identified report names the patient or the study.")
        if self.choice == "none" and self.patient_id:
            raise ValueError("A report that names nobody has no patient ID.")
