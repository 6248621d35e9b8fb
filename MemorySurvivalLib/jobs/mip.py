"""The job that makes a PET's rotating view, and says what the PET's unit is in SUV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.projection import SPACING_MM, project_rotating
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert


class MipRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`pet` is the image that a viewer shows; `dicom` stands for the series that it is of, where its unit is not SUV.

    `out` is the folder, which exists, that frames.npy and depth_mm.npy are written to.
    """

    pet: Path
    out: Path
    dicom: Path | None = None
    supplied: Supplied = Supplied()
    spacing_mm: float = SPACING_MM


def rotate(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Write frames and depths (frame, v, u) of half a turn as NumPy files; see RotatingProjection.

    The result holds `centre_mm` (LPS), `spacing_mm`, `suv_per_unit` (None where it cannot be told) and `why_no_suv`.
    """
    request = convert(parameters, MipRequest)
    made = project_rotating(read_volume(request.pet, "PET"), spacing_mm=request.spacing_mm, progress=context.progress)
    files = {}
    for name, array in (("frames", made.frames), ("depth_mm", made.depth_mm)):
        path = request.out / f"{name}.npy"
        with atomic_file(path) as target, target.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        files[name] = str(path)
    factor, why = _suv_per_unit(request)
    result = {
        "centre_mm": made.centre_mm,
        "spacing_mm": made.spacing_mm,
        "suv_per_unit": factor,
        "why_no_suv": why,
    }
    return JobOutput(result, files)


def _suv_per_unit(request: MipRequest) -> tuple[float | None, str]:
    """What one unit of the image is in SUV by body weight, or None and why it cannot be told."""
    if request.dicom is None:
        return 1.0, ""
    from MemorySurvivalLib.imaging.shown import find_series
    from MemorySurvivalLib.imaging.suv import convert_to_suv

    try:
        factors = convert_to_suv(find_series(request.dicom, "PET").headers, request.supplied).factors
    except InputError as error:
        return None, str(error)
    if max(factors) - min(factors) > 1e-6 * max(factors):
        return None, "The slices of this PET are scaled differently."
    return float(factors[0]), ""
