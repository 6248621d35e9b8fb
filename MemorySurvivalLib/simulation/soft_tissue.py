"""The body's surface, its layers of skin, fat and muscle, its cavities, and the table it lies on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from MemorySurvivalLib.simulation.body_plan import BodyPlan
from MemorySurvivalLib.simulation.canvas import Canvas
from MemorySurvivalLib.simulation.extremities import arm_lines
from MemorySurvivalLib.simulation.shapes import Array, Ellipsoid, Field, Shape, Tube, Union, blend_min
from MemorySurvivalLib.simulation.skeleton import rib_line
from MemorySurvivalLib.simulation.tissues import Tissue

_HUGE = 1e3
_FAT_REACH_MM = 60.0
"""More than the thickest fat: how far from muscles the skin is looked for."""


def paint_body(canvas: Canvas, plan: BodyPlan, contrast: bool) -> None:
    """Skin, subcutaneous fat and muscle of the whole body, then the table under it."""
    whole = (slice(0, len(canvas.z)), slice(0, len(canvas.y)), slice(0, len(canvas.x)))
    muscle, surface = _distances(canvas, plan)
    canvas.fill(whole, surface, Tissue.SKIN, 20)
    canvas.fill(whole, surface + 2.2, Tissue.FAT, -104)
    canvas.fill(whole, muscle, Tissue.MUSCLE, 62 if contrast else 52)
    _paint_table(canvas)


def _distances(canvas: Canvas, plan: BodyPlan) -> tuple[Array, Array]:
    """Signed distance to the muscles' surface and to the skin, for every voxel."""
    x, y, z = canvas.x, canvas.y, canvas.z
    f, sz = plan.frame, plan.scale_z
    muscle = _trunk(plan, x, y, z)
    # The fat under the skin: thin on head and neck, thickest at hips and belly.
    levels = np.asarray([-200, -60, 40, 130, 250, 420, 520, 600, 640, 700]) * sz
    layer = np.interp(z, levels, [0.75, 1.0, 1.25, 1.1, 0.8, 0.65, 0.6, 0.35, 0.2, 0.1]).astype(np.float32)
    thickness = (2.2 + plan.fat_mm * layer)[:, None, None]
    legs = Union(tuple(_leg(plan, s) for s in (-1.0, 1.0)), reach_mm=_FAT_REACH_MM)
    head = Union(
        (
            Ellipsoid(plan.head_at(0, 2, 738), (74 * f, 92 * f, 77 * sz)),
            Ellipsoid(plan.head_at(0, -46, 668), (56 * f, 44 * f, 60 * sz)),
            Ellipsoid(plan.head_at(0, -96, 676), (11 * f, 12 * f, 18 * sz)),
            Tube((plan.head_at(0, 10, 680), plan.at(0, 14, 590)), (58 * f, 56 * f), _FAT_REACH_MM),
        ),
        14.0,
        _FAT_REACH_MM,
    )
    # Between the thighs the trunk ends in a wedge with little fat.
    perineum = np.interp(z, np.asarray([-90, 0]) * sz, [0.15, 1.0]).astype(np.float32)[:, None, None]
    surface = muscle - thickness * perineum
    for part, blend in ((legs, 12.0), (head, 14.0)):
        box = canvas.box(part, _FAT_REACH_MM)
        distance = canvas.distance(part, box)
        muscle[box] = blend_min(muscle[box], distance, blend)
        surface[box] = blend_min(surface[box], distance - thickness[box[0]], blend)
    for s in (-1.0, 1.0):
        for points, radii in arm_lines(plan, s).values():
            arm = Tube(points, radii, _FAT_REACH_MM)
            box = canvas.box(arm, _FAT_REACH_MM)
            distance = canvas.distance(arm, box)
            muscle[box] = blend_min(muscle[box], distance, 10.0)
            surface[box] = blend_min(surface[box], distance - np.float32(2.2 + 0.35 * plan.fat_mm), 8.0)
        shoulder = Ellipsoid(plan.at(s * 150, 12, 530 if plan.spec.arms == "down" else 545), (50 * f, 48 * f, 46 * sz))
        box = canvas.box(shoulder, 40)
        distance = canvas.distance(shoulder, box)
        muscle[box] = blend_min(muscle[box], distance, 14.0)
        surface[box] = blend_min(surface[box], distance - np.float32(2.2 + 0.4 * plan.fat_mm), 14.0)
        if plan.spec.sex == "female":
            breast = Ellipsoid(
                plan.at(s * 72, -100, 415), (52 * f + 0.5 * plan.fat_mm, 26 * f + 0.7 * plan.fat_mm, 50 * sz)
            )
            box = canvas.box(breast, 30)
            surface[box] = blend_min(surface[box], canvas.distance(breast, box), 14.0)
    return muscle, surface


def _leg(plan: BodyPlan, s: float) -> Shape:
    f = plan.frame
    return Tube(
        (plan.at(s * 92, 6, 10), plan.at(s * 90, 2, -90), plan.at(s * 84, 0, -300)),
        (76 * f, 77 * f, 60 * f),
        _FAT_REACH_MM,
    )


def _trunk(plan: BodyPlan, x: Array, y: Array, z: Array) -> Array:
    width, front, back = plan.outline(z)
    power = np.float32(2.35)
    across = (np.abs(x)[None, :] / width[:, None]) ** power
    depth = np.where(y[None, :] < 0, front[:, None], back[:, None])
    along = (np.abs(y)[None, :] / depth) ** power
    k = (across[:, None, :] + along[:, :, None] + np.float32(1e-6)) ** (1 / power)
    radius = np.sqrt(x[None, :] ** 2 + y[:, None] ** 2)[None]
    distance = radius - radius / k
    distance = np.where(k < 0.2, -0.8 * np.minimum(front, width)[:, None, None], distance)
    ends = np.maximum(-84 * plan.scale_z - z, z - 690 * plan.scale_z)[:, None, None]
    return np.asarray(np.maximum(distance, ends), dtype=np.float32)


def _paint_table(canvas: Canvas) -> None:
    """A flat carbon table with a foam core under the lowest point of the back."""
    rows = np.flatnonzero((canvas.labels > 0).any(axis=(0, 2)))
    if not len(rows):
        return
    top = float(canvas.y[rows[-1]]) + 4.0
    dish = 14.0

    def slab(shift: float, thick: float) -> Array:
        arc = top + shift - dish * ((canvas.x / 210) ** 2)
        inner = np.abs(canvas.y[:, None] - arc[None, :] - thick / 2) - thick / 2
        sheet = np.maximum(inner, np.abs(canvas.x)[None, :] - 212)
        return np.asarray(np.broadcast_to(sheet[None], canvas.hu.shape), dtype=np.float32)

    def blend(distance: Array, hu: float) -> None:
        part = np.clip(np.float32(0.5) - distance / np.float32(canvas.voxel_mm), 0, 1) * (canvas.labels == 0)
        canvas.hu[:] += part * (np.float32(hu) - canvas.hu) * (canvas.hu < -300)

    blend(slab(0, 26), -250)
    blend(slab(3, 20), -930)


@dataclass(frozen=True)
class Cavities:
    """The spaces that organs fill, as shapes: inside the ribs, inside the belly wall, and the diaphragm between."""

    chest: Shape
    belly: Shape
    above_diaphragm: Shape
    below_diaphragm: Shape


def find_cavities(plan: BodyPlan) -> Cavities:
    """Chest cavity from the ribs, belly from the muscles' outline, diaphragm as two domes."""
    f, sz = plan.frame, plan.scale_z
    lateral_z, width, back_z, back, front_z, front = [], [], [], [], [], []
    for number in range(1, 13):
        line = np.asarray(rib_line(plan, number, 1.0))
        widest = int(np.argmax(line[:, 0]))
        lateral_z.append(line[widest, 2])
        width.append(line[widest, 0])
        back_z.append(line[1, 2])
        back.append(line[:, 1].max())
        front_z.append(line[-1, 2])
        front.append(line[:, 1].min())
    inset = 9.0 * f
    top = float(back_z[0])

    def curve(levels: list[float], values: list[float], at_top: float, z: Array) -> Array:
        z_all, v_all = np.asarray([*levels[::-1], top + 28 * sz]), np.asarray([*values[::-1], at_top])
        keep = np.concatenate([[True], np.diff(np.maximum.accumulate(z_all)) > 0])
        spline = PchipInterpolator(z_all[keep], v_all[keep])
        return np.asarray(spline(np.clip(z, z_all[keep][0], z_all[keep][-1])), dtype=np.float32)

    def chest(x: Array, y: Array, z: Array) -> Array:
        wide = np.maximum(curve(lateral_z, width, 20 * f, z) - inset, 4)
        rear = curve(back_z, back, 38 * f, z) - 7 * f
        fore = np.minimum(curve(front_z, front, 0.0, z) + inset, rear - 24)
        middle, half = (rear + fore) / 2, (rear - fore) / 2
        x0, _ = plan.spine_at(z)
        u = (np.abs(x[None, :] - 0.5 * x0[:, None]) / wide[:, None]) ** np.float32(2.3)
        v = (np.abs(y[None, :] - middle[:, None]) / half[:, None]) ** np.float32(2.3)
        k = (u[:, None, :] + v[:, :, None] + np.float32(1e-6)) ** np.float32(1 / 2.3)
        distance = (k - 1) * np.minimum(wide, half)[:, None, None]
        return np.asarray(np.maximum(distance, (z - top - 22 * sz)[:, None, None]), dtype=np.float32)

    def belly(x: Array, y: Array, z: Array) -> Array:
        levels = np.asarray([-45, 0, 40, 90, 130, 200, 420]) * sz
        a, fr, bk = plan.outline(z)
        wide = np.minimum(a - 17 * f, np.interp(z, levels, np.asarray([40, 56, 62, 92, 128, 200, 200]) * f))
        fore = fr - np.interp(z, levels, np.asarray([40, 22, 14, 12, 12, 12, 14]) * f)
        rear = bk - np.interp(z, levels, np.asarray([35, 35, 35, 46, 46, 40, 26]) * f)
        u = (np.abs(x)[None, :] / wide[:, None]) ** 2
        v = (np.abs(y)[None, :] / np.where(y[None, :] < 0, fore[:, None], rear[:, None])) ** 2
        k = np.sqrt(u[:, None, :] + v[:, :, None])
        distance = (k - 1) * np.minimum(wide, fore)[:, None, None]
        return np.asarray(np.maximum(distance, (-42 * sz - z)[:, None, None]), dtype=np.float32)

    def dome(x: Array, y: Array) -> Array:
        def bulge(cx: float, peak: float, wide: float) -> Array:
            r = ((x[None, :] - cx * f) / (wide * f)) ** 2 + ((y[:, None] + 18 * f) / (105 * f)) ** 2
            return np.asarray((peak - 95 * np.minimum(r, 1.3)) * sz, dtype=np.float32)

        middle = (312 - 60 * np.clip((y[:, None] - 5 * f) / (60 * f), 0, 1) - 0 * x[None, :]) * sz
        inner = np.where(np.abs(x)[None, :] < 45 * f, middle, -_HUGE)
        return np.asarray(np.maximum(np.maximum(bulge(-64, 345, 84), bulge(70, 331, 78)), inner), dtype=np.float32)

    low, high = (-_HUGE, -_HUGE, -_HUGE), (_HUGE, _HUGE, _HUGE)
    chest_low = (-160 * f, -140 * f, 215 * sz)
    chest_high = (160 * f, 140 * f, 600 * sz)
    belly_reach = 190 * f + abs(plan.belly_mm)
    return Cavities(
        Field(chest_low, chest_high, chest),
        Field((-belly_reach, -belly_reach, -45 * sz), (belly_reach, 130 * f, 360 * sz), belly),
        Field(low, high, lambda x, y, z: dome(x, y)[None] - z[:, None, None]),
        Field(low, high, lambda x, y, z: z[:, None, None] - dome(x, y)[None]),
    )
