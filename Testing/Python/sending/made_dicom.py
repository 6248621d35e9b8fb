"""Small DICOM objects of the kinds that are sent, and the manifest that stands beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from MemorySurvivalLib.dicom_out.manifest import FILE_NAME, ExportedObject, ExportedObjects

CLASSES = {
    "seg": "1.2.840.10008.5.1.4.1.1.66.4",
    "sr": "1.2.840.10008.5.1.4.1.1.88.34",
    "pm": "1.2.840.10008.5.1.4.1.1.30",
    "pdf": "1.2.840.10008.5.1.4.1.1.104.1",
    "sc": "1.2.840.10008.5.1.4.1.1.7",
}
SIMULATED = "SIMULATED MODEL, research use only"


def make_object(
    kind: str,
    *,
    name: str = "",
    label: str = "",
    private_code: str | None = None,
    maker: str = "MemorySurvival",
    syntax: UID = ExplicitVRLittleEndian,
    study: str | None = None,
) -> Dataset:
    """An object of `kind`; `label` stands in its series description, `private_code` names a concept of ours in it."""
    dataset = Dataset()
    dataset.SOPClassUID = CLASSES[kind]
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = study or generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = name, "ID 7" if name else ""
    dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyDate = dataset.StudyTime = ""
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
    dataset.PatientIdentityRemoved = "NO" if name else "YES"
    dataset.Modality = {"seg": "SEG", "sr": "SR", "pm": "OT", "pdf": "DOC", "sc": "OT"}[kind]
    dataset.Manufacturer = maker
    dataset.SeriesDescription = label
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    if kind == "sc":
        dataset.Rows = dataset.Columns = 4
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = np.arange(48, dtype=np.uint8).tobytes()
    if kind == "pdf":
        dataset.EncapsulatedDocument, dataset.MIMETypeOfEncapsulatedDocument = b"%PDF-1.4\n", "application/pdf"
    if private_code is not None:
        concept, item = Dataset(), Dataset()
        concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = private_code, "99MEMSURV", "of ours"
        item.ValueType, item.ConceptNameCodeSequence = "NUM", [concept]
        dataset.ContentSequence = [item]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def write(dataset: Dataset, path: Path) -> Path:
    """Save an object as a DICOM file."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def make_results(folder: Path, count: int = 3, **changes: str) -> list[Path]:
    """Measurement reports and masks, which may be sent of any bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    study = generate_uid()
    return [
        write(make_object(("seg", "sr")[number % 2], study=study, **changes), folder / f"{number}.dcm")  # type: ignore[arg-type]
        for number in range(count)
    ]


def write_manifest(folder: Path, status: str, risk: Mapping[str, bool]) -> None:
    """The list of exported objects, as the export writes it."""
    objects = tuple(
        ExportedObject("risk" if carries else "region", "sr", name, carries, "1.2", "1.2", "1.2", "1.2", 1, "")
        for name, carries in risk.items()
    )
    ExportedObjects("1.2", True, "none", status, (), objects).write(folder / FILE_NAME)
