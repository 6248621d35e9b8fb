"""Different patients or studies stop a run until someone confirms, and what was confirmed is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_series import Identity
from MemorySurvivalLib.imaging.study_identity import IdentityMismatch, check_identity, check_mask_identity

ONE = Identity("4711", "Doe^Jane", "19600101", "1.2.3", "20200131")


def test_the_same_patient_and_study() -> None:
    assert check_identity(ONE, ONE, "4711") == ()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(ONE, patient_id="4712"), "the patient ID of the two differ"),
        (replace(ONE, name="Roe^Jane"), "the patient name of the two differ"),
        (replace(ONE, birth_date="19600102"), "the birth date of the two differ"),
        (replace(ONE, study_uid="1.2.4"), "of different studies of the same day"),
        (replace(ONE, study_uid="1.2.4", study_date="20200201"), "of different studies, one day apart"),
        (replace(ONE, study_uid="1.2.4", study_date=""), "of different studies."),
        (replace(ONE, study_uid="", study_date="20200202"), "of different days, 2 days apart"),
        (
            replace(ONE, patient_id="x", name="y", birth_date="z"),
            "the patient ID, patient name and birth date of the two differ",
        ),
    ],
)
def test_differences_stop_until_confirmed(other: Identity, words: str) -> None:
    for ct, pet in ((ONE, other), (other, ONE)):
        with pytest.raises(IdentityMismatch) as mismatch:
            check_identity(ct, pet)
        assert words in str(mismatch.value)
        assert str(mismatch.value).endswith("--confirm-identity.")
        assert isinstance(mismatch.value, InputError)
        for secret in ("4711", "Doe", "19600101"):
            assert secret not in str(mismatch.value)
        notes = check_identity(ct, pet, confirmed=True)
        assert notes == tuple(f"Confirmed by the user although: {one}" for one in mismatch.value.differences)


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, name="DOE^JANE^^"),
        replace(ONE, name="Jane Doe"),
        replace(ONE, name="Doe^Jane=別"),
        replace(ONE, patient_id=" 4711 "),
        replace(ONE, name="", birth_date=""),
    ],
)
def test_spelling_is_no_difference(other: Identity) -> None:
    assert check_identity(ONE, other) == ()


@pytest.mark.parametrize(("covariates", "stops"), [("4711", False), ("4712", True), ("", False), (None, False)])
def test_the_covariates_patient(covariates: str | None, stops: bool) -> None:
    if not stops:
        assert check_identity(ONE, ONE, covariates) == ()
        return
    with pytest.raises(IdentityMismatch, match="The covariates and the CT and the PET have different patient IDs"):
        check_identity(ONE, ONE, covariates)
    assert len(check_identity(ONE, ONE, covariates, confirmed=True)) == 1


def test_images_that_name_nobody() -> None:
    assert check_identity(None, None) == ()
    assert "could not be compared" in check_identity(None, None, "4711")[0]
    nobody = Identity(study_uid="1.2.3")
    assert "only the study says" in check_identity(nobody, nobody)[0]
    assert "was not checked" in check_identity(Identity(), Identity())[0]
    assert check_identity(ONE, None, "4711") == ()


def test_a_mask_of_another_patient_stops_until_confirmed() -> None:
    ct = Identity(patient_id="P1")
    assert check_mask_identity(ct, {"PatientID": " p1"}) == ()
    assert check_mask_identity(ct, {}) == () and check_mask_identity(None, {"PatientID": "P2"}) == ()
    with pytest.raises(IdentityMismatch, match=r"^The mask and the CT have different patient IDs\.") as caught:
        check_mask_identity(ct, {"PatientID": "P2"})
    assert "P2" not in str(caught.value)
    assert caught.value.details == {"differences": caught.value.differences}
    assert check_mask_identity(ct, {"PatientID": "P2"}, confirmed=True) == (
        "Confirmed by the user although: The mask and the CT have different patient IDs.",
    )
