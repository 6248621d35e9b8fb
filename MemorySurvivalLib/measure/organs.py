"""Physiologic hot organs recognised by their place and their CT: what may spill uptake into bone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MemorySurvivalLib.measure.frame import BodyFrame
from MemorySurvivalLib.measure.uptake import Mask, Point, voxel_ml

BRAIN_MM2 = 2500.0
"""A cavity of this section within the skull's bone holds brain."""
BRAIN_ML = 100.0
BRAIN_SUV = 2.0

BLADDER_AHEAD_MM = 45.0
"""The middle of a bladder lies further before the sacral canal than this; a mass at the sacrum lies nearer."""


@dataclass(frozen=True)
class HotSpot:
    """A peak and the region above half of it: its width across (mm) and its height along the body (mm)."""

    peak_lps_mm: Point
    width_mm: float
    height_mm: float


@dataclass(frozen=True, eq=False)
class Organs:
    """Names physiologic organs; made once a case by `find_organs`."""

    frame: BodyFrame
    cranium: Mask
    bowel_gas: Mask

    def name(self, spot: HotSpot) -> str | None:
        """Which physiologic organ a peak outside bone belongs to; None when none is recognised."""
        frame = self.frame
        x, y, z = np.rint(frame.grid.affine.indices(spot.peak_lps_mm)).astype(int)
        size = frame.hu.shape
        z, y, x = (int(np.clip(v, 0, n - 1)) for v, n in zip((z, y, x), size, strict=True))
        if self.cranium[z, y, x]:
            return "brain"
        if frame.spine_z is None:
            return None
        x_mm, y_mm, z_mm = frame.spacing_mm
        left = (x - frame.mid_x[z]) * x_mm
        ahead = (frame.canal_y[z] - y) * y_mm
        above_pelvis = (z - frame.spine_z[0]) * z_mm
        above_lungs = None if frame.lungs_z is None else (z - frame.lungs_z[0]) * z_mm
        below_top = None if frame.lungs_z is None else (frame.lungs_z[1] - z) * z_mm
        hu = float(frame.hu[z, y, x])
        if -220 < above_pelvis < 25 and abs(left) < 75 and BLADDER_AHEAD_MM < ahead < 190 and -30 < hu < 60:
            return "bladder"
        heart = above_lungs is not None and below_top is not None and above_lungs > 25 and below_top > 60
        if heart and -45 < left < 120 and ahead > 55 and -60 < hu < 250:
            return "myocardium"
        in_belly = above_pelvis >= -40 and (above_lungs is None or above_lungs < 110)
        if not in_belly or hu > 350:
            return None
        thin = spot.width_mm <= 15 and spot.height_mm >= 1.4 * spot.width_mm
        if thin and 10 < abs(left) < 75 and 30 < ahead < 130:
            return "ureter"
        if above_pelvis > 45 and 36 < abs(left) < 110 and -35 < ahead < 80 and hu > -60:
            return "kidney"
        if ahead > 35 and self.bowel_gas[z, y, x]:
            return "bowel or stomach"
        return None


def find_organs(frame: BodyFrame) -> Organs:
    """Prepare the masks that names are decided by."""
    gas = frame.body & (frame.hu < -300) & ~ndimage.binary_dilation(frame.lungs, iterations=3)
    near = ndimage.distance_transform_edt(~gas, sampling=frame.spacing_zyx) <= 22.0 if gas.any() else gas
    return Organs(frame, _find_cranium(frame), near)


def _find_cranium(frame: BodyFrame) -> Mask:
    """The inside of the skull: cavities that bone encloses in axial slices above the lungs, hot as brain is."""
    inside = np.zeros(frame.hu.shape, dtype=np.bool_)
    lowest = 0 if frame.lungs_z is None else frame.lungs_z[1]
    area = frame.spacing_mm[0] * frame.spacing_mm[1]
    for z in range(lowest, frame.hu.shape[0]):
        if not frame.bones[z].any():
            continue
        wall = ndimage.binary_closing(np.pad(frame.bones[z], 4), iterations=2)[4:-4, 4:-4]
        hole = ndimage.binary_fill_holes(wall) & ~frame.bones[z]
        labels, count = ndimage.label(hole)
        for number in range(1, count + 1):
            part = labels == number
            if np.count_nonzero(part) * area >= BRAIN_MM2:
                inside[z] |= part
    inside &= (frame.hu > -50) & (frame.hu < 150)
    volume_ml = np.count_nonzero(inside) * voxel_ml(frame.spacing_mm)
    if volume_ml < BRAIN_ML or float(frame.suv[inside].mean()) < BRAIN_SUV:
        return np.zeros_like(inside)
    return np.asarray(ndimage.binary_dilation(inside) & frame.body)
