"""One volume from a DICOM folder or file, for places that take any image file: the CT, or a mask."""

from __future__ import annotations

from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_header import show
from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.dicom_series import DicomSeries, Found
from MemorySurvivalLib.imaging.study import list_candidates
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress


def read_dicom_volume(path: Path, what: str, progress: ProgressCallback = ignore_progress) -> Volume:
    """Read the one series of a folder, or the series that a file belongs to, as rescaled values.

    `what` names the image in messages; "CT" admits CT series only, anything else any modality but PET. A PET is
    refused: its numbers mean nothing before `convert_to_suv`, so it comes in through `choose_study`. Raises
    InputError with one sentence when there is no such series, more than one, or when it cannot be read.
    """
    found = scan(path, progress)
    return read_series(_only(found, path, what), progress)


def _only(found: Found, path: Path, what: str) -> DicomSeries:
    where = f"The {what} {show(path)}"
    candidates = list_candidates(found)
    wanted = [one for one in candidates if one.series.modality != "PT" and (what != "CT" or one.role == "CT")]
    usable = [one.series for one in wanted if not one.unusable and not one.doubt and not one.series.problems]
    if what == "PET" or (not wanted and any(one.role == "PET" for one in candidates)):
        raise InputError(
            f"{where} is a DICOM PET, which must be converted to SUV; give the folder of its study, or an SUV image."
        )
    if len(usable) > 1:
        listed = "; ".join(one.title for one in usable)
        raise InputError(f"{where} holds {len(usable)} series that fit ({listed}); give the folder or a file of one.")
    folders = {image.path.parent for one in usable for image in one.slices}
    for other in found.others:
        if other.problem and (not wanted or other.path.parent in folders):
            raise InputError(f"{where} may lack slices. {other.problem}" if wanted else other.problem)
    if usable:
        return usable[0]
    if wanted:
        reasons = " ".join(" ".join(one.series.problems) or one.doubt for one in wanted)
        raise InputError(f"{where} cannot be read as a volume. {reasons}")
    others = ", ".join(sorted({other.kind for other in found.others if other.kind}))
    but = f" (only {others})" if others else ""
    raise InputError(f"{where} holds no DICOM image series{but}; give an image file or the folder of a series.")
