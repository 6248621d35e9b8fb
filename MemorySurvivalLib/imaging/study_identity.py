"""Whether CT, PET and covariates are of one patient and one study, as far as the files say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_series import Identity

CONFIRM_OPTION = "--confirm-identity"


class IdentityMismatch(InputError):
    """CT, PET and covariates that seem to be of different patients or studies; a person may confirm that they are not.

    `differences` are the sentences that were in the way. They name what differs, never the identifiers themselves.
    """

    def __init__(self, differences: tuple[str, ...]) -> None:
        self.differences = differences
        self.details = {"differences": differences}
        super().__init__(
            f"{' '.join(differences)} Choose images of one study of one patient, or confirm that they belong together "
            f"with {CONFIRM_OPTION}."
        )


def check_identity(
    ct: Identity | None, pet: Identity | None, covariates_patient_id: str | None = None, *, confirmed: bool = False
) -> tuple[str, ...]:
    """Compare who and what the inputs are of; give back notes for the record.

    `ct` and `pet` are None where the files carry no identity (NIfTI, NRRD). Something that only one side states is no
    difference. Raises IdentityMismatch when something differs, unless `confirmed`: then the notes say what differed and
    that it was confirmed.
    """
    differences = _compare(ct or Identity(), pet or Identity())
    unknown = _unknown(ct, pet)
    if covariates_patient_id and covariates_patient_id.strip():
        ids = {name: one.patient_id for name, one in (("CT", ct), ("PET", pet)) if one and one.patient_id}
        others = [name for name, value in ids.items() if _plain(value) != _plain(covariates_patient_id)]
        if others:
            differences += (f"The covariates and the {' and the '.join(others)} have different patient IDs.",)
        if not ids:
            unknown += ("The images carry no patient ID, so the covariates' patient ID could not be compared.",)
    if differences and not confirmed:
        raise IdentityMismatch(differences)
    return tuple(f"Confirmed by the user although: {sentence}" for sentence in differences) + unknown


def check_mask_identity(ct: Identity | None, origin: Mapping[str, str], *, confirmed: bool = False) -> tuple[str, ...]:
    """Compare whom a mask was drawn on, by what its file states ("PatientID"), with whom the CT is of.

    A mask may come from another study or program, so only a different patient counts. Notes and errors as in
    `check_identity`.
    """
    stated = origin.get("PatientID", "")
    if ct is None or not _plain(ct.patient_id) or not _plain(stated) or _plain(ct.patient_id) == _plain(stated):
        return ()
    difference = "The mask and the CT have different patient IDs."
    if not confirmed:
        raise IdentityMismatch((difference,))
    return (f"Confirmed by the user although: {difference}",)


def check_same_patient(current: Identity | None, prior: Identity | None, *, confirmed: bool = False) -> tuple[str, ...]:
    """Compare whom two time points are of; that they are of different studies is what they are for.

    Notes and errors as in `check_identity`.
    """
    if current is None or prior is None:
        return ("The images do not say whose they are, so whether both studies are of one patient was not checked.",)
    what = _differing(current, prior)
    if not what:
        return ()
    difference = f"The current and the prior study seem to be of different patients: the {what} of the two differ."
    if not confirmed:
        raise IdentityMismatch((difference,))
    return (f"Confirmed by the user although: {difference}",)


def _differing(one: Identity, other: Identity) -> str:
    """Which of a patient's marks differ, in words; empty where none does."""
    found = [
        word
        for word, a, b in (
            ("patient ID", _plain(one.patient_id), _plain(other.patient_id)),
            ("patient name", _name(one.name), _name(other.name)),
            ("birth date", _plain(one.birth_date), _plain(other.birth_date)),
        )
        if a and b and a != b
    ]
    return " and ".join(filter(None, (", ".join(found[:-1]), *found[-1:])))


def _compare(ct: Identity, pet: Identity) -> tuple[str, ...]:
    sentences = []
    what = _differing(ct, pet)
    if what:
        sentences.append(f"The CT and the PET seem to be of different patients: the {what} of the two differ.")
    if ct.study_uid and pet.study_uid and ct.study_uid != pet.study_uid:
        sentences.append(f"The CT and the PET are of different studies{_days_apart(ct.study_date, pet.study_date)}.")
    elif not (ct.study_uid and pet.study_uid) and ct.study_date and pet.study_date and ct.study_date != pet.study_date:
        sentences.append(f"The CT and the PET are of different days{_days_apart(ct.study_date, pet.study_date)}.")
    return tuple(sentences)


def _unknown(ct: Identity | None, pet: Identity | None) -> tuple[str, ...]:
    if ct is None or pet is None:
        return ()
    if (ct.patient_id and pet.patient_id) or (ct.name and pet.name):
        return ()
    if ct.study_uid and ct.study_uid == pet.study_uid:
        return ("The images carry no patient ID or name; only the study says that CT and PET belong together.",)
    return ("The images carry no patient ID or name, so whether CT and PET are of one patient was not checked.",)


def _days_apart(one: str, other: str) -> str:
    try:
        days = abs((datetime.strptime(one, "%Y%m%d") - datetime.strptime(other, "%Y%m%d")).days)
    except ValueError:
        return ""
    return f", {days} days apart" if days > 1 else ", one day apart" if days else " of the same day"


def _plain(words: str) -> str:
    return words.strip().casefold()


def _name(words: str) -> tuple[str, ...]:
    """A person's name whatever its case, order and separators; other scripts of the same name (after "=") left out."""
    return tuple(sorted(re.findall(r"\w+", words.partition("=")[0].casefold())))
