"""Images of a scenario's patient: the phantom as the site's scanner and the site's masks show it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto
from MemorySurvivalLib.simulation.anatomy import PHANTOM_VERSION, Phantom, build_phantom, smooth_noise
from MemorySurvivalLib.simulation.masks import skeleton, spine_dilated
from MemorySurvivalLib.simulation.patient import Patient
from MemorySurvivalLib.simulation.scenario import Scenario
from MemorySurvivalLib.simulation.second_phantom import SECOND_VERSION, build_second_phantom
from MemorySurvivalLib.simulation.second_uptake import simulate_second_pet
from MemorySurvivalLib.simulation.tissues import VERTEBRAE
from MemorySurvivalLib.simulation.uptake import Scanner, simulate_pet

_SKULL_BASE_MM = 22.0
"""How far above the spine a scan from the skull's base begins."""


@dataclass(frozen=True, eq=False)
class ScenarioCase:
    """Images of one patient. `ct` is int16 HU, `pet` float32 SUVbw on its own grid. `spine_dilated` and `skeleton` are
    uint8 on the CT's grid with the site's mask error, as a model gets them; `lesions` (uint8, n for the n-th of
    `phantom.foci`) and `phantom` are the truth, on the same grid."""

    patient: Patient
    ct: Volume
    pet: Volume
    spine_dilated: Volume
    skeleton: Volume
    lesions: Volume
    phantom: Phantom


def name_images(scenario: Scenario) -> str:
    """A short name of a scenario's images: equal where the same seed gives the same voxels, so that what was computed
    from them once serves every scenario that shares them."""
    version = SECOND_VERSION if scenario.images.generator == "second" else PHANTOM_VERSION
    return f"{scenario.images.generator}-{version}-{scenario.images_sha256[:12]}"


def simulate_patient(patient: Patient) -> ScenarioCase:
    """The images of a patient; the same patient gives the same voxels (in any scenario with the same `images`)."""
    seed, spec, disease = patient.image_seed, patient.shown.spec, patient.shown.disease
    scanner = Scanner(
        patient.site.resolution_mm, patient.site.pet_spacing_mm, patient.site.liver_noise, patient.uptake_minutes
    )
    if patient.generator == "second":
        phantom = build_second_phantom(spec, seed, disease)
        pet = simulate_second_pet(phantom, seed, scanner)
    else:
        phantom = build_phantom(spec, seed, disease)
        pet = simulate_pet(phantom, seed, scanner)
    head_rng, mask_rng = (np.random.default_rng([seed, purpose, 5]) for purpose in (1, 2))
    true_spine = spine_dilated(phantom.labels)
    true_skeleton = skeleton(phantom.labels, true_spine)
    noise = _surface_noise(true_spine, mask_rng)
    spine, bones = (_stray(mask, patient.site.mask_error_mm, noise) for mask in (true_spine, true_skeleton))
    bones = bones.with_voxels(np.maximum(bones.voxels, spine.voxels))
    top_mm = np.inf if head_rng.random() < patient.site.head_share else _skull_base_mm(phantom)
    return ScenarioCase(
        patient,
        _below(phantom.ct, top_mm),
        _below(pet, top_mm + pet.spacing_mm[2]),
        _below(spine, top_mm),
        _below(bones, top_mm),
        _below(phantom.lesions, top_mm),
        Phantom(
            spec,
            disease,
            _below(phantom.ct, top_mm),
            _below(phantom.labels, top_mm),
            _below(phantom.lesions, top_mm),
            _below(phantom.marrow, top_mm),
            phantom.foci,
        ),
    )


def with_ct_spacing(patient: Patient, spacing_mm: tuple[float, float, float]) -> Patient:
    """The same patient, shown on a CT of other voxels (x, y, z) than the site's. Texture, noise and the exact places of
    lesions depend on the grid, all else is the same. Raises InputError for a spacing that cannot be simulated."""
    shown = replace(patient.shown, spec=replace(patient.shown.spec, spacing_mm=spacing_mm))
    return replace(patient, shown=shown, person=shown if patient.person is patient.shown else patient.person)


def _skull_base_mm(phantom: Phantom) -> float:
    levels = np.flatnonzero(np.isin(phantom.labels.voxels, VERTEBRAE).any(axis=(1, 2)))
    top = int(levels[-1]) if len(levels) else phantom.labels.shape[0] - 1
    return phantom.ct.affine.origin_mm[2] + top * phantom.ct.spacing_mm[2] + _SKULL_BASE_MM


def _below(volume: Volume, top_mm: float) -> Volume:
    """The slices up to a height; the phantom's axes run along LPS."""
    heights = volume.affine.origin_mm[2] + volume.spacing_mm[2] * np.arange(volume.shape[0])
    kept = int(np.count_nonzero(heights <= top_mm))
    return volume if kept == volume.shape[0] else volume.cropped((0, 0, 0), (kept, *volume.shape[1:]))


def _surface_noise(grid: Volume, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Noise of about unit variance over lengths of some centimetres, made on a coarse grid: it is smooth anyway."""
    step_mm = 15.0
    extent = np.asarray(grid.shape[::-1]) * grid.spacing_mm
    nx, ny, nz = (int(n) for n in np.ceil(extent / step_mm) + 2)
    coarse = Volume(
        smooth_noise(rng, (nz, ny, nx), (step_mm,) * 3, 45.0),
        Affine.from_parts((step_mm,) * 3, np.eye(3), np.asarray(grid.affine.origin_mm) - step_mm / 2),
    )
    return np.asarray(resample_onto(coarse, grid, linear=True).voxels, dtype=np.float32)


def _stray(mask: Volume, error_mm: float, noise: npt.NDArray[np.float32]) -> Volume:
    """The mask with a surface that strays by `error_mm` (SD)."""
    boxes = ndimage.find_objects(np.asarray(mask.voxels))
    if not boxes or boxes[0] is None:
        return mask
    box = tuple(slice(max(part.start - 4, 0), part.stop + 4) for part in boxes[0])
    image = sitk.GetImageFromArray(mask.voxels[box].astype(np.float32))
    image.SetSpacing(mask.spacing_mm)
    sigma_mm = 0.8 * max(mask.spacing_mm)
    # Near a flat surface the blurred mask falls by this much for each millimetre.
    slope = error_mm / (sigma_mm * np.sqrt(2 * np.pi))
    soft = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, sigma_mm))
    # Bounded, so that far from the surface nothing comes or goes.
    soft += np.clip(np.float32(slope) * noise[box], -0.3, 0.3)
    # Blurring thins what is curved; this level keeps the mask's size.
    level = float(np.quantile(soft, 1 - np.count_nonzero(mask.voxels) / soft.size))
    strayed = np.zeros(mask.shape, dtype=np.uint8)
    strayed[box] = soft > level
    return mask.with_voxels(strayed)
