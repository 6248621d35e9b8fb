"""The ROI that is made when none is given: the right region on a phantom, one sentence where there is no spine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MemorySurvivalLib import __version__
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import load_case, make_case
from MemorySurvivalLib.roi.automatic import MADE_BY, segment_roi
from MemorySurvivalLib.simulation.case import simulate_case


def test_the_phantoms_spine_is_found_in_any_storage_order() -> None:
    simulated = simulate_case(2)
    case = make_case(simulated.ct.reoriented("RAI"), simulated.pet)
    roi = segment_roi(case.ct, "spine_dilated")
    truth = simulated.spine_dilated.voxels > 0
    found = roi.mask.voxels
    assert 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum()) >= 0.8
    assert roi.kind == "spine_dilated"
    assert roi.made_by == f"{MADE_BY} {__version__}"
    assert roi.notes[0] == "The mask was made by the built-in segmenter; check it."


@pytest.mark.real_data
def test_a_limb_has_no_spine_and_says_so(real_data: Path) -> None:
    folder = real_data / "petct_sts10" / "STS_042"
    case = load_case(folder / "CT_image.nii.gz", folder / "PET_image.nii.gz")
    with pytest.raises(InputError) as caught:
        segment_roi(case.ct, "spine_dilated")
    assert str(caught.value) == (
        "No dilated spine (vertebrae, canal, paramedullary tissue) was found on the CT; give a mask with --roi."
    )
