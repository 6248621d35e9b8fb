"""A scored DICOM case with a conspicuous identity: nothing that is exported tells of it unless that was chosen."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pydicom
import pytest
from dicom_made_up import write_series
from made_up import BundleMaker, make_patient

from MemorySurvivalLib import exporting
from MemorySurvivalLib.clinical.record import ClinicalFindings, ReadingItem, VisualReading
from MemorySurvivalLib.dicom_out import export
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.exporting import ExportRequest, export_result
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.privacy.burned_in import BURNED_IN_NOTE
from MemorySurvivalLib.privacy.clean import READER, case_identifiers, clean_findings, clean_record
from MemorySurvivalLib.privacy.head import HEADLESS_NOTE, PERHAPS_NOTE, PRECAUTION_NOTE, Head
from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.privacy.images import clean_image
from MemorySurvivalLib.privacy.manifest import FILE_NAME, ExportManifest, list_files
from MemorySurvivalLib.privacy.profile import find_departures
from MemorySurvivalLib.privacy.scan import find_identifiers, find_in_bytes
from MemorySurvivalLib.report.model import read_report
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.subject import IdentityChoice, Subject
from MemorySurvivalLib.report.writing import FORMATS
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


@dataclass(frozen=True)
class Scored:
    """A result folder and what is known of the patient."""

    folder: Path
    record: CaseRecord
    known: tuple[Identifier, ...]


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


@pytest.fixture(autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path_factory.mktemp("key")))


def give_away(folder: Path, out: Path, identity: IdentityChoice = "none", **asked: Any) -> ExportManifest:
    """An export of all that a result can give but DICOM objects; what its list says."""
    request = {"formats": ("html", "json", "csv"), "record": True, "tables": True, "volumes": True, **asked}
    made = export_result(ExportRequest(folder, out, identity=identity, **request))
    told = msgspec.json.decode((out / FILE_NAME).read_bytes(), type=ExportManifest)
    assert (told.left_out, told.notes) == (made.left_out, made.notes)
    assert tuple(one.name for one in told.files) == made.files
    return told


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
    manifest = give_away(
        scored.folder, tmp_path / "given away", choice, formats=FORMATS, objects=("seg", "sr", "pm", "pdf", "sc")
    )
    assert [one.sentence for one in find_identifiers([tmp_path / "given away"], scored.known)] == []
    assert manifest.identity == choice
    names = {one.name for one in manifest.files}
    assert {"result.json", "report.json", "report.html", "report.csv", "report.pdf"} <= names
    assert {"roi.nrrd", "heatmap.nrrd", "dicom/dicom.json", "dicom/report.dcm", "dicom/pm-heatmap.dcm"} <= names
    assert any(name.startswith("pictures/") for name in names)
    written = {one.name: (one.sha256, one.size_bytes) for one in list_files(tmp_path / "given away")}
    del written[FILE_NAME]
    assert written == {one.name: (one.sha256, one.size_bytes) for one in manifest.files}
    assert digests(scored.folder.parent) == before
    report = read_report(tmp_path / "given away")
    page = (tmp_path / "given away" / "report.html").read_text(encoding="utf-8")
    assert report.subject.patient_id in page and page.startswith("<!")
    for path in (tmp_path / "given away" / "dicom").glob("*.dcm"):
        assert find_departures(pydicom.dcmread(path), report.subject) == (), path.name


def test_an_identified_export_names_the_patient(scored: Scored, tmp_path: Path) -> None:
    give_away(scored.folder, tmp_path / "ours", "identified")
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


def test_the_head_can_be_left_out(scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roi = read_volume(scored.folder / "roi.nrrd", "mask")
    z = roi.affine.points_mm([(0, 0, k) for k in range(roi.shape[0])])[:, 2]
    plane_mm = float(np.median(z))
    monkeypatch.setattr(exporting, "find_head", lambda ct: Head(plane_mm, "For the test."))
    manifest = give_away(scored.folder, tmp_path / "out", leave_head_out=True)
    left = read_volume(tmp_path / "out" / "roi.nrrd", "mask").voxels
    assert not left[z >= plane_mm].any() and left[z < plane_mm].any()
    assert manifest.head_left_out and manifest.notes == (HEADLESS_NOTE, "For the test.")
    assert any("picture" in sentence for sentence in manifest.left_out)
    assert not list((tmp_path / "out" / "pictures").glob("*overview*"))
    monkeypatch.setattr(exporting, "find_head", lambda ct: Head(None, "No head here."))
    manifest = give_away(scored.folder, tmp_path / "all", leave_head_out=True)
    assert not manifest.head_left_out and manifest.notes == ("No head here.",) and not manifest.left_out
    monkeypatch.setattr(exporting, "find_head", lambda ct: Head(plane_mm, "The uppermost 300 mm.", known=False))
    manifest = give_away(scored.folder, tmp_path / "perhaps", leave_head_out=True)
    assert manifest.head_left_out and manifest.notes == (PRECAUTION_NOTE, "The uppermost 300 mm.")


def test_a_precaution_that_would_take_the_whole_region_says_so(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_head", lambda ct: Head(-1e6, "The uppermost 300 mm.", known=False))
    with pytest.raises(InputError, match=r"is a precaution: The uppermost 300 mm\. Look whether"):
        give_away(scored.folder, tmp_path / "out", leave_head_out=True)
    assert not list(tmp_path.iterdir())


def test_the_head_is_only_spoken_of_where_something_could_show_it(scored: Scored, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"record": False, "tables": True, "volumes": False, "formats": ("json", "csv")}
    assert give_away(scored.folder, tmp_path / "numbers", **asked).notes == ()
    assert not (tmp_path / "numbers" / "pictures").exists()
    asked["volumes"] = True
    assert give_away(scored.folder, tmp_path / "voxels", **asked).notes == (PERHAPS_NOTE,)
    asked |= {"volumes": False, "formats": ("html",)}
    assert give_away(scored.folder, tmp_path / "pages", **asked).notes == (PERHAPS_NOTE,)


def test_burned_in_text_is_told_where_pictures_go_along(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = pydicom.Dataset()
    header.BurnedInAnnotation = "YES"
    monkeypatch.setattr(exporting, "read_headers", lambda path, few: (header,))
    numbers: dict[str, Any] = {"formats": ("csv",), "record": False, "volumes": False}
    assert BURNED_IN_NOTE in give_away(scored.folder, tmp_path / "a", formats=("html",)).notes
    assert BURNED_IN_NOTE not in give_away(scored.folder, tmp_path / "b", **numbers).notes
    assert give_away(scored.folder, tmp_path / "c", "identified").notes == (), "the patient is named anyway"


def test_why_objects_were_left_out_is_told_without_the_words_of_the_series(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "refuse_unreferable", lambda series: f"The CT {series.title} carries no UID.")
    manifest = give_away(scored.folder, tmp_path / "out", objects=("seg", "sc"))
    assert any("carries no UID" in sentence for sentence in manifest.left_out)
    assert find_identifiers([tmp_path / "out"], scored.known) == ()
    manifest = give_away(scored.folder, tmp_path / "ours", "identified", objects=("seg", "sc"))
    assert any("CT of Zoe" in sentence for sentence in manifest.left_out)


def test_objects_of_a_pseudonym_stay_in_one_study(scored: Scored, tmp_path: Path) -> None:
    for name, kind in (("a", "seg"), ("b", "sr")):
        made = ExportRequest(scored.folder, tmp_path / name, formats=(), objects=(kind,), identity="pseudonym")  # type: ignore[arg-type]
        assert export_result(made).subject.patient_id.startswith("MS-")
    studies = {pydicom.dcmread(path).StudyInstanceUID for path in tmp_path.rglob("*.dcm")}
    assert len(studies) == 1


def test_an_export_is_not_overwritten_unasked(scored: Scored, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError):
            give_away(scored.folder, tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "letter.txt").read_text() == "mine"


def test_files_of_unknown_kinds_stay_behind(scored: Scored, tmp_path: Path) -> None:
    strangers = [scored.folder / "screenshot of Zoe.png", scored.folder / "Grunwald.nrrd"]
    for path in strangers:
        path.write_bytes(b"Grunwald")
    try:
        manifest = give_away(scored.folder, tmp_path / "out")
    finally:
        for path in strangers:
            path.unlink()
    assert len(manifest.left_out) == 1 and manifest.left_out[0].startswith("2 files")
    assert find_identifiers([tmp_path / "out"], scored.known) == ()


def test_a_reading_loses_its_reader_and_remarks() -> None:
    items = (ReadingItem("a", "Marrow", ("1", "2"), "1", "from Zoe's liver", "2", True),)
    findings = ClinicalFindings(reading=VisualReading(items, "Dr. Weissnicht", "2021-08-17", ("Zoe is well",)))
    shown = clean_findings(findings, Subject(), [Identifier("name", "Grunwald^Zoe")]).reading
    assert shown is not None and shown.final
    assert (shown.reader, shown.confirmed_at, shown.notes) == (READER, "", ())
    assert (shown.items[0].answer, shown.items[0].basis) == ("2", "from [removed]'s liver")
    assert clean_findings(findings, Subject("identified")) == findings
