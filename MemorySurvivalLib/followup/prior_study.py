"""The one call that lays a prior study beside the current one: registered by the spine, measured the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.followup.comparison import NOT_RESPONSE, Comparison, compare
from MemorySurvivalLib.followup.spine_registration import SpineMatch, match_spines
from MemorySurvivalLib.imaging.case import Case, prepare_case
from MemorySurvivalLib.imaging.intake import ImageRequest, Intake, take_in
from MemorySurvivalLib.imaging.study_identity import check_same_patient
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.measuring import Measurements, measure_case
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.derive import derive_roi
from MemorySurvivalLib.roi.region import RegionRequest, prepare_region
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.roi.segments import Segmentation

REGION: RoiKind = "skeleton"
"""Lesions of both studies are looked for in the whole skeleton: the bundle's region may differ from study to study."""


@dataclass(frozen=True)
class StudyRequest:
    """The images of one time point, and a spine mask where a person has made one."""

    study: Path | None = None
    ct: Path | None = None
    pet: Path | None = None
    spine: Path | None = None


@dataclass(frozen=True)
class PriorRequest:
    """Two studies of one patient. `out` is the file for the record; `confirm_identity` as in a ScoreRequest."""

    current: StudyRequest
    prior: StudyRequest
    out: Path | None = None
    confirm_identity: bool = False


@dataclass(frozen=True)
class PriorRecord:
    """What came out: the move, its fit, both studies' values, and what to keep in mind."""

    match: SpineMatch
    comparison: Comparison
    days_between: int | None
    notes: tuple[str, ...]
    simulated: bool
    schema: str = "memory-survival-prior"
    schema_version: int = 1
    version: str = __version__
    research_use: str = field(default=RESEARCH_USE)

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


@dataclass(frozen=True, eq=False)
class _Study:
    intake: Intake
    case: Case
    spine: Volume
    measurements: Measurements


def compare_with_prior(request: PriorRequest, progress: ProgressCallback = ignore_progress) -> PriorRecord:
    """Register, measure and compare two studies; the record is written where `out` is given.

    Raises InputError with one sentence for images that cannot be used, IdentityMismatch where the two seem to be of
    different patients and nobody confirmed that they are not.
    """
    current = _prepare(request.current, request.confirm_identity, progress)
    prior = _prepare(request.prior, request.confirm_identity, progress)
    notes = list(check_same_patient(current.intake.identity, prior.intake.identity, confirmed=request.confirm_identity))
    match = match_spines(current.case.ct, current.spine, prior.case.ct, prior.spine)
    days = _days_between(current.intake, prior.intake)
    if match.doubtful:
        notes.append(
            f"The two spines overlap by {100 * match.spine_dice:.0f} % only: look at both before relying on positions, "
            "or correct the masks."
        )
    if days is not None and days < 0:
        notes.append("The study that was given as the prior one is the later of the two.")
    for which, study in (("current", current), ("prior", prior)):
        notes += [f"The {which} study: {note}" for note in study.case.notes]
    record = PriorRecord(
        match=match,
        comparison=compare(current.measurements.record, prior.measurements.record, match),
        days_between=days,
        notes=(NOT_RESPONSE, *dict.fromkeys(notes)),
        simulated=current.case.simulated or prior.case.simulated,
    )
    if request.out is not None:
        with atomic_file(request.out) as path:
            path.write_bytes(record.as_json())
    return record


def _prepare(request: StudyRequest, confirmed: bool, progress: ProgressCallback) -> _Study:
    # The segmenter's morphology packages load only when it runs.
    from MemorySurvivalLib.roi.automatic import segment_case

    images = ImageRequest(ct=request.ct, pet=request.pet, study=request.study, confirm_identity=confirmed)
    intake = take_in(images, progress=progress)
    case = prepare_case(intake)
    segmentation = segment_case(case.ct, progress)
    spine = _spine(request, case, intake, segmentation, confirmed)
    roi = derive_roi(segmentation, REGION, grid=case.ct)
    return _Study(intake, case, spine, measure_case(case, segmentation, roi, progress=progress))


def _spine(request: StudyRequest, case: Case, intake: Intake, segmentation: Segmentation, confirmed: bool) -> Volume:
    if request.spine is None:
        voxels = segmentation.of("vertebra")
        if not voxels.any():
            raise InputError("No vertebrae were found on one of the CTs; give a spine mask for it.")
        return Volume(voxels.astype(np.uint8), segmentation.labels.affine)
    region = prepare_region(
        RegionRequest(mask=request.spine, kind="spine_dilated"),
        case.ct,
        "spine_dilated",
        1,
        identity=intake.identity,
        confirmed=confirmed,
    )
    return region.roi.mask


def _days_between(current: Intake, prior: Intake) -> int | None:
    """Days from the prior to the current study, where both say when they were."""
    days = [one.identity.study_date if one.identity else "" for one in (prior, current)]
    try:
        before, now = (datetime.strptime(day, "%Y%m%d") for day in days)
    except ValueError:
        return None
    return (now - before).days
