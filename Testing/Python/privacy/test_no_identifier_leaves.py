"""A scored DICOM case with a conspicuous identity: nothing that is exported tells of it unless that was chosen."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_made_up import write_series
from made_up import BundleMaker, make_patient

from MemorySurvivalLib.clinical.record import ClinicalFindings, ReadingItem, VisualReading
from MemorySurvivalLib.dicom_out.export import export_dicom
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.privacy.clean import READER, case_identifiers, clean_findings, clean_record
from MemorySurvivalLib.privacy.export import MANIFEST, clean_image, export_result
from MemorySurvivalLib.privacy.head import HEADLESS_NOTE, Head
from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.privacy.profile import find_departures
from MemorySurvivalLib.privacy.scan import find_identifiers, find_in_bytes
from MemorySurvivalLib.privacy.subject import read_subject
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.subject import IdentityChoice, Subject
from MemorySurvivalLib.risk.covariate_sources import GivenCovariate
from MemorySurvivalLib.roi.mask_files import write_roi
from MemorySurvivalLib.roi.provenance import ROI_ATTRIBUTE, RoiPart
from MemorySurvivalLib.roi.segments import Maker

TAGS = {
    "PatientName": "Grünwald-Ortiz^Zoë",
    "PatientID": "QX-88127",
    "PatientBirthDate": "19470923",
    "StudyDate": "20210817",
    "InstitutionName": "Hospital Nirgendwo",
    "StudyDescription": "Studie Grunwald",
    "ReferringPhysicianName": "Weissnicht^Karl",
    "AccessionNumber": "ACC771234",
}
KEY = b"k" * 32


@dataclass(frozen=True)
class Scored:
    """A result folder and what is known of the patient."""

    folder: Path
    record: CaseRecord
    known: tuple[Identifier, ...]

    def subject(self, choice: IdentityChoice) -> Subject:
        sources = [Path(source.path) for source in self.record.inputs.values()]
        return read_subject(choice, sources, key=KEY)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, make_bundle: BundleMaker) -> Scored:
    place = tmp_path_factory.mktemp("private") / "GRUNWALD_Zoe"
    patient = make_patient(place)
    per_bqml = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
    activity = patient.pet.with_voxels(patient.pet.voxels.astype(np.float64) / per_bqml)
    write_series(place / "study" / "a", patient.ct, "CT", tags={**TAGS, "SeriesDescription": "CT of Zoe"})
    write_series(place / "study" / "b", activity, "PT", tags={**TAGS, "SeriesDescription": "PET of Zoe"})
    part = RoiPart("Grunwald spine", Maker("segmentation file", "", "Grunwald.nrrd"))
    write_roi(place / "Grunwald mask.nrrd", patient.spine, "spine_dilated", (part,))
    mask = read_volume(place / "Grunwald mask.nrrd", "mask")
    write_volume(replace(mask, attributes={**mask.attributes, "patient": "Grünwald"}), place / "Grunwald mask.nrrd")
    (place / "covariates.csv").write_text("patient_id,age_years,sex,ldh_u_l,remark\nQX-88127,61,female,200,Zoe\n")
    request = ScoreRequest(
        study=place / "study",
        roi=place / "Grunwald mask.nrrd",
        roi_kind="spine_dilated",
        covariates=place / "covariates.csv",
        covariate_values={"nickname": GivenCovariate("Zoe", "typed")},
        out=place / "result",
        bundle=str(make_bundle()),
        explain=True,
        patch_mm=60,
        stride_mm=60,
        device="cpu",
        notes=("Zoe was tired.",),
    )
    record = score_case(request, Models()).record
    return Scored(place / "result", record, case_identifiers(record))


def kinds(found: Iterable[object]) -> set[str]:
    return {one.kind for one in found}  # type: ignore[attr-defined]


def digests(folder: Path) -> dict[str, str]:
    return {str(one): hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.rglob("*") if one.is_file()}


def test_the_working_record_does_name_the_patient(scored: Scored) -> None:
    assert {"name", "text"} <= kinds(find_identifiers([scored.folder / "result.json"], scored.known))
    assert {"ID", "name", "date", "UID", "text"} == kinds(scored.known)


@pytest.mark.parametrize("choice", ["none", "pseudonym"])
def test_an_export_holds_no_identifier(scored: Scored, choice: IdentityChoice, tmp_path: Path) -> None:
    before = digests(scored.folder.parent)
    subject = scored.subject(choice)
    manifest = export_result(scored.folder, tmp_path / "given away", subject)
    assert [one.sentence for one in find_identifiers([tmp_path / "given away"], scored.known)] == []
    assert manifest.identity == choice
    names = {one.name for one in manifest.files}
    assert {"result.json", "report.json", "report.html", "report.csv", "roi.nrrd", "heatmap.nrrd"} <= names
    assert digests(scored.folder.parent) == before
    page = (tmp_path / "given away" / "report.html").read_text(encoding="utf-8")
    assert (subject.patient_id in page) and page.startswith("<!")


def test_an_identified_export_names_the_patient(scored: Scored, tmp_path: Path) -> None:
    export_result(scored.folder, tmp_path / "ours", scored.subject("identified"))
    found = find_identifiers([tmp_path / "ours"], scored.known)
    assert {"name", "ID", "UID"} <= kinds(found)
    text = (tmp_path / "ours" / "result.json").read_text(encoding="utf-8")
    assert str(scored.folder.parent.parent) not in text, "folders of this machine are nobody's business"
    assert '"roi": "Grunwald mask.nrrd"' in text


def test_numbers_hashes_and_times_of_the_record_stay(scored: Scored) -> None:
    shown = clean_record(scored.record, Subject(), scored.known)
    for name in ("created", "memory", "risk", "heatmap", "bundle", "seed", "seconds", "software"):
        if name != "risk":
            assert getattr(shown, name) == getattr(scored.record, name), name
    assert shown.risk.log_risk == scored.record.risk.log_risk
    assert shown.risk.covariates is not None and scored.record.risk.covariates is not None
    assert shown.risk.covariates.used == scored.record.risk.covariates.used
    assert {m: s.sha256 for m, s in shown.inputs.items()} == {m: s.sha256 for m, s in scored.record.inputs.items()}
    assert {m: s.path for m, s in shown.inputs.items()} == {"CT": "CT", "PET": "PET"}


def test_typed_texts_go_even_where_nothing_is_known_of_the_patient(scored: Scored) -> None:
    shown = clean_record(scored.record, Subject())
    assert find_in_bytes(shown.as_json(), scored.known) == ()
    assert set(shown.given) == {"age_years", "sex", "ldh_u_l"}
    assert "Zoe was tired." not in shown.notes
    assert shown.request["roi"] == "mask" and shown.request["out"] == "result"
    assert shown.roi.parts[0].name == "segment 1" and shown.roi.parts[0].maker.settings == ""


def test_cleaning_twice_is_cleaning_once(scored: Scored) -> None:
    once = clean_record(scored.record, Subject(), scored.known)
    assert clean_record(once, Subject()) == once


def test_a_record_is_cleaned_from_its_file_too(scored: Scored) -> None:
    record = read_record(scored.folder / "result.json")
    assert case_identifiers(record) == scored.known
    assert find_in_bytes(clean_record(record, Subject()).as_json(), scored.known) == ()


def test_a_mask_keeps_its_stamp_and_nothing_of_others(scored: Scored) -> None:
    from MemorySurvivalLib.privacy.clean import wording_of

    mask = read_volume(scored.folder.parent / "Grunwald mask.nrrd", "mask")
    shown = clean_image(mask, wording_of(scored.record, scored.known))
    assert set(shown.attributes) == {ROI_ATTRIBUTE, "research_use"}
    stamp = json.loads(shown.attributes[ROI_ATTRIBUTE])
    assert stamp["parts"][0]["maker"] == {"method": "segmentation file", "version": "", "settings": ""}
    assert find_in_bytes(json.dumps(dict(shown.attributes)).encode(), scored.known) == ()


def test_the_head_can_be_left_out(scored: Scored, tmp_path: Path) -> None:
    roi = read_volume(scored.folder / "roi.nrrd", "mask")
    z = roi.affine.points_mm([(0, 0, k) for k in range(roi.shape[0])])[:, 2]
    head = Head(float(np.median(z)), "for the test")
    manifest = export_result(scored.folder, tmp_path / "out", Subject(), head=head, without_head=True)
    left = read_volume(tmp_path / "out" / "roi.nrrd", "mask").voxels
    assert not left[z >= head.from_z_mm].any() and left[z < head.from_z_mm].any()
    assert manifest.notes == (HEADLESS_NOTE,)
    assert any("picture" in sentence for sentence in manifest.left_out)
    assert not list((tmp_path / "out" / "pictures").glob("*overview*"))
    with pytest.raises(InputError, match="where it begins"):
        export_result(scored.folder, tmp_path / "other", Subject(), without_head=True)


def test_an_export_is_not_overwritten_unasked(scored: Scored, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError):
            export_result(scored.folder, tmp_path / "out", Subject(), overwrite=overwrite)
    assert (tmp_path / "out" / "letter.txt").read_text() == "mine"


def test_files_of_unknown_kinds_stay_behind(scored: Scored, tmp_path: Path) -> None:
    strangers = [scored.folder / "screenshot of Zoe.png", scored.folder / "Grunwald.nrrd"]
    for path in strangers:
        path.write_bytes(b"Grunwald")
    try:
        manifest = export_result(scored.folder, tmp_path / "out", Subject())
    finally:
        for path in strangers:
            path.unlink()
    assert len(manifest.left_out) == 1 and manifest.left_out[0].startswith("2 files")
    assert find_identifiers([tmp_path / "out"], scored.known) == ()
    assert (tmp_path / "out" / MANIFEST).is_file()


def test_a_reading_loses_its_reader_and_remarks() -> None:
    items = (ReadingItem("a", "Marrow", ("1", "2"), "1", "from Zoe's liver", "2", True),)
    findings = ClinicalFindings(reading=VisualReading(items, "Dr. Weissnicht", "2021-08-17", ("Zoe is well",)))
    shown = clean_findings(findings, Subject(), [Identifier("name", "Grunwald^Zoe")]).reading
    assert shown is not None and shown.final
    assert (shown.reader, shown.confirmed_at, shown.notes) == (READER, "", ())
    assert (shown.items[0].answer, shown.items[0].basis) == ("2", "from [removed]'s liver")
    assert clean_findings(findings, Subject("identified")) == findings


@pytest.mark.parametrize("choice", ["none", "pseudonym"])
def test_dicom_objects_follow_the_profile_and_hold_no_identifier(
    scored: Scored, choice: IdentityChoice, tmp_path: Path
) -> None:
    subject = scored.subject(choice)
    export_dicom(scored.folder, tmp_path / "dicom", subject, objects=("seg", "sr", "pm", "sc"))
    assert [one.sentence for one in find_identifiers([tmp_path / "dicom"], scored.known)] == []
    objects = sorted((tmp_path / "dicom").glob("*.dcm"))
    assert len(objects) > 3
    for path in objects:
        assert find_departures(pydicom.dcmread(path), subject) == (), path.name
