"""Where a 1 cm3 sphere fits into the descending thoracic aorta, the mediastinal blood pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.frame import BodyFrame
from MemorySurvivalLib.measure.uptake import Mask, Point, point_of
from MemorySurvivalLib.roi.segments import Segmentation
from MemorySurvivalLib.roi.working_grid import isotropic_grid, shrink

SPHERE_MM = 6.2
"""Radius of the reference sphere."""

MARGIN_MM = 0.5
"""Least distance between the sphere and the vessel's wall, within a slice."""

WORKING_MM = 2.0
"""The neighbourhood of the spine is searched on a cubic grid of this spacing."""

BLOOD_HU = (65.0, 12.0)
"""Where blood begins: with contrast agent, tried first, and without."""
DENSEST_HU = 350.0
RADIUS_MM = (7.0, 18.0)
LEFT_MM = (-5.0, 45.0)
AHEAD_MM = (20.0, 62.0)
"""Where the descending aorta runs, seen from the spinal canal's middle."""

BODY_AHEAD_MM, BODY_RADIUS_MM = 22.0, 19.0
"""A vertebral body lies this far in front of the canal's middle; where the segmenter left one out, it must not be taken
for a vessel."""

ERODE_MM = 4.5
SIDEWAYS = 1.2
"""The vessel's middle moves sideways by no more than this per millimetre along the body (and one voxel)."""

GAP_MM = 10.0
"""A section that is not seen as round (a touching vertebra, contrast agent beside) may interrupt the vessel so far."""

LEAST_LENGTH_MM = 35.0
ROUND = 1.8
"""Largest ratio of a section's long to its short axis."""

NO_CHEST = "No blood-pool reference: the thoracic spine with the lungs beside it is not in view."
NO_AORTA = "No blood-pool reference: no round vessel was found beside the thoracic spine; place it by a click."


@dataclass(frozen=True)
class _Disc:
    """One round section: slice and middle (index), radius, and how far its middle is from any wall."""

    z: int
    y: float
    x: float
    depth_mm: float


def find_aorta(case: Case, segmentation: Segmentation, frame: BodyFrame) -> Point | str:
    """The centre (LPS, mm) of the sphere, or the sentence that says why there is none."""
    if frame.lungs_z is None or frame.spine_z is None:
        return NO_CHEST
    left_lung = (frame.lungs & (frame.left_mm() > 0)).sum(axis=(1, 2)) * frame.spacing_mm[0] * frame.spacing_mm[1]
    levels = np.flatnonzero(left_lung > 1500.0)
    levels = levels[(levels >= frame.spine_z[0]) & (levels <= frame.spine_z[1])]
    if levels.size < 3:
        return NO_CHEST
    start, stop = _neighbourhood(case, frame, int(levels[0]), int(levels[-1]))
    crop = isotropic_grid(shrink(case.ct.cropped(start, stop), WORKING_MM), WORKING_MM)
    bone_mask = segmentation.of("vertebra", "sacrum", "bone", "canal")
    bone_crop = shrink(Volume(bone_mask, case.ct.affine).cropped(start, stop), WORKING_MM)
    bones = isotropic_grid(bone_crop, WORKING_MM).voxels >= 0.5
    hu = ndimage.gaussian_filter(np.asarray(crop.voxels, dtype=np.float32), 2.0 / WORKING_MM)
    middle_x, canal_y = _middle_on(crop, frame)
    for edge in BLOOD_HU:
        blood = (hu > edge) & (hu < DENSEST_HU) & ~bones
        tracks = _link([_discs(blood[z], z, middle_x[z], canal_y[z], crop) for z in range(blood.shape[0])], crop)
        step = crop.spacing_mm[2]
        tracks = [track for track in tracks if (track[-1].z - track[0].z) * step >= LEAST_LENGTH_MM]
        if tracks:
            place = _best_place(max(tracks, key=_room), crop)
            if place is not None:
                return place
    return NO_AORTA


def _room(track: list[_Disc]) -> float:
    """How much vessel a chain of sections offers: long and wide ones win, but width beyond an aorta's does not."""
    return sum(min(disc.depth_mm, 12.0) for disc in track)


def _neighbourhood(
    case: Case, frame: BodyFrame, low: int, high: int
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The block of the case's grid beside the spine between two coarse slices."""
    levels = np.arange(low, high + 1)
    points = frame.grid.affine.points_mm(np.stack([frame.mid_x[levels], frame.canal_y[levels], levels], axis=1))
    index = case.ct.affine.indices(points)
    x_mm, y_mm, _ = case.ct.spacing_mm
    lowest = [index[:, 2].min(), index[:, 1].min() - (AHEAD_MM[1] + 25) / y_mm, index[:, 0].min() - 30 / x_mm]
    highest = [index[:, 2].max(), index[:, 1].max(), index[:, 0].max() + (LEFT_MM[1] + 25) / x_mm]
    start = [max(0, int(v)) for v in lowest]
    stop = [min(n, int(v) + 2) for v, n in zip(highest, case.ct.shape, strict=True)]
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])


def _middle_on(crop: Volume, frame: BodyFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The spinal canal's middle (x and y index) in each slice of the crop."""
    levels = np.arange(len(frame.mid_x))
    points = frame.grid.affine.points_mm(np.stack([frame.mid_x, frame.canal_y, levels], axis=1))
    index = crop.affine.indices(points)
    here = np.arange(crop.shape[0])
    return np.interp(here, index[:, 2], index[:, 0]), np.interp(here, index[:, 2], index[:, 1])


def _discs(blood: Mask, z: int, middle_x: float, canal_y: float, crop: Volume) -> list[_Disc]:
    """Round sections of the right size in one slice, in the place where the aorta runs."""
    x_mm, y_mm, _ = crop.spacing_mm
    depth = ndimage.distance_transform_edt(np.pad(blood, 1), sampling=(y_mm, x_mm))[1:-1, 1:-1]
    labels, count = ndimage.label(depth > ERODE_MM, np.ones((3, 3)))
    found = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(labels == number)
        deep = depth[rows, columns] - ERODE_MM  # the vessel's axis weighs most
        y, x = float(np.average(rows, weights=deep)), float(np.average(columns, weights=deep))
        left, ahead = (x - middle_x) * x_mm, (canal_y - y) * y_mm
        if not (LEFT_MM[0] <= left <= LEFT_MM[1] and AHEAD_MM[0] <= ahead <= AHEAD_MM[1]):
            continue
        if np.hypot(left, ahead - BODY_AHEAD_MM) < BODY_RADIUS_MM:
            continue
        size_y = (rows.max() - rows.min() + 1) * y_mm + 2 * (ERODE_MM - y_mm / 2)
        size_x = (columns.max() - columns.min() + 1) * x_mm + 2 * (ERODE_MM - x_mm / 2)
        radius = (size_y + size_x) / 4
        if RADIUS_MM[0] <= radius <= RADIUS_MM[1] and max(size_x, size_y) <= ROUND * min(size_x, size_y):
            found.append(_Disc(z, y, x, float(depth[round(y), round(x)])))
    return found


def _link(sections: list[list[_Disc]], crop: Volume) -> list[list[_Disc]]:
    """Chains of sections that follow each other along the body, with short gaps."""
    x_mm, y_mm, z_mm = crop.spacing_mm
    tracks: list[list[_Disc]] = []
    for z, discs in enumerate(sections):
        free = list(discs)
        for track in sorted(tracks, key=len, reverse=True):
            last = track[-1]
            gap_mm = (z - last.z) * z_mm
            if gap_mm > GAP_MM + z_mm or not free:
                continue
            reach = SIDEWAYS * gap_mm + max(x_mm, y_mm)
            away, nearest = min(
                ((float(np.hypot((d.x - last.x) * x_mm, (d.y - last.y) * y_mm)), i) for i, d in enumerate(free)),
            )
            if away <= reach:
                track.append(free.pop(nearest))
        tracks += [[disc] for disc in free]
    return tracks


def _best_place(track: list[_Disc], crop: Volume) -> Point | None:
    """The middle of the widest stretch that is as long as the sphere."""
    first = track[0].z
    levels = [disc.z - first for disc in track]
    depth = np.interp(np.arange(levels[-1] + 1), levels, [disc.depth_mm for disc in track])
    half = max(1, int(np.ceil(SPHERE_MM / crop.spacing_mm[2])))
    least = ndimage.minimum_filter1d(depth, 2 * half + 1, mode="constant", cval=0.0)
    smooth = ndimage.uniform_filter1d(least, 2 * half + 1)
    smooth[least < SPHERE_MM + MARGIN_MM] = 0.0
    best = int(smooth.argmax())
    if smooth[best] <= 0:
        return None
    around = [disc for disc in track if abs(disc.z - first - best) <= half]
    place = (first + best, float(np.mean([d.y for d in around])), float(np.mean([d.x for d in around])))
    return point_of(crop.affine, place)
