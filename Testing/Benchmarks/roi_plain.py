"""The same masks made plainly with scipy.ndimage at full resolution, to compare the built-in segmenter with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

BODY_HU, BONE_HU = -300, 130
"""With a closing of 3 mm, the best of five bone thresholds (100 to 200 HU) on the real CT of `roi_dice` is this one, so
that the comparison is fair."""
OPENING_MM, CLOSING_MM = 6.0, 3.0


def find_body_plainly(ct_hu: npt.NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> Mask:
    """Denser than air, opened, largest piece, holes filled slice by slice (z, y, x; spacing z, y, x)."""
    steps = max(1, round(OPENING_MM / min(spacing_mm)))
    body = ndimage.binary_opening(ct_hu > BODY_HU, iterations=steps)
    labels, _ = ndimage.label(body)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = np.asarray(labels == sizes.argmax())
    for index in range(len(body)):
        body[index] = ndimage.binary_fill_holes(body[index])
    return body


def find_bones_plainly(ct_hu: npt.NDArray[np.int16], body: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """Threshold, closing, holes filled slice by slice."""
    steps = max(1, round(CLOSING_MM / min(spacing_mm)))
    bones: Mask = ndimage.binary_closing((ct_hu > BONE_HU) & body, iterations=steps)
    for index in range(len(bones)):
        bones[index] = ndimage.binary_fill_holes(bones[index])
    return bones


def dilate_plainly(mask: Mask, radius_mm: float, spacing_mm: tuple[float, float, float]) -> Mask:
    """Everything within `radius_mm`, by a distance map of the whole image."""
    near: Mask = ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= radius_mm
    return near
