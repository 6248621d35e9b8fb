"""Where foci sit in the body, and how much of each voxel they fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.simulation.body_plan import BodyPlan
from MemorySurvivalLib.simulation.canvas import Box, Canvas, inside
from MemorySurvivalLib.simulation.disease import Disease, Focus, FocusKind
from MemorySurvivalLib.simulation.extremities import arm_lines
from MemorySurvivalLib.simulation.shapes import Array, Ellipsoid, Point
from MemorySurvivalLib.simulation.tissues import VERTEBRAE, Tissue

# Share of focal lesions by site, after the axial and proximal spread of red marrow.
_SITES: tuple[tuple[tuple[Tissue, ...], float], ...] = (
    (VERTEBRAE[:7], 0.05),
    (VERTEBRAE[7:19], 0.22),
    (VERTEBRAE[19:], 0.17),
    ((Tissue.SACRUM,), 0.08),
    ((Tissue.HIP_LEFT, Tissue.HIP_RIGHT), 0.17),
    ((Tissue.RIBS_LEFT, Tissue.RIBS_RIGHT), 0.11),
    ((Tissue.STERNUM,), 0.04),
    ((Tissue.FEMUR_LEFT, Tissue.FEMUR_RIGHT), 0.06),
    ((Tissue.HUMERUS_LEFT, Tissue.HUMERUS_RIGHT), 0.03),
    ((Tissue.SCAPULA_LEFT, Tissue.SCAPULA_RIGHT), 0.03),
    ((Tissue.CLAVICLE_LEFT, Tissue.CLAVICLE_RIGHT), 0.02),
    ((Tissue.SKULL,), 0.02),
)
_EXTRAMEDULLARY: tuple[tuple[tuple[Tissue, ...], float], ...] = (
    ((Tissue.LIVER,), 0.25),
    ((Tissue.MUSCLE,), 0.35),
    ((Tissue.VISCERAL_FAT,), 0.2),
    ((Tissue.MEDIASTINUM,), 0.1),
    ((Tissue.SPLEEN,), 0.1),
)
_PARAMEDULLARY = ((VERTEBRAE[7:], 0.8), ((Tissue.SACRUM, Tissue.RIBS_LEFT, Tissue.RIBS_RIGHT), 0.2))


@dataclass(frozen=True)
class PlacedFocus:
    """A focus at its place: an ellipsoid around `centre_mm` (LPS) with half-axes `radii_mm`; `site` is the tissue
    it began in. A focal lesion stays inside bone; the others do not."""

    kind: FocusKind
    centre_mm: Point
    radii_mm: Point
    axes: npt.NDArray[np.float64]
    suv_bw: float
    lytic: bool
    site: Tissue

    @property
    def shape(self) -> Ellipsoid:
        """Its outline, before bone confines it."""
        return Ellipsoid(self.centre_mm, self.radii_mm, self.axes)

    def occupancy(self, canvas: Canvas) -> tuple[Box, Array]:
        """The voxels it may touch and the share of each that it fills."""
        return occupancy(self, canvas.x, canvas.y, canvas.z, canvas.voxel_mm, canvas.labels)


def occupancy(
    focus: PlacedFocus, x: Array, y: Array, z: Array, voxel_mm: float, labels: npt.NDArray[np.uint8]
) -> tuple[Box, Array]:
    """Box (z, y, x) of a focus and the share of each voxel in it that the focus fills (0 to 1)."""
    low, high = focus.shape.bounds()
    box = tuple(
        slice(int(np.searchsorted(a, low[i] - voxel_mm)), int(np.searchsorted(a, high[i] + voxel_mm, side="right")))
        for i, a in ((2, z), (1, y), (0, x))
    )
    sz, sy, sx = box
    part = inside(focus.shape.distance(x[sx], y[sy], z[sz]), voxel_mm)
    here = labels[sz, sy, sx]
    allowed = here >= Tissue.C1 if focus.kind == "focal" else here > Tissue.OUTSIDE
    return (sz, sy, sx), part * allowed


def place_foci(canvas: Canvas, plan: BodyPlan, disease: Disease, rng: np.random.Generator) -> tuple[PlacedFocus, ...]:
    """Find a place for every focus; focal lesions keep clear of each other where there is room."""
    placed: list[PlacedFocus] = []
    for focus in disease.foci:
        table = {"focal": _SITES, "paramedullary": _PARAMEDULLARY, "extramedullary": _EXTRAMEDULLARY}[focus.kind]
        best: tuple[float, PlacedFocus] | None = None
        for _ in range(6):
            candidate = _propose(canvas, plan, focus, table, rng)
            if candidate is None:
                continue
            gap = min((_gap(candidate, other) for other in placed), default=np.inf)
            if best is None or gap > best[0]:
                best = (gap, candidate)
            if gap > 8:
                break
        if best is not None:
            placed.append(best[1])
    return tuple(placed)


def _gap(a: PlacedFocus, b: PlacedFocus) -> float:
    return float(np.linalg.norm(np.subtract(a.centre_mm, b.centre_mm)) - max(a.radii_mm) - max(b.radii_mm))


def _propose(
    canvas: Canvas,
    plan: BodyPlan,
    focus: Focus,
    table: tuple[tuple[tuple[Tissue, ...], float], ...],
    rng: np.random.Generator,
) -> PlacedFocus | None:
    site = focus.site
    if site is None:
        weights = np.asarray([weight for _, weight in table])
        tissues = table[int(rng.choice(len(table), p=weights / weights.sum()))][0]
        site = tissues[int(rng.integers(len(tissues)))]
    index = _voxel_in(canvas, plan, site, focus, rng)
    if index is None:
        return None
    z, y, x = index
    jitter = (rng.random(3) - 0.5) * canvas.affine.spacing_mm
    centre = np.asarray([canvas.x[x], canvas.y[y], canvas.z[z]], dtype=np.float64) + jitter
    radii = focus.diameter_mm / 2 * np.exp(rng.normal(0, 0.15, 3))
    if focus.kind == "paramedullary" and site in VERTEBRAE:
        # A mass that grew out of the vertebra's side or back.
        vertebra = plan.vertebra(site)
        s = 1.0 if rng.random() < 0.5 else -1.0
        centre = np.asarray(
            vertebra.at(
                s * (vertebra.radii[0] + 0.25 * focus.diameter_mm), float(rng.uniform(-0.5, 1.2)) * vertebra.radii[1], 0
            )
        )
        radii = focus.diameter_mm / 2 * np.asarray([0.8, 0.8, 1.35])
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0] if focus.kind != "paramedullary" else np.eye(3)
    cx, cy, cz = (float(v) for v in centre)
    rx, ry, rz = (float(v) for v in radii)
    return PlacedFocus(focus.kind, (cx, cy, cz), (rx, ry, rz), axes, focus.suv_bw, focus.lytic, site)


def _voxel_in(
    canvas: Canvas, plan: BodyPlan, site: Tissue, focus: Focus, rng: np.random.Generator
) -> tuple[int, int, int] | None:
    """A voxel of `site`; for a focal lesion one of its red marrow."""
    if site >= Tissue.C1:
        chosen = np.argwhere(canvas.labels == site)
    else:
        # Coarse sampling is enough in organs and spares a search of the whole grid's every voxel.
        chosen = np.argwhere(canvas.labels[::2, ::2, ::2] == site) * 2
        if site in (Tissue.MUSCLE, Tissue.VISCERAL_FAT) and len(chosen):
            levels = canvas.z[chosen[:, 0]]
            chosen = chosen[(levels > -150) & (levels < 560)]
    if not len(chosen):
        return None
    if focus.kind == "focal":
        if site in (Tissue.HUMERUS_LEFT, Tissue.HUMERUS_RIGHT):
            chosen = _near_shoulder(canvas, plan, site, chosen)
        share = canvas.marrow[chosen[:, 0], chosen[:, 1], chosen[:, 2]]
        if site in (Tissue.FEMUR_LEFT, Tissue.FEMUR_RIGHT, Tissue.HUMERUS_LEFT, Tissue.HUMERUS_RIGHT):
            share = share * np.where(canvas.hu[chosen[:, 0], chosen[:, 1], chosen[:, 2]] > 30, 1, 0.15)
        good = chosen[share >= min(0.5, float(share.max()))]
        chosen = good if len(good) else chosen
    z, y, x = chosen[int(rng.integers(len(chosen)))]
    return int(z), int(y), int(x)


def _near_shoulder(canvas: Canvas, plan: BodyPlan, site: Tissue, chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The voxels of a humerus where adults have red marrow: its upper third."""
    shoulder = arm_lines(plan, 1.0 if site == Tissue.HUMERUS_LEFT else -1.0)["upper"][0][0]
    places = np.stack([canvas.x[chosen[:, 2]], canvas.y[chosen[:, 1]], canvas.z[chosen[:, 0]]], axis=1)
    near = chosen[np.linalg.norm(places - np.asarray(shoulder), axis=1) < 100 * plan.scale_z]
    return near if len(near) else chosen
