"""The patient's body on a CT, without table, clothes and air."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MemorySurvivalLib.roi.working_grid import Image, Mask, Spacing

BODY_HU = -300.0
CORE_HU, TISSUE_HU, LEAST_TISSUE = -200.0, -50.0, 0.1
"""What is denser than the first is patient or table, denser than the second neither fat nor foam; of a patient at least
the given share is."""
LEAST_SHARE = 0.02
"""Parts smaller than this share of the largest one (arms and legs are larger) are not the patient."""
TABLE_MM = 12.0
"""A table top or mattress cover is thinner than this, a body part thicker."""


def find_body(ct_hu: Image, spacing_mm: Spacing) -> Mask:
    """The patient (z, y, x), air inside included slice by slice; table and small objects removed.

    Thin dense sheets vanish by opening and pieces without soft tissue (a table's foam, cushions) are dropped; what
    remains is grown back to the skin. All False for an image of air.
    """
    steps = [max(1, round(4.0 / step)) for step in spacing_mm]
    sampled = ct_hu[:: steps[0], :: steps[1], :: steps[2]]
    coarse = sampled > CORE_HU
    sampling = [step * n for step, n in zip(spacing_mm, steps, strict=True)]
    # The patient goes on beyond the first and last slice; sideways a table cut by the image's border must not.
    width = [max(1, int(np.ceil(TABLE_MM / step))) for step in sampling]
    padded = np.pad(coarse, [(width[0], width[0]), (0, 0), (0, 0)], mode="edge")
    padded = np.pad(padded, [(0, 0), (width[1], width[1]), (width[2], width[2])])
    core = ndimage.distance_transform_edt(padded, sampling=sampling) > TABLE_MM / 2
    labels, count = ndimage.label(core)
    if count == 0:
        return np.zeros(ct_hu.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    inner = tuple(slice(w, -w) for w in width)
    tissue = np.bincount(labels[inner][sampled > TISSUE_HU], minlength=count + 1)
    sizes[tissue < LEAST_TISSUE * np.bincount(labels[inner].ravel(), minlength=count + 1)] = 0
    if not sizes.any():
        return np.zeros(ct_hu.shape, dtype=np.bool_)
    kept = (sizes >= LEAST_SHARE * sizes.max())[labels]
    near = ndimage.distance_transform_edt(~kept, sampling=sampling) <= TABLE_MM / 2 + max(sampling)
    near = near[inner]
    grown = near.repeat(steps[0], 0).repeat(steps[1], 1).repeat(steps[2], 2)
    body: Mask = (ct_hu > BODY_HU) & grown[: ct_hu.shape[0], : ct_hu.shape[1], : ct_hu.shape[2]]
    for index in range(body.shape[0]):
        body[index] = ndimage.binary_fill_holes(body[index])
    return body
