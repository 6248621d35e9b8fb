"""DICOM RT structure sets: closed planar contours turned into masks on the CT's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import FloatMatrix, Volume
from MemorySurvivalLib.roi.existing_labels import TISSUE
from MemorySurvivalLib.roi.existing_layers import Box, ExistingSegmentation, LayerBuilder
from MemorySurvivalLib.roi.segments import Code, Maker, Structure
from MemorySurvivalLib.roi.terminology import find_by_code, recognise

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

SAME_PLANE_MM = 0.05
"""Contours closer than this along their common normal lie in one plane."""

FLAT_MM = 0.5
"""A contour strays no further than this from its plane."""

GAP = 1.6
"""Planes further apart than this many usual distances have nothing between them."""

AREA_TYPES = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass(frozen=True, eq=False)
class Plane:
    """Contours in one plane at `height_mm` along the normal, standing for the slab `low_mm` <= height < `high_mm`.

    A point is inside when an odd number of contours surrounds it, so that holes and keyholes come out as drawn.
    """

    height_mm: float
    low_mm: float
    high_mm: float
    polygons_mm: tuple[Points, ...]


def read_rtstruct(path: Path, ct: Volume) -> ExistingSegmentation:
    """Read an RT structure set (PS3.3 A.19) onto the CT's grid.

    A voxel belongs to a structure when its centre lies inside the contours of the plane nearest to it, with
    coordinates that nothing was rounded to; contours reach half-way to the next plane, and half the usual distance
    beyond the last one and into gaps. CT slices need not be parallel to the contours. Raises InputError for an
    object without usable contours, and where none of them lies inside the CT.
    """
    try:
        dataset = pydicom.dcmread(path)
    except (InvalidDicomError, OSError) as error:
        raise InputError(f"The structure set {path} is not a DICOM file that can be read.") from error
    if dataset.get("Modality") != "RTSTRUCT":
        raise InputError(f"The DICOM file {path} is no RT structure set (modality {dataset.get('Modality')}).")
    names = {int(each.ROINumber): str(each.get("ROIName", "")) for each in dataset.get("StructureSetROISequence") or []}
    codes = {int(each.ReferencedROINumber): each for each in dataset.get("RTROIObservationsSequence") or []}
    builder = LayerBuilder(ct)
    notes: list[str] = []
    empty = []
    for item in dataset.get("ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        name = names.get(number, "").strip() or f"structure {number}"
        contours, others = _read_contours(item)
        if others:
            notes.append(f"{others} points or open lines of {name} were left out, because they enclose nothing.")
        if not contours:
            continue
        masked = draw_contours(contours, ct, name)
        if masked is None:
            empty.append(name)
            continue
        builder.add(_structure(name, item, codes.get(number)), name, *masked)
    if not builder.segments and empty:
        raise InputError(
            f"The structure set {path.name} does not overlap with the CT in space; choose the one of this patient and "
            "study."
        )
    if not builder.segments:
        raise InputError(f"The structure set {path.name} holds no closed contour; choose one with drawn structures.")
    if empty:
        notes.append(f"Outside the CT: {', '.join(empty)}.")
    keys = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID")
    origin = {key: str(dataset.get(key)) for key in keys if dataset.get(key)}
    frames = {str(each.get("ReferencedFrameOfReferenceUID", "")) for each in dataset.StructureSetROISequence} - {""}
    if len(frames) == 1:
        origin["FrameOfReferenceUID"] = frames.pop()
    maker = Maker(str(dataset.get("ManufacturerModelName", "") or "RT structure set"), "", path.name)
    return ExistingSegmentation(builder.layers, tuple(builder.segments), maker, tuple(notes), origin)


def draw_contours(contours_mm: Sequence[Points], grid: Volume, name: str) -> tuple[Box, Mask] | None:
    """Closed planar contours, each (points, 3) in LPS mm, as a mask in a box of `grid`; None where they miss it.

    Raises InputError when the contours are not in parallel planes.
    """
    axes = _plane_axes(contours_mm, grid)
    across_mm = float(np.abs(axes[2] @ grid.affine.direction) @ np.asarray(grid.spacing_mm))
    planes = _stack_planes([contour @ axes.T for contour in contours_mm], across_mm, name)
    mask = np.zeros(grid.shape, dtype=np.bool_)
    for plane in planes:
        box = _box_around(plane, axes, grid)
        if box is not None:
            _draw_plane(plane, axes, grid, box, mask)
    tight = ndimage.find_objects(mask.view(np.uint8))
    if not tight:
        return None
    z, y, x = tight[0]
    return (z, y, x), mask[z, y, x]


def is_inside(points: Points, polygons: Sequence[Points]) -> Mask:
    """Which points (n, 2) an odd number of polygons (each (m, 2), closed by itself) surrounds.

    Each edge is crossed by the points beside it only, which are found by sorting; edges count half-open, so that a
    point on a corner is counted once.
    """
    order = np.argsort(points[:, 1], kind="stable")
    across, up = points[order, 0], points[order, 1]
    odd = np.zeros(len(points), dtype=np.bool_)
    for polygon in polygons:
        starts, ends = polygon, np.roll(polygon, -1, axis=0)
        low = np.searchsorted(up, np.minimum(starts[:, 1], ends[:, 1]), side="left")
        high = np.searchsorted(up, np.maximum(starts[:, 1], ends[:, 1]), side="left")
        for edge in np.flatnonzero(low < high):
            beside = slice(low[edge], high[edge])
            (x0, y0), (x1, y1) = starts[edge], ends[edge]
            odd[beside] ^= across[beside] < x0 + (up[beside] - y0) * ((x1 - x0) / (y1 - y0))
    inside = np.empty_like(odd)
    inside[order] = odd
    return inside


def _read_contours(item: Dataset) -> tuple[list[Points], int]:
    """The closed contours of a structure (points, 3) and how many others it has."""
    contours, others = [], 0
    for each in item.get("ContourSequence") or []:
        numbers = np.asarray(each.get("ContourData") or [], dtype=np.float64)
        closed = str(each.get("ContourGeometricType", "CLOSED_PLANAR")).upper() in AREA_TYPES
        if closed and numbers.size >= 9 and numbers.size % 3 == 0 and np.isfinite(numbers).all():
            contours.append(numbers.reshape(-1, 3))
        else:
            others += 1
    return contours, others


def _plane_axes(contours_mm: Sequence[Points], grid: Volume) -> FloatMatrix:
    """Three unit vectors as rows: two in the plane of the contours and their normal.

    Of the grid's own axes the one that fits is taken as normal, exactly, so that parallel slices stay parallel.
    """
    largest = max(contours_mm, key=lambda contour: float(np.ptp(contour, axis=0).sum()))
    _, _, vectors = np.linalg.svd(largest - largest.mean(axis=0), full_matrices=False)
    normal = vectors[2] if len(vectors) == 3 else np.cross(vectors[0], vectors[1])
    directions = grid.affine.direction
    fit = np.abs(normal @ directions)
    closest = int(np.argmax(fit))
    if fit[closest] > 1 - 1e-7:
        others = [axis for axis in range(3) if axis != closest]
        rows: FloatMatrix = np.stack([directions[:, others[0]], directions[:, others[1]], directions[:, closest]])
        return rows
    return np.stack([vectors[0], vectors[1], normal])


def _stack_planes(contours: Sequence[Points], alone_mm: float, name: str) -> list[Plane]:
    """Contours in coordinates along the plane's axes, gathered into planes with the slabs they stand for.

    A plane without others stands for `alone_mm`.
    """
    for contour in contours:
        if float(np.ptp(contour[:, 2])) > 2 * FLAT_MM:
            raise InputError(
                f"The contours of {name} do not lie in parallel planes; export them as slices of one orientation."
            )
    heights = np.array([contour[:, 2].mean() for contour in contours])
    order = np.argsort(heights, kind="stable")
    groups: list[list[int]] = []
    for index in order:
        if groups and heights[index] - heights[groups[-1][-1]] <= SAME_PLANE_MM:
            groups[-1].append(int(index))
        else:
            groups.append([int(index)])
    levels = np.array([heights[group].mean() for group in groups])
    steps = np.diff(levels)
    usual = float(np.median(steps)) if len(steps) else alone_mm
    planes = []
    for n, group in enumerate(groups):
        below = steps[n - 1] if n > 0 and steps[n - 1] <= GAP * usual else usual
        above = steps[n] if n < len(steps) and steps[n] <= GAP * usual else usual
        polygons = tuple(contours[index][:, :2] for index in group)
        planes.append(Plane(float(levels[n]), float(levels[n] - below / 2), float(levels[n] + above / 2), polygons))
    return planes


def _box_around(plane: Plane, axes: FloatMatrix, grid: Volume) -> Box | None:
    """The box of voxels that a plane's slab can reach; None outside the grid."""
    points = np.concatenate(plane.polygons_mm)
    (u0, v0), (u1, v1) = points.min(axis=0), points.max(axis=0)
    corners = np.array([(u, v, w) for u in (u0, u1) for v in (v0, v1) for w in (plane.low_mm, plane.high_mm)])
    index = grid.affine.indices(corners @ axes)
    start = np.clip(np.floor(index.min(axis=0)).astype(int), 0, None)
    stop = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, grid.shape[::-1])
    if (start >= stop).any():
        return None
    x, y, z = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return z, y, x


def _draw_plane(plane: Plane, axes: FloatMatrix, grid: Volume, box: Box, mask: Mask) -> None:
    """Set the voxels of `box` that a plane's slab and contours hold, a slice at a time to bound memory."""
    steps = axes @ grid.affine.matrix[:3, :3]  # along the plane's axes, for a step along x, y, z
    origin = axes @ grid.affine.matrix[:3, 3]
    zs, ys, xs = (np.arange(part.start, part.stop) for part in box)
    for z in zs:
        first = origin + steps[:, 2] * z
        height = first[2] + steps[2, 1] * ys[:, None] + steps[2, 0] * xs
        row, column = np.nonzero((height >= plane.low_mm) & (height < plane.high_mm))
        if not row.size:
            continue
        y, x = ys[row], xs[column]
        places = first[:2] + steps[:2, 0] * x[:, None] + steps[:2, 1] * y[:, None]
        inside = is_inside(places, plane.polygons_mm)
        mask[z, y[inside], x[inside]] = True


def _structure(name: str, item: Dataset, observation: Dataset | None) -> Structure:
    """The structure by its code where the file gives one, else by its name, else a tissue in the file's colour."""
    for entry in (observation.get("RTROIIdentificationCodeSequence") or []) if observation is not None else []:
        code = Code(str(entry.get("CodeValue", "")), str(entry.get("CodingSchemeDesignator", "")), "")
        found = find_by_code(code.value, code.scheme, None, name)
        if found is not None:
            return found
    known = recognise(name)
    if known is not None:
        return known
    colour = [int(part) for part in item.get("ROIDisplayColor") or (128, 174, 128)]
    return Structure(name, "other", TISSUE, None, (colour[0], colour[1], colour[2]))
