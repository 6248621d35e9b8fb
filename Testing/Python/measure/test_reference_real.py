"""Reference spheres are not guessed on real images that show neither liver nor chest."""

from __future__ import annotations

from pathlib import Path

import pytest

from MemorySurvivalLib.imaging.case import load_case
from MemorySurvivalLib.measure.frame import make_frame
from MemorySurvivalLib.measure.reference import find_references
from MemorySurvivalLib.roi.automatic import segment_case


@pytest.mark.real_data
@pytest.mark.parametrize("patient", ["STS_002", "STS_019", "STS_041"])
def test_limbs_have_no_references(real_data: Path, patient: str) -> None:
    folder = real_data / "petct_sts10" / patient
    case = load_case(folder / "CT_image.nii.gz", folder / "PET_image.nii.gz")
    segmentation = segment_case(case.ct)
    references = find_references(case, segmentation, make_frame(case, segmentation))
    assert references.liver is None
    assert references.blood_pool is None
    assert len(references.notes) == 2
