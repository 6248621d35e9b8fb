"""PET of the testing generator: uptake by a compartment model in minutes, an anisotropic scanner that overshoots at
edges, breathing, a shift against the CT, noise of counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.simulation.anatomy import Phantom
from MemorySurvivalLib.simulation.second_lesions import grow_shape, heat_shape
from MemorySurvivalLib.simulation.second_phantom import fractal_noise, simulated_by_second
from MemorySurvivalLib.simulation.shapes import Array
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue
from MemorySurvivalLib.simulation.uptake import Scanner

# Plasma SUV as a sum of exponentials: amplitude and time constant in minutes.
_PLASMA = ((6.0, 3.0), (3.2, 25.0), (1.9, 150.0))


@dataclass(frozen=True)
class Kinetics:
    """Net influx (per minute), the share of plasma's SUV that is free in the tissue, and the spread between people."""

    influx: float
    free: float
    spread: float


_TISSUE: dict[Tissue, Kinetics] = {
    Tissue.SKIN: Kinetics(0.0008, 0.2, 0.1),
    Tissue.FAT: Kinetics(0.0003, 0.1, 0.2),
    Tissue.VISCERAL_FAT: Kinetics(0.0006, 0.15, 0.2),
    Tissue.MUSCLE: Kinetics(0.0019, 0.2, 0.2),
    Tissue.AIRWAY: Kinetics(0.0, 0.05, 0.0),
    Tissue.LUNG: Kinetics(0.0008, 0.2, 0.15),
    Tissue.MEDIASTINUM: Kinetics(0.0015, 0.5, 0.15),
    Tissue.HEART_BLOOD: Kinetics(0.0, 1.0, 0.08),
    Tissue.ARTERY: Kinetics(0.0, 1.0, 0.08),
    Tissue.VEIN: Kinetics(0.0, 1.0, 0.08),
    Tissue.LIVER: Kinetics(0.0042, 0.9, 0.16),
    Tissue.SPLEEN: Kinetics(0.0028, 0.85, 0.16),
    Tissue.STOMACH: Kinetics(0.008, 0.3, 0.4),
    Tissue.GAS: Kinetics(0.0, 0.1, 0.0),
    Tissue.PANCREAS: Kinetics(0.005, 0.4, 0.2),
    Tissue.KIDNEY: Kinetics(0.009, 1.0, 0.25),
    Tissue.RENAL_PELVIS: Kinetics(0.06, 1.0, 0.6),
    Tissue.BLADDER: Kinetics(0.1, 0.0, 0.6),
    Tissue.COLON: Kinetics(0.006, 0.3, 0.45),
    Tissue.SMALL_BOWEL: Kinetics(0.005, 0.3, 0.4),
    Tissue.GREY_MATTER: Kinetics(0.055, 0.3, 0.2),
    Tissue.WHITE_MATTER: Kinetics(0.018, 0.2, 0.2),
    Tissue.CEREBELLUM: Kinetics(0.038, 0.3, 0.2),
    Tissue.EYE: Kinetics(0.005, 0.2, 0.1),
    Tissue.SALIVARY_GLAND: Kinetics(0.008, 0.4, 0.3),
    Tissue.CARTILAGE: Kinetics(0.001, 0.15, 0.1),
    Tissue.DISC: Kinetics(0.0015, 0.2, 0.1),
    Tissue.SPINAL_CANAL: Kinetics(0.006, 0.25, 0.2),
    Tissue.BREAST: Kinetics(0.002, 0.2, 0.25),
    Tissue.PROSTATE_UTERUS: Kinetics(0.006, 0.4, 0.3),
    Tissue.THYROID: Kinetics(0.005, 0.4, 0.35),
    Tissue.MYOCARDIUM: Kinetics(0.015, 0.5, 0.9),
    Tissue.IMPLANT: Kinetics(0.001, 0.1, 0.0),
}
_CORTEX = Kinetics(0.001, 0.15, 0.0)
_MARROW_INFLUX, _MARROW_FREE = 0.0035, 0.35
_INFILTRATED_SUV = 4.8
_TUMOUR_FREE = 0.3
_STANDARD_MINUTES = 60.0


def plasma_suv(minutes: float) -> float:
    """Plasma SUV at a time after injection."""
    return float(sum(a * np.exp(-minutes / tau) for a, tau in _PLASMA))


def plasma_integral(minutes: float) -> float:
    """SUV times minutes that tissue has seen up to then."""
    return float(sum(a * tau * (1 - np.exp(-minutes / tau)) for a, tau in _PLASMA))


def tumour_suv(suv_at_an_hour: float, minutes: float) -> float:
    """What a tumour of this SUV after an hour shows at another time: it traps what it takes in."""
    free = min(_TUMOUR_FREE * plasma_suv(_STANDARD_MINUTES), suv_at_an_hour)
    influx = (suv_at_an_hour - free) / plasma_integral(_STANDARD_MINUTES)
    return influx * plasma_integral(minutes) + free * plasma_suv(minutes) / plasma_suv(_STANDARD_MINUTES)


def simulate_second_pet(phantom: Phantom, seed: int, scanner: Scanner) -> Volume:
    """Float32 SUVbw on the scanner's own grid, which covers the CT and lies some millimetres off."""
    tissue_rng, texture_rng, noise_rng = (np.random.default_rng([seed, purpose, 2]) for purpose in (11, 12, 13))
    activity = _activity(phantom, tissue_rng, texture_rng, scanner.uptake_minutes)
    image = phantom.ct.with_voxels(activity).to_sitk()
    own = 0.5 * float(np.mean(np.square(phantom.ct.spacing_mm)))
    sigma = max(scanner.resolution_mm**2 - own, 9.0) ** 0.5 / 2.355
    seen = sitk.SmoothingRecursiveGaussian(image, (sigma, sigma, 1.3 * sigma))
    breathing = sitk.SmoothingRecursiveGaussian(seen, (1.0, 1.0, 6.5))
    suv = sitk.GetArrayFromImage(seen)
    suv += _near_diaphragm(phantom) * (sitk.GetArrayFromImage(breathing) - suv)
    # Reconstruction with the point spread sharpens, and overshoots at edges.
    dull = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(phantom.ct.with_voxels(suv).to_sitk(), 1.2 * sigma))
    suv = np.clip(suv + np.float32(0.3) * (suv - dull), 0, None)
    shift = tissue_rng.normal(0, (1.0, 1.2, 2.0))
    seen_at = Affine.from_parts(phantom.ct.spacing_mm, np.eye(3), np.asarray(phantom.ct.affine.origin_mm) + shift)
    affine, (nz, ny, nx) = _grid(phantom.ct, scanner.spacing_mm, tissue_rng)
    resampled = sitk.Resample(
        Volume(np.asarray(suv, dtype=np.float32), seen_at).to_sitk(),
        [nx, ny, nz],
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkLinear,
        affine.origin_mm,
        affine.spacing_mm,
        np.eye(3).ravel().tolist(),
        0.0,
    )
    taken = _count(sitk.GetArrayFromImage(resampled), phantom, scanner, noise_rng)
    return Volume(taken, affine, simulated_by_second(seed))


def _activity(phantom: Phantom, rng: np.random.Generator, texture_rng: np.random.Generator, minutes: float) -> Array:
    labels = np.asarray(phantom.labels.voxels)
    marrow = np.asarray(phantom.marrow.voxels, dtype=np.float32)
    plasma, seen = plasma_suv(minutes), plasma_integral(minutes)

    def suv(kinetics: Kinetics) -> float:
        person = float(rng.gamma(1 / kinetics.spread**2, kinetics.spread**2)) if kinetics.spread else 1.0
        return kinetics.influx * seen * person + kinetics.free * plasma

    table = np.full(256, suv(_CORTEX), dtype=np.float32)
    table[Tissue.OUTSIDE] = 0.0
    for tissue, kinetics in _TISSUE.items():
        table[tissue] = suv(kinetics)
    structure = fractal_noise(texture_rng, labels.shape, phantom.ct.spacing_mm, 1.8)
    activity = table[labels] * (1 + np.float32(0.07) * structure)
    # Every bone has its own share of red marrow and its own share of the tumour.
    disease = phantom.disease
    normal = (_MARROW_INFLUX * seen + _MARROW_FREE * plasma) * phantom.spec.distractors.marrow_stimulation
    tumour = tumour_suv(1.0 + _INFILTRATED_SUV * disease.avidity, minutes) - 1.0
    amount = disease.marrow_infiltration**1.3 * tumour
    bones = np.zeros(256, dtype=np.float32)
    for tissue in BONES:
        red = rng.uniform(0.85, 1.1) if tissue in VERTEBRAE else rng.uniform(0.45, 0.9)
        bones[tissue] = red * (normal * (1 - 0.4 * disease.marrow_infiltration) + amount * rng.gamma(14, 1 / 14))
    bone = labels >= Tissue.C1
    filled = marrow * (bones[labels] * (1 + np.float32(0.1) * structure) - table[255])
    activity[bone] += filled[bone]
    benign = phantom.spec.distractors
    if benign.fracture is not None:
        activity[labels == benign.fracture] += np.float32(1.4)
    for level in benign.degeneration:
        activity[(labels == level) & (marrow < 0.5)] += np.float32(1.1)
    spacing, origin = phantom.ct.spacing_mm, phantom.ct.affine.origin_mm
    x, y, z = ((origin[i] + spacing[i] * np.arange(labels.shape[2 - i])).astype(np.float32) for i in range(3))
    voxel_mm = float(np.prod(spacing) ** (1 / 3))
    for focus in phantom.foci:
        box, part = grow_shape(focus, x, y, z, voxel_mm, labels.astype(np.uint8, copy=False))
        heat = heat_shape(focus, x, y, z, box) * np.float32(tumour_suv(focus.suv_bw, minutes))
        activity[box] += part * (np.maximum(heat, activity[box] * 0.9) - activity[box])
    return np.asarray(activity, dtype=np.float32)


def _near_diaphragm(phantom: Phantom) -> Array:
    """How much breathing blurs each slice (z, 1, 1): most at the liver's dome."""
    slices = np.flatnonzero((np.asarray(phantom.labels.voxels) == Tissue.LIVER).any(axis=(1, 2)))
    spacing = phantom.ct.spacing_mm[2]
    dome = float(slices[-1]) if len(slices) else -1e6
    away = (np.arange(phantom.labels.shape[0]) - dome) * spacing / 60.0
    return np.asarray(np.exp(-(away**2))[:, None, None], dtype=np.float32)


def _grid(
    ct: Volume, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> tuple[Affine, tuple[int, int, int]]:
    nz, ny, nx = ct.shape
    spacing = np.asarray(spacing_mm)
    low, high = ct.affine.points_mm((-0.5, -0.5, -0.5)), ct.affine.points_mm((nx - 0.5, ny - 0.5, nz - 0.5))
    low = low - rng.random(3) * spacing
    x, y, z = (int(n) for n in np.ceil((high - low) / spacing) + 1)
    return Affine.from_parts(spacing, np.eye(3), low + spacing / 2), (z, y, x)


def _count(suv: Array, phantom: Phantom, scanner: Scanner, rng: np.random.Generator) -> Array:
    """Noise of counts (gamma-distributed, always positive), a little smoothed within slices by the reconstruction."""
    level = np.maximum(np.asarray(suv, dtype=np.float32), 0.02)
    relative = 1.9 * scanner.liver_noise * (phantom.spec.bmi / 26) ** 1.1
    shape = (level / 2.2 + 0.03) / relative**2
    counted = rng.standard_gamma(shape, dtype=np.float32) / shape * level
    image = sitk.GetImageFromArray(counted)
    image.SetSpacing(scanner.spacing_mm)
    x, y, _ = scanner.spacing_mm
    smooth = sitk.SmoothingRecursiveGaussian(image, (0.55 * x, 0.55 * y, 0.25))
    return np.asarray(np.clip(sitk.GetArrayFromImage(smooth), 0, None), dtype=np.float32)
