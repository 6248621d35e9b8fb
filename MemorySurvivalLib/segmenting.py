"""From a CT to a folder of masks: label map, spine and skeleton, each stamped with who made it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from scipy import ndimage

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.files import atomic_file, atomic_folder
from MemorySurvivalLib.imaging.case import ImageSource
from MemorySurvivalLib.imaging.grid_masks import masks_to_pet
from MemorySurvivalLib.imaging.intake import read_pet_grid
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.mask_files import refuse_edited, write_labels, write_roi
from MemorySurvivalLib.roi.provenance import ROI_ATTRIBUTE, RoiPart, stamp_mask
from MemorySurvivalLib.roi.roi import Roi, RoiKind
from MemorySurvivalLib.roi.segments import Maker, Segmentation, Structure

if TYPE_CHECKING:
    from MemorySurvivalLib.roi.existing_layers import ExistingSegmentation

SCHEMA = "memory-survival-segmentation"
SCHEMA_VERSION = 1
RECORD_FILE = "structures.json"
LABELS_FILE = "labels.nrrd"
DERIVED_KINDS: tuple[RoiKind, ...] = ("spine_dilated", "skeleton")

Segmenter = Callable[[Volume, ProgressCallback], Segmentation]
RoiDeriver = Callable[[Segmentation, RoiKind], Roi]


@dataclass(frozen=True)
class SegmentRequest:
    """Which CT to segment, where to, and which regions to derive.

    With `pet` each region is also written on the PET's grid (the paper's other direction), as `<kind>_on_pet.nrrd`.
    `overwrite` replaces an earlier folder of ours, but never a mask that a person may have edited: that takes
    `replace_edited` too. `segmenter` is one of `roi.segmenters.choice`. With `existing` nothing is segmented: the file
    is read instead (`labels` says what its labels mean, see `roi.existing.read_existing`), and a mask without a name
    counts as the region of `bundle`.
    """

    ct: Path
    out: Path
    kinds: tuple[RoiKind, ...] = DERIVED_KINDS
    overwrite: bool = False
    replace_edited: bool = False
    pet: Path | None = None
    segmenter: str = "built-in"
    existing: Path | None = None
    labels: str | None = None
    bundle: str | None = None


@dataclass(frozen=True)
class LabelRecord:
    """One structure of the label map and the stamp by which a later edit of it alone is recognised."""

    structure: Structure
    voxels: int
    stamp: str


@dataclass(frozen=True)
class RegionRecord:
    """One derived region: its file, its size, its coded structure, and who made its parts."""

    file: str
    volume_ml: float
    structure: Structure
    parts: tuple[RoiPart, ...]


@dataclass(frozen=True)
class SegmentRecord:
    """What structures.json holds: what each label of the label map is, the regions, and what to keep in mind."""

    created: str
    ct: ImageSource
    maker: Maker
    labels: dict[int, LabelRecord]
    regions: dict[str, RegionRecord]
    notes: tuple[str, ...]
    seconds: dict[str, float]
    labels_file: str = LABELS_FILE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION
    version: str = __version__
    research_use: str = RESEARCH_USE

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


@dataclass(frozen=True)
class SegmentOutput:
    """The record of a run and the files it left: labels, structures, and one for each region found.

    `origin` holds what an existing DICOM segmentation states of its patient and study; it is in no file.
    """

    record: SegmentRecord
    files: Mapping[str, Path] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)


def segment_to_folder(
    request: SegmentRequest,
    progress: ProgressCallback = ignore_progress,
    tell: Callable[[str], None] = lambda text: None,
    segmenter: Segmenter | None = None,
    deriver: RoiDeriver | None = None,
) -> SegmentOutput:
    """Segment a CT and write labels.nrrd, structures.json and one mask for each region, along the CT's own axes.

    The folder appears whole or not at all. Raises InputError where none of the regions is found (an existing file may
    have none: its segments remain), OutputError where the folder holds masks that a person may have edited or files
    that are not ours.
    """
    for kind in request.kinds:
        if kind not in DERIVED_KINDS:
            raise InputError(f'"{kind}" cannot be made from a CT; choose {" or ".join(DERIVED_KINDS)}.')
    _refuse_touched(request)
    with atomic_folder(request.out, overwrite=request.overwrite, ours=RECORD_FILE) as folder:
        start = time.monotonic()
        ct = read_volume(request.ct, "CT")
        file = _ExistingFile(request) if request.existing is not None else None
        chosen = segmenter or (file.segment if file is not None else _find_segmenter(request.segmenter))
        segmentation = chosen(ct, progress)
        segmented = time.monotonic()
        if file is not None:
            rois, notes = file.regions(ct)
        else:
            rois, notes = _derive(segmentation, request.kinds, deriver or _derive_roi)
        for note in notes:
            tell(note)
        files = _write(folder, ct, segmentation, rois)
        if request.pet is not None:
            files |= _write_on_pet(folder, request.pet, rois, segmentation.maker)
        done = time.monotonic()
        record = SegmentRecord(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            ct=ImageSource(str(request.ct), ct.sha256(), ct.affine.orientation, ct.shape, ct.spacing_mm),
            maker=segmentation.maker,
            labels=_describe_labels(segmentation),
            regions={kind: _region(kind, roi, segmentation.maker) for kind, roi in rois.items()},
            notes=notes,
            seconds={"segment": round(segmented - start, 3), "derive and write": round(done - segmented, 3)},
        )
        with atomic_file(folder / RECORD_FILE) as path:
            path.write_bytes(record.as_json())
        _refuse_touched(request)  # a person may have saved a correction meanwhile
    names = {"structures": RECORD_FILE, **files}
    origin = file.origin if file is not None else {}
    return SegmentOutput(record, {key: request.out / name for key, name in names.items()}, origin)


def _find_segmenter(name: str) -> Segmenter:
    if name == "built-in":
        return _builtin
    from MemorySurvivalLib.roi.segmenters.choice import choose_segmenter

    return choose_segmenter(name).segment


def _builtin(ct: Volume, progress: ProgressCallback) -> Segmentation:
    # The segmenter's morphology packages load only when it runs.
    from MemorySurvivalLib.roi.automatic import segment_case

    return segment_case(ct, progress)


def _derive_roi(segmentation: Segmentation, kind: RoiKind) -> Roi:
    from MemorySurvivalLib.roi.derive import derive_roi

    return derive_roi(segmentation, kind)


class _ExistingFile:
    """A segmentation file on the CT's grid: its structures, and the regions that it holds or that follow from it."""

    def __init__(self, request: SegmentRequest) -> None:
        self._request = request
        self._found: ExistingSegmentation | None = None

    def segment(self, ct: Volume, progress: ProgressCallback) -> Segmentation:
        """Its segments as one label map."""
        from MemorySurvivalLib.roi.existing import read_existing

        assert self._request.existing is not None
        for _step in track(range(1), "reading the file", 1, progress):
            found = read_existing(self._request.existing, ct, self._request.labels)
        self._found = found
        return found.flatten()

    def regions(self, ct: Volume) -> tuple[dict[RoiKind, Roi], tuple[str, ...]]:
        """The regions, and every note once; none where the person has to say which segment is the region."""
        from MemorySurvivalLib.roi.existing import choose_roi

        assert self._found is not None
        named = {segment.structure.name for segment in self._found.segments if segment.structure.group == "roi"}
        kinds = tuple(kind for kind in self._request.kinds if kind in named) or self._request.kinds
        if len(self._found.segments) == 1 and not named:
            kinds = (self._wanted(),)
        rois: dict[RoiKind, Roi] = {}
        notes: list[str] = list(self._found.notes)
        problem = ""
        for kind in kinds:
            try:
                rois[kind] = choose_roi(self._found, kind, ct=ct)
            except InputError as error:
                problem = str(error)
            else:
                notes += rois[kind].notes
        if not rois:
            notes.append(f"{problem} The segments are there; choose the one to score.")
        return rois, tuple(dict.fromkeys(notes))

    @property
    def origin(self) -> Mapping[str, str]:
        """What a DICOM file states of itself."""
        return {} if self._found is None else dict(self._found.origin)

    def _wanted(self) -> RoiKind:
        """The region that a mask without a name stands for."""
        if self._request.bundle is None:
            return self._request.kinds[0]
        from MemorySurvivalLib.bundle.archive import read_archive
        from MemorySurvivalLib.bundle.registry import find_bundle

        return read_archive(find_bundle(self._request.bundle)).manifest.roi


def _derive(
    segmentation: Segmentation, kinds: tuple[RoiKind, ...], deriver: RoiDeriver
) -> tuple[dict[RoiKind, Roi], tuple[str, ...]]:
    """The regions that were found, and every note once."""
    rois: dict[RoiKind, Roi] = {}
    notes = list(segmentation.notes)
    problem: InputError | None = None
    for kind in kinds:
        try:
            roi = deriver(segmentation, kind)
        except InputError as error:
            problem = error
            notes.append(str(error))
        else:
            rois[kind] = roi
            notes += roi.notes
    if not rois and problem is not None:
        raise problem
    return rois, tuple(dict.fromkeys(notes))


def _write(folder: Path, ct: Volume, segmentation: Segmentation, rois: Mapping[RoiKind, Roi]) -> dict[str, str]:
    orientation = ct.affine.orientation
    parts = (RoiPart("structures", segmentation.maker),)
    write_labels(folder / LABELS_FILE, segmentation.labels.reoriented(orientation), parts)
    files = {"labels": LABELS_FILE}
    for kind, roi in rois.items():
        mask = roi.mask.with_voxels(roi.mask.voxels.astype(np.uint8)).reoriented(orientation)
        path = folder / f"{kind}.nrrd"
        if ROI_ATTRIBUTE in mask.attributes:  # our own stamp of earlier: what was edited stays known as edited
            write_volume(Volume(mask.voxels, mask.affine, {**mask.attributes, "research_use": RESEARCH_USE}), path)
        else:
            write_roi(path, mask, kind, (RoiPart(kind, segmentation.maker),))
        files[kind] = path.name
    return files


def _write_on_pet(folder: Path, pet_path: Path, rois: Mapping[RoiKind, Roi], maker: Maker) -> dict[str, str]:
    """The regions on the PET's own grid, along its own axes; its voxels' values play no part."""
    pet = read_pet_grid(pet_path)
    files = {}
    for kind, roi in rois.items():
        name = f"{kind}_on_pet"
        write_roi(folder / f"{name}.nrrd", masks_to_pet(roi.mask, pet), kind, (RoiPart(kind, maker),))
        files[name] = f"{name}.nrrd"
    return files


def _describe_labels(segmentation: Segmentation) -> dict[int, LabelRecord]:
    """Every label that has voxels."""
    labels = segmentation.labels
    found: dict[int, LabelRecord] = {}
    for label, box in enumerate(ndimage.find_objects(labels.voxels), start=1):
        if box is None:
            continue
        structure = segmentation.structures[label]
        piece = labels.cropped(tuple(part.start for part in box), tuple(part.stop for part in box))
        mask = piece.with_voxels((piece.voxels == label).astype(np.uint8))
        stamped = stamp_mask(mask, None, (RoiPart(structure.name, segmentation.maker),))
        found[label] = LabelRecord(structure, int(np.count_nonzero(mask.voxels)), stamped.attributes[ROI_ATTRIBUTE])
    return found


def _region(kind: RoiKind, roi: Roi, maker: Maker) -> RegionRecord:
    from MemorySurvivalLib.roi.terminology import structure

    return RegionRecord(f"{kind}.nrrd", round(roi.volume_ml, 3), structure(kind), (RoiPart(kind, maker),))


def _refuse_touched(request: SegmentRequest) -> None:
    """Raise OutputError where overwriting would destroy what a person made or put there."""
    if not request.overwrite or not (request.out / RECORD_FILE).is_file():
        return  # atomic_folder has its own sentence for these
    masks = {f"{kind}{where}.nrrd" for kind in DERIVED_KINDS for where in ("", "_on_pet")}
    ours = {RECORD_FILE, LABELS_FILE, *masks}
    strangers = sorted(p.name for p in request.out.iterdir() if p.name not in ours and not p.name.startswith("."))
    if strangers:
        raise OutputError(
            f"{request.out} also holds files that segment did not write ({', '.join(strangers[:3])}), so nothing there "
            "was touched; choose another folder."
        )
    if request.replace_edited:
        return
    for name in sorted(ours - {RECORD_FILE}):
        refuse_edited(request.out / name)
