"""Working ahead: the mask and the embedding of a case that nobody has opened yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.devices import DeviceName, choose_device
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.intake import ImageRequest, take_in
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.preparing import Run, ScoreRequest, embed_case, ignore_note
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.segmenting import SegmentRequest, segment_to_folder


@dataclass(frozen=True)
class PrepareRequest:
    """The case to work ahead on; the fields are those of a ScoreRequest.

    Without `roi` masks are made from the CT into the folder `masks` (where they are there already, they are used).
    `confirm_identity` is not among the fields: whether images of two patients belong together is asked when a person
    looks.
    """

    masks: Path

    study: Path | None = None
    ct: Path | None = None
    pet: Path | None = None
    roi: Path | None = None
    bundle: str = "demonstration"
    device: DeviceName = "auto"


@dataclass(frozen=True)
class Prepared:
    """What is ready: slices encoded for each modality, the region's volume, and the mask that was used."""

    slices: int
    region_ml: float
    mask: Path


def prepare_ahead(
    request: PrepareRequest, models: Models | None = None, progress: ProgressCallback = ignore_progress
) -> Prepared:
    """Segment and embed a case into the disk cache, so that a person finds its masks made and scores it in seconds.

    Nothing is scored. Raises MemorySurvivalError as segmenting and scoring would.
    """
    models = models or Models()
    bundle = models.bundle(request.bundle)
    mask = request.roi or _make_masks(request, bundle, progress)
    score = ScoreRequest(
        out=request.masks,  # nothing is written there
        ct=request.ct,
        pet=request.pet,
        study=request.study,
        roi=mask,
        bundle=request.bundle,
        device=request.device,
        alignment="off",
    )
    run = Run(score, models, bundle, choose_device(request.device), progress, ignore_note)
    case = run.prepare(None)
    roi = case.region.roi
    passes = run.on_device(lambda engine: embed_case(engine, bundle, case.case, roi, progress, MemoryCache()))
    slices = max(len(one.boxes) for one in passes.values())
    return Prepared(slices, round(roi.volume_ml, 1), mask)


def _make_masks(request: PrepareRequest, bundle: ModelBundle, progress: ProgressCallback) -> Path:
    """The mask of the bundle's kind, as generating masks in the panel would make it; one that is there is used."""
    kind = bundle.manifest.roi
    made = request.masks / f"{kind}.nrrd"
    if made.is_file():
        return made
    images = ImageRequest(ct=request.ct, pet=request.pet, study=request.study)
    ct = take_in(images, bundle.manifest.pet_limits, progress).names["CT"]
    record = segment_to_folder(SegmentRequest(Path(ct), request.masks), progress).record
    if not made.is_file():
        why = " ".join(record.notes) or "It was not found on the CT."
        raise InputError(f"There is no {kind} mask: {why} Make one by hand.")
    return made
