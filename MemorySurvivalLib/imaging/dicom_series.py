"""What a scan finds: DICOM series that are volumes (or say why not), and the other files beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydicom.dataset import Dataset

from MemorySurvivalLib.imaging.dicom_header import count, items, read_whole_header, show, text, texts
from MemorySurvivalLib.imaging.dicom_slices import SliceHeader
from MemorySurvivalLib.imaging.volume import Affine


@dataclass(frozen=True)
class Identity:
    """Whose images these are and of which study, as far as the files say; "" where they do not."""

    patient_id: str = ""
    name: str = ""
    birth_date: str = ""
    study_uid: str = ""
    study_date: str = ""


@dataclass(frozen=True)
class SeriesFacts:
    """What the headers of a series say of it as a whole; every text is "" where the files say nothing.

    `corrected_image` is None where the tag is absent. `announced` is the number of images the header promises (0 when
    it promises none).
    """

    modality: str
    series_uid: str
    identity: Identity = field(repr=False)
    description: str
    study_description: str
    series_date: str
    series_number: str
    manufacturer: str
    kernel: str
    image_type: tuple[str, ...]
    frame_of_reference_uid: str
    corrected_image: tuple[str, ...] | None
    attenuation_method: str
    series_type: tuple[str, ...]
    units: str
    rescale_type: str
    announced: int


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """One stack of images of one DICOM series, sorted along the slice normal.

    `key` names it: its Series Instance UID, with "#2" and so on where the series holds several stacks, or the folder
    where the files carry no UID. A series with `problems` cannot be read as a volume and has no affine; each problem is
    a sentence. `notes` are sentences worth knowing.
    """

    key: str
    facts: SeriesFacts
    slices: tuple[SliceHeader, ...] = field(repr=False)
    affine: Affine | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def modality(self) -> str:
        """Modality (0008,0060): "CT", "PT" and others."""
        return self.facts.modality

    @property
    def description(self) -> str:
        """Series Description (0008,103E)."""
        return self.facts.description

    @property
    def identity(self) -> Identity:
        """Patient and study."""
        return self.facts.identity

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        first = self.slices[0]
        return len(self.slices), first.rows, first.columns

    @property
    def folder(self) -> Path:
        """Where the first file lies."""
        return self.slices[0].path.parent

    @cached_property
    def headers(self) -> tuple[Dataset, ...]:
        """The whole header (no pixels) of each slice, in the order of the slices; frames of one file share one.

        Read from the files when first asked for. Raises InputError when a file can no longer be read.
        """
        paths = dict.fromkeys(image.path for image in self.slices)
        read = {path: read_whole_header(path) for path in paths}
        return tuple(read[image.path] for image in self.slices)

    @property
    def title(self) -> str:
        """A short name for sentences: the description, the number of images, and the key."""
        words = f'"{self.description}"' if self.description else "without description"
        return f"{words} ({len(self.slices)} images, {show(Path(self.key))})"


@dataclass(frozen=True)
class OtherFile:
    """A DICOM file that is no image of a volume (RTSTRUCT, SEG, report ...), or one that cannot be read.

    `kind` is the modality ("RTSTRUCT", "SEG"), "" for unreadable files, for which `problem` is a sentence.
    """

    path: Path
    kind: str
    sop_class: str = ""
    description: str = ""
    series_uid: str = ""
    identity: Identity = Identity()
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Found:
    """All that a scan of `root` came upon. `ignored` counts files that are not DICOM; `problems` are sentences."""

    root: Path
    series: tuple[DicomSeries, ...]
    others: tuple[OtherFile, ...]
    ignored: int
    problems: tuple[str, ...] = ()


def read_identity(ds: Dataset) -> Identity:
    """Patient and study of one header."""
    return Identity(
        patient_id=text(ds, "PatientID"),
        name=text(ds, "PatientName"),
        birth_date=text(ds, "PatientBirthDate"),
        study_uid=text(ds, "StudyInstanceUID"),
        study_date=text(ds, "StudyDate"),
    )


def read_facts(ds: Dataset) -> SeriesFacts:
    """What one header says of its whole series."""
    corrected: tuple[str, ...] | None = tuple(word.upper() for word in texts(ds, "CorrectedImage"))
    if "CorrectedImage" not in ds:
        corrected = _enhanced_corrections(ds)
    return SeriesFacts(
        modality=text(ds, "Modality").upper(),
        series_uid=text(ds, "SeriesInstanceUID"),
        identity=read_identity(ds),
        description=text(ds, "SeriesDescription"),
        study_description=text(ds, "StudyDescription"),
        series_date=text(ds, "SeriesDate") or text(ds, "StudyDate"),
        series_number=text(ds, "SeriesNumber"),
        manufacturer=text(ds, "Manufacturer"),
        kernel=text(ds, "ConvolutionKernel"),
        image_type=tuple(word.upper() for word in texts(ds, "ImageType")),
        frame_of_reference_uid=text(ds, "FrameOfReferenceUID"),
        corrected_image=corrected,
        attenuation_method=text(ds, "AttenuationCorrectionMethod"),
        series_type=tuple(word.upper() for word in texts(ds, "SeriesType")),
        units=text(ds, "Units").upper(),
        rescale_type=_rescale_type(ds),
        announced=count(ds, "NumberOfSlices"),
    )


def _enhanced_corrections(ds: Dataset) -> tuple[str, ...] | None:
    """Enhanced PET says YES or NO where classic PET lists what was corrected (PS3.3 C.8.22.5)."""
    said = {"ATTN": text(ds, "AttenuationCorrected"), "DECY": text(ds, "DecayCorrected")}
    if not any(said.values()):
        return None
    return tuple(word for word, answer in said.items() if answer.upper() == "YES")


def _rescale_type(ds: Dataset) -> str:
    if "RescaleType" in ds:
        return text(ds, "RescaleType").upper()
    for group in (*items(ds, "SharedFunctionalGroupsSequence"), *items(ds, "PerFrameFunctionalGroupsSequence")[:1]):
        for transformation in items(group, "PixelValueTransformationSequence"):
            return text(transformation, "RescaleType").upper()
    return ""
