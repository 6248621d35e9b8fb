"""How long a case will take follows the slices that scoring will read."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

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


def test_a_map_costs_the_images_in_which_the_bundle_occludes() -> None:
    manifest = read_archive(find_bundle("demonstration")).manifest
    request = EstimateRequest(1000, 3.0, mask_mm=600, explain=True)
    slices = {
        images: estimate(
            request, msgspec.structs.replace(manifest, explain=replace(manifest.explain, modalities=images)), 0.1
        ).explain_slices
        for images in (("PET",), ("PET", "CT"))
    }
    assert 0 < slices["PET",] == slices["PET", "CT"] / 2
