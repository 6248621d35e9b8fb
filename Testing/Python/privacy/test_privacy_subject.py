"""Whom a report names: identified, by a code, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pydicom
import pytest
from dicom_made_up import save, slice_header
from made_up import make_patient
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.privacy.burned_in import BURNED_IN_NOTE, burned_in_note
from MemorySurvivalLib.privacy.pseudonym import check_pseudonym, load_key, make_pseudonym
from MemorySurvivalLib.privacy.subject import person_name, read_headers, read_subject
from MemorySurvivalLib.report.subject import Subject

KEY = b"k" * 32


def header(tmp_path: Path, **tags: str) -> Dataset:
    ds = slice_header(make_patient(tmp_path).ct, 0, "CT")
    ds.PatientName, ds.PatientID, ds.AccessionNumber = "Müller^Anna^Maria", "4711-X", "ACC 9"
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    return ds


def test_identified_says_what_the_headers_say(tmp_path: Path) -> None:
    subject = read_subject("identified", [header(tmp_path)])
    assert subject.name == "Müller, Anna Maria"
    assert (subject.patient_id, subject.accession_number) == ("4711-X", "ACC 9")
    assert (subject.birth_date, subject.study_date, subject.age_years) == ("1960-01-01", "2020-01-31", 60)
    assert subject.study_uid.startswith("1.2.826") or subject.study_uid.startswith("2.25")


def test_none_says_nothing_and_reads_nothing(tmp_path: Path) -> None:
    assert read_subject("none", [tmp_path / "not there"]) == Subject()


def test_a_pseudonym_is_one_per_patient_and_hangs_on_the_key(tmp_path: Path) -> None:
    one = read_subject("pseudonym", [header(tmp_path)], key=KEY)
    later = read_subject("pseudonym", [header(tmp_path, StudyDate="20240101", PatientName="MUELLER^A")], key=KEY)
    other = read_subject("pseudonym", [header(tmp_path, PatientID="4712-X")], key=KEY)
    elsewhere = read_subject("pseudonym", [header(tmp_path)], key=b"x" * 32)
    assert one.patient_id == later.patient_id
    namesake = read_subject("pseudonym", [header(tmp_path, PatientBirthDate="19600102")], key=KEY)
    assert len({one.patient_id, other.patient_id, elsewhere.patient_id, namesake.patient_id}) == 4
    assert one.patient_id.startswith("MS-") and len(one.patient_id) == 17
    assert (one.name, one.birth_date, one.study_date, one.study_uid) == ("", "", "", "")
    assert (one.sex, one.age_years) == ("F", 60)


def test_a_great_age_is_not_told(tmp_path: Path) -> None:
    assert read_subject("pseudonym", [header(tmp_path, PatientBirthDate="19230101")], key=KEY).age_years == 90


def test_a_code_of_ones_own_needs_no_header() -> None:
    assert read_subject("pseudonym", [], " Study 3-017 ").patient_id == "Study 3-017"


@pytest.mark.parametrize("text", ["", "  ", "a^b", "a\\b", "x" * 65, "a\nb"])
def test_a_code_that_dicom_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="pseudonym"):
        check_pseudonym(text)


def test_without_a_patient_there_is_no_pseudonym() -> None:
    with pytest.raises(InputError, match="give one of your own"):
        make_pseudonym(" ", "19600101", key=KEY)


def test_images_of_two_patients_name_nobody(tmp_path: Path) -> None:
    two = [header(tmp_path), header(tmp_path, PatientID="other")]
    with pytest.raises(InputError, match="2 different patient IDs"):
        read_subject("identified", two)
    assert read_subject("identified", two, confirmed=True).patient_id == "4711-X"


def test_headers_of_a_folder_are_those_of_ct_and_pet(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for number in range(3):
        save(header(tmp_path), tmp_path / "deep" / f"image{number}")
    save(header(tmp_path, Modality="SR", PatientID="other"), tmp_path / "deep" / "report")
    (tmp_path / "deep" / "notes.txt").write_text("no DICOM")
    found = read_headers(tmp_path)
    assert [one.PatientID for one in found] == ["4711-X"]


def test_text_in_the_pixels_is_told_where_the_images_say_so(tmp_path: Path) -> None:
    assert burned_in_note([header(tmp_path), header(tmp_path, BurnedInAnnotation="NO")]) == ""
    assert burned_in_note([header(tmp_path), header(tmp_path, BurnedInAnnotation="YES")]) == BURNED_IN_NOTE


@pytest.mark.parametrize(
    ("stated", "shown"),
    [
        ("Müller^Anna^Maria^Dr^", "Müller, Anna Maria, Dr"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田 太郎, やまだ たろう)"),
        ("Doe", "Doe"),
        ("", ""),
    ],
)
def test_a_name_is_shown_as_dicom_means_it(stated: str, shown: str) -> None:
    assert person_name(stated) == shown


def test_the_key_is_made_once_and_is_the_users_alone(tmp_path: Path) -> None:
    place = tmp_path / "new" / "pseudonym.key"
    key = load_key(place)
    assert len(key) == 32
    assert load_key(place) == key
    if os.name == "posix":
        assert place.stat().st_mode & 0o777 == 0o600
        place.chmod(0o644)
        load_key(place)
        assert place.stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_or_an_impossible_place_is_said(tmp_path: Path) -> None:
    place = tmp_path / "pseudonym.key"
    place.write_bytes(b"short")
    with pytest.raises(InputError, match="not a key"):
        load_key(place)
    with pytest.raises(OutputError):
        load_key(place / "below a file")


def test_damaged_and_strange_files_name_nobody(tmp_path: Path) -> None:
    save(header(tmp_path), tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut short").write_bytes(data[:200])
    (tmp_path / "no longer DICOM").write_bytes(data[:132] + b"\xff" * 300)
    assert [one.PatientID for one in read_headers(tmp_path)] == ["4711-X"]
    assert read_headers(tmp_path / "not there") == ()


def test_files_are_read_without_a_preamble_and_in_other_encodings(tmp_path: Path) -> None:
    save(header(tmp_path), tmp_path / "implicit", ImplicitVRLittleEndian)
    assert [one.PatientID for one in read_headers(tmp_path / "implicit")] == ["4711-X"]
    bare = (tmp_path / "implicit").read_bytes()
    ds = pydicom.dcmread(tmp_path / "implicit")
    del ds.file_meta
    ds.preamble = None
    with (tmp_path / "bare").open("wb") as stream:
        pydicom.dcmwrite(stream, ds, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert (tmp_path / "bare").read_bytes()[:132] != bare[:132]
    assert [one.PatientID for one in read_headers(tmp_path / "bare")] == ["4711-X"]
