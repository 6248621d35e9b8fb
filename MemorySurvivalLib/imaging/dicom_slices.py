"""One image of a series, from a file of its own or a frame of a multi-frame file, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from MemorySurvivalLib.imaging.dicom_header import (
    FileHeader,
    Numbers,
    count,
    items,
    number,
    numbers,
    reading_quietly,
    text,
)

Marks = tuple[tuple[str, str], ...]

_MARKS = {
    "Acquisition Number": "AcquisitionNumber",
    "Temporal Position Identifier": "TemporalPositionIdentifier",
    "Frame Reference Time": "FrameReferenceTime",
    "Trigger Time": "TriggerTime",
    "Cardiac Phase": "NominalPercentageOfCardiacPhase",
    "Convolution Kernel": "ConvolutionKernel",
    "Image Type": "ImageType",
    "Acquisition Date and Time": "AcquisitionDateTime",
    "Acquisition Time": "AcquisitionTime",
    "Content Time": "ContentTime",
}
_FRAME_MARKS = {
    "Frame Acquisition Number": "FrameAcquisitionNumber",
    "Stack ID": "StackID",
    "Temporal Position Index": "TemporalPositionIndex",
    "Frame Reference Time": "FrameReferenceDateTime",
    "Frame Acquisition Time": "FrameAcquisitionDateTime",
}


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """Where one image lies and how its stored numbers become values.

    `orientation` holds the direction of the rows' columns (x axis), then of the rows (y axis); `spacing_yx_mm` is Pixel
    Spacing as stored: between rows, between columns. `padding` is the stored number that marks pixels outside the field
    of view. `marks` are the tags that may tell images at one place apart. `problem` says what is wrong with this image
    ("" when nothing is).
    """

    path: Path
    frame: int | None
    position_mm: Numbers | None
    orientation: Numbers | None
    spacing_yx_mm: Numbers | None
    rows: int
    columns: int
    slope: float | None
    intercept: float | None
    samples: int
    signed: bool
    bits_allocated: int
    bits_stored: int
    padding: float | None
    transfer_syntax: str
    marks: Marks
    problem: str


def list_slices(header: FileHeader) -> tuple[SliceHeader, ...]:
    """The images of one file: one, or one for each frame. A file without images gives none."""
    ds = header.dataset
    with reading_quietly():
        if not count(ds, "Rows") or not count(ds, "Columns"):
            return ()
        frames = count(ds, "NumberOfFrames", 1)
        per_frame = items(ds, "PerFrameFunctionalGroupsSequence")
        if per_frame:
            return _list_frames(header, frames, per_frame)
        problem = _file_problem(header, frames)
        if frames > 1:
            problem = problem or "a multi-frame file that does not say where each frame lies"
        return (_slice(header, None, ds, ds, ds, ds, _marks(ds, _MARKS), problem),)


def _list_frames(header: FileHeader, frames: int, per_frame: tuple[Dataset, ...]) -> tuple[SliceHeader, ...]:
    ds = header.dataset
    shared = (items(ds, "SharedFunctionalGroupsSequence") or (Dataset(),))[0]
    problem = _file_problem(header, frames)
    if frames != len(per_frame):
        problem = problem or f"a multi-frame file with {frames} frames that describes {len(per_frame)}"
    slices = []
    for index, group in enumerate(per_frame):
        place = _group("PlanePositionSequence", group, shared)
        turn = _group("PlaneOrientationSequence", group, shared)
        measures = _group("PixelMeasuresSequence", group, shared)
        rescale = _group("PixelValueTransformationSequence", group, shared)
        marks = _marks(_group("FrameContentSequence", group, shared), _FRAME_MARKS)
        slices.append(_slice(header, index, place, turn, measures, rescale, marks, problem))
    return tuple(slices)


def _group(keyword: str, group: Dataset, shared: Dataset) -> Dataset:
    found = items(group, keyword) or items(shared, keyword)
    return found[0] if found else Dataset()


def _slice(
    header: FileHeader,
    frame: int | None,
    place: Dataset,
    turn: Dataset,
    measures: Dataset,
    rescale: Dataset,
    marks: Marks,
    problem: str,
) -> SliceHeader:
    ds = header.dataset
    allocated = count(ds, "BitsAllocated", 16)
    return SliceHeader(
        path=header.path,
        frame=frame,
        position_mm=numbers(place, "ImagePositionPatient", 3),
        orientation=numbers(turn, "ImageOrientationPatient", 6),
        spacing_yx_mm=numbers(measures, "PixelSpacing", 2),
        rows=count(ds, "Rows"),
        columns=count(ds, "Columns"),
        slope=number(rescale, "RescaleSlope"),
        intercept=number(rescale, "RescaleIntercept"),
        samples=count(ds, "SamplesPerPixel", 1),
        signed=count(ds, "PixelRepresentation") == 1,
        bits_allocated=allocated,
        bits_stored=count(ds, "BitsStored", allocated),
        padding=number(ds, "PixelPaddingValue"),
        transfer_syntax=header.transfer_syntax,
        marks=marks,
        problem=problem,
    )


def _marks(ds: Dataset, keywords: dict[str, str]) -> Marks:
    return tuple((name, text(ds, keyword)) for name, keyword in keywords.items())


def _file_problem(header: FileHeader, frames: int) -> str:
    """What is wrong with a file as a whole, as the end of "the file is ..."."""
    ds = header.dataset
    if not header.has_pixels:
        return "without pixels, perhaps cut short"
    samples = count(ds, "SamplesPerPixel", 1)
    bits = count(ds, "Rows") * count(ds, "Columns") * samples * frames * count(ds, "BitsAllocated", 16)
    if header.pixel_bytes is not None and header.pixel_bytes < bits // 8:
        return "cut short"
    if items(ds, "ModalityLUTSequence"):
        return "stored with a look-up table (Modality LUT) instead of a rescale slope"
    return ""
