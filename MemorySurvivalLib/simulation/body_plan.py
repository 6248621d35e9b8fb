"""Who the phantom is (PhantomSpec) and the measures of that body (BodyPlan) that all painters share.

Frame: LPS millimetres, x = 0 midline, y = 0 mid-body, z = 0 at the hip joints. Reference measures are those of a
170 cm adult lying on the back; they are stretched along z with the height and across with the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline, PchipInterpolator

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.shapes import Array, Point, rotation
from MemorySurvivalLib.simulation.tissues import VERTEBRAE, Tissue

Sex = Literal["male", "female"]
Arms = Literal["up", "down"]
Side = Literal["left", "right"]


@dataclass(frozen=True)
class Distractors:
    """Findings that look like something and carry no hazard.

    `fracture` is a wedged vertebra, `degeneration` vertebrae with osteophytes and mildly hot end plates, `implant`
    the side of a hip endoprosthesis, `contrast` intravenous contrast on CT, `marrow_stimulation` the factor by
    which red marrow is hotter for anaemia or G-CSF (1 = not).
    """

    fracture: Tissue | None = None
    degeneration: tuple[Tissue, ...] = ()
    implant: Side | None = None
    contrast: bool = False
    marrow_stimulation: float = 1.0


@dataclass(frozen=True)
class PhantomSpec:
    """One simulated person on the scanner. Raises InputError for measures no adult has.

    `bone_density` is relative to a healthy 40-year-old; curvatures are relative to the average; `scoliosis_mm` is
    the sideways swing of the spine; `spacing_mm` is the CT's (x, y, z).
    """

    sex: Sex = "male"
    age_years: float = 62.0
    height_cm: float = 172.0
    weight_kg: float = 78.0
    bone_density: float = 0.85
    kyphosis: float = 1.0
    lordosis: float = 1.0
    scoliosis_mm: float = 0.0
    arms: Arms = "up"
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 5.0)
    distractors: Distractors = Distractors()

    def __post_init__(self) -> None:
        if not (130 <= self.height_cm <= 215 and 30 <= self.weight_kg <= 200):
            raise InputError(
                f"A phantom of {self.height_cm:g} cm and {self.weight_kg:g} kg cannot be built; give a height of "
                "130-215 cm and a weight of 30-200 kg."
            )
        if not all(0.5 <= mm <= 10 for mm in self.spacing_mm):
            raise InputError(
                f"The voxel spacing {self.spacing_mm} mm cannot be simulated; give 0.5 to 10 mm along every axis."
            )

    @property
    def bmi(self) -> float:
        """Body-mass index in kg/m2."""
        return self.weight_kg / (self.height_cm / 100) ** 2


@dataclass(frozen=True)
class Vertebra:
    """Place and size of one vertebral body: `axes` columns run to the left, posterior and up along the spine."""

    tissue: Tissue
    centre: Point
    axes: npt.NDArray[np.float64]
    radii: tuple[float, float]
    half_height: float
    disc_mm: float

    def at(self, u: float, v: float, w: float) -> Point:
        """The point `u` left, `v` posterior and `w` up of the body's centre, in mm along its axes."""
        x, y, z = np.asarray(self.centre) + self.axes @ np.array([u, v, w])
        return float(x), float(y), float(z)


# Half-widths, half-depths, heights and the disc below, in mm, C1 to L5 (C1 and C2 are special in shape).
_WIDTH = [10, 9, 10, 10.5, 11, 11.5, 13, 14, 14, 14, 14, 14.5, 15, 15.5, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]
_DEPTH = [7, 8, 8, 8, 8, 8.5, 9, 9.5, 10, 10.5, 11, 12, 12.5, 13, 13.5, 14, 14.5, 15, 15.5, 16, 16.5, 17, 17.5, 17.5]
_HEIGHT = [12, 21, 13, 13, 13, 13, 14, 16, 17, 18, 18, 19, 19, 20, 21, 22, 22.5, 24, 25, 26, 26.5, 27, 27, 27]
_DISC = [1.5, 4, 4.5, 4.5, 4.5, 4.5, 4.5, 4, 4, 4, 4, 4, 4.5, 4.5, 5, 5, 5.5, 6, 7.5, 8, 9, 10, 10.5, 10]

_Z_OUTLINE = [-84, -66, -40, 0, 60, 110, 200, 280, 360, 420, 480, 520, 545, 565, 590, 640, 675]
_HALF_WIDTH = [24, 62, 112, 160, 150, 140, 131, 138, 148, 154, 158, 160, 132, 92, 63, 57, 56]
_FRONT = [16, 40, 66, 86, 92, 93, 90, 98, 110, 112, 104, 86, 66, 54, 46, 44, 42]
_BACK = [20, 48, 82, 104, 100, 96, 92, 100, 108, 111, 108, 100, 88, 76, 66, 62, 66]


class BodyPlan:
    """Measures of one body. Points given in reference millimetres become this body's by `at`."""

    def __init__(self, spec: PhantomSpec) -> None:
        self.spec = spec
        female = spec.sex == "female"
        self.scale_z = spec.height_cm / 170.0
        self.frame = self.scale_z * (0.955 if female else 1.0) * float(np.clip(1 + 0.004 * (spec.bmi - 25), 0.94, 1.05))
        self.fat_mm = float(np.clip((spec.bmi - 16.5) * (1.75 if female else 1.25) + 3, 5, 42))
        self.belly_mm = float(np.clip((spec.bmi - 23) * (1.6 if female else 2.4), -12, 34))
        self.spine = _stack_vertebrae(spec, self.scale_z, self.frame)
        self.top_mm = 818 * self.scale_z + self.fat_mm * 0.05
        # Gravity and the missing neck lordosis leave the head where C1 is.
        self.head_shift = (self.spine[0].centre[0], self.spine[0].centre[1] - 14 * self.frame)
        z = np.asarray(_Z_OUTLINE) * self.scale_z
        hips = np.interp(_Z_OUTLINE, [0, 60, 280, 480], [1.05, 1.04, 0.97, 0.94]) if female else np.ones(len(z))
        belly = np.interp(_Z_OUTLINE, [0, 60, 170, 280, 380], [0.2, 0.7, 1.0, 0.8, 0.15])
        self._width = PchipInterpolator(z, np.asarray(_HALF_WIDTH) * self.frame * hips + belly * self.belly_mm * 0.7)
        self._front = PchipInterpolator(z, np.asarray(_FRONT) * self.frame + belly * self.belly_mm)
        self._back = PchipInterpolator(z, np.asarray(_BACK) * self.frame)
        centres = np.asarray([v.centre for v in self.spine])[::-1]
        self._spine_x = PchipInterpolator(centres[:, 2], centres[:, 0])
        self._spine_y = PchipInterpolator(centres[:, 2], centres[:, 1])
        self._z_limits = (float(centres[0, 2]), float(centres[-1, 2]))

    def at(self, x: float, y: float, z: float) -> Point:
        """A reference point in this body's millimetres."""
        return x * self.frame, y * self.frame, z * self.scale_z

    def head_at(self, x: float, y: float, z: float) -> Point:
        """Like `at` for points of the head, which rides on the spine's upper end."""
        px, py, pz = self.at(x, y, z)
        return px + self.head_shift[0], py + self.head_shift[1], pz

    def outline(self, z: Array) -> tuple[Array, Array, Array]:
        """Half-width and depth to the front and to the back of the trunk's muscles at heights `z`."""
        level = np.clip(z, _Z_OUTLINE[0] * self.scale_z, _Z_OUTLINE[-1] * self.scale_z)
        width, front, back = (
            np.asarray(curve(level), dtype=np.float32) for curve in (self._width, self._front, self._back)
        )
        return width, front, back

    def spine_at(self, z: Array) -> tuple[Array, Array]:
        """x and y of the vertebral bodies' centre line at heights `z`."""
        level = np.clip(z, *self._z_limits)
        return np.asarray(self._spine_x(level), dtype=np.float32), np.asarray(self._spine_y(level), dtype=np.float32)

    def vertebra(self, tissue: Tissue) -> Vertebra:
        """The place of one vertebra."""
        return self.spine[VERTEBRAE.index(tissue)]


def _stack_vertebrae(spec: PhantomSpec, scale_z: float, frame: float) -> tuple[Vertebra, ...]:
    """Stack vertebrae and discs along the curved spine, from L5's lower edge up."""
    k, lordosis = spec.kyphosis, spec.lordosis
    heights = np.asarray([100, 180, 255, 330, 400, 475, 545, 600, 635, 690]) * scale_z
    posterior = np.asarray([26, 26 - 13 * lordosis, 24, 28 + 13 * k, 30 + 22 * k, 30 + 18 * k, 30, 15, 11, 14]) * frame
    curve = CubicSpline(heights, posterior)
    swing = CubicSpline(heights, spec.scoliosis_mm * np.sin(np.linspace(0, 2 * np.pi, len(heights))))
    stack: list[Vertebra] = []
    z = float(heights[0])
    # Age and low density flatten discs and bodies; height_cm is that of youth.
    shrink = 1 - 0.02 * np.clip((spec.age_years - 50) / 40, 0, 1)
    for index in reversed(range(len(VERTEBRAE))):
        disc, height = _DISC[index] * scale_z * shrink, _HEIGHT[index] * scale_z * shrink
        slope = np.array([float(swing(z, 1)), float(curve(z, 1)), 1.0])
        tangent = slope / np.linalg.norm(slope)
        centre_z = z + (disc + height / 2) * tangent[2]
        slope = np.array([float(swing(centre_z, 1)), float(curve(centre_z, 1)), 1.0])
        axes = rotation(slope.tolist())
        stack.append(
            Vertebra(
                VERTEBRAE[index],
                (float(swing(centre_z)), float(curve(centre_z)), centre_z),
                axes,
                (_WIDTH[index] * frame, _DEPTH[index] * frame),
                height / 2,
                disc,
            )
        )
        z += (disc + height) * axes[2, 2]
    return tuple(reversed(stack))


def draw_spec(rng: np.random.Generator, spacing_mm: tuple[float, float, float] = (4.0, 4.0, 5.0)) -> PhantomSpec:
    """A person of the cohort that the paper describes: 58 % men, age 62.5 (SD 9.7)."""
    sex: Sex = "male" if rng.random() < 0.58 else "female"
    age = float(np.clip(rng.normal(62.5, 9.7), 32, 88))
    height = float(np.clip(rng.normal(175 if sex == "male" else 162.5, 6.5), 146, 198))
    bmi = float(np.clip(26 * np.exp(rng.normal(0, 0.15)), 18.5, 38))
    density = float(np.clip(rng.normal(1.05 - 0.0065 * (age - 40) - (0.06 if sex == "female" else 0), 0.13), 0.45, 1.3))
    return PhantomSpec(
        sex=sex,
        age_years=round(age, 1),
        height_cm=round(height, 1),
        weight_kg=round(bmi * (height / 100) ** 2, 1),
        bone_density=round(density, 3),
        kyphosis=round(float(np.clip(rng.normal(1 + 0.006 * (age - 60), 0.2), 0.5, 1.6)), 3),
        lordosis=round(float(np.clip(rng.normal(1, 0.25), 0.3, 1.6)), 3),
        scoliosis_mm=round(float(rng.normal(0, 4)), 2),
        arms="up" if rng.random() < 0.7 else "down",
        spacing_mm=spacing_mm,
        distractors=draw_distractors(rng, density),
    )


def draw_distractors(rng: np.random.Generator, bone_density: float) -> Distractors:
    """Benign findings at frequencies of the age group; fractures are likelier in weak bone."""
    levels = VERTEBRAE[7:]
    fracture = levels[int(rng.integers(4, 15))] if rng.random() < 0.3 - 0.2 * bone_density else None
    worn = tuple(level for level in levels if rng.random() < 0.08)
    implant: Side | None = ("left" if rng.random() < 0.5 else "right") if rng.random() < 0.06 else None
    stimulated = float(rng.uniform(1.4, 2.2)) if rng.random() < 0.1 else 1.0
    return Distractors(fracture, worn, implant, bool(rng.random() < 0.25), round(stimulated, 2))
