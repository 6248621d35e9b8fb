"""Results sent to a real archive, Orthanc, by C-STORE and STOW-RS are there afterwards, value for value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_dicom import make_object, write, write_manifest
from node_servers import ORTHANC, Orthanc, run_orthanc
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from MemorySurvivalLib.sending.errors import SendError
from MemorySurvivalLib.sending.nodes import DimseNode, WebNode
from MemorySurvivalLib.sending.outbox import Outbox
from MemorySurvivalLib.sending.sending import check_node, send

pytestmark = [
    pytest.mark.system_package,
    pytest.mark.skipif(ORTHANC is None, reason="needs Orthanc (Debian: orthanc)"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with run_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def make_all(folder: Path, name: str) -> dict[str, Dataset]:
    """One object of each kind, of a model that is no demonstration as the manifest says."""
    objects = {kind: make_object(kind, name=name, study="2.25.77" + str(len(name))) for kind in ("seg", "sr", "sc")}
    objects["sc"].SeriesDescription = "Key images"
    for kind, dataset in objects.items():
        write(dataset, folder / f"{kind}.dcm")
    write_manifest(folder, "local-research", {f"{kind}.dcm": False for kind in objects})
    return objects


def test_c_store_reaches_the_archive(archive: Orthanc, tmp_path: Path) -> None:
    sent = make_all(tmp_path, "Müller^Jörg=山田^太郎")
    node = DimseNode("Orthanc", "127.0.0.1", archive.dicom_port, "ORTHANC", timeout_s=10)
    check_node(node)
    parcel = send([tmp_path], node, identified=True, outbox=Outbox(tmp_path / "outbox"))
    assert not parcel.left, parcel.describe()
    ae = AE(ae_title="TEST")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.PatientName = "STUDY", sent["seg"].StudyInstanceUID, ""
    asked.NumberOfStudyRelatedInstances, asked.SpecificCharacterSet = "", "ISO_IR 192"
    association = ae.associate("127.0.0.1", archive.dicom_port, ae_title="ORTHANC")
    found = [
        answer for _, answer in association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind) if answer
    ]
    association.release()
    assert len(found) == 1 and int(found[0].NumberOfStudyRelatedInstances) == 3
    uids = {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in archive.get("/instances?expand")}
    tags = archive.get(f"/instances/{uids[sent['sc'].SOPInstanceUID]}/simplified-tags")
    assert tags["SeriesDescription"] == "Key images" and (tags["Rows"], tags["Columns"]) == ("4", "4")
    assert tags["PatientName"] == "Müller^Jörg=山田^太郎"


def test_a_wrong_title_is_told_in_words(archive: Orthanc) -> None:
    with pytest.raises(SendError, match="it is not called WRONG"):
        check_node(DimseNode("Orthanc", "127.0.0.1", archive.dicom_port, "WRONG", timeout_s=10))


def test_stow_reaches_the_archive(archive: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not archive.dicomweb:
        pytest.skip("needs Orthanc's DICOMweb plugin (Debian: orthanc-dicomweb)")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sent = make_all(tmp_path, "")
    node = WebNode("Orthanc", f"{archive.address}/dicom-web", timeout_s=10)
    check_node(node)
    for _ in range(2):  # a second time they are there already, which is no failure
        parcel = send([tmp_path / "seg.dcm", tmp_path / "sc.dcm"], node, outbox=Outbox(tmp_path / "outbox"))
        assert not parcel.left, parcel.describe()
    uids = {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in archive.get("/instances?expand")}
    got = archive.get(f"/instances/{uids[sent['sc'].SOPInstanceUID]}/tags?short")
    assert got["0008,103e"] == "Key images"
    assert np.frombuffer(sent["sc"].PixelData, np.uint8).sum() == sum(range(48))
    with pytest.raises(SendError, match="has no DICOMweb service at this address"):
        check_node(WebNode("Orthanc", f"{archive.address}/nothing-here"))
