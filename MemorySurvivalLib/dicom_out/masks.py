"""Masks as binary DICOM Segmentations (PS3.3 section A.51) in full frames of the source CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from MemorySurvivalLib import __version__
from MemorySurvivalLib.dicom_out.codes import (
    ABNORMAL,
    ANATOMY,
    ARTIFICIAL_INTELLIGENCE,
    LESION,
    MORPHOLOGY,
    TISSUE,
    concept,
    private,
    scheme_item,
)
from MemorySurvivalLib.dicom_out.envelope import MANUFACTURER, MODEL_NAME, Envelope, describe
from MemorySurvivalLib.dicom_out.placing import Placed, whole_frames
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_series import DicomSeries
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.measure.lesion import Lesion
from MemorySurvivalLib.report.record import RoiRecord
from MemorySurvivalLib.report.stored import read_stored
from MemorySurvivalLib.roi.provenance import UNKNOWN_MAKER, read_roi_provenance
from MemorySurvivalLib.roi.segments import Structure
from MemorySurvivalLib.roi.terminology import recognise
from MemorySurvivalLib.segmenting import RECORD_FILE, SCHEMA, SCHEMA_VERSION, SegmentRecord

LESION_COLOUR = (230, 60, 60)
BY_HAND = ("by hand", "manual", "drawn", "3d slicer", "slicer segment editor")
"""Words by which a maker is known to be a person."""

BUILT_IN_METHODS = ("built-in", "memorysurvival", "phantom")


@dataclass(frozen=True)
class Segment:
    """One segment to write: its label in the voxels, how it is coded, and who made it.

    `tracking` names it for measurements of it (an identifier and a UID).
    """

    label: int
    name: str
    category: CodedConcept
    kind: CodedConcept
    laterality: CodedConcept | None
    site: Structure | None
    algorithm: str
    version: str
    how: SegmentAlgorithmTypeValues
    colour_rgb: tuple[int, int, int]
    tracking: tuple[str, str]


def region_segment(record: RoiRecord, envelope: Envelope) -> Segment:
    """The prompt mask as one segment, with the makers of its parts."""
    structure = recognise(record.kind)
    makers = list(dict.fromkeys(str(part.maker) for part in record.parts if part.maker != UNKNOWN_MAKER))
    versions = list(dict.fromkeys(part.maker.version for part in record.parts if part.maker.version))
    name = " + ".join(makers) or "unknown"
    kind = TISSUE if structure is None else concept(structure.code)
    around = "spine" if record.kind == "spine_dilated" else "bone"
    return Segment(
        label=1,
        name=record.kind,
        category=ANATOMY,
        kind=kind,
        laterality=None,
        site=recognise(around) if structure is not None else None,
        algorithm=name,
        version=" + ".join(versions) or __version__,
        how=_how(name, record.edited),
        colour_rgb=structure.colour_rgb if structure else (128, 174, 128),
        tracking=("region", envelope.uids.make("tracking", "region")),
    )


def lesion_segments(lesions: Sequence[Lesion], envelope: Envelope) -> tuple[Segment, ...]:
    """Focal lesions and diffuse uptake; what spills in from an organ is none of either."""
    return tuple(
        Segment(
            label=lesion.number,
            name=f"{lesion.kind} {lesion.number}" + (f" {lesion.site}" if lesion.site else ""),
            category=ABNORMAL,
            kind=LESION if lesion.kind == "focal" else private("DIFFUSE_UPTAKE"),
            laterality=None,
            site=recognise(lesion.site) if lesion.site else None,
            algorithm=f"{MODEL_NAME} lesion list",
            version=__version__,
            how=SegmentAlgorithmTypeValues.AUTOMATIC,
            colour_rgb=LESION_COLOUR,
            tracking=(f"lesion {lesion.number}", envelope.uids.make("tracking", "lesion", lesion.number)),
        )
        for lesion in lesions
        if lesion.kind != "spill-in"
    )


def structure_segment(label: int, structure: Structure, maker: str, version: str, edited: bool | None) -> Segment:
    """A named structure as a segment."""
    return Segment(
        label=label,
        name=structure.name,
        category=ANATOMY,
        kind=concept(structure.code),
        laterality=concept(structure.laterality) if structure.laterality else None,
        site=None,
        algorithm=maker,
        version=version or __version__,
        how=_how(maker, edited),
        colour_rgb=structure.colour_rgb,
        tracking=("", ""),
    )


def read_structures(folder: Path) -> tuple[Segment, ...]:
    """What the labels of a folder that `segment` made are. Raises InputError where it is none."""
    found = read_stored(folder / RECORD_FILE, SegmentRecord, SCHEMA, (SCHEMA_VERSION,), "named structures")
    edited = read_roi_provenance(read_volume(folder / found.labels_file, "label map")).edited
    maker = found.maker
    return tuple(
        structure_segment(label, row.structure, maker.method, maker.version, edited)
        for label, row in found.labels.items()
    )


def write_masks(
    placed: Placed,
    segments: Sequence[Segment],
    series: DicomSeries,
    stands: Sequence[Dataset],
    envelope: Envelope,
    *,
    words: str,
    series_number: int,
) -> Segmentation:
    """One segmentation object of a label map; frames without a voxel are left out.

    `stands` are the headers of all slices of the series (`sources.stand_ins`). Every frame has the rows and columns of
    its source image and refers to it by the place of its slice. Raises InputError where no segment has a voxel.
    """
    numbers = np.zeros(int(placed.voxels.max(initial=0)) + 1, dtype=np.uint16)
    present = set(np.unique(placed.voxels).tolist())
    kept = [segment for segment in segments if segment.label in present]
    for number, segment in enumerate(kept, start=1):
        numbers[segment.label] = number
    labels: npt.NDArray[np.uint16] = numbers[placed.voxels]
    slices = np.flatnonzero(labels.any(axis=(1, 2))) + placed.start_zyx[0]
    if not len(slices):
        raise InputError(f"There is nothing to write in: {words}.")
    frames = whole_frames(Placed(labels, placed.start_zyx), series, slices)
    frames = frames.astype(np.uint8) if len(kept) < 256 else frames
    spacing_mm = series.affine.spacing_mm if series.affine else (1.0, 1.0, 1.0)
    seg = Segmentation(
        source_images=[stands[int(i)] for i in slices],
        pixel_array=frames,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(segment, number) for number, segment in enumerate(kept, start=1)],
        series_instance_uid=envelope.uids.make(words, "series"),
        series_number=series_number,
        sop_instance_uid=envelope.uids.make(words),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=__version__,
        device_serial_number=envelope.serial,
        content_label="MASK",
        content_description=describe(words),
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=[float(v) for v in stands[0].PixelSpacing],
            slice_thickness=float(stands[0].SliceThickness),
            spacing_between_slices=round(spacing_mm[2], 6),
        ),
        coding_schemes=[scheme_item()],
    )
    envelope.finish(seg, words, series_number)
    return seg


def _describe(segment: Segment, number: int) -> SegmentDescription:
    manual = segment.how == SegmentAlgorithmTypeValues.MANUAL
    family = MORPHOLOGY if any(word in segment.algorithm.lower() for word in BUILT_IN_METHODS) else None
    identity = hd.AlgorithmIdentificationSequence(
        name=segment.algorithm[:64],
        family=family or ARTIFICIAL_INTELLIGENCE,
        version=segment.version[:64],
        source=MODEL_NAME,
    )
    identifier, uid = segment.tracking
    description = SegmentDescription(
        segment_number=number,
        segment_label=segment.name[:64],
        segmented_property_category=segment.category,
        segmented_property_type=segment.kind,
        algorithm_type=segment.how,
        algorithm_identification=None if manual else identity,
        tracking_id=identifier or None,
        tracking_uid=uid or None,
        anatomic_regions=[concept(segment.site.code)] if segment.site else None,
        display_color=CIELabColor.from_rgb(*segment.colour_rgb),
    )
    if segment.laterality is not None:
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            segment.laterality
        ]
    if segment.site is not None and segment.site.laterality is not None:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [concept(segment.site.laterality)]
    return description


def _how(maker: str, edited: bool | None) -> SegmentAlgorithmTypeValues:
    """By program alone, by program and then a person, or by a person.

    A mask whose file does not say whether a person had a hand in it counts as made with one.
    """
    if any(word in maker.lower() for word in BY_HAND):
        return SegmentAlgorithmTypeValues.MANUAL
    if edited is None or edited:
        return SegmentAlgorithmTypeValues.SEMIAUTOMATIC
    return SegmentAlgorithmTypeValues.AUTOMATIC
