"""Skull, jaw, pelvis with sacrum, femora, humeri and forearms."""

from __future__ import annotations

import numpy as np

from MemorySurvivalLib.simulation.body_plan import BodyPlan
from MemorySurvivalLib.simulation.canvas import Canvas, inside
from MemorySurvivalLib.simulation.shapes import (
    Array,
    Ellipsoid,
    Field,
    Overlap,
    Point,
    Shape,
    Tube,
    Union,
    Without,
    rotation,
)
from MemorySurvivalLib.simulation.skeleton import trabecular
from MemorySurvivalLib.simulation.tissues import Tissue

_SKULL_CENTRE = (0.0, 2.0, 738.0)
_SKULL_RADII = (73.0, 91.0, 76.0)


def paint_head(canvas: Canvas, plan: BodyPlan) -> None:
    """Skull with sinuses, brain with folded cortex, cerebellum, eyes, jaw, salivary glands, throat."""
    f, sz = plan.frame, plan.scale_z
    centre = plan.head_at(*_SKULL_CENTRE)
    outer = Ellipsoid(centre, (_SKULL_RADII[0] * f, _SKULL_RADII[1] * f, _SKULL_RADII[2] * sz))
    wall = 7.0
    inner = Ellipsoid(centre, (outer.radii[0] - wall, outer.radii[1] - wall, outer.radii[2] - wall))
    vault = Overlap((outer, _above_skull_base(plan, centre, 4.0)))
    stuff = trabecular(plan, 420, 2.4, 1300)
    face = Union(
        (
            Ellipsoid(plan.head_at(0, -62, 678), (36 * f, 26 * f, 24 * sz)),
            Tube(
                (plan.head_at(24, -72, 668), plan.head_at(62, -40, 694), plan.head_at(68, -8, 700)),
                (9 * f, 5 * f, 5 * f),
            ),
            Tube(
                (plan.head_at(-24, -72, 668), plan.head_at(-62, -40, 694), plan.head_at(-68, -8, 700)),
                (9 * f, 5 * f, 5 * f),
            ),
            Ellipsoid(plan.head_at(58, 14, 682), (13 * f, 18 * f, 20 * sz)),
            Ellipsoid(plan.head_at(-58, 14, 682), (13 * f, 18 * f, 20 * sz)),
            Tube((plan.head_at(0, -20, 690), plan.head_at(0, 2, 682)), (15 * f, 12 * f)),
            Ellipsoid(plan.head_at(0, -74, 655), (27 * f, 18 * f, 9 * sz)),
            Ellipsoid(plan.head_at(0, -78, 722), (26 * f, 10 * f, 15 * sz)),
        ),
        5.0,
    )
    canvas.paint_bone(Union((vault, face), 4.0), Tissue.SKULL, stuff)
    cranial = Overlap((inner, _above_skull_base(plan, centre, 0.0)))
    _paint_brain(canvas, plan, cranial, centre)
    for s in (-1.0, 1.0):
        canvas.paint(Ellipsoid(plan.head_at(s * 31, -66, 702), (17 * f, 22 * f, 17 * sz)), Tissue.FAT, -80)
        canvas.paint(Ellipsoid(plan.head_at(s * 31, -75, 702), (12 * f, 12 * f, 12 * f)), Tissue.EYE, 12)
        canvas.paint(Ellipsoid(plan.head_at(s * 26, -60, 676), (12 * f, 15 * f, 14 * sz)), Tissue.AIRWAY, -950)
        canvas.paint(Ellipsoid(plan.head_at(s * 62, 16, 680), (7 * f, 10 * f, 12 * sz)), Tissue.GAS, -500)
    canvas.paint(Ellipsoid(plan.head_at(0, -58, 684), (9 * f, 26 * f, 18 * sz)), Tissue.AIRWAY, -850)
    canvas.paint(Ellipsoid(plan.head_at(0, -79, 722), (17 * f, 4.5 * f, 9 * sz)), Tissue.AIRWAY, -900)
    arch: list[Point] = [
        plan.head_at(x, y, z)
        for x, y, z in (
            (52, -2, 690),
            (50, -6, 660),
            (46, -14, 634),
            (30, -56, 622),
            (14, -76, 620),
            (-14, -76, 620),
            (-30, -56, 622),
            (-46, -14, 634),
            (-50, -6, 660),
            (-52, -2, 690),
        )
    ]
    radii = tuple(r * f for r in (5.0, 6.0, 8.0, 8.5, 9.0, 9.0, 8.5, 8.0, 6.0, 5.0))
    jaw = Union((Tube(tuple(arch), radii), Tube((arch[4], arch[5]), (10 * f, 10 * f))), 3.0)
    canvas.paint_bone(jaw, Tissue.MANDIBLE, trabecular(plan, 350, 2.6, 1250))
    teeth = Tube(
        tuple(plan.head_at(x, y, 642) for x, y in ((28, -52), (20, -72), (0, -82), (-20, -72), (-28, -52))),
        (5.5 * f,) * 5,
    )
    canvas.paint_bone(teeth, Tissue.MANDIBLE, trabecular(plan, 900, 2.0, 1900))
    for s in (-1.0, 1.0):
        canvas.paint(Ellipsoid(plan.head_at(s * 60, 4, 655), (10 * f, 16 * f, 22 * sz)), Tissue.SALIVARY_GLAND, 20)
        canvas.paint(Ellipsoid(plan.head_at(s * 28, -28, 618), (9 * f, 14 * f, 11 * sz)), Tissue.SALIVARY_GLAND, 35)


def _above_skull_base(plan: BodyPlan, centre: Point, lower_mm: float) -> Shape:
    """Everything above the base of the skull, which falls from the forehead to the hollow of the cerebellum."""
    f, sz = plan.frame, plan.scale_z

    def distance(x: Array, y: Array, z: Array) -> Array:
        along = (y - np.float32(centre[1])) / np.float32(f)
        base = np.interp(along, [-75, -35, -12, 18, 45, 80], [-28, -42, -46, -62, -64, -50]) * sz - lower_mm
        gap = (base[None, :] - (z - np.float32(centre[2]))[:, None])[:, :, None] * np.float32(0.85)
        return np.asarray(np.broadcast_to(gap, (len(z), len(y), len(x))), dtype=np.float32)

    return Field((-1e3, -1e3, -1e3), (1e3, 1e3, 1e3), distance)


def _paint_brain(canvas: Canvas, plan: BodyPlan, cranial: Shape, centre: Point) -> None:
    f, sz = plan.frame, plan.scale_z
    box = canvas.box(cranial)
    distance = canvas.distance(cranial, box)
    if not distance.size:
        return
    box_z, box_y, box_x = box
    x, y, z = canvas.x[box_x], canvas.y[box_y], canvas.z[box_z]
    dx, dy, dz = (
        ((x - centre[0]) / f)[None, None],
        ((y - centre[1]) / f)[None, :, None],
        ((z - centre[2]) / sz)[:, None, None],
    )
    canvas.fill(box, distance, Tissue.WHITE_MATTER, 12)
    brain = distance + 2.0
    canvas.fill(box, brain, Tissue.WHITE_MATTER, 29)
    folds = (
        np.sin(dx / 5.1 + 1.3 * np.sin(dy / 8.3))
        + np.sin(dy / 5.7 + 1.1 * np.sin(dz / 7.1))
        + np.sin(dz / 5.3 + np.sin(dx / 9))
    )
    depth = -brain - (8.5 + 3.2 * folds).astype(np.float32)
    fissure = np.abs(dx) - (2.5 + 0 * dy + 0 * dz)
    grey = np.maximum(depth, brain)
    grey = np.minimum(grey, np.maximum(np.abs(dx) - 8, np.maximum(brain, np.maximum(-dz - 8, -(np.abs(dy) - 28)))))
    canvas.fill(box, np.asarray(grey, dtype=np.float32), Tissue.GREY_MATTER, 36)
    canvas.fill(
        box, np.asarray(np.maximum(np.maximum(fissure, brain), 22 - dz), dtype=np.float32), Tissue.WHITE_MATTER, 15
    )
    for s in (-1.0, 1.0):
        x0, y0, z0 = centre
        canvas.paint(
            Ellipsoid((x0 + s * 13 * f, y0 + 4 * f, z0 - 4 * sz), (8 * f, 12 * f, 10 * sz)), Tissue.GREY_MATTER, 36
        )
        canvas.paint(
            Ellipsoid((x0 + s * 25 * f, y0 - 9 * f, z0 - 2 * sz), (8 * f, 17 * f, 11 * sz)), Tissue.GREY_MATTER, 37
        )
        canvas.paint(
            Ellipsoid((x0 + s * 10 * f, y0 - 8 * f, z0 + 10 * sz), (4 * f, 22 * f, 9 * sz)), Tissue.WHITE_MATTER, 8
        )
    hollow = Overlap(
        (Ellipsoid((centre[0], centre[1] + 44 * f, centre[2] - 44 * sz), (50 * f, 33 * f, 20 * sz)), cranial)
    )
    canvas.paint(hollow, Tissue.CEREBELLUM, 36)


def paint_pelvis(canvas: Canvas, plan: BodyPlan) -> None:
    """Sacrum, hip bones and femora, with the endoprosthesis where there is one."""
    f, sz = plan.frame, plan.scale_z
    wide = 1.05 if plan.spec.sex == "female" else 1.0
    l5 = plan.spine[-1]
    base = np.asarray(l5.at(0, 2 * f, -l5.half_height - l5.disc_mm))
    stuff = trabecular(plan, 140, 1.5, 850)
    slices: list[Shape] = []
    previous: Point | None = None
    for level, (dy, dz, half, thick) in enumerate(
        ((6, -9, 48, 17), (20, -32, 44, 14), (33, -54, 34, 11), (40, -76, 25, 9), (41, -95, 17, 8), (36, -112, 7, 6))
    ):
        y, z = float(base[1] + dy * f), float(base[2] + dz * sz)
        slices.append(
            Ellipsoid((0.0, y, z), (half * f * wide, thick * f, 15 * sz), rotation((0, 0.45 - 0.22 * level, 1)))
        )
        previous = (0.0, y, z)
    if previous is not None:
        slices.append(Tube((previous, (0.0, previous[1] - 10 * f, previous[2] - 14 * sz)), (4.5 * f, 3 * f)))
    crest = Tube(
        (
            (0.0, float(base[1] + 32 * f), float(base[2] - 10 * sz)),
            (0.0, float(base[1] + 52 * f), float(base[2] - 50 * sz)),
        ),
        (6 * f, 5 * f),
    )
    canvas.paint_bone(Union((*slices, crest), 7.0), Tissue.SACRUM, stuff)
    for s, hip, femur, side in (
        (1.0, Tissue.HIP_LEFT, Tissue.FEMUR_LEFT, "left"),
        (-1.0, Tissue.HIP_RIGHT, Tissue.FEMUR_RIGHT, "right"),
    ):
        canvas.paint_bone(_hip_bone(plan, s, wide), hip, trabecular(plan, 150, 2.2, 950))
        _paint_femur(canvas, plan, s * wide, femur)
        if plan.spec.distractors.implant == side:
            metal = Union(
                (
                    Ellipsoid(plan.at(s * wide * 88, -2, 0), (16 * f, 16 * f, 16 * f)),
                    Tube((plan.at(s * wide * 88, -2, 0), plan.at(s * wide * 122, 4, -38)), (8 * f, 8 * f)),
                    Tube((plan.at(s * wide * 122, 4, -38), plan.at(s * wide * 119, -6, -160)), (9 * f, 5 * f)),
                ),
                3.0,
            )
            canvas.paint(metal, Tissue.IMPLANT, 3000)


def _hip_bone(plan: BodyPlan, s: float, wide: float) -> Shape:
    f = plan.frame

    def at(x: float, y: float, z: float) -> Point:
        return plan.at(s * x * wide, y, z)

    wing_axes = np.linalg.qr(
        np.stack(
            [np.array([s * 0.72, 0.62, 0.32]), np.array([s * 0.55, -0.78, 0.3]), np.array([-s * 0.3, 0.0, 0.95])],
            axis=1,
        )
    )[0]
    wing = Ellipsoid(at(92, 18, 76), (9 * f, 66 * f, 62 * f), wing_axes)
    crest = Tube(
        (at(112, -52, 74), at(124, -30, 104), at(125, 0, 124), at(108, 36, 132), at(78, 66, 118), at(56, 80, 92)),
        (8 * f, 7 * f, 7.5 * f, 7 * f, 8 * f, 8 * f),
    )
    pillar = Tube((at(48, 62, 76), at(70, 30, 48), at(84, 8, 28)), (9 * f, 12 * f, 17 * f))
    front = Tube((at(112, -52, 74), at(104, -34, 36), at(90, -12, 18)), (6 * f, 8 * f, 14 * f))
    joint = Without(
        Ellipsoid(at(86, 0, 3), (34 * f, 33 * f, 33 * f)),
        Union(
            (
                Ellipsoid(at(88, -2, 0), (27 * f, 27 * f, 27 * f)),
                Tube((at(88, -2, 0), at(140, -2, -26)), (26 * f, 40 * f)),
            )
        ),
    )
    rami = Tube(
        (at(72, -14, 10), at(40, -48, 4), at(12, -56, -10), at(14, -50, -30), at(40, -6, -62), at(56, 26, -68)),
        (12 * f, 7.5 * f, 9 * f, 7 * f, 7 * f, 12 * f),
    )
    ischium = Tube((at(76, 24, -2), at(66, 40, -32), at(56, 30, -66)), (14 * f, 11 * f, 14 * f))
    return Union((wing, crest, pillar, front, joint, rami, ischium), 6.0)


def _paint_femur(canvas: Canvas, plan: BodyPlan, s: float, femur: Tissue) -> None:
    f = plan.frame
    head = plan.at(s * 88, -2, 0)
    junction = plan.at(s * 126, 4, -42)
    upper = Union(
        (
            Ellipsoid(head, (23.5 * f, 23.5 * f, 23.5 * f)),
            Tube((head, junction), (15 * f, 18 * f)),
            Ellipsoid(plan.at(s * 138, 10, -22), (15 * f, 17 * f, 20 * f)),
            Ellipsoid(plan.at(s * 108, 18, -62), (9 * f, 9 * f, 12 * f)),
        ),
        8.0,
    )
    shaft = Tube((junction, plan.at(s * 122, -4, -110), plan.at(s * 104, -8, -300)), (19 * f, 14.5 * f, 13.5 * f))
    canvas.paint_bone(shaft, femur, trabecular(plan, -10, 5.5, 1350))
    canvas.paint_bone(upper, femur, trabecular(plan, 210, 1.7, 950))
    # The head's marrow and the shaft's are one space: open the wall between them.
    open_part = Tube((junction, plan.at(s * 122, -4, -85)), (12.5 * f, 9 * f))
    box = canvas.box(open_part)
    part = inside(canvas.distance(open_part, box), canvas.voxel_mm) * (canvas.labels[box] == femur)
    canvas.hu[box] += part * (np.float32(trabecular(plan, 90, 1).marrow_hu) - canvas.hu[box])
    canvas.marrow[box] = np.maximum(canvas.marrow[box], part)


def arm_lines(plan: BodyPlan, s: float) -> dict[str, tuple[tuple[Point, ...], tuple[float, ...]]]:
    """Centre lines and soft-tissue radii of the upper arm and forearm; `s` is +1 for the left."""
    f = plan.frame
    if plan.spec.arms == "up":
        shoulder, elbow, wrist = plan.at(s * 160, 14, 548), plan.at(s * 205, -20, 800), plan.at(s * 120, -70, 1010)
    else:
        out = 185 + plan.fat_mm + max(plan.belly_mm, 0) * 0.6
        shoulder = plan.at(s * 168, 12, 522)
        elbow = plan.at(s * (out + 12), 24, 235)
        wrist = plan.at(s * (out + 2), -14, 5)
    muscle = 1 + 0.006 * (plan.spec.bmi - 25)
    upper = ((shoulder, elbow), (43 * f * muscle, 36 * f * muscle))
    lower = ((elbow, wrist), (38 * f * muscle, 26 * f * muscle))
    return {"upper": upper, "lower": lower}


def paint_arms(canvas: Canvas, plan: BodyPlan) -> None:
    """Humeri and forearm bones (the soft tissue is laid out with the body's surface)."""
    f = plan.frame
    for s, humerus, forearm in (
        (1.0, Tissue.HUMERUS_LEFT, Tissue.FOREARM_LEFT),
        (-1.0, Tissue.HUMERUS_RIGHT, Tissue.FOREARM_RIGHT),
    ):
        lines = arm_lines(plan, s)
        (shoulder, elbow), _ = lines["upper"]
        _, wrist = lines["lower"][0]
        canvas.paint_bone(Tube((shoulder, elbow), (12 * f, 10.5 * f)), humerus, trabecular(plan, 0, 4.0, 1250))
        head = Union(
            (
                Ellipsoid(shoulder, (23 * f, 23 * f, 23 * f)),
                Ellipsoid(elbow, (26 * f, 12 * f, 12 * f)),
            )
        )
        canvas.paint_bone(head, humerus, trabecular(plan, 170, 1.6, 900))
        for shift in (-11.0, 11.0):
            bone = Tube(
                ((elbow[0] + shift * f, elbow[1], elbow[2]), (wrist[0] + shift * f * 1.2, wrist[1], wrist[2])),
                (7.5 * f, 6.5 * f),
            )
            canvas.paint_bone(bone, forearm, trabecular(plan, -20, 2.8, 1200))
