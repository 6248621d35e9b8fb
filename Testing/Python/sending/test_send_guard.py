"""What may leave the machine: never the risk of a demonstration bundle, never a name without the user's word."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_dicom import SIMULATED, make_object, make_results, write, write_manifest
from pydicom import dcmwrite

from MemorySurvivalLib.dicom_out.codes import PRIVATE, STATUS_VALUES
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.sending.guard import check_identity, find_files, look_at
from MemorySurvivalLib.sending.nodes import DimseNode
from MemorySurvivalLib.sending.outbox import Outbox
from MemorySurvivalLib.sending.outgoing import HARMLESS_CODES, STATUS_CODES
from MemorySurvivalLib.sending.sending import send


def refuse(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match):
        look_at([path])


@pytest.mark.parametrize("kind", ["pm", "pdf", "sc"])
def test_pictures_and_maps_of_a_simulated_model_never_go(tmp_path: Path, kind: str) -> None:
    path = write(make_object(kind, label=SIMULATED), tmp_path / "a.dcm")
    refuse(path, r"a\.dcm .* carries the risk of a SIMULATED MODEL and is never sent")


@pytest.mark.parametrize("code", ["LOG_RISK", "STABILITY", "SOMETHING_NEW"])
def test_a_report_with_a_private_risk_concept_of_a_simulated_model_never_goes(tmp_path: Path, code: str) -> None:
    refuse(write(make_object("sr", label=SIMULATED, private_code=code), tmp_path / "a.dcm"), "never sent")


def test_a_report_says_by_a_code_what_evidence_its_model_has(tmp_path: Path) -> None:
    refuse(write(make_object("sr", private_code="STATUS_DEMO"), tmp_path / "a.dcm"), "never sent")
    assert look_at([write(make_object("sr", private_code="STATUS_LOCAL"), tmp_path / "a.dcm")])[0].speaks_of_risk


def test_the_private_codes_are_those_of_the_export() -> None:
    assert set(PRIVATE) >= HARMLESS_CODES and set(STATUS_CODES) <= set(PRIVATE)
    assert {STATUS_VALUES[status]: status for status in STATUS_VALUES} == STATUS_CODES
    assert not any("isk" in PRIVATE[code] for code in HARMLESS_CODES)


def test_the_label_counts_wherever_it_stands(tmp_path: Path) -> None:
    dataset = make_object("sr", private_code="LOG_RISK")
    dataset.ContentSequence[0].TextValue = "This is a simulated model."
    refuse(write(dataset, tmp_path / "a.dcm"), "never sent")


def test_masks_and_measurements_of_a_simulated_model_may_go(tmp_path: Path) -> None:
    paths = [
        write(make_object("seg", label=SIMULATED), tmp_path / "seg.dcm"),
        write(make_object("sr", label=SIMULATED, private_code="SKELETON"), tmp_path / "sr.dcm"),
    ]
    assert [item.kind for item in look_at(paths)] == ["seg", "sr"]


def test_the_manifest_alone_is_enough_to_refuse(tmp_path: Path) -> None:
    path = write(make_object("sr"), tmp_path / "a.dcm")
    assert look_at([path])
    write_manifest(tmp_path, "demonstration", {"a.dcm": True})
    refuse(path, "never sent")
    write_manifest(tmp_path, "local-research", {"a.dcm": False})
    write(make_object("pm", label=SIMULATED), path)  # what the file says outweighs a manifest that says otherwise
    refuse(path, "never sent")


def test_a_risk_goes_only_where_its_model_is_known(tmp_path: Path) -> None:
    path = write(make_object("pm"), tmp_path / "a.dcm")
    refuse(path, "nothing tells which model made it")
    write_manifest(tmp_path, "local-research", {"a.dcm": True})
    assert look_at([tmp_path])[0].speaks_of_risk
    (tmp_path / "dicom.json").write_text("{}")
    refuse(path, r"dicom\.json")


def test_one_risk_object_stops_the_whole_send(tmp_path: Path) -> None:
    make_results(tmp_path / "results")
    write(make_object("pm", label=SIMULATED), tmp_path / "results" / "z.dcm")
    outbox = Outbox(tmp_path / "outbox")
    with pytest.raises(InputError, match="never sent"):
        send([tmp_path / "results"], DimseNode("a", "127.0.0.1", 1, "A"), outbox=outbox)
    assert not outbox.folder.exists()


def test_risk_objects_can_be_left_behind(tmp_path: Path) -> None:
    make_results(tmp_path, 2)
    write(make_object("pm", label=SIMULATED), tmp_path / "z.dcm")
    assert [item.kind for item in look_at([tmp_path], without_risk=True)] == ["seg", "sr"]
    write_manifest(tmp_path, "demonstration", {"1.dcm": True})
    assert [item.kind for item in look_at([tmp_path], without_risk=True)] == ["seg"]
    with pytest.raises(InputError, match="nothing is left to send"):
        look_at([tmp_path / "z.dcm"], without_risk=True)


def test_images_of_others_and_other_files_are_not_sent(tmp_path: Path) -> None:
    refuse(write(make_object("seg", maker="ACME"), tmp_path / "a.dcm"), "not made by MemorySurvival")
    (tmp_path / "b.dcm").write_bytes(b"no DICOM at all")
    refuse(tmp_path / "b.dcm", r"b\.dcm is not a DICOM file")
    refuse(tmp_path / "missing", "does not exist")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", "no DICOM object to send")


def test_two_files_that_claim_to_be_one_instance_are_not_sent(tmp_path: Path) -> None:
    first, second = make_object("seg"), make_object("seg")
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
    write(first, tmp_path / "a.dcm")
    write(first, tmp_path / "copy.dcm")
    assert len(look_at([tmp_path])) == 1  # the very same file twice is one
    write(second, tmp_path / "b.dcm")
    refuse(tmp_path, "say that they are the same instance")


def test_names_need_the_users_word(tmp_path: Path) -> None:
    named = look_at(make_results(tmp_path / "named", name="山田^太郎"))
    with pytest.raises(InputError, match=r"3 of 3 objects name the patient .* allow it for PACS \(--identified\)"):
        check_identity(named, False, "PACS")
    check_identity(named, True, "PACS")
    check_identity(look_at(make_results(tmp_path / "nobody")), False, "PACS")


def test_a_pseudonym_is_no_name(tmp_path: Path) -> None:
    dataset = make_object("seg")
    dataset.PatientID = "P-7"  # beside PatientIdentityRemoved YES
    check_identity(look_at([write(dataset, tmp_path / "a.dcm")]), False, "PACS")
    dataset.PatientIdentityRemoved = "NO"
    with pytest.raises(InputError, match="name the patient"):
        check_identity(look_at([write(dataset, tmp_path / "a.dcm")]), False, "PACS")


def test_a_folder_gives_its_objects_and_not_what_lies_beside_them(tmp_path: Path) -> None:
    make_results(tmp_path / "dicom", 2)
    for name in ("dicom.json", "report.pdf", ".hidden"):
        (tmp_path / "dicom" / name).write_text("{}")
    assert [path.name for path in find_files([tmp_path])] == ["0.dcm", "1.dcm"]


def test_a_file_without_its_uids_is_refused(tmp_path: Path) -> None:
    dataset = make_object("seg")
    write(dataset, tmp_path / "a.dcm")
    dataset.SOPInstanceUID, dataset.preamble = "", bytes(128)
    dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=False)
    refuse(tmp_path / "a.dcm", "lacks a valid SOP class")
