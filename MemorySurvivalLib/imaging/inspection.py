"""What can be told of a CT and a PET before they are scored: headers and geometry first, voxels only to align them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source
from MemorySurvivalLib.imaging.pet_quality import PetLimits, check_pet
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.volume import Affine, FloatMatrix
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from MemorySurvivalLib.imaging.dicom_series import DicomSeries

OBLIQUE_DEGREES = 2.0
COARSE_MM = 10.0
"""A slice distance beyond which vertebrae are hardly told apart."""
LEAST_COVER = 0.9

Topic = Literal["geometry", "overlap", "suv", "tracer", "identity", "frame", "alignment"]


@dataclass(frozen=True)
class Geometry:
    """A volume's place: a 4 x 4 matrix from voxel index (x, y, z) to LPS millimetres, and the size (x, y, z).

    Raises InputError for a matrix that is no grid and a size that is not positive.
    """

    matrix: tuple[tuple[float, ...], ...]
    size: tuple[int, int, int]

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise InputError("An image needs one voxel or more along every axis.")
        Affine(np.array(self.matrix))

    @property
    def affine(self) -> Affine:
        """The same as a type of its own."""
        return Affine(np.array(self.matrix))


@dataclass(frozen=True)
class ImageFacts:
    """One image: its place as the viewer has it, and a file that holds it as shown (DICOM or image file), if any."""

    geometry: Geometry
    file: Path | None = None


@dataclass(frozen=True)
class Finding:
    """One line for the user: what it is about, whether it can change the score, and a sentence."""

    topic: Topic
    severity: Literal["note", "warning"]
    sentence: str


@dataclass(frozen=True)
class Inspection:
    """The findings, warnings first, the SUV tags that are missing (names of `Supplied`), and the minutes of uptake."""

    findings: tuple[Finding, ...]
    missing: tuple[str, ...] = ()
    uptake_min: float | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


def inspect_images(
    ct: ImageFacts | None,
    pet: ImageFacts | None,
    supplied: Supplied | None = None,
    *,
    align: bool = False,
    limits: PetLimits | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Inspection:
    """Look at what is chosen so far; nothing here refuses a case, scoring still does.

    `align` also reads both images, where both have a file, and estimates whether the PET lies on the CT.
    """
    findings: list[Finding] = []
    for name, image in (("CT", ct), ("PET", pet)):
        if image is not None:
            findings += _look_at_geometry(name, image.geometry)
    if ct is not None and pet is not None:
        findings += _look_at_overlap(ct.geometry, pet.geometry)
    series: dict[Modality, DicomSeries] = {}
    images: dict[Modality, ImageFacts | None] = {"CT": ct, "PET": pet}
    for modality, image in images.items():
        found = _find_series(image, modality, findings, progress)
        if found is not None:
            series[modality] = found
    missing: tuple[str, ...] = ()
    uptake_min: float | None = None
    facts: Mapping[str, object] = {}
    if "PET" in series:
        missing, uptake_min, facts = _look_at_suv(series["PET"], supplied, limits, findings)
    if len(series) == 2:
        findings += _look_at_identity(series["CT"], series["PET"])
    if align and ct is not None and pet is not None:
        findings += _look_at_alignment(ct, pet, supplied, missing, progress)
    order = sorted(findings, key=lambda each: each.severity != "warning")
    return Inspection(tuple(order), missing, uptake_min, facts)


def _look_at_geometry(name: str, geometry: Geometry) -> list[Finding]:
    spacing, size = geometry.affine.spacing_mm, geometry.size
    shape = " x ".join(str(n) for n in size)
    found = [Finding("geometry", "note", f"{name}: {shape} voxels of {' x '.join(f'{mm:.3g}' for mm in spacing)} mm.")]
    degrees = oblique_degrees(geometry.affine)
    if degrees > OBLIQUE_DEGREES:
        text = f"The {name} is tilted by {degrees:.0f} degrees against the patient's axes; check that this is meant."
        found.append(Finding("geometry", "warning", text))
    along = body_spacing_mm(geometry.affine)
    if along > COARSE_MM:
        text = f"The {name}'s slices are {along:.3g} mm apart, too coarse to tell vertebrae from each other."
        found.append(Finding("geometry", "warning", text))
    return found


def oblique_degrees(affine: Affine) -> float:
    """The largest angle between an axis of the image and the closest axis of the patient."""
    cosines = np.abs(affine.direction).max(axis=0)
    return float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).max())


def body_spacing_mm(affine: Affine) -> float:
    """The distance of voxels along the axis that runs closest to head-feet."""
    return affine.spacing_mm[int(np.abs(affine.direction[2]).argmax())]


def _look_at_overlap(ct: Geometry, pet: Geometry) -> list[Finding]:
    """How much of the CT's box the PET's box covers, along each axis of the patient."""
    inner, outer = _box(ct), _box(pet)
    shared = np.minimum(inner[1], outer[1]) - np.maximum(inner[0], outer[0])
    if (shared <= 0).any():
        text = "The PET and the CT do not overlap in space; choose images of the same patient and study."
        return [Finding("overlap", "warning", text)]
    cover = float(shared[2] / (inner[1] - inner[0])[2])
    if cover < LEAST_COVER:
        text = f"The PET covers {cover:.0%} of the CT from head to feet; only that part is scored."
        return [Finding("overlap", "warning" if cover < LEAST_COVER / 2 else "note", text)]
    return []


def _box(geometry: Geometry) -> tuple[FloatMatrix, FloatMatrix]:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * np.array(geometry.size) - 0.5
    points = geometry.affine.points_mm(corners)
    return points.min(axis=0), points.max(axis=0)


def _find_series(
    image: ImageFacts | None, modality: Modality, findings: list[Finding], progress: ProgressCallback
) -> DicomSeries | None:
    if image is None or image.file is None or not is_dicom_source(image.file):
        return None
    from MemorySurvivalLib.imaging.shown import find_series

    try:
        return find_series(image.file, modality, progress)
    except InputError as error:
        findings.append(Finding("geometry", "warning", str(error)))
        return None


def _look_at_suv(
    series: DicomSeries, supplied: Supplied | None, limits: PetLimits | None, findings: list[Finding]
) -> tuple[tuple[str, ...], float | None, Mapping[str, object]]:
    from MemorySurvivalLib.imaging.suv import MissingPetTags, convert_to_suv

    try:
        conversion = convert_to_suv(series.headers, supplied)
    except MissingPetTags as error:
        findings.append(Finding("suv", "warning", str(error)))
        return tuple(error.details.get("missing", ())), None, {}
    except InputError as error:
        findings.append(Finding("suv", "warning", str(error)))
        return (), None, {}
    findings.append(Finding("suv", "note", f"SUV: {conversion.method}."))
    flags = check_pet(conversion, limits)
    uptake = conversion.uptake_min
    tracer = conversion.tags.tracer
    if tracer and uptake is not None and math.isfinite(uptake):
        findings.append(Finding("tracer", "note", f"Tracer: {tracer}, scanned {uptake:.0f} min after the injection."))
    elif tracer:
        findings.append(Finding("tracer", "note", f"Tracer: {tracer}."))
    for flag in flags:
        topic: Topic = "tracer" if flag.name in ("tracer", "uptake_time", "glucose") else "suv"
        findings.append(Finding(topic, flag.severity, flag.sentence))
    return (), uptake, conversion.facts


def _look_at_identity(ct: DicomSeries, pet: DicomSeries) -> list[Finding]:
    from MemorySurvivalLib.imaging.study_identity import IdentityMismatch, check_identity

    found = []
    try:
        found += [Finding("identity", "note", note) for note in check_identity(ct.identity, pet.identity)]
    except IdentityMismatch as error:
        found += [Finding("identity", "warning", text) for text in error.differences]
    if ct.facts.frame_of_reference_uid != pet.facts.frame_of_reference_uid:
        text = "CT and PET do not share a frame of reference, so check in the views that they lie on each other."
        found.append(Finding("frame", "warning", text))
    return found


def _look_at_alignment(
    ct: ImageFacts, pet: ImageFacts, supplied: Supplied | None, missing: tuple[str, ...], progress: ProgressCallback
) -> list[Finding]:
    """Estimate the shift from the voxels; silent where an image has no file or cannot be read as it is."""
    if ct.file is None or pet.file is None or missing:
        return []
    from MemorySurvivalLib.imaging.alignment import align as judge
    from MemorySurvivalLib.imaging.intake import ImageRequest, take_in

    try:
        if is_dicom_source(ct.file) or is_dicom_source(pet.file):
            request = ImageRequest(ct.file, pet.file, supplied=_usable(supplied, pet.file), confirm_identity=True)
            taken = take_in(request, progress=progress)
            volumes = taken.ct, taken.pet
        else:
            volumes = read_volume(ct.file, "CT"), read_volume(pet.file, "PET")
        _moved, record = judge(volumes[0].reoriented(), volumes[1].reoriented(), "check")
    except InputError:  # scoring says it where it matters; the headers have been judged above
        return []
    if record is None:
        return []
    if record.warning:
        return [Finding("alignment", "warning", record.warning)]
    if record.reliable and record.magnitude_mm is not None:
        text = f"The PET lies on the CT (estimated shift {record.magnitude_mm:.1f} mm)."
        return [Finding("alignment", "note", text)]
    return [Finding("alignment", "note", "Whether the PET lies on the CT cannot be told from these images.")]


def _usable(supplied: Supplied | None, pet: Path) -> Supplied:
    return supplied if supplied is not None and is_dicom_source(pet) else Supplied()
