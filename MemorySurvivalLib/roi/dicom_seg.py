"""DICOM Segmentation objects (binary, fractional, label map) onto the CT's grid, their codes mapped to structures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.existing_labels import TISSUE, labels_in, place_on
from MemorySurvivalLib.roi.existing_layers import ExistingSegmentation, LayerBuilder, Segment
from MemorySurvivalLib.roi.segments import Code, Maker, Structure
from MemorySurvivalLib.roi.terminology import find_by_code, recognise

FRACTION = 0.5
"""A fractional segment holds the voxels of which at least this share belongs to it."""

EVERYWHERE = (slice(None), slice(None), slice(None))


def read_dicom_seg(path: Path, ct: Volume) -> ExistingSegmentation:
    """Read a DICOM SEG (PS3.3 A.51; also the label map of supplement 243) onto the CT's grid.

    Segments may overlap, frames may be missing (nothing is segmented there) and lie anywhere in space. Fractional
    segments are cut at FRACTION. Raises InputError for an object that is no patient-based segmentation or does not
    overlap the CT.
    """
    try:
        seg = hd.seg.segread(path)
    except (InvalidDicomError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"The DICOM segmentation {path} is damaged or not a segmentation ({error}).") from error
    if seg.coordinate_system != hd.CoordinateSystemNames.PATIENT:
        raise InputError(f"The DICOM segmentation {path} does not lie in the patient (a slide or a plain picture).")
    which = f"segmentation {path.name}"
    maker = Maker(str(seg.get("ManufacturerModelName", "") or "DICOM segmentation"), _versions(seg), path.name)
    keys = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID")
    origin = {key: str(seg.get(key)) for key in keys if seg.get(key)}
    combined = _combined(seg)
    if combined is not None:
        layer, said = place_on(combined, ct, which)
        present = labels_in(layer.voxels)
        descriptions = {int(n): seg.get_segment_description(int(n)) for n in seg.segment_numbers}
        segments = tuple(
            Segment(describe(each), _name(each), 0, number)
            for number, each in descriptions.items()
            if number in present
        )
        return ExistingSegmentation((layer,), segments, maker, said, origin)
    builder = LayerBuilder(ct)
    notes: list[str] = []
    if seg.segmentation_type == hd.seg.SegmentationTypeValues.FRACTIONAL:
        notes.append(f"The fractional {which} was cut at {FRACTION:g}.")
    outside = []
    for number in seg.segment_numbers:
        description = seg.get_segment_description(int(number))
        mask, said = _read_mask(seg, int(number), ct, which)
        if mask is None:
            outside.append(_name(description))
            continue
        notes += [each for each in said if each not in notes]
        builder.add(describe(description), _name(description), EVERYWHERE, mask)
    if outside and not builder.segments:
        raise InputError(
            f"The {which} does not overlap with the CT in space; choose the segmentation of this patient and study."
        )
    if outside:
        notes.append(f"Empty or outside the CT: {', '.join(outside)}.")
    return ExistingSegmentation(builder.layers, tuple(builder.segments), maker, tuple(notes), origin)


def describe(description: Dataset) -> Structure:
    """The structure of a segment by its type code and side, else by its label, else a tissue with its label."""
    name = _name(description)
    code = _first_code(description, "SegmentedPropertyTypeCodeSequence")
    found = None
    if code is not None:
        found = find_by_code(code.value, code.scheme, _side(description), name)
    found = found or recognise(name)
    return found or Structure(name, "other", code or TISSUE)


def _read_mask(seg: Any, number: int, ct: Volume, which: str) -> tuple[npt.NDArray[np.bool_] | None, tuple[str, ...]]:
    """One segment on the CT's grid (None where nothing of it lies there), and notes."""
    if seg.get_volume_geometry() is not None:
        volumes: Iterator[Volume] = iter((_whole(seg, number),))
    else:
        volumes = _slabs(seg, number)
    mask: npt.NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    for volume in volumes:
        if not volume.voxels.any():
            continue
        try:
            placed, said = place_on(volume, ct, which)
        except InputError:  # this part lies elsewhere; the whole is judged by the caller
            continue
        notes += tuple(each for each in said if each not in notes)
        mask = placed.voxels != 0 if mask is None else mask | (placed.voxels != 0)
    return mask, notes


def _combined(seg: Any) -> Volume | None:
    """All segments as one label map by segment number; None where they overlap, are fractions or unevenly spaced."""
    fractional = seg.segmentation_type == hd.seg.SegmentationTypeValues.FRACTIONAL
    if fractional or seg.get_volume_geometry() is None:
        return None
    try:
        found = seg.get_volume(combine_segments=True)
    except RuntimeError:  # two segments have a voxel in common
        return None
    return _as_volume(found.array.astype(np.uint16), found.affine)


def _whole(seg: Any, number: int) -> Volume:
    """A segment whose frames are evenly spaced."""
    found = seg.get_volume(segment_numbers=[number], combine_segments=False, rescale_fractional=True)
    values = found.array[..., 0]
    binary = values >= FRACTION if np.issubdtype(values.dtype, np.floating) else values > 0
    return _as_volume(binary.astype(np.uint8), found.affine)


def _as_volume(voxels: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> Volume:
    """highdicom's array is indexed by slice, row, column, and so are the columns of its affine."""
    matrix = np.eye(4)
    matrix[:3, :3] = affine[:3, [2, 1, 0]]
    matrix[:3, 3] = affine[:3, 3]
    return Volume(np.ascontiguousarray(voxels), Affine(matrix))


def _slabs(seg: Any, number: int) -> Iterator[Volume]:
    """Each frame of a segment as a volume of one slice, for frames that are not evenly spaced."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    scale = float(seg.get("MaximumFractionalValue", 1) or 1)
    labelmap = seg.segmentation_type == hd.seg.SegmentationTypeValues.LABELMAP
    fractional = seg.segmentation_type == hd.seg.SegmentationTypeValues.FRACTIONAL
    for index, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        if not labelmap and _group(frame, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber != number:
            continue
        pixels = seg.get_stored_frame(index + 1)
        inside = pixels == number if labelmap else pixels / scale >= FRACTION if fractional else pixels > 0
        measures = _group(frame, shared, "PixelMeasuresSequence")
        along = _group(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient
        row, column = np.array(along[:3], dtype=float), np.array(along[3:], dtype=float)
        thickness = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1.0)
        down_mm, across_mm = (float(each) for each in measures.PixelSpacing)
        direction = np.stack([row, column, np.cross(row, column)], axis=1)
        origin = [float(each) for each in _group(frame, shared, "PlanePositionSequence").ImagePositionPatient]
        affine = Affine.from_parts((across_mm, down_mm, abs(thickness)), direction, origin)
        yield Volume(inside.astype(np.uint8)[None], affine)


def _group(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    """A functional group of a frame, its own or the shared one."""
    source = frame if name in frame else shared
    item: Dataset = source[name].value[0]
    return item


def _first_code(dataset: Dataset, sequence: str) -> Code | None:
    items = dataset.get(sequence) or []
    if not items:
        return None
    value = items[0].get("CodeValue") or items[0].get("LongCodeValue")
    return Code(str(value), str(items[0].get("CodingSchemeDesignator", "")), str(items[0].get("CodeMeaning", "")))


def _name(description: Dataset) -> str:
    return str(description.get("SegmentLabel", "")).strip() or f"segment {description.get('SegmentNumber', '')}"


def _side(description: Dataset) -> str | None:
    """The side a segment is on, from the modifier of its type or of its anatomic region."""
    modifiers = list(description.get("SegmentedPropertyTypeModifierCodeSequence") or [])
    types = list(description.get("SegmentedPropertyTypeCodeSequence") or [])
    for item in types:
        modifiers += list(item.get("SegmentedPropertyTypeModifierCodeSequence") or [])
    for region in description.get("AnatomicRegionSequence") or []:
        modifiers += list(region.get("AnatomicRegionModifierSequence") or [])
    meanings = [str(item.get("CodeMeaning", "")).lower() for item in modifiers]
    return next((meaning for meaning in meanings if meaning in ("left", "right")), None)


def _versions(seg: Any) -> str:
    versions = seg.get("SoftwareVersions", "")
    return versions if isinstance(versions, str) else ", ".join(map(str, versions))
