"""Export of a whole result: what is written, that it reads back and is valid, and where it is refused."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import msgspec
import numpy as np
import pydicom
import pytest
from dicom_made_up import write_series
from made_up import ROOT
from pydicom.uid import DeflatedExplicitVRLittleEndian

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.manifest import LearnedFrom
from MemorySurvivalLib.bundle.rights import SIMULATED_MODEL
from MemorySurvivalLib.dicom_out.codes import HEADS_SIMULATED, PRIVATE
from MemorySurvivalLib.dicom_out.export import export_dicom
from MemorySurvivalLib.dicom_out.manifest import ExportedObjects, read_manifest
from MemorySurvivalLib.dicom_out.sources import SourcePaths, refuse_unreferable
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.statistics import STATISTICS
from MemorySurvivalLib.progress import ProgressCallback
from MemorySurvivalLib.report.model import read_report
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.roi.segments import Maker, Segmentation
from MemorySurvivalLib.roi.terminology import structure
from MemorySurvivalLib.scoring import StatisticUsed
from MemorySurvivalLib.segmenting import SegmentRequest, segment_to_folder

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"
IDENTIFIED = Subject("identified")
VALIDATOR = shutil.which("dciodvfy")


def read(exported: tuple[Path, ExportedObjects], kind: str) -> pydicom.Dataset:
    out, objects = exported
    return pydicom.dcmread(out / next(one.file for one in objects.objects if one.kind == kind))


def numbers_of(group: pydicom.Dataset) -> dict[tuple[str, str], tuple[float, str]]:
    """(concept, derivation) -> value and unit of the measurements in a group."""
    found = {}
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            value = item.MeasuredValueSequence[0]
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            derived = [
                each.ConceptCodeSequence[0].CodeMeaning
                for each in item.get("ContentSequence", [])
                if each.ValueType == "CODE" and each.ConceptNameCodeSequence[0].CodeMeaning == "Derivation"
            ]
            name = item.ConceptNameCodeSequence[0].CodeValue
            found[name, derived[0] if derived else ""] = (float(value.NumericValue), unit)
    return found


def texts_of(ds: pydicom.Dataset) -> list[str]:
    return [
        item.TextValue
        for item in ds.ContentSequence
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    ]


def groups_of(ds: pydicom.Dataset) -> list[pydicom.Dataset]:
    (container,) = [
        item
        for item in ds.ContentSequence
        if item.ValueType == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    return list(container.ContentSequence)


def test_everything_is_written_and_listed_with_what_carries_the_risk(exported) -> None:
    out, objects = exported
    kinds = [one.kind for one in objects.objects]
    assert kinds[:6] == ["region", "lesions", "measurements", "risk", "heatmap", "report"] and "picture" in kinds
    assert objects.left_out == () and objects.same_study
    safe = {one.kind for one in objects.objects if not one.carries_risk}
    assert safe == {"region", "lesions", "measurements"} == {one.kind for one in objects.sendable}
    assert len(replace(objects, bundle_status="validated").sendable) == len(objects.objects)
    assert read_manifest(out) == objects
    assert {path.name for path in out.iterdir()} == {"dicom.json", *(one.file for one in objects.objects)}


def test_objects_join_the_study_of_the_source_in_series_of_their_own(exported, finished) -> None:
    out, objects = exported
    source = pydicom.dcmread(next((finished.study / "ct").iterdir()))
    series = set()
    for one in objects.objects:
        ds = pydicom.dcmread(out / one.file)
        assert (ds.PatientID, str(ds.PatientName), ds.PatientSex) == ("P1", NAME, "F")
        assert ds.PatientName.ideographic == "山田^太郎" and ds.PatientName.phonetic == "やまだ^たろう"
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert ds.StudyInstanceUID == source.StudyInstanceUID == objects.study_instance_uid
        assert (ds.AccessionNumber, ds.StudyDate) == ("A-77", "20200131")
        assert ds.TimezoneOffsetFromUTC == "+0900"
        assert "esearch use only" in ds.SeriesDescription and len(ds.SeriesDescription) <= 64
        assert ds.SeriesDescription.startswith(SIMULATED_MODEL) == one.carries_risk
        assert ds.SOPInstanceUID == one.sop_instance_uid and len(ds.SOPInstanceUID) <= 64
        if one.kind != "picture":
            assert (ds.SeriesInstanceUID, ds.SeriesNumber) not in series
            series.add((ds.SeriesInstanceUID, ds.SeriesNumber))
    created = read_record(finished.result / "result.json").created
    moment = np.datetime64(created[:19]) + np.timedelta64(9, "h")
    ds = read(exported, "region")
    assert str(moment).replace("-", "").replace(":", "").replace("T", "") == ds.ContentDate + ds.ContentTime


def test_masks_refer_to_the_ct_and_read_back_as_they_were(exported, finished) -> None:
    out, _ = exported
    seg = hd.seg.segread(out / "seg-region.dcm")
    sources = {pydicom.dcmread(path).SOPInstanceUID for path in (finished.study / "ct").iterdir()}
    referenced = {item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced < sources
    mask = read_volume(finished.result / "roi.nrrd", "mask")
    found = seg.get_volume(segment_numbers=[1], combine_segments=False)
    inside = np.argwhere(found.array[..., 0])
    points = found.map_indices_to_reference(inside)
    index = np.rint(mask.affine.indices(points)).astype(int)
    assert len(inside) == int(mask.voxels.sum()) and mask.voxels[index[:, 2], index[:, 1], index[:, 0]].all()
    lesions = hd.seg.segread(out / "seg-lesions.dcm")
    assert [segment.SegmentLabel for segment in lesions.SegmentSequence] == ["focal 1 T7", "diffuse 2 rib_left_7"]
    assert lesions.SegmentSequence[0].AnatomicRegionSequence[0].CodeValue == "62487009"


def test_measurements_are_coded_with_units_and_segments(exported) -> None:
    out, _ = exported
    document = hd.sr.srread(out / "sr-measurements.dcm")
    assert isinstance(document, hd.sr.Comprehensive3DSR)
    region, focal, diffuse = groups_of(document)
    assert numbers_of(region)["118565006", ""] == (100.0, "ml")
    found = numbers_of(focal)
    assert found["126400", "Maximum"] == (9.75, "g/ml{SUVbw}")
    assert found["126400", "Peak Value Within ROI"] == (8.5, "g/ml{SUVbw}")
    assert found["126032", ""] == (12.5, "ml") and found["126033", ""] == (75.0, "g")
    assert ("126033", "") not in numbers_of(diffuse)
    lesions = pydicom.dcmread(out / "seg-lesions.dcm")
    tracked = {each.TrackingUID: each.SegmentNumber for each in lesions.SegmentSequence}
    for group, label in ((focal, "lesion 1"), (diffuse, "lesion 2")):
        values = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group.ContentSequence}
        assert values["Tracking Identifier"].TextValue == label
        (reference,) = values["Referenced Segment"].ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == lesions.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == tracked[values["Tracking Unique Identifier"].UID]
    sites = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in diffuse.ContentSequence}
    assert sites["Finding Site"].ContentSequence[0].ConceptCodeSequence[0].CodeMeaning == "Left"
    assert texts_of(document)[0] == RESEARCH_USE
    assert "risk" not in " ".join(texts_of(document)).lower()


def test_the_risk_says_which_model_it_is_of_and_what_it_may(exported, finished) -> None:
    out, _ = exported
    record = read_record(finished.result / "result.json")
    document = hd.sr.srread(out / "sr-risk.dcm")
    assert texts_of(document)[0] == " / ".join((*record.risk.labels, RESEARCH_USE))
    group, *hotspots = groups_of(document)
    found = numbers_of(group)
    assert found["LOG_RISK", ""] == (pytest.approx(record.risk.log_risk, rel=1e-5), "1")
    assert found["RISK_POSITION", ""] == (pytest.approx(record.risk.position, rel=1e-5), "1")
    assert ("PFS_AT_HORIZON", "") not in found, "a demonstration bundle may not say it of a case that is not simulated"
    said = (out / "sr-risk.dcm").read_bytes()
    assert record.bundle.sha256.encode() in said and b"99MEMSURV" in said and b"STATUS_DEMO" in said
    assert record.heatmap is not None and len(hotspots) == len(record.heatmap.hotspots)
    scheme = {each.CodingSchemeDesignator for each in document.CodingSchemeIdentificationSequence}
    assert scheme == {"99MEMSURV"}


def test_the_map_holds_the_heatmap_where_it_lies(exported, finished, tmp_path: Path) -> None:
    out, objects = exported
    found = hd.imread(out / "pm-heatmap.dcm")
    heatmap = read_volume(finished.result / "heatmap.nrrd", "heatmap")
    volume = found.get_volume()
    index = np.argwhere(np.ones(volume.spatial_shape, dtype=bool))
    at = np.rint(heatmap.affine.indices(volume.map_indices_to_reference(index))).astype(int)
    values = heatmap.voxels[at[:, 2], at[:, 1], at[:, 0]]
    assert np.array_equal(volume.array.ravel(), values) and values.size == heatmap.voxels.size
    (mapping,) = found.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "LOG_RISK_CHANGE"
    places = {}
    for path in (finished.study / "ct").iterdir():
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        places[ds.SOPInstanceUID] = float(ds.ImagePositionPatient[2])
    for frame in found.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        lies = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        assert places[source.ReferencedSOPInstanceUID] == pytest.approx(lies)
    packed = export_dicom(finished.result, tmp_path / "packed", IDENTIFIED, ("pm",), deflate=True)
    (one,) = packed.objects
    again = pydicom.dcmread(tmp_path / "packed" / one.file)
    assert one.transfer_syntax_uid == DeflatedExplicitVRLittleEndian
    assert one.size_bytes < objects.objects[4].size_bytes
    assert again.FloatPixelData == found.FloatPixelData


def test_report_and_pictures_are_carried_with_their_labels(exported, finished) -> None:
    pdf, picture = read(exported, "report"), read(exported, "picture")
    assert pdf.EncapsulatedDocument.startswith(b"%PDF-") and len(pdf.EncapsulatedDocument) % 2 == 0
    assert (pdf.BurnedInAnnotation, pdf.Modality) == ("YES", "DOC")
    assert picture.pixel_array.shape == (picture.Rows, picture.Columns, 3)
    drawn = read_report(finished.result).pictures_as("overview")[0]
    from PIL import Image

    with Image.open(finished.result / drawn.file) as opened:
        rows = opened.height
        white = Image.new("RGB", opened.size, "white")
        white.paste(opened.convert("RGBA"), (0, 0), opened.convert("RGBA"))
        assert np.array_equal(picture.pixel_array[:rows], np.asarray(white))
    assert picture.pixel_array[rows:].min() < 100, "the strip says what it is"
    assert (picture.PhotometricInterpretation, picture.ConversionType) == ("RGB", "WSD")


@pytest.mark.system_package
@pytest.mark.skipif(VALIDATOR is None, reason="dciodvfy (dicom3tools) is not installed")
def test_every_object_is_valid(exports) -> None:
    assert VALIDATOR is not None
    for export in exports.values():
        for path in export.objects.files(export.out):
            done = subprocess.run([VALIDATOR, str(path)], capture_output=True, text=True)
            said = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]
            assert not said and done.returncode == 0, f"{export.subject.choice} {path.name}: {said}"


def test_the_same_result_gives_the_same_bytes(finished, tmp_path: Path) -> None:
    first, again = (export_dicom(finished.result, tmp_path / name, IDENTIFIED, ("seg", "sr", "pm")) for name in "ab")
    assert again.objects == first.objects
    other = finished.copied(tmp_path)
    roi = other.result / "roi.nrrd"
    roi.write_bytes(roi.read_bytes().replace(b"# Complete", b"# complete"))
    changed = export_dicom(other.result, tmp_path / "changed", IDENTIFIED, ("seg", "sr", "pm"))
    assert not {one.sop_instance_uid for one in changed.objects} & {one.sop_instance_uid for one in first.objects}


def test_named_structures_are_written_where_they_are_given(finished, tmp_path: Path) -> None:
    def segment(ct: Volume, progress: ProgressCallback) -> Segmentation:
        labels = np.zeros(ct.shape, dtype=np.uint8)
        labels[4:8, 20:30, 20:28] = 7
        return Segmentation(ct.with_voxels(labels), {7: structure("L3")}, Maker("a segmenter", "1.2"))

    made = tmp_path / "structures"
    request = SegmentRequest(ct=finished.patient.ct_path, out=made, kinds=())
    segment_to_folder(request, segmenter=segment)
    exported = export_dicom(finished.result, tmp_path / "out", IDENTIFIED, ("seg",), structures=made)
    assert [one.kind for one in exported.sendable] == ["region", "lesions", "structures"]
    seg = hd.seg.segread(tmp_path / "out" / "seg-structures.dcm")
    assert seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "36470004"
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC" and seg.NumberOfFrames == 4
    with pytest.raises(InputError, match=r"There is no structures\.json"):
        export_dicom(finished.result, tmp_path / "none", IDENTIFIED, ("seg",), structures=finished.result)


def test_every_private_code_is_documented() -> None:
    page = (ROOT / "docs" / "dicom-results.md").read_text(encoding="utf-8")
    for value, meaning in PRIVATE.items():
        assert f"| {value} | {meaning} |" in page
        assert len(value) <= 16 and len(meaning) <= 64


def test_covariates_are_told_only_when_asked(finished, tmp_path: Path) -> None:
    other = finished.copied(tmp_path)
    record = read_record(other.result / "result.json")
    from MemorySurvivalLib.risk.covariates import EncodedCovariates

    covariates = EncodedCovariates((0.0,), {"age_years": "61"}, ("sex",), ())
    replace(record, risk=replace(record.risk, covariates=covariates)).write(other.result / "result.json")
    for asked in (False, True):
        out = tmp_path / f"asked {asked}"
        export_dicom(other.result, out, IDENTIFIED, ("sr",), with_covariates=asked)
        assert (b"Covariate Age 61 years" in (out / "sr-risk.dcm").read_bytes()) is asked


def test_what_the_model_read_of_the_region_is_a_group_of_its_own(finished, tmp_path: Path) -> None:
    other = finished.copied(tmp_path)
    record = read_record(other.result / "result.json")
    read = [StatisticUsed(name, float(n), one.unit) for n, (name, one) in enumerate(STATISTICS.items(), start=1)]
    read[3] = replace(read[3], value=None)
    replace(record, risk=replace(record.risk, statistics=tuple(read))).write(other.result / "result.json")
    export_dicom(other.result, tmp_path / "out", IDENTIFIED, ("sr",))
    document = hd.sr.srread(tmp_path / "out" / "sr-risk.dcm")
    risk, group, *_hotspots = groups_of(document)
    assert ("126400", "Maximum") not in numbers_of(risk)
    assert numbers_of(group) == {
        ("126400", "Maximum"): (1, "g/ml{SUVbw}"),
        ("126400", "Peak Value Within ROI"): (2, "g/ml{SUVbw}"),
        ("126400", "Mean"): (3, "g/ml{SUVbw}"),
        ("126032", ""): (5, "ml"),
        ("126033", ""): (6, "g"),
        ("112031", "Mean"): (7, "[hnsf'U]"),
        ("112031", "Standard Deviation"): (8, "[hnsf'U]"),
        ("112031", "Tenth percentile (qualifier value)"): (9, "[hnsf'U]"),
        ("118565006", ""): (10, "ml"),
    }
    said = texts_of(group)
    assert "MTV: volume of the region's voxels with SUVbw 4 or more." in said
    assert "SUV median: not measurable, so the training cohort's average was taken." in said
    assert b"MODEL_INPUT" in (tmp_path / "out" / "sr-risk.dcm").read_bytes()
    if VALIDATOR is not None:
        done = subprocess.run([VALIDATOR, str(tmp_path / "out" / "sr-risk.dcm")], capture_output=True, text=True)
        assert done.returncode == 0 and "Error" not in done.stdout + done.stderr


def test_the_status_says_heads_where_the_backbone_saw_patients(finished, tmp_path: Path) -> None:
    other = finished.copied(tmp_path)
    record = read_record(other.result / "result.json")
    learned = LearnedFrom(40, ("real-A-PET",), "CC BY 3.0", True)
    backbone = msgspec.structs.replace(record.bundle.backbone, learned_from=learned)
    replace(record, bundle=replace(record.bundle, backbone=backbone)).write(other.result / "result.json")
    export_dicom(other.result, tmp_path / "out", IDENTIFIED, ("sr",))
    said = (tmp_path / "out" / "sr-risk.dcm").read_bytes()
    assert b"STATUS_DEMO" in said and HEADS_SIMULATED.encode() in said
    assert PRIVATE["STATUS_DEMO"].encode() not in said and len(HEADS_SIMULATED) <= 64


def test_other_images_are_refused(finished, tmp_path: Path) -> None:
    study = Path(shutil.copytree(finished.study, tmp_path / "study"))
    path = sorted((study / "ct").iterdir())[7]
    ds = pydicom.dcmread(path)
    pixels = bytearray(ds.PixelData)
    pixels[100] ^= 1
    ds.PixelData = bytes(pixels)
    ds.save_as(path)
    with pytest.raises(InputError, match="not the CT that was scored"):
        export_dicom(finished.result, tmp_path / "out", IDENTIFIED, sources=SourcePaths(study=study))
    with pytest.raises(InputError, match="is gone"):
        export_dicom(finished.result, tmp_path / "out", IDENTIFIED, sources=SourcePaths(study=tmp_path / "none"))
    assert not (tmp_path / "out").exists()


def test_images_that_moved_are_found_where_they_are_said_to_be(finished, tmp_path: Path) -> None:
    study = Path(shutil.copytree(finished.study, tmp_path / "moved"))
    paths = SourcePaths(ct=study / "ct", pet=study / "pet")
    exported = export_dicom(finished.result, tmp_path / "out", IDENTIFIED, ("seg",), sources=paths)
    assert [one.kind for one in exported.objects] == ["region", "lesions"]


def test_a_ct_that_a_viewer_handed_on_is_known_again(finished, tmp_path: Path) -> None:
    other = finished.copied(tmp_path)
    record = read_record(other.result / "result.json")
    shown = finished.patient.ct.reoriented("RAS")
    handed = shown.with_voxels(shown.voxels.astype(np.float32))
    source = replace(record.inputs["CT"], sha256=handed.sha256(), orientation="RAS", path="gone.nrrd")
    request = {**record.request, "study": None, "ct": "gone.nrrd", "pet": "gone too.nrrd"}
    inputs = {**record.inputs, "CT": source}
    replace(record, inputs=inputs, request=request).write(other.result / "result.json")
    with pytest.raises(InputError, match="no longer where it was"):
        export_dicom(other.result, tmp_path / "out", IDENTIFIED)
    paths = SourcePaths(ct=finished.study / "ct")
    exported = export_dicom(other.result, tmp_path / "out", IDENTIFIED, ("seg",), sources=paths)
    assert len(exported.objects) == 2 and "CT alone" in exported.notes[0]


@pytest.mark.parametrize(
    ("tags", "said"),
    [({"FrameOfReferenceUID": None}, "no Frame of Reference UID"), ({"SOPInstanceUID": None}, "no SOP Instance UID")],
)
def test_images_that_nothing_can_refer_to_are_said(finished, tmp_path: Path, tags: dict, said: str) -> None:
    write_series(tmp_path, finished.patient.ct, "CT", tags=tags)
    (series,) = scan(tmp_path).series
    assert said in refuse_unreferable(series) and "report and its pictures" in refuse_unreferable(series)


def test_another_patient_is_refused(finished, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another patient or study") as caught:
        export_dicom(finished.result, tmp_path / "out", Subject("identified", patient_id="P2"))
    assert "P2" not in str(caught.value) and "P1" not in str(caught.value)


def test_an_existing_folder_is_not_overwritten(finished, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(OutputError, match="already holds something"):
        export_dicom(finished.result, tmp_path, IDENTIFIED)
    with pytest.raises(OutputError, match="other than an earlier result"):
        export_dicom(finished.result, tmp_path, IDENTIFIED, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_image_files_leave_the_report_and_its_pictures(finished, tmp_path: Path) -> None:
    other = finished.copied(tmp_path)
    record = read_record(other.result / "result.json")
    files = {
        **record.request,
        "study": None,
        "ct": str(finished.patient.ct_path),
        "pet": str(finished.patient.pet_path),
    }
    replace(record, request=files).write(other.result / "result.json")
    with pytest.raises(InputError, match="name the patient"):
        export_dicom(other.result, tmp_path / "out", IDENTIFIED)
    who = Subject("identified", name="Müller, Anna", patient_id="X-1", birth_date="1960-02-03", sex="F")
    exported = export_dicom(other.result, tmp_path / "out", who)
    assert {one.kind for one in exported.objects} == {"report", "picture"} and not exported.same_study
    assert any("cannot be written as DICOM" in note for note in exported.notes)
    ds = pydicom.dcmread(tmp_path / "out" / "report.dcm")
    assert (str(ds.PatientName), ds.PatientBirthDate) == ("Müller^Anna", "19600203")
    with pytest.raises(InputError, match="cannot be written as DICOM"):
        export_dicom(other.result, tmp_path / "masks", who, ("seg",))


def test_the_report_names_whom_the_objects_name_whatever_lies_in_the_folder(finished, tmp_path: Path) -> None:
    other = finished.copied(tmp_path)
    (other.result / "report.pdf").write_bytes(b"%PDF-1.7 Yamada Tarou")
    export_dicom(other.result, tmp_path / "none", Subject(), ("pdf",))
    ds = pydicom.dcmread(tmp_path / "none" / "report.dcm")
    assert b"Yamada" not in ds.EncapsulatedDocument and ds.BurnedInAnnotation == "NO"
    given = tmp_path / "given.pdf"
    given.write_bytes(b"%PDF-1.7 made for this export")
    export_dicom(other.result, tmp_path / "given", IDENTIFIED, ("pdf",), pdf=given)
    pdf = pydicom.dcmread(tmp_path / "given" / "report.dcm").EncapsulatedDocument
    assert pdf.rstrip(b"\0") == given.read_bytes()
    given.write_bytes(b"no PDF")
    with pytest.raises(InputError, match="not a PDF"):
        export_dicom(other.result, tmp_path / "no", IDENTIFIED, ("seg", "pdf"), pdf=given)
    assert not (tmp_path / "no").exists()


def test_what_a_result_lacks_is_said(finished, tmp_path: Path) -> None:
    other = finished.copied(tmp_path)
    record = read_record(other.result / "result.json")
    replace(record, measurements=None, heatmap=None).write(other.result / "result.json")
    for name in ("heatmap.nrrd", "lesions.nrrd", "report.json"):
        (other.result / name).unlink()
    exported = export_dicom(other.result, tmp_path / "out", IDENTIFIED)
    assert {one.kind for one in exported.objects} == {"region", "risk"}
    assert len(exported.left_out) == 4
    with pytest.raises(InputError, match="chosen from"):
        export_dicom(other.result, tmp_path / "other", IDENTIFIED, ("png",))  # type: ignore[arg-type]
