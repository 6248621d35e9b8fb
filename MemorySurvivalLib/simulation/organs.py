"""Organs of neck, chest, belly and pelvis, and the great vessels."""

from __future__ import annotations

import numpy as np

from MemorySurvivalLib.simulation.body_plan import BodyPlan
from MemorySurvivalLib.simulation.canvas import Canvas
from MemorySurvivalLib.simulation.shapes import (
    Array,
    Ellipsoid,
    Field,
    Overlap,
    Point,
    Tube,
    Union,
    blend_min,
    rotation,
)
from MemorySurvivalLib.simulation.soft_tissue import Cavities
from MemorySurvivalLib.simulation.tissues import Tissue

_HUGE = 1e3
_EVERYWHERE = ((-_HUGE,) * 3, (_HUGE,) * 3)


def paint_organs(canvas: Canvas, plan: BodyPlan, cavities: Cavities, rng: np.random.Generator) -> None:
    """All soft organs, from the outside in; bones are painted after them."""
    contrast = plan.spec.distractors.contrast
    blood = 150.0 if contrast else 42.0
    canvas.paint(Overlap((cavities.belly, cavities.below_diaphragm)), Tissue.VISCERAL_FAT, -102)
    _paint_psoas(canvas, plan)
    _paint_chest(canvas, plan, cavities, blood, rng)
    _paint_upper_belly(canvas, plan, cavities, contrast, rng)
    _paint_bowel(canvas, plan, cavities, rng)
    _paint_kidneys(canvas, plan, contrast, rng)
    _paint_pelvis(canvas, plan, rng)
    _paint_vessels(canvas, plan, blood)
    _paint_neck(canvas, plan)


def _paint_psoas(canvas: Canvas, plan: BodyPlan) -> None:
    f = plan.frame
    for s in (-1.0, 1.0):
        canvas.paint(
            Tube(
                (plan.at(s * 28, 26, 250), plan.at(s * 40, 24, 170), plan.at(s * 55, 8, 95), plan.at(s * 78, -30, 30)),
                (8 * f, 16 * f, 20 * f, 17 * f),
            ),
            Tissue.MUSCLE,
            55,
        )
        canvas.paint(Tube((plan.at(s * 58, 46, 250), plan.at(s * 72, 48, 145)), (14 * f, 17 * f)), Tissue.MUSCLE, 50)


def _paint_chest(canvas: Canvas, plan: BodyPlan, cavities: Cavities, blood: float, rng: np.random.Generator) -> None:
    f, sz = plan.frame, plan.scale_z
    lungs = Overlap((cavities.chest, cavities.above_diaphragm))
    canvas.paint(lungs, Tissue.LUNG, float(rng.uniform(-850, -790)))

    def mediastinum(x: Array, y: Array, z: Array) -> Array:
        wide = np.interp(z, np.asarray([300, 380, 430, 480, 560]) * sz, np.asarray([40, 34, 29, 31, 25]) * f)
        _, spine = plan.spine_at(z)
        middle = spine - 48 * f
        narrow = np.clip(1.05 - ((y[None, :] - middle[:, None]) / (66 * f)) ** 2, 0.12, 1)
        edge = wide[:, None] * narrow
        return np.asarray(np.abs(x)[None, None, :] - edge[:, :, None], dtype=np.float32)

    canvas.paint(Overlap((lungs, Field(*_EVERYWHERE, mediastinum))), Tissue.MEDIASTINUM, -25)
    axis = rotation((0.62, -0.55, -0.56))
    whole = Ellipsoid(plan.at(18, -42, 372), (50 * f, 47 * f, 64 * f), axis)
    canvas.paint(
        Overlap((Ellipsoid(whole.centre, (54 * f, 51 * f, 68 * f), axis), cavities.chest)), Tissue.MEDIASTINUM, -70
    )
    canvas.paint(Overlap((whole, cavities.chest)), Tissue.HEART_BLOOD, blood)
    centre = plan.at(36, -48, 362)
    wall = float(rng.uniform(8.5, 11)) * f
    canvas.paint(Ellipsoid(centre, (29 * f, 29 * f, 45 * f), axis), Tissue.MYOCARDIUM, 55 if blood < 100 else 100)
    inner = np.asarray(centre) - 7 * f * axis[:, 2]
    canvas.paint(
        Ellipsoid(
            (float(inner[0]), float(inner[1]), float(inner[2])), (29 * f - wall, 29 * f - wall, 45 * f - wall), axis
        ),
        Tissue.HEART_BLOOD,
        blood,
    )
    _paint_lung_vessels(canvas, plan, blood, rng)
    trachea = (
        plan.head_at(0, -40, 668),
        plan.head_at(0, -36, 615),
        plan.at(0, -30, 580),
        plan.at(0, -14, 530),
        plan.at(0, 8, 468),
    )
    canvas.paint(Tube(trachea, (9 * f, 8 * f, 11 * f, 11 * f, 11 * f)), Tissue.MEDIASTINUM, 40)
    canvas.paint(Tube(trachea, (7 * f, 6 * f, 8.5 * f, 8.5 * f, 8.5 * f)), Tissue.AIRWAY, -1000)
    for s in (-1.0, 1.0):
        canvas.paint(Tube((trachea[-1], plan.at(s * 34, 14, 436)), (7 * f, 5.5 * f)), Tissue.AIRWAY, -1000)


def _paint_lung_vessels(canvas: Canvas, plan: BodyPlan, blood: float, rng: np.random.Generator) -> None:
    f = plan.frame
    for s in (-1.0, 1.0):
        hilum = plan.at(s * 36, 2, 438)
        canvas.paint(Ellipsoid(hilum, (13 * f, 15 * f, 19 * f)), Tissue.HEART_BLOOD, blood)
        for _ in range(16):
            aim = plan.at(s * rng.uniform(45, 112), rng.uniform(-75, 75), rng.uniform(330, 535))
            bend = tuple((a + b) / 2 + rng.normal(0, 9) for a, b in zip(hilum, aim, strict=True))
            tube = Tube((hilum, (bend[0], bend[1], bend[2]), aim), (4.5 * f, 2.6 * f, 0.9 * f))
            canvas.paint(tube, Tissue.LUNG, 0, only=(Tissue.LUNG,))


def _paint_upper_belly(
    canvas: Canvas, plan: BodyPlan, cavities: Cavities, contrast: bool, rng: np.random.Generator
) -> None:
    f, sz = plan.frame, plan.scale_z
    body_wall = Union((cavities.belly, cavities.chest), 6.0)
    tilt = float(rng.uniform(0.55, 0.75))
    drop = float(rng.normal(0, 8))
    edge = plan.at(-105, 0, 172 + drop)

    def beyond_edge(x: Array, y: Array, z: Array) -> Array:
        # The liver's lower border climbs from the right flank to the left lobe and from back to front.
        rise = tilt * (x[None, None, :] - edge[0]) + 0.12 * (y[None, :, None] + 30)
        below = (edge[2] + rise - z[:, None, None]) * np.float32(0.82)
        left = (
            x[None, None, :] - 58 * f + 0.22 * (y[None, :, None] + 60) - 0.55 * (z[:, None, None] - 318 * sz)
        ) * 0.85
        behind = y[None, :, None] - (52 * f - 0.55 * np.maximum(x[None, None, :] + 55 * f, 0))
        lower = -blend_min(np.asarray(-below, dtype=np.float32), np.asarray(-left, dtype=np.float32), 30.0)
        return np.asarray(np.maximum(lower, behind), dtype=np.float32)

    liver = Overlap(
        (
            Field((-150 * f, -135 * f, 120 * sz), (75 * f, 100 * f, 350 * sz), body_wall.distance),
            Field(*_EVERYWHERE, lambda x, y, z: cavities.below_diaphragm.distance(x, y, z) + 3),
            Field(*_EVERYWHERE, beyond_edge),
        )
    )
    stomach = Ellipsoid(plan.at(58, -38, 276), (38 * f, 36 * f, 56 * f), rotation((0.35, 0.2, 0.9)))
    under_dome = Field(*_EVERYWHERE, lambda x, y, z: cavities.below_diaphragm.distance(x, y, z) + 4)
    canvas.paint(Overlap((stomach, under_dome, body_wall)), Tissue.STOMACH, 32)
    canvas.paint(
        Overlap((Ellipsoid(plan.at(60, -58, 290), (24 * f, 14 * f, 32 * f)), under_dome, body_wall)), Tissue.GAS, -940
    )
    antrum = Tube((plan.at(48, -48, 236), plan.at(10, -62, 216), plan.at(-28, -40, 222)), (21 * f, 16 * f, 12 * f))
    canvas.paint(antrum, Tissue.STOMACH, 34)
    swollen = float(np.exp(rng.normal(0, 0.1)))
    spleen = Ellipsoid(
        plan.at(98, 42, 290), (22 * f * swollen, 40 * f * swollen, 54 * f * swollen), rotation((0.25, 0.35, 0.9))
    )
    canvas.paint(Overlap((spleen, under_dome, body_wall)), Tissue.SPLEEN, 115 if contrast else 50)
    canvas.paint(liver, Tissue.LIVER, 112 if contrast else float(rng.normal(57, 5)))
    canvas.paint(
        Ellipsoid(plan.at(-50, -55, 205), (13 * f, 15 * f, 24 * f), rotation((0.3, -0.3, 1))), Tissue.SMALL_BOWEL, 10
    )
    pancreas = Tube(
        (plan.at(-32, -18, 205), plan.at(-5, -28, 222), plan.at(40, 0, 240), plan.at(80, 26, 262)),
        (14 * f, 9 * f, 9 * f, 7 * f),
    )
    canvas.paint(pancreas, Tissue.PANCREAS, 85 if contrast else 38)


def _paint_bowel(canvas: Canvas, plan: BodyPlan, cavities: Cavities, rng: np.random.Generator) -> None:
    f = plan.frame
    inside = Field(*_EVERYWHERE, lambda x, y, z: cavities.belly.distance(x, y, z) + 2)
    free = (Tissue.VISCERAL_FAT, Tissue.SMALL_BOWEL)
    point = np.array([0.0, -40.0, 150.0])
    for _ in range(9):
        points: list[Point] = []
        for _ in range(7):
            point = point + rng.normal(0, [38, 20, 26])
            point = np.clip(point, [-72, -82, 48], [72, -4, 205])
            points.append(plan.at(*point))
        canvas.paint(Overlap((Tube(tuple(points), (11 * f,) * 7), inside)), Tissue.SMALL_BOWEL, 35, only=free)
    wobble = rng.normal(0, 6, (20, 3))
    out = plan.belly_mm * 0.4
    frame = [
        (-98 - out, 0, 92),
        (-106 - out, 2, 130),
        (-104 - out, 6, 168),
        (-92 - out, -30, 196),
        (-60, -72 - out, 182),
        (-20, -84 - out, 160),
        (25, -84 - out, 168),
        (66, -66 - out, 196),
        (96 + out, -20, 232),
        (104 + out, 20, 225),
        (108 + out, 24, 180),
        (106 + out, 18, 130),
        (98 + out, 2, 96),
        (70, -15, 78),
        (38, -5, 72),
        (20, 20, 66),
        (2, 50, 45),
    ]
    line = tuple(plan.at(*(np.asarray(p) + w)) for p, w in zip(frame, wobble[: len(frame)], strict=True))
    radii = tuple(float(r) * f for r in rng.uniform(14, 21, len(line)))
    radii = (*radii[:-4], 12 * f, 12 * f, 12 * f, 13 * f)
    cover = (Tissue.VISCERAL_FAT, Tissue.SMALL_BOWEL, Tissue.COLON, Tissue.MUSCLE, Tissue.FAT, Tissue.STOMACH)
    canvas.paint(Tube(line, radii), Tissue.COLON, 32, only=cover)
    for index in range(len(line) - 2):
        centre = np.asarray(line[index]) + np.array([0, -radii[index] * 0.25, 0])
        r = radii[index] * float(rng.uniform(0.45, 0.75))
        gas = rng.random() < 0.6
        canvas.paint(
            Ellipsoid((float(centre[0]), float(centre[1]), float(centre[2])), (r, r * 0.8, r * 1.2)),
            Tissue.GAS if gas else Tissue.COLON,
            -880 if gas else float(rng.uniform(-150, 60)),
            only=(Tissue.COLON,),
        )
    canvas.paint(Tube((line[-1], plan.at(0, 52, 5), plan.at(0, 40, -35)), (13 * f, 14 * f, 9 * f)), Tissue.COLON, 30)


def _paint_kidneys(canvas: Canvas, plan: BodyPlan, contrast: bool, rng: np.random.Generator) -> None:
    f = plan.frame
    size = float(np.exp(rng.normal(0, 0.07))) * f
    for s, z in ((1.0, 232.0), (-1.0, 218.0)):
        axes = rotation((-s * 0.28, -0.15, 1.0))
        centre = plan.at(s * 58, 40, z)
        canvas.paint(
            Ellipsoid(centre, (33 * size, 32 * size, 63 * size), axes),
            Tissue.VISCERAL_FAT,
            -100,
            only=(Tissue.VISCERAL_FAT, Tissue.MUSCLE, Tissue.FAT),
        )
        canvas.paint(Ellipsoid(centre, (26 * size, 25 * size, 56 * size), axes), Tissue.KIDNEY, 165 if contrast else 33)
        hilum = (centre[0] - s * 13 * f, centre[1] - 4 * f, centre[2])
        canvas.paint(Ellipsoid(hilum, (13 * size, 10 * size, 26 * size), axes), Tissue.VISCERAL_FAT, -60)
        pelvis = Union(
            (
                Ellipsoid((hilum[0] + s * 4, hilum[1], hilum[2]), (9 * size, 6.5 * size, 15 * size), axes),
                *(
                    Ellipsoid((hilum[0] + s * 9 * f, hilum[1], hilum[2] + dz * f), (5.5 * size, 5 * size, 7 * size))
                    for dz in (-17, 0, 17)
                ),
            ),
            4.0,
        )
        canvas.paint(pelvis, Tissue.RENAL_PELVIS, 8)
        # A ureter holds a bolus of tracer only here and there.
        ureter = [
            (hilum[0] - s * 6, hilum[1] - 6, hilum[2] - 15),
            plan.at(s * 38, 8, 150),
            plan.at(s * 36, 2, 90),
            plan.at(s * 44, 20, 50),
            plan.at(s * 20, -10, 15),
        ]
        start = int(rng.integers(0, 4))
        canvas.paint(Tube((ureter[start], ureter[start + 1]), (2.4 * f, 2.4 * f)), Tissue.RENAL_PELVIS, 10)


def _paint_pelvis(canvas: Canvas, plan: BodyPlan, rng: np.random.Generator) -> None:
    f = plan.frame
    if plan.spec.sex == "female":
        canvas.paint(
            Ellipsoid(plan.at(0, 8, 52), (26 * f, 21 * f, 30 * f), rotation((0, -0.6, 1))), Tissue.PROSTATE_UTERUS, 55
        )
    else:
        canvas.paint(Ellipsoid(plan.at(0, -22, -12), (22 * f, 17 * f, 18 * f)), Tissue.PROSTATE_UTERUS, 42)
    fill = float(rng.uniform(0.75, 1.2)) * f
    canvas.paint(Ellipsoid(plan.at(0, -38, 16 + 20 * fill), (36 * fill, 29 * fill, 27 * fill)), Tissue.BLADDER, 6)


def _paint_vessels(canvas: Canvas, plan: BodyPlan, blood: float) -> None:
    f = plan.frame
    down: list[Point] = []
    for z in (450, 400, 350, 300, 250, 200, 160, 140):
        x0, y0 = (float(v[0]) for v in plan.spine_at(np.asarray([z * plan.scale_z], dtype=np.float32)))
        lateral = np.interp(z, [140, 300, 450], [4, 12, 24])
        depth = np.interp(z, [140, 300, 450], [29, 25, 12])
        down.append((x0 + lateral * f, y0 - depth * f, z * plan.scale_z))
    arch = (
        plan.at(2, -34, 418),
        plan.at(-14, -44, 450),
        plan.at(-6, -36, 484),
        plan.at(12, -10, 497),
        plan.at(25, 22, 482),
    )
    radii = tuple(float(r) * f for r in np.linspace(11.5, 8.5, len(down)))
    canvas.paint(Tube((*arch, *down), (15 * f, 15 * f, 14 * f, 13 * f, 12 * f, *radii)), Tissue.ARTERY, blood)
    fork = down[-1]
    cava = [(2 * p[0] * 0 - 18 * f, p[1] + 2, p[2]) for p in down[3:]]
    canvas.paint(
        Tube((plan.at(-16, -16, 400), plan.at(-20, -4, 330), *cava), (11 * f, 12 * f, *(10.5 * f for _ in cava))),
        Tissue.VEIN,
        blood * 0.9,
    )
    canvas.paint(
        Tube((plan.at(-26, -38, 520), plan.at(-24, -30, 440), plan.at(-14, -24, 405)), (8 * f, 10 * f, 11 * f)),
        Tissue.VEIN,
        blood * 0.9,
    )
    canvas.paint(
        Tube((plan.at(10, -48, 420), plan.at(14, -34, 452), plan.at(30, -4, 448)), (13 * f, 13 * f, 10 * f)),
        Tissue.ARTERY,
        blood,
    )
    for s in (-1.0, 1.0):
        line = (
            fork,
            plan.at(s * 36, -4, 95),
            plan.at(s * 62, -42, 45),
            plan.at(s * 78, -62, 0),
            plan.at(s * 84, -46, -110),
            plan.at(s * 78, -22, -230),
        )
        canvas.paint(Tube(line, (7 * f, 6 * f, 5.5 * f, 5 * f, 4.5 * f, 4 * f)), Tissue.ARTERY, blood)
        beside = tuple((p[0] - s * 11 * f, p[1] + 6 * f, p[2]) for p in line[1:])
        canvas.paint(Tube(beside, (7 * f, 7 * f, 6 * f, 5 * f, 4.5 * f)), Tissue.VEIN, blood * 0.85)
        neck = (plan.at(s * 10, -28, 500), plan.at(s * 26, -24, 560), plan.head_at(s * 30, -16, 640))
        canvas.paint(Tube(neck, (6 * f, 4.2 * f, 3.5 * f)), Tissue.ARTERY, blood)
        jugular = (plan.at(s * 24, -40, 520), plan.at(s * 36, -22, 570), plan.head_at(s * 38, -8, 640))
        canvas.paint(Tube(jugular, (6.5 * f, 6 * f, 5 * f)), Tissue.VEIN, blood * 0.9)


def _paint_neck(canvas: Canvas, plan: BodyPlan) -> None:
    f = plan.frame
    for s in (-1.0, 1.0):
        canvas.paint(Ellipsoid(plan.at(s * 19, -36, 572), (8 * f, 8 * f, 19 * f)), Tissue.THYROID, 100)
