"""The PDF report as Encapsulated PDF (PS3.3 section A.45.1), key images as Secondary Capture (section A.8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, EncapsulatedPDFStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.dicom_out.envelope import Envelope
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.report.model import PictureEntry

REPORT_WORDS = "Report"
PICTURE_WORDS = "Key images"


def write_pdf(
    pdf: bytes,
    references: Sequence[Dataset],
    envelope: Envelope,
    labels: Sequence[str],
    *,
    named: bool,
    series_number: int,
) -> FileDataset:
    """The PDF as it is. `named` says that patient or pseudonym stand on its pages (burned-in annotation).

    `references` are headers of images of the same study that it was made from. Raises InputError for a file that is no
    PDF.
    """
    if not pdf.startswith(b"%PDF-"):
        raise InputError("The report that was given is not a PDF file; give another, or let it be drawn.")
    ds = _plain(envelope, EncapsulatedPDFStorage, REPORT_WORDS, 1)
    ds.Modality = "DOC"
    ds.ConversionType = "WSD"
    ds.BurnedInAnnotation = "YES" if named else "NO"
    ds.AcquisitionDateTime = ""
    ds.DocumentTitle = "MemorySurvival report"
    ds.ConceptNameCodeSequence = [_code(codes.DCM.ImagingMeasurementReport)]
    ds.VerificationFlag = "UNVERIFIED"
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocumentLength = len(pdf)
    ds.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    if references:
        ds.SourceInstanceSequence = [_reference(one) for one in references]
    envelope.finish(ds, REPORT_WORDS, series_number, labels)
    return ds


def write_picture(
    path: Path,
    entry: PictureEntry,
    number: int,
    envelope: Envelope,
    labels: Sequence[str],
    *,
    series_number: int,
) -> FileDataset:
    """A picture of the report as RGB, with its labels and the research notice in a strip below it.

    The strip is part of the pixels, because a picture leaves the page that says so. Raises InputError for a file that
    is no picture.
    """
    pixels = _read_with_strip(path, " / ".join((*labels, RESEARCH_USE)))
    ds = _plain(envelope, SecondaryCaptureImageStorage, PICTURE_WORDS, number)
    ds.Modality = "OT"
    ds.ConversionType = "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.PatientOrientation = ""
    ds.BodyPartExamined = "WHOLEBODY"
    ds.BurnedInAnnotation = "NO"
    # A picture of the whole body may show a face; single slices and charts do not.
    ds.RecognizableVisualFeatures = "YES" if entry.role == "overview" else "NO"
    if not envelope.anonymous:  # free text has no place where nobody may be named
        ds.DerivationDescription = entry.title
        ds.ImageComments = entry.alt
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    data = pixels.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB"
    envelope.finish(ds, PICTURE_WORDS, series_number, labels)
    return ds


def _plain(envelope: Envelope, sop_class: str, words: str, number: int) -> FileDataset:
    """An object with the identifiers of its own."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(envelope.uids.make(words, *([number] if number > 1 else [])))
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.SeriesInstanceUID = envelope.uids.make(words, "series")
    ds.InstanceNumber = number
    return ds


def _read_with_strip(path: Path, words: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A PNG as RGB (rows, columns, 3) on white, with a strip of text below."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGBA")
    except (OSError, SyntaxError) as error:
        raise InputError(f"The picture {path.name} cannot be read; make the report again.") from error
    size = max(12, round(picture.width / 45))
    face = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(face), size)
    while font.getlength(words) > 0.96 * picture.width and size > 7:
        size -= 1
        font = ImageFont.truetype(str(face), size)
    whole = Image.new("RGB", (picture.width, picture.height + 2 * size), "white")
    whole.paste(picture, (0, 0), picture)
    ImageDraw.Draw(whole).text((0.02 * picture.width, picture.height + 0.4 * size), words, fill="black", font=font)
    return np.asarray(whole, dtype=np.uint8)


def _reference(stand: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = stand.SOPClassUID
    item.ReferencedSOPInstanceUID = stand.SOPInstanceUID
    return item


def _code(found: object) -> Dataset:
    item = Dataset()
    item.CodeValue = found.value  # type: ignore[attr-defined]
    item.CodingSchemeDesignator = found.scheme_designator  # type: ignore[attr-defined]
    item.CodeMeaning = found.meaning  # type: ignore[attr-defined]
    return item
