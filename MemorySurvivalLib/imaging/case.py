"""A case: one patient's CT and PET on one grid, with what is known about where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.acquisition import Acquisition, Alignment
from MemorySurvivalLib.imaging.alignment import align, alignment_notes
from MemorySurvivalLib.imaging.grid import crop_to_overlap
from MemorySurvivalLib.imaging.intake import ImageRequest, Intake, take_in
from MemorySurvivalLib.imaging.pet_quality import PetLimits, check_uptake
from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress

SIMULATED_ATTRIBUTE = "memory_survival_simulated"
"""Attribute that the simulator writes into its files; a case counts as simulated only if both images carry it."""

BODY_THRESHOLD_HU = -300.0
PLAUSIBLE_BODY_MEAN_SUV = (0.02, 25.0)
"""Whole-body mean SUVbw is near 1 by definition; crops around a hot tumour stay well below the upper end."""


@dataclass(frozen=True)
class ImageSource:
    """Where an image came from: its file, the hash of its voxels and place, its orientation and size."""

    path: str
    sha256: str
    orientation: str
    shape_zyx: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Case:
    """CT (HU) and PET (SUVbw, g/mL) on the CT's grid with axes running to LPS; frozen, valid or refused.

    `simulated` is true only for images made by this project's simulator.
    """

    ct: Volume
    pet: Volume
    orientation: str
    simulated: bool
    sources: Mapping[Modality, ImageSource]
    notes: tuple[str, ...] = field(default=())
    acquisition: Acquisition = field(default_factory=Acquisition)

    def __post_init__(self) -> None:
        if not self.ct.same_grid(self.pet):
            raise InputError("A case needs CT and PET on one grid.")

    def image(self, modality: Modality) -> Volume:
        """The volume of one modality."""
        return self.ct if modality == "CT" else self.pet


def load_case(
    ct_path: Path,
    pet_path: Path,
    alignment: Alignment = "off",
    progress: ProgressCallback = ignore_progress,
) -> Case:
    """Read CT and PET (image files or DICOM) and bring the PET onto the CT's grid (paper section 2.2)."""
    return prepare_case(take_in(ImageRequest(ct_path, pet_path), progress=progress), alignment)


def prepare_case(intake: Intake, alignment: Alignment = "off", limits: PetLimits | None = None) -> Case:
    """One grid from images that were taken in; flags of the PET's values are added to those of its tags."""
    case = make_case(
        intake.ct,
        intake.pet,
        intake.names["CT"],
        intake.names["PET"],
        alignment=alignment,
        acquisition=intake.acquisition,
    )
    # On the PET's own grid: on the CT's, whatever lies outside the PET counts as no uptake.
    found = check_uptake(intake.pet, intake.ct, limits=limits)
    acquisition = replace(case.acquisition, flags=(*case.acquisition.flags, *found))
    notes = (*intake.notes, *case.notes, *(flag.sentence for flag in found))
    return replace(case, acquisition=acquisition, notes=notes)


def make_case(
    ct: Volume,
    pet: Volume,
    ct_path: str = "CT",
    pet_path: str = "PET",
    *,
    alignment: Alignment = "off",
    acquisition: Acquisition | None = None,
) -> Case:
    """Check two volumes and put them on one grid.

    Axes are permuted and flipped to LPS (exact, nothing is resampled for that), so the same patient stored another
    way gives the same case. The CT is cut to where the PET is, from head to feet. `alignment` "check" estimates whether
    the PET lies beside the CT, "correct" also moves it. Raises InputError when the images do not overlap or their
    values cannot be HU and SUV.
    """
    if not (_inside(ct, pet).any() or _inside(pet, ct).any()):
        raise InputError(
            f"The PET {pet_path} and the CT {ct_path} do not overlap in space; "
            "choose images of the same patient and study."
        )
    _check_hu(ct, ct_path)
    straight_ct, straight_pet = _canonical(ct), _canonical(pet)
    aligned, record = align(straight_ct, straight_pet, alignment)
    # Whole slices are kept: a cut at the sides would change the scale of the pictures that the model sees.
    canonical, shared = crop_to_overlap(straight_ct, aligned, body_axis_only=True)
    on_grid = resample_onto(aligned, canonical, linear=True)
    _check_suv(canonical, on_grid, pet_path)
    notes = [sentence for sentence in (shared.note, *alignment_notes(record)) if sentence]
    if shared.covered < 0.9:
        notes.append(f"The PET covers only {shared.covered:.0%} of the CT; the rest is read as no uptake.")
    sources: dict[Modality, ImageSource] = {"CT": _source(ct, ct_path), "PET": _source(pet, pet_path)}
    simulated = all(SIMULATED_ATTRIBUTE in volume.attributes for volume in (ct, pet))
    return Case(
        ct=canonical.with_voxels(canonical.voxels.astype(np.float32)),
        pet=on_grid.with_voxels(on_grid.voxels.astype(np.float32, copy=False)),
        orientation=ct.affine.orientation,
        simulated=simulated,
        sources=sources,
        notes=tuple(notes),
        acquisition=replace(
            acquisition or Acquisition(),
            cropped_mm=dict(shared.cut_mm),
            pet_coverage=round(shared.covered, 4),
            alignment=record,
        ),
    )


def _canonical(volume: Volume) -> Volume:
    """Axes run to LPS; the origin loses what lies below a nanometre.

    Turning axes around computes the origin anew, and the last bit of it would decide whether a CT voxel on the PET's
    very edge lies inside.
    """
    turned = volume.reoriented()
    matrix = turned.affine.matrix.copy()
    matrix[:3, 3] = np.round(matrix[:3, 3], 6)
    return Volume(turned.voxels, Affine(matrix), turned.attributes)


def _source(volume: Volume, path: str) -> ImageSource:
    return ImageSource(path, volume.sha256(), volume.affine.orientation, volume.shape, volume.spacing_mm)


def _inside(lattice_of: Volume, field_of_view: Volume) -> npt.NDArray[np.bool_]:
    axes = [np.linspace(0, n - 1, 12) for n in reversed(lattice_of.shape)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    index = field_of_view.affine.indices(lattice_of.affine.points_mm(lattice))
    size = np.asarray(field_of_view.shape[::-1])
    return np.asarray(((index > -0.5) & (index < size - 0.5)).all(axis=1))


def _check_hu(ct: Volume, path: str) -> None:
    low, high = float(ct.voxels.min()), float(ct.voxels.max())
    if low == high:
        raise InputError(f"The CT {path} has the same value everywhere; choose the CT itself.")
    if low > -50 or high < 100:
        raise InputError(
            f"The CT {path} does not look like Hounsfield units (values {low:g} to {high:g}, expected air near -1000 "
            "and bone above 100); choose the CT, or export it with its rescale applied."
        )


def _check_suv(ct: Volume, pet: Volume, path: str) -> None:
    low, high = float(pet.voxels.min()), float(pet.voxels.max())
    body = ct.voxels > BODY_THRESHOLD_HU
    mean = float(pet.voxels[body].mean(dtype=np.float64)) if body.any() else 0.0
    if low < -5 or mean > PLAUSIBLE_BODY_MEAN_SUV[1] or mean < PLAUSIBLE_BODY_MEAN_SUV[0]:
        raise InputError(
            f"The PET {path} is not in SUV units (values {low:g} to {high:g}, body mean {mean:g}; a body-weight SUV "
            "has a body mean near 1 g/mL); convert it to SUVbw first."
        )
