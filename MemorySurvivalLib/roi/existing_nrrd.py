"""Slicer's own segmentation files (.seg.nrrd): named segments in one label map or in several overlapping layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.existing_labels import TISSUE, as_label_map, labels_in, place_on
from MemorySurvivalLib.roi.existing_layers import ExistingSegmentation, Segment
from MemorySurvivalLib.roi.provenance import find_stamp
from MemorySurvivalLib.roi.segments import Code, Maker, Structure
from MemorySurvivalLib.roi.terminology import find_by_code, recognise

_ID = re.compile(r"Segment(\d+)_ID")
_TERMINOLOGY = re.compile(r"TerminologyEntry:([^|]*)")


@dataclass(frozen=True)
class SegmentHeader:
    """What the header of a .seg.nrrd says of one segment: layer and value in it, name, type and side codes, colour."""

    name: str
    layer: int
    label: int
    code: Code | None
    side: str | None
    colour_rgb: tuple[int, int, int]
    stamp: str | None = None

    def structure(self) -> Structure:
        """The structure by its code, else by its name, else a tissue with the file's name and colour."""
        found = find_by_code(self.code.value, self.code.scheme, self.side, self.name) if self.code else None
        found = found or recognise(self.name)
        if found is not None:
            return found
        return Structure(self.name, "other", self.code or TISSUE, None, self.colour_rgb)


def is_segmentation_nrrd(path: Path) -> bool:
    """Whether the file is an NRRD whose header names segments, whatever its ending."""
    return bool(_read_headers(path))


def read_segmentation_nrrd(path: Path, ct: Volume) -> ExistingSegmentation:
    """Read a .seg.nrrd onto the CT's grid. Slicer may have cropped it to its segments; the voxels stay the same.

    Raises InputError for a file without segments, fractional segments, and one that does not overlap the CT.
    """
    headers = _read_headers(path)
    if not headers:
        raise InputError(f"The segmentation {path} names no segment; save it from Slicer's Segmentations module.")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"The segmentation {path} cannot be read whole; save it again.") from error
    if image.GetDimension() != 3:
        raise InputError(f"The segmentation {path} is a series in time; give a single time point.")
    layers, notes = [], []
    for component in range(image.GetNumberOfComponentsPerPixel()):
        whole = image.GetNumberOfComponentsPerPixel() == 1
        layer = image if whole else sitk.VectorIndexSelectionCast(image, component)
        labels = as_label_map(_without_attributes(Volume.from_sitk(layer)), f"segmentation {path}")
        if not labels.voxels.any() and component:
            layers.append(ct.with_voxels(np.zeros(ct.shape, dtype=np.uint8)))
            continue
        placed, said = place_on(labels, ct, f"segmentation {path.name}")
        layers.append(placed)
        notes += [each for each in said if each not in notes]
    present = [set(labels_in(layer.voxels)) for layer in layers]
    segments = tuple(
        Segment(header.structure(), header.name, header.layer, header.label, header.stamp)
        for header in headers
        if header.layer < len(layers) and header.label in present[header.layer]
    )
    return ExistingSegmentation(tuple(layers), segments, Maker("segmentation file", "", path.name), tuple(notes))


def _read_headers(path: Path) -> list[SegmentHeader]:
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return []
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return []
    fields = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
    numbers = sorted(int(match.group(1)) for match in map(_ID.fullmatch, fields) if match)
    return [_read_header(fields, number) for number in numbers]


def _read_header(fields: Mapping[str, str], number: int) -> SegmentHeader:
    def get(key: str, fallback: str) -> str:
        return fields.get(f"Segment{number}_{key}", fallback).strip()

    label, layer = get("LabelValue", "1"), get("Layer", "0")
    colour = [round(255 * float(part)) for part in get("Color", "0.5 0.68 0.5").split()]
    red, green, blue = (min(max(part, 0), 255) for part in (*colour, 128, 128, 128)[:3])
    entry = _TERMINOLOGY.search(get("Tags", ""))
    code, side = _read_terminology(entry.group(1)) if entry else (None, None)
    return SegmentHeader(
        name=get("Name", "") or get("ID", f"segment {number + 1}"),
        layer=int(layer) if layer.isdigit() else 0,
        label=int(label) if label.isdigit() else 1,
        code=code,
        side=side,
        colour_rgb=(red, green, blue),
        stamp=find_stamp(get("Tags", "")),
    )


def _read_terminology(entry: str) -> tuple[Code | None, str | None]:
    """Type and side of Slicer's "context~category~type~modifier~anatomic context~region~region modifier"."""
    fields = [part.split("^") for part in entry.split("~")]

    def code(place: int) -> Code | None:
        if len(fields) <= place or len(fields[place]) < 3 or not fields[place][1]:
            return None
        scheme, value, meaning = fields[place][:3]
        return Code(value, scheme, meaning)

    modifier = code(3) or code(6)
    side = modifier.meaning.lower() if modifier and modifier.meaning.lower() in ("left", "right") else None
    return code(2), side


def _without_attributes(volume: Volume) -> Volume:
    return replace(volume, attributes={})
