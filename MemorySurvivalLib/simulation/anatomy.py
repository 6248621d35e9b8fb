"""Builds the phantom: paints tissues on the CT's grid, puts the disease into it, adds texture and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from MemorySurvivalLib.imaging.volume import Affine, Volume, Voxels
from MemorySurvivalLib.simulation.body_plan import BodyPlan, PhantomSpec
from MemorySurvivalLib.simulation.canvas import Canvas
from MemorySurvivalLib.simulation.disease import NO_DISEASE, Disease
from MemorySurvivalLib.simulation.extremities import paint_arms, paint_head, paint_pelvis
from MemorySurvivalLib.simulation.lesions import PlacedFocus, place_foci
from MemorySurvivalLib.simulation.organs import paint_organs
from MemorySurvivalLib.simulation.shapes import Array
from MemorySurvivalLib.simulation.skeleton import paint_spine, paint_thoracic_cage
from MemorySurvivalLib.simulation.soft_tissue import find_cavities, paint_body
from MemorySurvivalLib.simulation.tissues import Tissue

PHANTOM_VERSION = 2
"""Raised whenever the same seed gives other voxels. Version 2 mended the outline of thighs and perineum, the base of
the skull, the renal pelves and the liver's left edge; persons, disease, blood values and outcomes stayed as they were.
"""

ATTRIBUTE = "memory_survival_simulated"
"""The key under which every simulated volume says so; it survives in NRRD files."""

FIELD_OF_VIEW_MM = (560.0, 400.0)
"""Width and depth of the CT."""


@dataclass(frozen=True)
class Phantom:
    """A person on the scanner: what CT shows and what is true. All volumes share the CT's grid.

    `ct` is int16 HU; `labels` uint8 values of Tissue; `lesions` uint8, n for the n-th of `foci`; `marrow` float32,
    the fraction of each voxel that is marrow space.
    """

    spec: PhantomSpec
    disease: Disease
    ct: Volume
    labels: Volume
    lesions: Volume
    marrow: Volume
    foci: tuple[PlacedFocus, ...]


def simulated_by(seed: int) -> dict[str, str]:
    """The attribute that marks a volume as simulated."""
    return {ATTRIBUTE: f"phantom {PHANTOM_VERSION} seed {seed}"}


def smooth_noise(
    rng: np.random.Generator, shape_zyx: tuple[int, ...], spacing_mm: tuple[float, float, float], length_mm: float
) -> Array:
    """Gaussian noise of unit variance, correlated over about `length_mm` (full width at half maximum)."""
    noise = rng.standard_normal(shape_zyx, dtype=np.float32)
    image = sitk.GetImageFromArray(noise)
    image.SetSpacing(spacing_mm)
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, length_mm / 2.355))
    return np.asarray(smooth / max(float(smooth.std()), 1e-6), dtype=np.float32)


def build_phantom(spec: PhantomSpec, seed: int, disease: Disease = NO_DISEASE) -> Phantom:
    """Paint one person with one disease. The same arguments give the same voxels."""
    # One stream a purpose, so that a change of disease leaves the anatomy as it was.
    anatomy_rng, lesion_rng, noise_rng = (np.random.default_rng([seed, purpose, 1]) for purpose in (1, 2, 3))
    plan = BodyPlan(spec)
    canvas = _empty_canvas(plan)
    paint_body(canvas, plan, spec.distractors.contrast)
    paint_organs(canvas, plan, find_cavities(plan), anatomy_rng)
    paint_thoracic_cage(canvas, plan)
    paint_spine(canvas, plan)
    paint_arms(canvas, plan)
    paint_pelvis(canvas, plan)
    paint_head(canvas, plan)
    foci = place_foci(canvas, plan, disease, lesion_rng)
    lesions = _paint_disease(canvas, foci, disease)
    _add_texture(canvas, spec, noise_rng)
    attributes = simulated_by(seed)

    def volume(voxels: Voxels) -> Volume:
        return Volume(voxels, canvas.affine, attributes)

    ct = np.clip(np.rint(canvas.hu), -1024, 3071).astype(np.int16)
    return Phantom(spec, disease, volume(ct), volume(canvas.labels), volume(lesions), volume(canvas.marrow), foci)


def _empty_canvas(plan: BodyPlan) -> Canvas:
    """The CT's grid: head to mid-thigh, wide enough for both arms."""
    spacing = np.asarray(plan.spec.spacing_mm)
    low_z, high_z = -190.0 * plan.scale_z, plan.top_mm + 12
    extent = np.asarray([*FIELD_OF_VIEW_MM, high_z - low_z])
    count = np.ceil(extent / spacing).astype(int)
    size = count * spacing
    middle = np.asarray([0.0, 8.0, (low_z + high_z) / 2])
    origin = middle - size / 2 + spacing / 2
    nx, ny, nz = (int(n) for n in count)
    return Canvas(Affine.from_parts(spacing, np.eye(3), origin), (nz, ny, nx))


def _paint_disease(canvas: Canvas, foci: tuple[PlacedFocus, ...], disease: Disease) -> npt.NDArray[np.uint8]:
    """What disease does to CT: holes, soft-tissue masses, thinner trabeculae. Returns the lesion labels."""
    if disease.marrow_infiltration > 0:
        canvas.hu -= canvas.marrow * np.float32(45 * disease.marrow_infiltration)
    lesions = np.zeros(canvas.labels.shape, dtype=np.uint8)
    for number, focus in enumerate(foci, start=1):
        box, part = focus.occupancy(canvas)
        hu = canvas.hu[box]
        if focus.lytic or focus.kind != "focal":
            hu += part * (np.float32(48) - hu)
        else:
            hu += part * canvas.marrow[box] * np.float32(35)
        label = lesions[box]
        label[(part >= 0.5) & (label == 0)] = number
        if focus.kind == "focal":
            canvas.marrow[box] = np.maximum(canvas.marrow[box], part * (canvas.labels[box] >= Tissue.C1))
    return lesions


def _add_texture(canvas: Canvas, spec: PhantomSpec, rng: np.random.Generator) -> None:
    """Trabecular and parenchymal structure, then the scanner's own noise."""
    spacing = canvas.affine.spacing_mm
    shape = canvas.hu.shape
    structure = smooth_noise(rng, shape, spacing, 9.0)
    amplitude = canvas.marrow * np.float32(28) + np.float32(4) * (canvas.labels > 0)
    amplitude += np.float32(22) * (canvas.labels == Tissue.LUNG)
    canvas.hu += structure * amplitude
    noise = smooth_noise(rng, shape, spacing, 1.3 * max(spacing))
    sigma = 9.0 * (3.0 / np.prod(spacing) ** (1 / 3)) ** 0.5 * (spec.bmi / 26) ** 0.7
    canvas.hu += noise * (np.float32(sigma) * np.where(canvas.labels > 0, np.float32(1), np.float32(0.55)))
    if spec.distractors.implant is not None:
        _add_streaks(canvas)


def _add_streaks(canvas: Canvas) -> None:
    """Dark and bright bands across the slices that hold metal."""
    metal = canvas.labels == Tissue.IMPLANT
    levels = np.flatnonzero(metal.any(axis=(1, 2)))
    for level in levels:
        rows, columns = np.nonzero(metal[level])
        dy = (canvas.y[:, None] - canvas.y[rows].mean()) / 22
        dx = np.abs(canvas.x[None, :] - canvas.x[columns].mean()) / 130
        band = 160 * np.cos(dy * 2.2) * np.exp(-np.abs(dy)) * np.exp(-dx) * (len(rows) > 1)
        body = (canvas.labels[level] > 0) & ~metal[level]
        canvas.hu[level] -= (band * body).astype(np.float32)
