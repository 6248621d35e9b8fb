"""One DICOM file that is to be sent: what it is, whose it is, and whether it speaks of a risk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import UID

from MemorySurvivalLib.bundle.rights import SIMULATED_MODEL
from MemorySurvivalLib.errors import InputError

PRIVATE_SCHEME = "99MEMSURV"
"""Coding scheme of the concepts that only this software has, such as the log-risk."""

PRODUCT = "MemorySurvival"
DEMONSTRATION = "demonstration"

Kind = Literal["seg", "sr", "pm", "pdf", "sc", "other"]

_SR = "1.2.840.10008.5.1.4.1.1.88."
_SC = "1.2.840.10008.5.1.4.1.1.7"
_KINDS: dict[str, Kind] = {
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
    "1.2.840.10008.5.1.4.1.1.66.7": "seg",  # label map
    "1.2.840.10008.5.1.4.1.1.30": "pm",
    "1.2.840.10008.5.1.4.1.1.104.1": "pdf",
}
_TITLES: dict[Kind, str] = {
    "seg": "segmentation",
    "sr": "structured report",
    "pm": "parametric map",
    "pdf": "PDF",
    "sc": "secondary capture",
    "other": "object",
}
HARMLESS_CODES = frozenset({"DIFFUSE_UPTAKE", "SPINE_DILATED", "SKELETON"})
"""Private concepts of masks and measurements. Every other private concept counts as the model's answer."""

STATUS_CODES = {"STATUS_DEMO": "demonstration", "STATUS_LOCAL": "local-research", "STATUS_VALID": "validated"}
"""Private concepts that say what evidence is behind a model, and the bundle's status that they stand for."""

_MAKER = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "SeriesDescription", "ContentCreatorName")


@dataclass(frozen=True)
class Outgoing:
    """What a file says of itself.

    `status` is the bundle's ("demonstration" where "SIMULATED MODEL" stands anywhere in the values; empty where the
    file does not say), `speaks_of_risk` whether what it is, or a private concept in it, gives the model's answer away;
    `names_patient` whether it carries a name or an ID that was not removed.
    """

    path: Path
    kind: Kind
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    sha256: str
    ours: bool
    status: str
    speaks_of_risk: bool
    names_patient: bool

    @property
    def title(self) -> str:
        """The kind in words."""
        return _TITLES[self.kind]


def read_outgoing(path: Path) -> Outgoing:
    """Look into a DICOM file, all of it but the pixels. Raises InputError where it cannot be sent."""
    try:
        content = path.read_bytes()
        dataset = dcmread(path, stop_before_pixels=True, defer_size=65536)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path.") from error
    except (InvalidDicomError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not a DICOM file; only DICOM objects can be sent to a node.") from error
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    named = (str(dataset.get("SOPClassUID", "")), str(dataset.get("SOPInstanceUID", "")), str(syntax or ""))
    if not all(named) or not all(UID(each).is_valid for each in named):
        raise InputError(f"{path} lacks a valid SOP class, SOP instance or transfer syntax UID and cannot be sent.")
    kind = find_kind(named[0])
    texts, codes = tuple(_texts(dataset)), frozenset(_private_codes(dataset))
    return Outgoing(
        path,
        kind,
        *named,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        ours=bool(codes) or _is_ours(dataset),
        status=_find_status(texts, codes),
        speaks_of_risk=kind not in ("seg", "sr") or (kind == "sr" and bool(codes - HARMLESS_CODES)),
        names_patient=_names_patient(dataset),
    )


def find_kind(sop_class_uid: str) -> Kind:
    """Which of our kinds of object a SOP class is."""
    if sop_class_uid.startswith(_SR):
        return "sr"
    if sop_class_uid == _SC or sop_class_uid.startswith(_SC + "."):
        return "sc"
    return _KINDS.get(sop_class_uid, "other")


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR in ("SH", "LO", "ST", "LT", "UT", "UC", "CS", "PN"):
            values: Any = element.value if isinstance(element.value, MultiValue) else [element.value]
            yield from (str(value) for value in values if value)


def _private_codes(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR == "SQ":
            for item in element.value:
                if item.get("CodingSchemeDesignator") == PRIVATE_SCHEME and item.get("CodeValue"):
                    yield str(item.CodeValue)


def _find_status(texts: tuple[str, ...], codes: frozenset[str]) -> str:
    if any(SIMULATED_MODEL in text.upper() for text in texts):
        return DEMONSTRATION
    said = {STATUS_CODES[code] for code in codes if code in STATUS_CODES}
    return DEMONSTRATION if DEMONSTRATION in said else min(said, default="")


def _is_ours(dataset: Dataset) -> bool:
    made_by = [dataset, *dataset.get("ContributingEquipmentSequence", [])]
    return any(PRODUCT.casefold() in str(each.get(name, "")).casefold() for each in made_by for name in _MAKER)


def _names_patient(dataset: Dataset) -> bool:
    removed = str(dataset.get("PatientIdentityRemoved", "")).upper() == "YES"
    return not removed and any(str(dataset.get(name, "")).strip() for name in ("PatientName", "PatientID"))
