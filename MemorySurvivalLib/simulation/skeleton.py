"""Bones of the trunk: vertebrae with discs and canal, ribs, sternum, clavicles, scapulae."""

from __future__ import annotations

import numpy as np

from MemorySurvivalLib.simulation.body_plan import BodyPlan, Vertebra
from MemorySurvivalLib.simulation.canvas import BoneStuff, Canvas
from MemorySurvivalLib.simulation.shapes import Barrel, Ellipsoid, Point, Shape, Tube, Union, rotation
from MemorySurvivalLib.simulation.tissues import VERTEBRAE, Tissue

_RIB_DROP = [30, 45, 62, 76, 88, 97, 104, 108, 104, 92, 60, 35]
_RIB_WIDTH = [52, 76, 94, 106, 114, 120, 124, 127, 128, 126, 120, 108]
_RIB_FRONT = [-52, -68, -80, -90, -97, -101, -104, -104, -101, -97, -92, -85]
_RIB_END_DEG = [150, 152, 152, 152, 150, 146, 142, 136, 130, 122, 104, 80]


def trabecular(plan: BodyPlan, hu_at_40: float, cortex_mm: float, cortex_hu: float = 950.0) -> BoneStuff:
    """Bone whose marrow attenuation and cortex follow the person's density."""
    density = plan.spec.bone_density
    return BoneStuff(cortex_mm * (0.6 + 0.4 * density), cortex_hu, -40 + (hu_at_40 + 40) * density)


def paint_spine(canvas: Canvas, plan: BodyPlan) -> None:
    """Discs, canal, then the vertebrae from the top."""
    distractors = plan.spec.distractors
    f = plan.frame
    canal = [v.at(0, v.radii[1] + 9 * f, 0) for v in plan.spine]
    top = plan.head_at(0, 16, 700)
    sacral = [plan.at(0, 52, 88), plan.at(0, 72, 55)]
    for vertebra in plan.spine[1:]:
        a, b = vertebra.radii
        centre = vertebra.at(0, 0, -vertebra.half_height - vertebra.disc_mm / 2)
        canvas.paint(Barrel(centre, vertebra.axes, (a * 0.98, b * 0.98), vertebra.disc_mm / 2 + 1), Tissue.DISC, 75)
    radii = tuple(float(r) * f for r in np.linspace(8.2, 9.5, len(canal)))
    stuff = trabecular(plan, 190, 1.1)
    arch_stuff = trabecular(plan, 230, 1.8)
    for vertebra in plan.spine:
        wedge = 0.0
        if vertebra.tissue == distractors.fracture:
            wedge = vertebra.half_height * 0.9
        canvas.paint_bone(_posterior_arch(vertebra, f), vertebra.tissue, arch_stuff)
        canvas.paint_bone(_body(vertebra, wedge, f), vertebra.tissue, stuff)
        if vertebra.tissue in distractors.degeneration:
            canvas.paint_bone(_osteophytes(vertebra, f), vertebra.tissue, BoneStuff(2.5, 800, 350))
    canvas.paint(Tube((top, *canal, *sacral), (8 * f, *radii, 7 * f, 5 * f)), Tissue.SPINAL_CANAL, 28)


def _body(vertebra: Vertebra, wedge_mm: float, f: float) -> Shape:
    a, b = vertebra.radii
    if vertebra.tissue == Tissue.C1:
        ring = [
            (u * f, (v + 10) * f)
            for u, v in ((0, -15), (15, -8), (20, 3), (12, 15), (0, 18), (-12, 15), (-20, 3), (-15, -8), (0, -15))
        ]
        masses = (
            Ellipsoid(vertebra.at(17 * f, 6 * f, 0), (8 * f, 8 * f, vertebra.half_height)),
            Ellipsoid(vertebra.at(-17 * f, 6 * f, 0), (8 * f, 8 * f, vertebra.half_height)),
        )
        return Union((Tube(tuple(vertebra.at(u, v, 0) for u, v in ring), (3.5 * f,) * len(ring)), *masses), 2.0)
    body = Barrel(vertebra.centre, vertebra.axes, (a, b), vertebra.half_height, 0.1, wedge_mm)
    if vertebra.tissue == Tissue.C2:
        dens = Tube((vertebra.at(0, 0, 0), vertebra.at(0, 1, vertebra.half_height + 15 * f)), (5.5 * f, 4.5 * f))
        return Union((body, dens), 2.0)
    return body


def _posterior_arch(vertebra: Vertebra, f: float) -> Shape:
    """Pedicles, laminae, joints, transverse and spinous processes."""
    index = VERTEBRAE.index(vertebra.tissue)
    a, b = vertebra.radii
    h = vertebra.half_height
    back = b + 9 * f
    if index < 7:
        transverse, spinous, drop, thick = 22.0, (4.0 if index == 0 else 24.0 if index < 6 else 34.0), -6.0, 3.2
    elif index < 19:
        transverse, spinous, drop, thick = 33.0 - 0.7 * (index - 7), 34.0, -20.0, 3.6
    else:
        transverse, spinous, drop, thick = 42.0, 34.0, -5.0, 4.0
    sides: list[Shape] = []
    for s in (-1.0, 1.0):
        pedicle = Tube(
            (vertebra.at(s * a * 0.7, b * 0.5, h * 0.3), vertebra.at(s * (11 * f + 3), back, h * 0.2)),
            (min(5.0 * f, h * 0.55), min(4.6 * f, h * 0.5)),
        )
        lamina = Tube(
            (vertebra.at(s * (11 * f + 3), back, h * 0.1), vertebra.at(0, back + 13 * f, -h * 0.3)), (4.2 * f, 3.8 * f)
        )
        joint = Tube(
            (vertebra.at(s * 15 * f, back + 3 * f, h * 0.9), vertebra.at(s * 14 * f, back + 5 * f, -h * 1.1)),
            (4.6 * f, 4.4 * f),
        )
        sweep = 16.0 if 7 <= index < 19 else 3.0
        wing = Tube(
            (vertebra.at(s * 13 * f, back, 0), vertebra.at(s * transverse * f, back + sweep * f * 0.7, h * 0.1)),
            (thick * f, thick * f),
        )
        sides += [pedicle, lamina, joint, wing]
    root = vertebra.at(0, back + 12 * f, -h * 0.3)
    middle = vertebra.at(0, back + (12 + spinous * 0.55) * f, (-h * 0.4 + drop * 0.45 * f))
    tip = vertebra.at(0, back + (12 + spinous) * f * 0.88, -h * 0.5 + drop * f)
    blade = [Tube((root, middle, tip), (thick * f, thick * 0.8 * f, thick * f))]
    if index >= 18:  # lumbar spinous processes are tall plates
        blade.append(
            Tube(
                (vertebra.at(0, back + 12 * f, -h * 0.7), vertebra.at(0, back + (12 + spinous * 0.8) * f, -h * 0.9)),
                (thick * 0.9 * f, thick * f),
            )
        )
    return Union((*sides, *blade), 3.0)


def _osteophytes(vertebra: Vertebra, f: float) -> Shape:
    a, b = vertebra.radii
    h = vertebra.half_height
    beads = [
        Ellipsoid(vertebra.at(a * np.sin(t), -b * np.cos(t), w * h), (5 * f, 5 * f, 3.5 * f))
        for w in (-1.0, 1.0)
        for t in (-0.9, -0.3, 0.5, 1.0)
    ]
    return Union(tuple(beads), 3.0)


def rib_line(plan: BodyPlan, number: int, side: float) -> tuple[Point, ...]:
    """Centre line of rib `number` (1-12) from the spine to its bony end; `side` is +1 for the left."""
    vertebra = plan.spine[6 + number]
    f, i = plan.frame, number - 1
    x0, y0, z0 = vertebra.at(0, vertebra.radii[1], vertebra.half_height * 0.5)
    front = _RIB_FRONT[i] * f
    back = y0 + 17 * f
    depth = (back - front) / 1.87
    middle = front + depth
    points: list[Point] = [
        (x0 + side * (vertebra.radii[0] * 0.95 + 2), y0 - 2, z0),
        (x0 + side * 34 * f, back - 1, z0 - 2),
    ]
    for angle in np.deg2rad(np.linspace(36, _RIB_END_DEG[i], 15)):
        drop = _RIB_DROP[i] * np.sin(angle / 2) ** 2
        points.append(
            (
                float(x0 * (1 - angle / 2.6) + side * _RIB_WIDTH[i] * f * np.sin(angle) ** 0.9),
                float(middle + depth * np.cos(angle)),
                float(z0 - drop * plan.scale_z),
            )
        )
    return tuple(points)


def paint_thoracic_cage(canvas: Canvas, plan: BodyPlan) -> None:
    """Ribs with their cartilage, sternum, clavicles and scapulae."""
    f = plan.frame
    rib_stuff = trabecular(plan, 130, 1.3, 800)
    plate = trabecular(plan, 150, 1.4, 800)
    for side, ribs in ((1.0, Tissue.RIBS_LEFT), (-1.0, Tissue.RIBS_RIGHT)):
        for number in range(1, 13):
            line = rib_line(plan, number, side)
            if number <= 10:
                end = line[-1]
                level = 505.0 - 24.0 * (min(number, 7) - 1)
                target = plan.at(side * 17, -66 - 5.5 * min(number, 7), level - (8 if number > 7 else 0))
                if number > 7:
                    target = plan.at(side * (22 + 13 * (number - 7)), -98, 352 - 26 * (number - 7))
                bend = ((end[0] + target[0]) / 2, min(end[1], target[1]), (end[2] + target[2]) / 2 - 4)
                canvas.paint(Tube((end, bend, target), (4.5 * f, 4.5 * f, 4 * f)), Tissue.CARTILAGE, 90)
            radius = (5.0 if number > 2 else 5.6) * f
            canvas.paint_bone(Tube(line, (radius * 0.9,) + (radius,) * (len(line) - 1)), ribs, rib_stuff)
    sternum = Union(
        (
            Ellipsoid(plan.at(0, -70, 500), (24 * f, 8 * f, 24 * plan.scale_z), rotation((0, -0.2, 1))),
            Tube((plan.at(8, -76, 480), plan.at(9, -98, 372)), (7 * f, 6.5 * f)),
            Tube((plan.at(-8, -76, 480), plan.at(-9, -98, 372)), (7 * f, 6.5 * f)),
            Tube((plan.at(0, -98, 372), plan.at(0, -100, 345)), (6 * f, 3.5 * f)),
        ),
        5.0,
    )
    canvas.paint_bone(sternum, Tissue.STERNUM, plate)
    raised = 14.0 if plan.spec.arms == "up" else 0.0
    for s, clavicle, scapula in (
        (1.0, Tissue.CLAVICLE_LEFT, Tissue.SCAPULA_LEFT),
        (-1.0, Tissue.CLAVICLE_RIGHT, Tissue.SCAPULA_RIGHT),
    ):
        line = (
            plan.at(s * 18, -68, 521),
            plan.at(s * 60, -66, 536 + raised * 0.4),
            plan.at(s * 110, -30, 552 + raised),
            plan.at(s * 146, -2, 552 + raised),
        )
        canvas.paint_bone(Tube(line, (9 * f, 6 * f, 5.5 * f, 7 * f)), clavicle, plate)
        canvas.paint_bone(_scapula(plan, s, raised), scapula, plate)


def _scapula(plan: BodyPlan, s: float, raised: float) -> Shape:
    f = plan.frame
    glenoid = plan.at(s * 142, 22, 525 + raised)
    low = plan.at(s * (104 + raised), 86, 405 + raised)
    upper = plan.at(s * 74, 74, 538 + raised * 0.6)
    centre = tuple(float(v) for v in (np.asarray(glenoid) + np.asarray(low) + np.asarray(upper)) / 3)
    normal = np.cross(np.asarray(low) - np.asarray(glenoid), np.asarray(upper) - np.asarray(glenoid))
    normal = normal / np.linalg.norm(normal)
    along = (np.asarray(upper) + np.asarray(glenoid)) / 2 - np.asarray(low)
    along = along / np.linalg.norm(along)
    axes = np.stack([np.cross(along, normal), normal, along], axis=1)
    blade = Ellipsoid((centre[0], centre[1], centre[2]), (40 * f, 4.2 * f, 68 * f), axes)
    return Union(
        (
            blade,
            Tube((glenoid, low), (7 * f, 4.5 * f)),
            Tube((upper, low), (3.5 * f, 4.5 * f)),
            Ellipsoid(glenoid, (9 * f, 13 * f, 17 * f)),
            Tube(
                (
                    plan.at(s * 80, 88, 515 + raised),
                    plan.at(s * 130, 70, 545 + raised),
                    plan.at(s * 152, 22, 556 + raised),
                ),
                (4 * f, 5 * f, 6.5 * f),
            ),
            Tube((glenoid, plan.at(s * 132, -14, 540 + raised)), (6 * f, 5 * f)),
        ),
        4.0,
    )
