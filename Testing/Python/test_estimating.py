"""How long a case will take follows the slices that scoring will read."""

from __future__ import annotations

import msgspec

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.estimating import EstimateRequest, estimate


def test_a_thin_slice_scan_costs_no_more_than_the_most_slices() -> None:
    manifest = read_archive(find_bundle("demonstration")).manifest
    propagation = msgspec.structs.replace(manifest.propagation, slice_step=3, most_slices=None)
    limited = msgspec.structs.replace(propagation, most_slices=48)
    images = len({modality for head in manifest.heads for modality in head.spec.modalities})
    slices = {
        (spacing_mm, one.most_slices): estimate(
            EstimateRequest(1000, spacing_mm, mask_mm=600), msgspec.structs.replace(manifest, propagation=one), 0.1
        ).slices
        for one in (propagation, limited)
        for spacing_mm in (5.0, 1.0)
    }
    assert slices == {
        (5.0, None): 40 * images,
        (5.0, 48): 40 * images,
        (1.0, None): 200 * images,
        (1.0, 48): 47 * images,
    }
