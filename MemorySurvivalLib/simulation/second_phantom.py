"""The testing generator's body: other proportions, spine, lesions, textures and CT than the first generator's.

It shares with the first the primitives, the table of tissues and the painters of organs, limbs and cage, but paints
them in bent coordinates, so that no organ has the first one's shape or place.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import fft
from scipy.interpolate import PchipInterpolator

from MemorySurvivalLib.imaging.volume import Affine, Volume, Voxels
from MemorySurvivalLib.simulation.anatomy import ATTRIBUTE, Phantom
from MemorySurvivalLib.simulation.body_plan import BodyPlan, PhantomSpec, Vertebra
from MemorySurvivalLib.simulation.canvas import BoneStuff, Canvas
from MemorySurvivalLib.simulation.disease import NO_DISEASE, Disease
from MemorySurvivalLib.simulation.extremities import paint_arms, paint_head, paint_pelvis
from MemorySurvivalLib.simulation.organs import paint_organs
from MemorySurvivalLib.simulation.second_lesions import grow_shape, place_second_foci
from MemorySurvivalLib.simulation.shapes import Array, Ellipsoid, Overlap, Tube, Union, rotation
from MemorySurvivalLib.simulation.skeleton import paint_thoracic_cage
from MemorySurvivalLib.simulation.soft_tissue import find_cavities, paint_body
from MemorySurvivalLib.simulation.tissues import VERTEBRAE, Tissue

SECOND_VERSION = 1
"""Raised whenever the same seed gives other voxels."""

_FIELD_OF_VIEW_MM = (540.0, 420.0)
# Heights of vertebral bodies (C1-L5) by other sources' ratios: longer lumbar, shorter thoracic bodies.
_HEIGHT = (11.5, 22, 13.5, 13.5, 13, 13, 14.5, 15.5, 16, 16.5, 17, 17.5, 18.5, 19, 19.5, 20.5, 22, 23.5, 25.5, 28, 28.5)
_HEIGHTS = (*_HEIGHT, 29.0, 28.5, 27.5)
_KEYS = (0, 6, 11, 18, 23)
_RADIUS_ACROSS = (11.0, 12.0, 15.0, 20.5, 26.5)
_RADIUS_DEEP = (7.5, 9.5, 13.5, 17.5, 18.5)


class SecondPlan(BodyPlan):
    """A body of other proportions, whose spine follows sines instead of a spline through levels."""

    def __init__(self, spec: PhantomSpec, rng: np.random.Generator) -> None:
        super().__init__(spec)
        self.fat_mm = float(np.clip(self.fat_mm * rng.uniform(0.8, 1.3), 5, 44))
        self.spine = self._stack(rng)
        self.head_shift = (self.spine[0].centre[0], self.spine[0].centre[1] - 14 * self.frame)
        centres = np.asarray([v.centre for v in self.spine])[::-1]
        self._spine_x = PchipInterpolator(centres[:, 2], centres[:, 0])
        self._spine_y = PchipInterpolator(centres[:, 2], centres[:, 1])
        self._z_limits = (float(centres[0, 2]), float(centres[-1, 2]))

    def _stack(self, rng: np.random.Generator) -> tuple[Vertebra, ...]:
        spec, f, sz = self.spec, self.frame, self.scale_z
        low, high = 100.0 * sz, 690.0 * sz
        phase = rng.uniform(0, 2 * np.pi)
        level = np.arange(len(VERTEBRAE))
        across, deep = np.interp(level, _KEYS, _RADIUS_ACROSS), np.interp(level, _KEYS, _RADIUS_DEEP)
        discs = np.interp(level, _KEYS, (3.0, 4.2, 4.6, 7.0, 10.5))
        # Bodies and discs fill the spine's length whatever their ratio is.
        scale = (high - low - 8 * sz) / float(sum(_HEIGHTS) + discs.sum())

        def middle(z: float) -> tuple[float, float]:
            t = (z - low) / (high - low)
            back = 24 - 9 * spec.lordosis * np.sin(np.pi * np.clip(t / 0.32, 0, 1))
            back += 23 * spec.kyphosis * np.sin(np.pi * np.clip((t - 0.28) / 0.6, 0, 1)) - 12 * max(t - 0.75, 0) / 0.25
            return float(spec.scoliosis_mm * np.sin(3 * np.pi * t + phase)), float(back * f)

        stack, z = [], low
        for index in reversed(range(len(VERTEBRAE))):
            height, disc = _HEIGHTS[index] * scale, float(discs[index]) * scale
            at = z + disc + height / 2
            (x0, y0), (x1, y1) = middle(at - 8), middle(at + 8)
            axes = rotation(((x1 - x0) / 16, (y1 - y0) / 16, 1.0))
            x, y = middle(at)
            radii = (float(across[index]) * f, float(deep[index]) * f)
            stack.append(Vertebra(VERTEBRAE[index], (x, y, at), axes, radii, height / 2, disc))
            z += disc + height
        return tuple(reversed(stack))


def simulated_by_second(seed: int) -> dict[str, str]:
    """The attribute that marks a volume as simulated by the second generator."""
    return {ATTRIBUTE: f"second phantom {SECOND_VERSION} seed {seed}"}


def build_second_phantom(spec: PhantomSpec, seed: int, disease: Disease = NO_DISEASE) -> Phantom:
    """Paint one person with one disease; like `build_phantom`, by the other recipe."""
    plan_rng, organ_rng, lesion_rng, noise_rng = (np.random.default_rng([seed, purpose, 2]) for purpose in (1, 2, 3, 4))
    plan = SecondPlan(spec, plan_rng)
    canvas = _empty_canvas(plan)
    straight = canvas.x, canvas.y, canvas.z
    canvas.x, canvas.y, canvas.z = (_bend(axis, plan_rng) for axis in straight)
    paint_body(canvas, plan, spec.distractors.contrast)
    paint_organs(canvas, plan, find_cavities(plan), organ_rng)
    paint_thoracic_cage(canvas, plan)
    _paint_spine(canvas, plan)
    paint_arms(canvas, plan)
    paint_pelvis(canvas, plan)
    paint_head(canvas, plan)
    canvas.x, canvas.y, canvas.z = straight
    foci = place_second_foci(canvas, disease, lesion_rng)
    lesions = np.zeros(canvas.labels.shape, dtype=np.uint8)
    # Infiltrated marrow loses fat as well as trabeculae: a little denser in weak bone, thinner in strong bone.
    canvas.hu += canvas.marrow * np.float32(disease.marrow_infiltration * (30 - 75 * spec.bone_density))
    for number, focus in enumerate(foci, start=1):
        box, part = grow_shape(focus, canvas.x, canvas.y, canvas.z, canvas.voxel_mm, canvas.labels)
        hu = canvas.hu[box]
        if focus.lytic or focus.kind != "focal":
            hu += part * (np.float32(38) - hu)
        else:
            hu += part * canvas.marrow[box] * np.float32(55)
        label = lesions[box]
        label[(part >= 0.5) & (label == 0)] = number
    _add_texture(canvas, spec, noise_rng)
    attributes = simulated_by_second(seed)

    def volume(voxels: Voxels) -> Volume:
        return Volume(voxels, canvas.affine, attributes)

    ct = np.clip(np.rint(canvas.hu), -1024, 3071).astype(np.int16)
    return Phantom(spec, disease, volume(ct), volume(canvas.labels), volume(lesions), volume(canvas.marrow), foci)


def _empty_canvas(plan: BodyPlan) -> Canvas:
    spacing = np.asarray(plan.spec.spacing_mm)
    low, high = -175.0 * plan.scale_z, plan.top_mm + 20
    count = np.ceil(np.asarray([*_FIELD_OF_VIEW_MM, high - low]) / spacing).astype(int)
    origin = np.asarray([0.0, 4.0, (low + high) / 2]) - count * spacing / 2 + spacing / 2
    nx, ny, nz = (int(n) for n in count)
    return Canvas(Affine.from_parts(spacing, np.eye(3), origin), (nz, ny, nx))


def _bend(axis: Array, rng: np.random.Generator) -> Array:
    """The coordinates at which shapes are evaluated: the axis, stretched here and pressed there."""
    length = float(axis[-1] - axis[0])
    t = (axis - axis[0]) / length
    bent = axis * np.float32(rng.uniform(0.96, 1.04))
    for waves in (1, 2, 3):
        amplitude = rng.uniform(-0.045, 0.045) * length / (2 * np.pi * waves) / waves
        bend = np.float32(amplitude) * np.sin(2 * np.pi * waves * t + rng.uniform(0, 2 * np.pi))
        bent = np.asarray(bent + bend, dtype=np.float32)
    return bent


def _paint_spine(canvas: Canvas, plan: BodyPlan) -> None:
    """Ellipsoidal bodies with flat ends, discs as lenses, arches as rings of tubes, then the canal."""
    f, benign = plan.frame, plan.spec.distractors
    for upper, lower in pairwise(plan.spine):
        middle = tuple(float((a + b) / 2) for a, b in zip(upper.centre, lower.centre, strict=True))
        a, b = lower.radii
        lens = Ellipsoid((middle[0], middle[1], middle[2]), (a, b, 0.9 * lower.disc_mm + 2), lower.axes)
        canvas.paint(lens, Tissue.DISC, 85)
    density = plan.spec.bone_density
    body_stuff = BoneStuff(1.3, 780, 30 + 170 * density)
    arch_stuff = BoneStuff(1.9, 900, 60 + 170 * density)
    for vertebra in plan.spine:
        a, b = vertebra.radii
        h = vertebra.half_height * (0.62 if vertebra.tissue == benign.fracture else 1.0)
        body = Overlap(
            (
                Ellipsoid(vertebra.centre, (1.08 * a, 1.08 * b, 2.4 * h), vertebra.axes),
                _slab(vertebra, h, a + b),
            )
        )
        back = b + 17 * f
        ring = [vertebra.at(13 * f * np.sin(t), b + 8 * f - 10 * f * np.cos(t), 0) for t in np.linspace(0.5, 5.78, 9)]
        wings = [
            Tube((vertebra.at(s * 11 * f, b + 7 * f, 0), vertebra.at(s * (a + 15 * f), b + 16 * f, 1)), (4 * f, 3 * f))
            for s in (-1.0, 1.0)
        ]
        spinous = Tube((vertebra.at(0, back, 0), vertebra.at(0, back + 26 * f, -0.9 * h)), (4.2 * f, 3.4 * f))
        arch = Union((Tube(tuple(ring), (3.8 * f,) * len(ring)), *wings, spinous), 2.0)
        canvas.paint_bone(arch, vertebra.tissue, arch_stuff)
        canvas.paint_bone(body, vertebra.tissue, body_stuff)
        if vertebra.tissue in benign.degeneration:
            lip = Ellipsoid(vertebra.at(0, -b, 0.8 * h), (0.9 * a, 5 * f, 4 * f), vertebra.axes)
            canvas.paint_bone(lip, vertebra.tissue, BoneStuff(2.0, 850, 400))
    canal = [vertebra.at(0, vertebra.radii[1] + 8 * f, 0) for vertebra in plan.spine]
    tail = [plan.at(0, 52, 88), plan.at(0, 72, 55)]
    canvas.paint(
        Tube((plan.head_at(0, 16, 700), *canal, *tail), (7.5 * f,) * (len(canal) + 3)), Tissue.SPINAL_CANAL, 22
    )


def _slab(vertebra: Vertebra, half_height: float, reach: float) -> Ellipsoid:
    """A flat ellipsoid that cuts a body's ends off, hollow-ended where it is widest."""
    return Ellipsoid(vertebra.centre, (2.2 * reach, 2.2 * reach, half_height), vertebra.axes)


def _add_texture(canvas: Canvas, spec: PhantomSpec, rng: np.random.Generator) -> None:
    """Marrow with structure at all scales, edges that the kernel sharpens, noise that is correlated within slices."""
    shape, spacing = canvas.hu.shape, canvas.affine.spacing_mm
    structure = fractal_noise(rng, shape, spacing, 1.3)
    canvas.hu += structure * (canvas.marrow * np.float32(34) + np.float32(5) * (canvas.labels > 0))
    image = Volume(canvas.hu, canvas.affine).to_sitk()
    soft = np.asarray(sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, 4.0)), dtype=np.float32)
    canvas.hu += np.float32(0.22) * (canvas.hu - soft)
    noise = rng.standard_normal(shape, dtype=np.float32)
    # The difference to the next voxel in the row: streaky, with little power at low frequencies.
    noise -= np.float32(0.5) * np.roll(noise, 1, axis=2)
    noise /= np.float32(np.sqrt(1.25))
    sigma = 10.0 * (3.0 / canvas.voxel_mm) ** 0.5 * (spec.bmi / 26) ** 0.9
    depth = np.exp(-((canvas.y / 130) ** 2)).astype(np.float32)[None, :, None]
    canvas.hu += noise * (np.float32(sigma) * (np.float32(0.6) + np.float32(0.5) * depth))


def fractal_noise(
    rng: np.random.Generator, shape_zyx: tuple[int, ...], spacing_mm: tuple[float, float, float], power: float
) -> Array:
    """Gaussian noise of unit variance whose amplitude falls with frequency to the power `power`."""
    noise = rng.standard_normal(shape_zyx, dtype=np.float32)
    axes: list[npt.NDArray[np.float64]] = [
        fft.fftfreq(shape_zyx[0], spacing_mm[2]),
        fft.fftfreq(shape_zyx[1], spacing_mm[1]),
        fft.rfftfreq(shape_zyx[2], spacing_mm[0]),
    ]
    squared = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2
    spectrum = fft.rfftn(noise) * ((squared + 1 / 120.0**2) ** (-power / 2)).astype(np.float32)
    field = np.asarray(fft.irfftn(spectrum, shape_zyx), dtype=np.float32)
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-6), dtype=np.float32)
