"""One export: files and DICOM objects that name whom the user chose, to a folder and to a node."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_made_up import write_series
from made_up import make_patient
from node_servers import ORTHANC, run_orthanc, serve
from pydicom import dcmread

from MemorySurvivalLib import exporting
from MemorySurvivalLib.dicom_out.sources import SourcePaths
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.exporting import ExportRequest, export_result
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.privacy.head import PERHAPS_NOTE, Head
from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.privacy.scene import PLACEHOLDER
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.sending.guard import look_at
from MemorySurvivalLib.sending.nodes import DimseNode, NodeBook
from MemorySurvivalLib.sending.outbox import Outbox

PER_BQML = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
TAGS = {"PatientName": "Quastenflosser^Jane", "PatientID": "QX-4711", "AccessionNumber": "A-77"}
SECRETS = (b"Quastenflosser", b"QX-4711", b"A-77")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, small_bundle: Path) -> Path:
    """A scored and explained case from DICOM in a folder that names the patient."""
    folder = tmp_path_factory.mktemp("Quastenflosser")
    patient = make_patient(folder).written()
    write_series(folder / "study" / "ct", patient.ct, "CT", tags=TAGS)
    bqml = patient.pet.with_voxels(patient.pet.voxels.astype(np.float64) / PER_BQML)
    write_series(folder / "study" / "pet", bqml, "PT", tags=TAGS)
    score_case(
        ScoreRequest(
            out=folder / "result",
            study=folder / "study",
            roi=patient.spine_path,
            bundle=str(small_bundle),
            device="cpu",
            explain=True,
            patch_mm=80,
            stride_mm=80,
        )
    )
    return folder / "result"


def all_bytes(folder: Path) -> bytes:
    return b"\n".join(path.name.encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("identity", ["none", "pseudonym", "identified"])
def test_an_export_names_whom_the_user_chose(result: Path, tmp_path: Path, identity: Any) -> None:
    before = all_bytes(result)
    made = export_result(
        ExportRequest(
            result,
            tmp_path / "out",
            formats=("html", "json", "csv"),
            objects=("seg", "sr", "pm", "sc"),
            identity=identity,
            pseudonym="CASE-9" if identity == "pseudonym" else None,
            volumes=True,
        )
    )
    written = all_bytes(tmp_path / "out")
    assert {"report.html", "report.json", "report.csv", "roi.nrrd", "heatmap.nrrd", "dicom/dicom.json"} <= set(
        made.files
    )
    assert any(name.startswith("dicom/seg") for name in made.files) and "dicom/pm-heatmap.dcm" in made.files
    assert all((secret in written) == (identity == "identified") for secret in SECRETS)
    assert (b"CASE-9" in written) == (identity == "pseudonym")
    listed = json.loads((tmp_path / "out" / "export.json").read_text())
    assert listed["identity"] == identity and {one["name"] for one in listed["files"]} == set(made.files)
    assert all_bytes(result) == before


def test_an_export_of_an_export_keeps_its_pseudonym(result: Path, tmp_path: Path) -> None:
    """The first copy's images cannot be asked any more, but it says itself whom it names."""
    first = ExportRequest(result, tmp_path / "a", formats=(), identity="pseudonym", pseudonym="CASE-9", record=True)
    made = export_result(first)
    again = export_result(ExportRequest(tmp_path / "a", tmp_path / "b", identity="pseudonym"))
    assert again.subject == made.subject and again.subject.patient_id == "CASE-9"
    assert b"CASE-9" in (tmp_path / "b" / "report.html").read_bytes()


def test_a_scene_goes_along_only_if_it_names_nobody(result: Path, tmp_path: Path) -> None:
    scene = tmp_path / "from the viewer.mrb"

    def write(name: str) -> None:
        with zipfile.ZipFile(scene, "w") as archive:
            archive.writestr("scene/scene.mrml", f'<MRML><Volume name="{name}"/><Item name="{PLACEHOLDER}"/></MRML>')

    request = ExportRequest(result, tmp_path / "out", formats=(), scene=scene, identity="pseudonym", pseudonym="CASE-9")
    write("CT")
    made = export_result(request)
    assert made.files == ("scene.mrb",) and made.notes == (PERHAPS_NOTE,)
    with zipfile.ZipFile(tmp_path / "out" / "scene.mrb") as archive:
        assert b"CASE-9" in archive.read("scene/scene.mrml")
    typed = (Identifier("text", "spring holiday"),)
    for name, more in (("CT of Jane Quastenflosser", ()), ("spring holiday", typed)):
        write(name)
        with pytest.raises(InputError, match="would name the patient"):
            export_result(replace(request, out=tmp_path / "no", scene_identifiers=more))
    for changes in ({"identity": "identified"}, {"leave_head_out": True}):
        with pytest.raises(InputError, match="not what was chosen"):
            export_result(replace(request, out=tmp_path / "no", **changes))
    assert not (tmp_path / "no").exists()


def test_images_that_were_moved_are_found_where_they_are_now_and_still_name_nobody(
    result: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(result.parent / "study", moved)
    copy = Path(shutil.copytree(result, tmp_path / "result"))
    record = (copy / "result.json").read_text()
    (copy / "result.json").write_text(record.replace(str(result.parent / "study"), "/gone/study"))
    with pytest.raises(InputError, match="no longer where it was"):
        export_result(ExportRequest(copy, tmp_path / "out", objects=("seg",)))
    sources = SourcePaths(moved / "ct", moved / "pet")
    export_result(ExportRequest(copy, tmp_path / "out", formats=("html", "json"), objects=("seg",), sources=sources))
    written = all_bytes(tmp_path / "out")
    assert not any(secret in written for secret in SECRETS)


def test_an_export_is_replaced_only_when_asked_and_only_if_it_is_one(result: Path, tmp_path: Path) -> None:
    request = ExportRequest(result, tmp_path / "out", formats=("csv",))
    export_result(request)
    with pytest.raises(OutputError, match="already holds something"):
        export_result(request)
    export_result(ExportRequest(result, tmp_path / "out", formats=("json",), overwrite=True))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["export.json", "report.json"]
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    with pytest.raises(OutputError, match="something other than an earlier"):
        export_result(ExportRequest(result, tmp_path / "letters", formats=("csv",), overwrite=True))
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file, not a folder"):  # said first, before there is work to lose
        export_result(ExportRequest(tmp_path / "no result", tmp_path / "file" / "out"))


def test_objects_go_to_a_node_without_the_risk_of_a_demonstration(result: Path, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    request = ExportRequest(result, objects=("seg", "sr", "pm", "sc"), formats=(), identity="identified")
    with serve() as server:
        made = export_result(request, node=server.node, outbox=outbox)
        assert made.parcel is not None and not made.parcel.left, made.parcel
        sent = list(server.stored.values())
    assert made.folder is None and made.files == ()
    assert {each.Modality for each in sent} == {"SEG"}  # the risk stays here, and there are no measurements
    assert all(each.PatientID == "QX-4711" for each in sent)
    assert any("not sent" in note for note in made.notes)


def test_risk_objects_of_a_demonstration_do_not_slip_through_a_folder_of_ones_own(result: Path, tmp_path: Path) -> None:
    export_result(ExportRequest(result, tmp_path / "out", formats=(), objects=("seg", "sr", "pm", "pdf", "sc")))
    own = tmp_path / "own"
    own.mkdir()
    for path in (tmp_path / "out" / "dicom").glob("*.dcm"):
        copy = Path(shutil.copy(path, own))
        if path.name.startswith("seg"):
            assert look_at([copy])
        else:
            with pytest.raises(InputError, match="is never sent to a node"):
                look_at([copy])
        copy.unlink()


@pytest.mark.system_package
@pytest.mark.skipif(ORTHANC is None, reason="needs Orthanc (Debian: orthanc)")
def test_every_object_of_another_bundle_reaches_a_real_archive(result: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(result, tmp_path / "result"))
    for name in ("result.json", "report.json"):
        text = (copy / name).read_text().replace('"status": "demonstration"', '"status": "local-research"')
        (copy / name).write_text(text.replace('"SIMULATED MODEL"', '"A LABEL"'))
    objects = ("seg", "sr", "pm", "pdf", "sc")
    request = ExportRequest(copy, tmp_path / "out", objects=objects, identity="identified")
    with run_orthanc(tmp_path / "orthanc") as archive:
        node = DimseNode("Orthanc", "127.0.0.1", archive.dicom_port, "ORTHANC", timeout_s=20)
        made = export_result(request, node=node, outbox=Outbox(tmp_path / "outbox"))
        assert made.parcel is not None and not made.parcel.left, made.parcel.describe()
        assert {entry.kind for entry in made.parcel.entries} == set(objects)
        stored = {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in archive.get("/instances?expand")}
        assert set(stored) == {entry.sop_instance_uid for entry in made.parcel.entries}
        (study,) = archive.get("/studies?expand")
        assert study["PatientMainDicomTags"]["PatientID"] == "QX-4711"


def test_the_head_can_be_left_out(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = read_volume(result / "roi.nrrd", "mask")
    inside = np.argwhere(mask.voxels)
    z_mm = (mask.affine.matrix @ np.c_[inside[:, ::-1], np.ones(len(inside))].T)[2]
    plane_mm = float(np.median(z_mm)) + 0.1
    monkeypatch.setattr(exporting, "find_head", lambda ct: Head(plane_mm, "Made up."))
    ct = result.parent / "study" / "ct"
    with_head = export_result(ExportRequest(result, tmp_path / "a", volumes=True))
    objects = ("seg", "sc")
    without = export_result(
        ExportRequest(result, tmp_path / "b", volumes=True, leave_head_out=True, ct=ct, objects=objects)
    )
    assert any("may be recognised" in note or "cannot be told" in note for note in with_head.notes)
    assert any("left out" in note for note in without.notes)
    kept = read_volume(tmp_path / "b" / "roi.nrrd", "mask").voxels
    assert np.count_nonzero(kept) == np.count_nonzero(z_mm < plane_mm) < np.count_nonzero(mask.voxels)
    (seg,) = (tmp_path / "b" / "dicom").glob("seg*.dcm")
    assert np.count_nonzero(dcmread(seg).pixel_array) == np.count_nonzero(kept)
    pages = [(tmp_path / name / "report.html").read_text().count("data:image/png") for name in ("a", "b")]
    assert pages[1] < pages[0]


def test_a_region_within_the_head_cannot_be_exported_without_it(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_head", lambda ct: Head(-1e6, "All of it is head."))
    ct = result.parent / "study" / "ct"
    with pytest.raises(InputError, match=r"Nothing of the region is left without the head \(All of it is head"):
        export_result(ExportRequest(result, tmp_path / "out", volumes=True, leave_head_out=True, ct=ct))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_told(result: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder or a node"):
        export_result(ExportRequest(result))
    with serve() as server, pytest.raises(InputError, match="Only DICOM objects can be sent"):
        export_result(ExportRequest(result), node=server.node)
    with pytest.raises(InputError, match=r"no result\.json"):
        export_result(ExportRequest(tmp_path, tmp_path / "out"))
    with pytest.raises(InputError, match="clinical findings are not valid"):
        export_result(ExportRequest(result, tmp_path / "out", findings={"scores": [{"name": 1}]}))
    assert not (tmp_path / "out").exists()


def test_the_panel_exports_with_findings(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(tmp_path / "data"))
    copy = Path(shutil.copytree(result, tmp_path / "result"))
    score = {"name": "ISS", "value": "II", "sentence": "ISS II", "inputs": {}, "missing": [], "citation": "x"}
    with serve() as server:
        NodeBook().save(server.node)
        told = find_job("export")(
            {
                "folder": str(copy),
                "out": str(tmp_path / "out"),
                "formats": ["html"],
                "objects": ["seg"],
                "findings": {"scores": [score], "reading": None, "reviewed_lesions": []},
                "node": "test",
            },
            JobContext(ignore_progress, lambda text: None),
        ).result
    assert told["sent"]["left"] == 0 and told["files"] and told["folder"] == str(tmp_path / "out")
    assert "ISS" in (tmp_path / "out" / "report.html").read_text()
    (seg,) = (tmp_path / "out" / "dicom").glob("seg*.dcm")
    assert dcmread(seg).PatientName == ""
