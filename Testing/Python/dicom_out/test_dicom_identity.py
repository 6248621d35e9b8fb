"""Whom the objects name: everything, a pseudonym, or nobody; and names in other alphabets and of full length."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from dicom_made_up import slice_header

from MemorySurvivalLib.dicom_out.envelope import describe, make_envelope
from MemorySurvivalLib.dicom_out.export import export_dicom
from MemorySurvivalLib.dicom_out.uids import Uids
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.privacy.identifiers import identifiers_of
from MemorySurvivalLib.privacy.profile import find_departures
from MemorySurvivalLib.privacy.scan import find_identifiers
from MemorySurvivalLib.report.subject import Subject

CREATED = "2026-03-31T23:30:00+00:00"
LONG = "Ñ" * 30 + "^" + "É" * 33


def header(**tags: object) -> pydicom.Dataset:
    import numpy as np

    ds = slice_header(Volume(np.zeros((2, 2, 2)), Affine(np.eye(4))), 0, "CT")
    for key, value in tags.items():
        setattr(ds, key, value)
    return ds


@pytest.mark.parametrize("name", ["nobody", "pseudonym"])
def test_nobody_is_named_in_any_byte(finished, exports, name: str) -> None:
    out, exported, subject = exports[name].out, exports[name].objects, exports[name].subject
    sources = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(finished.study.rglob("*.dcm"))]
    known = identifiers_of(sources[0])
    assert known, "the source does name somebody"
    assert find_identifiers([out], known) == ()
    uids = {str(element.value) for ds in sources for element in ds if element.VR == "UI"}
    for one in exported.objects:
        ds = pydicom.dcmread(out / one.file)
        assert find_departures(ds, subject) == (), one.file
        data = (out / one.file).read_bytes()
        assert not [uid for uid in uids if not uid.startswith("1.2.840.10008.") and uid.encode() in data]
        assert (ds.PatientID, ds.StudyDate) == (subject.patient_id, "")
        assert ds.PatientIdentityRemoved == "YES"
    assert not exported.same_study


def test_objects_of_nobody_still_refer_to_each_other(exports) -> None:
    out = exports["nobody"].out
    masks = {pydicom.dcmread(out / name).SOPInstanceUID for name in ("seg-region.dcm", "seg-lesions.dcm")}
    report = pydicom.dcmread(out / "sr-measurements.dcm")
    named = {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert masks < named


def test_a_kept_salt_gives_one_study_and_other_objects(finished, exports, tmp_path: Path) -> None:
    subject = exports["pseudonym"].subject
    masks = [
        export_dicom(finished.result, tmp_path / name, subject, ("seg",), salt=salt)
        for name, salt in (("a", b"kept"), ("b", b"kept"), ("c", b"another"))
    ]
    assert masks[0].study_instance_uid == masks[1].study_instance_uid != masks[2].study_instance_uid
    assert masks[0].objects == masks[1].objects
    assert exports["pseudonym"].objects.study_instance_uid not in {one.study_instance_uid for one in masks}


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", "Иванов^Иван"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 192", LONG),
    ],
)
def test_names_survive_from_every_alphabet(tmp_path: Path, charset: object, name: str) -> None:
    source = header(PatientName=name, SpecificCharacterSet=charset)
    path = tmp_path / "source.dcm"
    source.file_meta = pydicom.dataset.FileMetaDataset()
    source.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    source.save_as(path, enforce_file_format=True)
    envelope = make_envelope(Subject("identified"), pydicom.dcmread(path), CREATED, "s", Uids(b"k"))
    made = header()
    envelope.finish(made, "Masks", 9001)
    made.file_meta = source.file_meta
    made.save_as(tmp_path / "made.dcm", enforce_file_format=True)
    again = pydicom.dcmread(tmp_path / "made.dcm")
    assert str(again.PatientName) == name and again.SpecificCharacterSet == "ISO_IR 192"
    assert name.encode() in (tmp_path / "made.dcm").read_bytes()


@pytest.mark.parametrize(
    ("offset", "date", "time"),
    [("+0530", "20260401", "050000"), ("-0800", "20260331", "153000"), ("+0000", "20260331", "233000")],
)
def test_moments_are_told_in_the_time_zone_of_the_study(offset: str, date: str, time: str) -> None:
    source = header(TimezoneOffsetFromUTC=offset)
    envelope = make_envelope(Subject("identified"), source, CREATED, "s", Uids(b"k"))
    made = header()
    envelope.finish(made, "Masks", 9001)
    assert (made.ContentDate, made.ContentTime, made.TimezoneOffsetFromUTC) == (date, time, offset)


def test_without_a_time_zone_none_is_claimed() -> None:
    envelope = make_envelope(Subject("identified"), header(), CREATED, "s", Uids(b"k"))
    made = header()
    envelope.finish(made, "Masks", 9001)
    assert "TimezoneOffsetFromUTC" not in made


def test_a_study_without_a_uid_is_said() -> None:
    with pytest.raises(InputError, match="no Study Instance UID"):
        make_envelope(Subject("identified"), header(StudyInstanceUID=""), CREATED, "s", Uids(b"k"))


def test_what_breaks_the_standard_stays_behind_but_never_who_it_is() -> None:
    from pydicom import config

    with config.disable_value_validation():
        source = header(StudyID="X" * 17, PatientID="P" * 70)
    envelope = make_envelope(Subject("identified"), source, CREATED, "s", Uids(b"k"))
    assert (envelope.module.StudyID, envelope.module.PatientID) == ("", "P" * 70)
    assert envelope.notes[0] == "Study ID of the source breaks the DICOM standard and was left out."


def test_descriptions_keep_their_labels() -> None:
    words = describe("Heatmap, change of log-risk", ("SIMULATED MODEL", "ENGINEERING USE: ROI NOT OF THE MODEL'S KIND"))
    assert words.startswith("SIMULATED MODEL: Heatmap") and words.endswith("esearch use only") and len(words) <= 64
    assert describe("Masks") == "Masks. Research use only, not a medical device"
