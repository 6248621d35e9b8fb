"""Where a 3 cm sphere fits into the liver's right lobe: geometry, HU and uptake, no trained model."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MemorySurvivalLib.measure.frame import BodyFrame, FloatArray
from MemorySurvivalLib.measure.uptake import Mask, Point, point_of, voxel_ml

SPHERE_MM = 15.0
"""Radius of the reference sphere."""

MARGIN_MM = 4.0
"""Between sphere and the liver's edge, against blurring."""

TISSUE_HU = (20.0, 150.0)
TISSUE_SUV = (1.0, 5.5)
"""Of liver; muscle takes up less than the lower end nearly always."""

RIGHT_MM = 30.0
"""The right lobe lies further right of the midline than this; so does no part of the heart's inside."""

LEAST_ML = 250.0
"""A smaller piece of homogeneous tissue is not enough to call it a liver."""

UNDER_LUNG_MM = 45.0
UNDER_LUNG_SHARE = 0.25
"""At least this share of the tissue's columns must meet the lung within this distance above its top."""

SPREAD = 0.22
"""Uptake further than this share from the liver's median (after smoothing) is not normal liver."""

NO_LUNG = "No liver reference: no lung is in view, so that the liver cannot be told from other organs."
NO_LIVER = "No liver reference: no homogeneous organ below the right lung's base was found; place it by a click."
NOT_EVEN = "No liver reference: the liver has no homogeneous place for a 3 cm sphere; place it by a click."


def find_liver(frame: BodyFrame) -> Point | str:
    """The centre (LPS, mm) of the sphere, or the sentence that says why there is none."""
    if frame.lungs_z is None or frame.spine_z is None:
        return NO_LUNG
    tissue = frame.body & ~frame.bones & (frame.hu > TISSUE_HU[0]) & (frame.hu < TISSUE_HU[1])
    tissue &= (frame.suv > TISSUE_SUV[0]) & (frame.suv < TISSUE_SUV[1])
    tissue &= frame.left_mm() < -RIGHT_MM / 2
    organ = _right_organ(frame, tissue)
    if organ is None:
        return NO_LIVER
    inner = ndimage.binary_erosion(organ)
    values = frame.suv[inner if inner.any() else organ]
    middle = float(np.median(values))
    hu_middle = float(np.median(frame.hu[organ]))
    even = organ & (np.abs(frame.suv - middle) < SPREAD * middle) & (np.abs(frame.hu - hu_middle) < 25.0)
    even = ndimage.binary_closing(even) & organ & (np.abs(frame.suv - middle) < 1.5 * SPREAD * middle)
    depth = _depth_mm(frame, even)
    depth = np.where(frame.left_mm() < -RIGHT_MM, depth, 0.0)
    best = np.unravel_index(int(depth.argmax()), depth.shape)
    if depth[best] < SPHERE_MM + MARGIN_MM:
        return NOT_EVEN
    return point_of(frame.grid.affine, best)


def _right_organ(frame: BodyFrame, tissue: Mask) -> Mask | None:
    """The largest thick piece of tissue whose columns reach up to the lung."""
    depth = _depth_mm(frame, tissue)
    labels, count = ndimage.label(depth > SPHERE_MM)
    best: tuple[float, Mask] | None = None
    for number in range(1, count + 1):
        core = labels == number
        if np.count_nonzero(core) * voxel_ml(frame.spacing_mm) < 3.0:
            continue
        grown = tissue & (ndimage.distance_transform_edt(~core, sampling=frame.spacing_zyx) <= SPHERE_MM)
        volume = float(np.count_nonzero(grown)) * voxel_ml(frame.spacing_mm)
        if volume < LEAST_ML or not _lies_under_lung(frame, core):
            continue
        if best is None or volume > best[0]:
            best = (volume, grown)
    return None if best is None else best[1]


def _lies_under_lung(frame: BodyFrame, core: Mask) -> bool:
    """Whether lung follows above enough of the columns, within a short way of the organ's top."""
    columns = core.any(axis=0)
    top = core.shape[0] - 1 - core[::-1].argmax(axis=0)
    reach = int(np.ceil((UNDER_LUNG_MM + SPHERE_MM) / frame.spacing_mm[2]))
    met = 0
    for y, x in np.argwhere(columns):
        met += bool(frame.lungs[top[y, x] : top[y, x] + reach, y, x].any())
    return bool(met >= UNDER_LUNG_SHARE * np.count_nonzero(columns))


def _depth_mm(frame: BodyFrame, mask: Mask) -> FloatArray:
    """Distance to the nearest voxel outside the mask; the image's border counts as outside."""
    padded = np.pad(mask, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=frame.spacing_zyx)
    return np.asarray(depth[1:-1, 1:-1, 1:-1], dtype=np.float32)
