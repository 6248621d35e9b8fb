"""FDG uptake of a phantom as a PET scanner sees it: SUVbw, point spread, noise, a grid of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.simulation.anatomy import Phantom, simulated_by, smooth_noise
from MemorySurvivalLib.simulation.lesions import occupancy
from MemorySurvivalLib.simulation.shapes import Array
from MemorySurvivalLib.simulation.tissues import BONES, Tissue


@dataclass(frozen=True)
class Scanner:
    """How the PET was taken: resolution (full width at half maximum), voxel size, relative noise in the liver, minutes
    from injection to scan."""

    resolution_mm: float = 6.5
    spacing_mm: tuple[float, float, float] = (4.07, 4.07, 3.0)
    liver_noise: float = 0.09
    uptake_minutes: float = 60.0


# Mean SUVbw and the relative spread between people, about one hour after injection.
_UPTAKE: dict[Tissue, tuple[float, float]] = {
    Tissue.OUTSIDE: (0.0, 0.0),
    Tissue.SKIN: (0.45, 0.15),
    Tissue.FAT: (0.25, 0.2),
    Tissue.MUSCLE: (0.65, 0.15),
    Tissue.VISCERAL_FAT: (0.4, 0.2),
    Tissue.AIRWAY: (0.1, 0.0),
    Tissue.LUNG: (0.45, 0.15),
    Tissue.MEDIASTINUM: (1.1, 0.12),
    Tissue.HEART_BLOOD: (1.6, 0.12),
    Tissue.ARTERY: (1.6, 0.12),
    Tissue.VEIN: (1.6, 0.12),
    Tissue.LIVER: (2.3, 0.13),
    Tissue.SPLEEN: (1.85, 0.15),
    Tissue.STOMACH: (1.8, 0.3),
    Tissue.GAS: (0.3, 0.0),
    Tissue.PANCREAS: (1.5, 0.15),
    Tissue.KIDNEY: (3.0, 0.2),
    Tissue.RENAL_PELVIS: (14.0, 0.5),
    Tissue.BLADDER: (22.0, 0.5),
    Tissue.COLON: (1.5, 0.35),
    Tissue.SMALL_BOWEL: (1.4, 0.3),
    Tissue.GREY_MATTER: (12.0, 0.15),
    Tissue.WHITE_MATTER: (4.0, 0.15),
    Tissue.CEREBELLUM: (8.0, 0.15),
    Tissue.EYE: (1.2, 0.1),
    Tissue.SALIVARY_GLAND: (2.0, 0.25),
    Tissue.CARTILAGE: (0.5, 0.1),
    Tissue.DISC: (0.7, 0.1),
    Tissue.SPINAL_CANAL: (1.5, 0.15),
    Tissue.BREAST: (0.6, 0.2),
    Tissue.IMPLANT: (0.3, 0.0),
    Tissue.PROSTATE_UTERUS: (1.7, 0.25),
    Tissue.THYROID: (1.4, 0.3),
}
_CORTEX_SUV = 0.45
# Uptake of marrow relative to the vertebrae's; the long bones' shafts are fatty.
_MARROW_SHARE: dict[Tissue, float] = {
    Tissue.SACRUM: 0.9,
    Tissue.SKULL: 0.55,
    Tissue.MANDIBLE: 0.6,
    Tissue.STERNUM: 0.9,
    Tissue.RIBS_LEFT: 0.8,
    Tissue.RIBS_RIGHT: 0.8,
    Tissue.CLAVICLE_LEFT: 0.7,
    Tissue.CLAVICLE_RIGHT: 0.7,
    Tissue.SCAPULA_LEFT: 0.75,
    Tissue.SCAPULA_RIGHT: 0.75,
    Tissue.HIP_LEFT: 0.85,
    Tissue.HIP_RIGHT: 0.85,
    Tissue.FEMUR_LEFT: 0.55,
    Tissue.FEMUR_RIGHT: 0.55,
    Tissue.HUMERUS_LEFT: 0.5,
    Tissue.HUMERUS_RIGHT: 0.5,
    Tissue.FOREARM_LEFT: 0.3,
    Tissue.FOREARM_RIGHT: 0.3,
}
_NORMAL_MARROW_SUV = 1.15
_INFILTRATED_GAIN_SUV = 5.5
# Uptake goes as (minutes / 60) to this power: tumour and brain still fill, blood empties, urine collects.
_TUMOUR_POWER = 0.35
_POWER: dict[Tissue, float] = {
    Tissue.HEART_BLOOD: -0.4,
    Tissue.MEDIASTINUM: -0.25,
    Tissue.LIVER: -0.15,
    Tissue.SPLEEN: -0.15,
    Tissue.SPINAL_CANAL: -0.2,
    Tissue.GREY_MATTER: 0.2,
    Tissue.CEREBELLUM: 0.2,
    Tissue.BLADDER: 0.4,
}


def simulate_pet(phantom: Phantom, seed: int, scanner: Scanner | None = None) -> Volume:
    """The attenuation-corrected PET of a phantom: float32 SUVbw on the scanner's grid, which is not the CT's.

    The grid covers the CT, is shifted against it by a fraction of a voxel, and its slices are at least as thick
    as the CT's where no scanner is given.
    """
    if scanner is None:
        scanner = Scanner(spacing_mm=(4.07, 4.07, max(3.0, phantom.ct.spacing_mm[2])))
    tissue_rng, texture_rng, noise_rng = (np.random.default_rng([seed, purpose, 1]) for purpose in (11, 12, 13))
    activity = _activity(phantom, tissue_rng, texture_rng, scanner.uptake_minutes / 60)
    image = phantom.ct.with_voxels(activity).to_sitk()
    # The grids' own voxels blur too; what is left of the resolution is applied here.
    sigma = max(scanner.resolution_mm**2 - 0.5 * float(np.mean(np.square(phantom.ct.spacing_mm))), 9.0) ** 0.5 / 2.355
    grid = _pet_grid(phantom.ct, scanner.spacing_mm, tissue_rng)
    nz, ny, nx = grid.shape
    blurred = sitk.Resample(
        sitk.SmoothingRecursiveGaussian(image, sigma),
        [nx, ny, nz],
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkLinear,
        grid.affine.origin_mm,
        grid.affine.spacing_mm,
        np.eye(3).ravel().tolist(),
        0.0,
    )
    suv = np.clip(sitk.GetArrayFromImage(blurred).astype(np.float32), 0, None)
    suv = _add_noise(suv, phantom, scanner, noise_rng)
    return Volume(suv, grid.affine, simulated_by(seed))


def _activity(phantom: Phantom, rng: np.random.Generator, texture_rng: np.random.Generator, hours: float) -> Array:
    """True SUVbw on the CT's grid `hours` after injection, before the scanner."""
    labels = phantom.labels.voxels
    marrow = np.asarray(phantom.marrow.voxels, dtype=np.float32)
    table = np.full(256, _CORTEX_SUV, dtype=np.float32)
    for tissue, (mean, spread) in _UPTAKE.items():
        table[tissue] = mean * np.exp(rng.normal(0, 1) * spread) * hours ** _POWER.get(tissue, 0.0)
    blood = table[Tissue.HEART_BLOOD]
    table[Tissue.ARTERY] = table[Tissue.VEIN] = blood
    # The fasting heart is anything between as dark as blood and hotter than the brain.
    table[Tissue.MYOCARDIUM] = blood + np.exp(rng.normal(1.0, 0.9)) if rng.random() < 0.75 else blood + 0.3
    if rng.random() < 0.12:  # metformin
        table[Tissue.COLON] *= 3.0
    activity = table[labels]
    texture = smooth_noise(texture_rng, labels.shape, phantom.ct.spacing_mm, 14.0)
    activity *= 1 + np.float32(0.06) * texture
    bowel = np.isin(labels, (Tissue.COLON, Tissue.SMALL_BOWEL, Tissue.STOMACH))
    patchy = smooth_noise(texture_rng, labels.shape, phantom.ct.spacing_mm, 38.0)
    activity += bowel * activity * np.clip(np.float32(0.55) * patchy, -0.4, 1.6)
    bone = labels >= Tissue.C1
    shares = np.zeros(256, dtype=np.float32)
    for tissue in BONES:
        shares[tissue] = _MARROW_SHARE.get(tissue, 1.0)
    activity[bone] += (marrow * (_marrow_suv(phantom, rng, texture, patchy, hours) * shares[labels] - _CORTEX_SUV))[
        bone
    ]
    for voxels, suv in list_benign(phantom):
        activity[voxels] += suv
    spacing = phantom.ct.spacing_mm
    origin = phantom.ct.affine.origin_mm
    x, y, z = ((origin[i] + spacing[i] * np.arange(phantom.ct.shape[2 - i])).astype(np.float32) for i in range(3))
    voxel_mm = float(np.prod(spacing) ** (1 / 3))
    for focus in phantom.foci:
        box, part = occupancy(focus, x, y, z, voxel_mm, labels.astype(np.uint8, copy=False))
        activity[box] += part * (np.float32(focus.suv_bw * hours**_TUMOUR_POWER) - activity[box])
    return activity


def _marrow_suv(phantom: Phantom, rng: np.random.Generator, fine: Array, patchy: Array, hours: float) -> Array:
    """Uptake of vertebral marrow: normal, stimulated, or infiltrated (diffuse and a little patchy)."""
    disease = phantom.disease
    normal = _NORMAL_MARROW_SUV * phantom.spec.distractors.marrow_stimulation * float(np.exp(rng.normal(0, 0.12)))
    tumour = _INFILTRATED_GAIN_SUV * disease.avidity * disease.marrow_infiltration**1.5 * hours**_TUMOUR_POWER
    gain = tumour * (1 + 0.12 * fine + 0.18 * patchy)
    return np.asarray(normal * (1 - 0.3 * disease.marrow_infiltration) + gain, dtype=np.float32)


def list_benign(phantom: Phantom) -> Iterator[tuple[npt.NDArray[np.bool_], float]]:
    """Voxels of healing fractures, worn joints and bone around an implant, and how much SUV each adds; no hazard."""
    labels = phantom.labels.voxels
    distractors = phantom.spec.distractors
    if distractors.fracture is not None:
        yield labels == distractors.fracture, 1.1
    for level in distractors.degeneration:
        yield (labels == level) & (np.asarray(phantom.marrow.voxels) < 0.6), 1.3
    if distractors.implant is not None:
        yield labels == (Tissue.FEMUR_LEFT if distractors.implant == "left" else Tissue.FEMUR_RIGHT), 0.7


def _pet_grid(ct: Volume, spacing_mm: tuple[float, float, float], rng: np.random.Generator) -> Volume:
    """An empty grid around the CT's, out of step with it."""
    nz, ny, nx = ct.shape
    low = ct.affine.points_mm((-0.5, -0.5, -0.5))
    high = ct.affine.points_mm((nx - 0.5, ny - 0.5, nz - 0.5))
    spacing = np.asarray(spacing_mm)
    start = low - rng.random(3) * 0.9 * spacing
    count = np.ceil((high - start) / spacing).astype(int) + 1
    affine = Affine.from_parts(spacing, np.eye(3), start + spacing / 2)
    return Volume(np.zeros((count[2], count[1], count[0]), dtype=np.float32), affine)


def _add_noise(suv: Array, phantom: Phantom, scanner: Scanner, rng: np.random.Generator) -> Array:
    """Correlated noise whose variance follows the activity and the attenuation of a bigger body."""
    noise = smooth_noise(rng, suv.shape, scanner.spacing_mm, 1.4 * max(scanner.spacing_mm))
    habitus = (phantom.spec.bmi / 26) ** 0.8
    sigma = scanner.liver_noise * habitus * np.sqrt(2.3 * (suv + np.float32(0.04)))
    return np.asarray(np.clip(suv + noise * sigma, 0, None), dtype=np.float32)
