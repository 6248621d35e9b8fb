"""The basic profile for the attributes that our DICOM objects hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from dicom_made_up import slice_header
from made_up import make_patient
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from MemorySurvivalLib.privacy.identifiers import identifiers_of
from MemorySurvivalLib.privacy.profile import ACTIONS, UidMap, deidentify, find_departures
from MemorySurvivalLib.privacy.scan import find_in_bytes
from MemorySurvivalLib.report.subject import Subject

NOBODY = Subject()
CODED = Subject("pseudonym", patient_id="MS-0001-0002-0003", sex="F", age_years=60)


@pytest.fixture
def rich(tmp_path: Path) -> Dataset:
    """A header with something in every attribute of the table that can hold a text, and more."""
    ds = slice_header(make_patient(tmp_path).ct, 0, "CT")
    texts = {
        "PN": "Grunwald^Zoe",
        "LO": "Grunwald",
        "SH": "Grunwald",
        "ST": "Grunwald",
        "LT": "Grunwald",
        "UT": "Grunwald",
    }
    others = {
        "DA": "19470923",
        "TM": "101112",
        "DT": "19470923101112",
        "UI": "1.2.826.0.1.3680043.9.99.7",
        "AS": "078Y",
    }
    from pydicom.datadict import dictionary_VR

    for keyword, action in ACTIONS.items():
        vr = dictionary_VR(tag_for_keyword(keyword) or 0)
        if action != "keep" and vr in texts | others and keyword not in ("SOPInstanceUID",):
            setattr(ds, keyword, (texts | others)[vr])
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    item.PersonName, item.DateTime = "Grunwald^Zoe", "19470923101112"
    ds.ReferencedSeriesSequence = Sequence([item])
    ds.RequestAttributesSequence = Sequence([Dataset()])
    ds.RequestAttributesSequence[0].RequestedProcedureDescription = "Grunwald"
    ds.add_new(0x00331010, "LO", "Grunwald")
    ds.ScheduledStudyStartDate = "19470923"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


@pytest.mark.parametrize("subject", [NOBODY, CODED])
def test_nothing_of_the_patient_is_left(rich: Dataset, subject: Subject, tmp_path: Path) -> None:
    known = tuple(one for one in identifiers_of(rich) if one.text not in ("WB CT", "Grunwald"))
    assert len(find_departures(rich, subject)) > 30
    made = deidentify(rich, subject, UidMap(b"k" * 32))
    assert find_departures(made, subject) == ()
    made.save_as(tmp_path / "out.dcm", enforce_file_format=True)
    data = (tmp_path / "out.dcm").read_bytes()
    assert find_in_bytes(data, known) == ()
    assert b"Grunwald" not in data and b"19470923" not in data
    assert (made.PatientName, made.PatientID) == (subject.patient_id, subject.patient_id)
    assert made.PatientIdentityRemoved == "YES"
    assert [code.CodeValue for code in made.DeidentificationMethodCodeSequence] == [
        "113100",
        "113105",
        "113104",
        "113108",
    ]
    assert made.ContentDate == "19000101" and made.StudyDate == ""
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID


def test_age_and_sex_only_where_the_subject_has_them(rich: Dataset) -> None:
    made = deidentify(rich, CODED, UidMap(b"k"))
    assert (made.PatientSex, made.PatientAge) == ("F", "060Y")
    made = deidentify(made, NOBODY, UidMap(b"k"))
    assert made.PatientSex == "" and "PatientAge" not in made


def test_references_still_fit(rich: Dataset) -> None:
    before = str(rich.SOPInstanceUID)
    uids = UidMap(b"k" * 32)
    made = deidentify(rich, NOBODY, uids)
    assert made.SOPInstanceUID == uids.new(before) != before
    assert made.ReferencedSeriesSequence[0].ReferencedSOPInstanceUID == made.SOPInstanceUID
    assert made.ReferencedSeriesSequence[0].ReferencedSOPClassUID == made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_uids_hang_on_the_key() -> None:
    one, same, other = UidMap(b"a"), UidMap(b"a"), UidMap(b"b")
    assert one.new("1.2.3") == same.new("1.2.3") != other.new("1.2.3")
    assert len(one.new("1.2.3")) <= 64 and one.new("1.2.3").startswith("2.25.")
    assert one.new("1.2.840.10008.1.2") == "1.2.840.10008.1.2"
    assert UidMap.for_subject(NOBODY).new("1.2.3") != UidMap.for_subject(NOBODY).new("1.2.3")


def test_an_identified_object_stays_as_it_is(rich: Dataset) -> None:
    before = rich.to_json()
    assert deidentify(rich, Subject("identified")).to_json() == before
    assert find_departures(rich, Subject("identified")) == ()


@pytest.mark.parametrize(("face", "value", "cleaned"), [(True, "YES", False), (False, "NO", True)])
def test_a_face_is_stated(rich: Dataset, face: bool, value: str, cleaned: bool) -> None:
    made = deidentify(rich, NOBODY, UidMap(b"k"), face=face)
    assert made.RecognizableVisualFeatures == value
    assert ("113102" in [code.CodeValue for code in made.DeidentificationMethodCodeSequence]) is cleaned


def test_only_what_this_software_writes_is_kept() -> None:
    kept = {keyword for keyword, action in ACTIONS.items() if action == "keep"}
    assert kept == {
        "SeriesDescription",
        "DeviceSerialNumber",
        "ContentSequence",
        "DocumentTitle",
        "SourceInstanceSequence",
    }


def test_every_attribute_of_the_table_is_one_of_dicom() -> None:
    assert [keyword for keyword in ACTIONS if tag_for_keyword(keyword) is None] == []
