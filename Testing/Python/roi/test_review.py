"""The sentences about a mask before it is scored."""

from __future__ import annotations

import numpy as np
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.provenance import RoiPart, stamp_mask
from MemorySurvivalLib.roi.review import review_mask
from MemorySurvivalLib.roi.segments import Maker

AFFINE = Affine.from_parts((2, 2, 3), np.diag([-1, -1, 1]), (40, 40, -100))
PART = RoiPart("skeleton", Maker("built-in CT segmenter", "0.1.0"))


@pytest.fixture
def ct() -> Volume:
    return Volume(np.zeros((20, 40, 40), np.int16), AFFINE)


@pytest.fixture
def generated(ct: Volume) -> Volume:
    voxels = np.zeros(ct.shape, np.uint8)
    voxels[4:16, 15:25, 15:25] = 1
    return stamp_mask(Volume(voxels, AFFINE), "skeleton", (PART,))


def edited(mask: Volume, *places: tuple[int, int, int]) -> Volume:
    voxels = mask.voxels.copy()
    for place in places:
        voxels[place] = 1 - voxels[place]
    return mask.with_voxels(voxels)


def test_an_untouched_mask_has_one_sentence(ct: Volume, generated: Volume) -> None:
    found = review_mask(generated, ct, 2, generated)
    assert found.sentences == ("The mask is as built-in CT segmenter 0.1.0 made it.",)
    assert found.edit is None


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SLP"])
def test_an_edit_is_counted_in_voxels_and_prompts(ct: Volume, generated: Volume, orientation: str) -> None:
    mask = edited(generated, (15, 20, 27), (8, 20, 20)).reoriented(orientation)
    found = review_mask(mask, ct.reoriented("PIR"), 1, generated)
    assert found.edit is not None and found.boxes is not None
    assert (found.edit.voxels_added, found.edit.voxels_removed, found.boxes.total) == (1, 1, 1)
    assert found.provenance.parts[0].voxels_changed == 2
    assert len(found.sentences) == 3


def test_an_edit_without_the_generated_mask_is_said_to_be_unknown(ct: Volume, generated: Volume) -> None:
    mask = edited(generated, (8, 20, 20))
    for twin in (None, edited(generated, (9, 20, 20))):  # not kept, or another mask's
        found = review_mask(mask, ct, 1, twin)
        assert found.edit is None
        assert found.provenance.parts[0].voxels_changed is None
        assert found.sentences == (
            "The mask was edited after built-in CT segmenter 0.1.0 made it.",
            "How many voxels were changed is not known, because the generated mask was not kept.",
        )


def test_stray_pieces_are_listed_but_not_all(ct: Volume, generated: Volume) -> None:
    voxels = [(z, 2, x) for z in (4, 8, 12) for x in (2, 20, 38)]
    found = review_mask(edited(generated, *voxels), ct, 1, generated)
    assert len(found.stray) == 9
    assert found.sentences[-1] == "4 more stray pieces were found."
    assert sum("stray voxel" in each for each in found.sentences) == 5


def test_a_mask_of_unknown_origin_is_reviewed_too(ct: Volume, generated: Volume) -> None:
    plain = Volume(generated.voxels, AFFINE)
    assert review_mask(plain, ct, 1).sentences == (
        "The mask's file does not say who made it or whether a person edited it.",
    )


def test_a_mask_beside_the_ct_is_refused(ct: Volume, generated: Volume) -> None:
    with pytest.raises(InputError, match="The mask is empty on the CT"):
        review_mask(Volume(generated.voxels, AFFINE.shifted((500, 0, 0))), ct, 1)
