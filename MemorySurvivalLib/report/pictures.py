"""The report's pictures of the patient: PET projection, fused slices, heatmap over CT, and a close look at hotspots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.explain.heatmap import Heatmap
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.report.colours import (
    CT_DISPLAY,
    PET_DISPLAY,
    Pixels,
    blend,
    shade_ct,
    shade_effect,
    shade_fused,
    shade_pet,
)
from MemorySurvivalLib.report.record import CaseRecord, HotspotRecord
from MemorySurvivalLib.report.sheet import SOFT, Picture, Sheet, mark, outline, stamp
from MemorySurvivalLib.report.views import Image, Plane, Triple, View, crop_around, find_body
from MemorySurvivalLib.report.wording import say_plain, say_signed
from MemorySurvivalLib.roi.roi import Roi

OVERVIEW_WIDTH_MM = 136.0
OVERVIEW_HEIGHT_MM = 55.0
OVERVIEW_GAP_MM = 3.0
OVERVIEW_FOOT_MM = 14.8
OVERVIEW_NARROWEST_MM = 21.0
"""A narrow slice has white beside it, so that its window and the research-use line have room."""
CLOSE_UP_MM = (200.0, 170.0)
"""Width and height in the patient of the pictures around a hotspot."""
CLOSE_UP_WIDTH_MM = 90.0
CLOSE_UP_HEIGHT_MM = 25.5
CLOSE_UP_FOOT_MM = 9.4

_WINDOW_CT = f"CT {CT_DISPLAY.low:g} to {CT_DISPLAY.high:g} HU".replace("-", "−")
_WINDOW_PET = f"PET {PET_DISPLAY.low:g} to {PET_DISPLAY.high:g} SUVbw"
_PET_TICKS = (f"{PET_DISPLAY.low:g}", f"≥ {PET_DISPLAY.high:g}")


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything the pictures are cut from, on one LPS grid; `hotspots`, `limit` and `floor` come from the record.

    `heatmap` holds no effects within the noise floor; it is None where there is none or where nothing exceeds it.
    """

    ct: Volume
    pet: Volume
    mask: Volume
    heatmap: Volume | None
    hotspots: tuple[HotspotRecord, ...]
    limit: float
    floor: float
    labels: tuple[str, ...]
    body: tuple[Triple, Triple]

    @classmethod
    def of(cls, record: CaseRecord, case: Case, roi: Roi, heatmap: Heatmap | None) -> Scene:
        """Bring case, ROI and heatmap together. Raises ValueError when record and heatmap disagree on its presence."""
        if (heatmap is None) != (record.heatmap is None):
            raise ValueError("The record and the case must either both have a heatmap or neither.")
        ct, pet, mask = case.ct.reoriented(), case.pet.reoriented(), roi.mask.reoriented()
        canonical = Roi(mask.with_voxels(mask.voxels.astype(np.bool_, copy=False)), roi.kind, roi.made_by)
        effect: Volume | None = None
        hotspots: tuple[HotspotRecord, ...] = ()
        limit = floor = 0.0
        if heatmap is not None and record.heatmap is not None:
            floor = record.heatmap.noise_floor
            above = np.abs(heatmap.effect.voxels) > floor
            if above.any():
                effect = heatmap.effect.with_voxels(np.where(above, heatmap.effect.voxels, 0)).reoriented()
                hotspots, limit = record.heatmap.hotspots, record.heatmap.limit
        body = find_body(ct, canonical.bounds_zyx)
        return cls(ct, pet, canonical.mask, effect, hotspots, limit, floor, record.risk.labels, body)

    def index_xyz(self, hotspot: HotspotRecord) -> tuple[float, float, float]:
        """A hotspot's place as a fractional voxel index."""
        x, y, z = self.ct.affine.indices(hotspot.position_lps_mm)
        return float(x), float(y), float(z)

    def voxel_zyx(self, hotspot: HotspotRecord) -> Triple:
        """The voxel that holds a hotspot, kept inside the grid."""
        x, y, z = (round(value) for value in self.index_xyz(hotspot))
        nz, ny, nx = self.ct.shape
        return min(max(z, 0), nz - 1), min(max(y, 0), ny - 1), min(max(x, 0), nx - 1)

    def view(self, plane: Plane, index: int, box: tuple[Triple, Triple] | None = None) -> View:
        """A slice of the body, or of another box."""
        start, stop = box or self.body
        return View(plane, index, start, stop, self.ct.spacing_mm)

    def effect_slice(self, view: View) -> Image:
        """The heatmap where `view` looks; zero beyond the heatmap's box."""
        full = np.zeros(view.cut(self.mask.voxels).shape, dtype=np.float32)
        if self.heatmap is None:
            return full
        x, y, z = (round(float(value)) for value in self.ct.affine.indices(self.heatmap.affine.origin_mm))
        shift = (z, y, x)
        low = [max(a, b) for a, b in zip(view.start_zyx, shift, strict=True)]
        high = [min(a, b + n) for a, b, n in zip(view.stop_zyx, shift, self.heatmap.shape, strict=True)]
        across = {"axial": 0, "coronal": 1, "sagittal": 2}[view.plane]
        low[across], high[across] = view.index, view.index + 1
        inside = 0 <= view.index - shift[across] < self.heatmap.shape[across]
        if not inside or any(a >= b for a, b in zip(low, high, strict=True)):
            return full
        rows, columns = (axis for axis in range(3) if axis != across)
        source = tuple(slice(a - b, c - b) for a, b, c in zip(low, shift, high, strict=True))
        target = tuple(slice(low[a] - view.start_zyx[a], high[a] - view.start_zyx[a]) for a in (rows, columns))
        unturned = full if view.plane == "axial" else full[::-1]
        unturned[target] = np.squeeze(self.heatmap.voxels[source], axis=across)
        return full


def draw_overview(scene: Scene) -> tuple[Picture, ...]:
    """Whole-case pictures at one common scale: PET projection, fused coronal and sagittal, heatmap over CT."""
    coronal, sagittal = _choose_cuts(scene)
    where = say_where(scene)
    widths = [coronal.size_mm[0], coronal.size_mm[0], sagittal.size_mm[0]]
    if scene.heatmap is not None:
        widths.append(coronal.size_mm[0])
    room = OVERVIEW_WIDTH_MM - OVERVIEW_GAP_MM * (len(widths) - 1)
    scale = min(room / sum(widths), OVERVIEW_HEIGHT_MM / coronal.size_mm[1])
    pictures = [
        _draw_projection(scene, coronal, scale),
        _draw_fused(scene, coronal, scale, where),
        _draw_fused(scene, sagittal, scale, where),
    ]
    if scene.heatmap is not None:
        pictures.append(_draw_heatmap(scene, coronal, scale, where))
    return tuple(pictures)


def draw_close_ups(scene: Scene) -> tuple[Picture, ...]:
    """Axial pictures around the hotspots with the largest effects: CT, CT with heatmap, PET, all at one scale."""
    return tuple(_draw_close_up(scene, number, hotspot) for number, hotspot in enumerate(scene.hotspots, start=1))


def say_where(scene: Scene) -> str:
    """Which place the coronal and sagittal slices go through, in words."""
    return "through hotspot 1" if scene.hotspots else "where the region is widest"


def _choose_cuts(scene: Scene) -> tuple[View, View]:
    """Coronal and sagittal slices through the first hotspot, or else where the ROI is widest."""
    if scene.hotspots:
        _, y, x = scene.voxel_zyx(scene.hotspots[0])
    else:
        y = int(np.argmax(scene.mask.voxels.sum(axis=(0, 2))))
        x = int(np.argmax(scene.mask.voxels.sum(axis=(0, 1))))
    return scene.view("coronal", y), scene.view("sagittal", x)


def _start_overview(view: View, scale: float, pixels: Pixels) -> tuple[Sheet, float, float]:
    width, height = (side * scale for side in view.size_mm)
    return Sheet(max(width, OVERVIEW_NARROWEST_MM), height + OVERVIEW_FOOT_MM), width, height


def _draw_projection(scene: Scene, view: View, scale: float) -> Picture:
    pixels = shade_pet(view.project(scene.pet.voxels))
    sheet, width, height = _start_overview(view, scale, pixels)
    axes = sheet.slice_panel(0, 0, width, view, pixels)
    outline(axes, view, view.project(scene.mask.voxels), on_light=True)
    for number, hotspot in enumerate(scene.hotspots, start=1):
        u, v = view.place(scene.index_xyz(hotspot))
        axes.plot([u], [v], marker="o", markersize=4, fillstyle="none", color="black", markeredgewidth=0.6)
        mark(axes, u + 1.1 / scale, v, str(number), 5.5, ha="left", va="center")
    stamp(axes, scene.labels)
    _write_pet_foot(sheet, height, sheet.width_mm, _ramp_pet(), _WINDOW_PET)
    return Picture(
        "pet-projection",
        sheet.png(),
        sheet.width_mm,
        sheet.height_mm,
        "PET, projection",
        f"Coronal maximum intensity projection of the PET in inverted grey ({_WINDOW_PET}), patient's right on the "
        "left, with the outline of the region of interest" + (" and the numbered hotspots." if scene.hotspots else "."),
    )


def _draw_fused(scene: Scene, view: View, scale: float, where: str) -> Picture:
    pixels = shade_fused(view.cut(scene.ct.voxels), view.cut(scene.pet.voxels))
    sheet, width, height = _start_overview(view, scale, pixels)
    axes = sheet.slice_panel(0, 0, width, view, pixels)
    outline(axes, view, view.cut(scene.mask.voxels))
    stamp(axes, scene.labels)
    _write_pet_foot(sheet, height, sheet.width_mm, _ramp_fused(), f"{_WINDOW_PET}\n{_WINDOW_CT}")
    return Picture(
        f"fused-{view.plane}",
        sheet.png(),
        sheet.width_mm,
        sheet.height_mm,
        f"PET/CT, {view.plane}",
        f"{view.plane.capitalize()} slice {where}: CT in grey ({_WINDOW_CT}) under the PET in hot colours "
        f"({_WINDOW_PET}), with the outline of the region of interest.",
    )


def _draw_heatmap(scene: Scene, view: View, scale: float, where: str) -> Picture:
    hu, effect = view.cut(scene.ct.voxels), scene.effect_slice(view)
    pixels = _shade_heatmap(hu, effect, scene.limit)
    sheet, width, height = _start_overview(view, scale, pixels)
    axes = sheet.slice_panel(0, 0, width, view, pixels)
    outline(axes, view, view.cut(scene.mask.voxels))
    stamp(axes, scene.labels)
    _write_effect_foot(sheet, 0, height + 1, sheet.width_mm, scene)
    sheet.write(sheet.width_mm / 2, height + 9.0, _WINDOW_CT, 4.6, SOFT, ha="center")
    sheet.write_research_use(0, height + 10.9, sheet.width_mm)
    return Picture(
        "heatmap-coronal",
        sheet.png(),
        sheet.width_mm,
        sheet.height_mm,
        "Heatmap, coronal",
        f"Coronal slice {where}: CT in grey ({_WINDOW_CT}) under the heatmap of the change of log-risk, red where the "
        f"tissue raised the risk, blue where it lowered it{_say_hidden(scene, ' (', ')')}, with the outline of the "
        "region of interest.",
    )


def _draw_close_up(scene: Scene, number: int, hotspot: HotspotRecord) -> Picture:
    z, y, x = scene.voxel_zyx(hotspot)
    box = crop_around((z, y, x), CLOSE_UP_MM[::-1], scene.body, scene.ct.spacing_mm)
    view = scene.view("axial", z, box)
    wide, tall = view.size_mm
    gap = 0.8
    width = min((CLOSE_UP_WIDTH_MM - 2 * gap) / 3, CLOSE_UP_HEIGHT_MM * wide / tall)
    height = width * tall / wide
    sheet = Sheet(CLOSE_UP_WIDTH_MM, height + CLOSE_UP_FOOT_MM)
    hu, suv = view.cut(scene.ct.voxels), view.cut(scene.pet.voxels)
    lefts = [(width + gap) * n for n in range(3)]
    panels = (shade_ct(hu), _shade_heatmap(hu, scene.effect_slice(view), scene.limit), shade_pet(suv))
    for left, pixels, on_light in zip(lefts, panels, (False, False, True), strict=True):
        axes = sheet.slice_panel(left, 0, width, view, pixels)
        outline(axes, view, view.cut(scene.mask.voxels), on_light=on_light)
        stamp(axes, scene.labels)
    foot = height + 1
    sheet.write(lefts[0], foot - 0.3, f"{number}   CT, axial", 5, fontweight="bold")
    sheet.write(lefts[0], foot + 2.0, _WINDOW_CT, 4.6, SOFT)
    sheet.write_research_use(lefts[0], foot + 4.0, width)
    _write_effect_foot(sheet, lefts[1], foot, width, scene)
    sheet.bar(lefts[2], foot, width, _ramp_pet(), _PET_TICKS, "PET, SUVbw (g/mL)")
    return Picture(
        f"hotspot-{number}",
        sheet.png(),
        sheet.width_mm,
        sheet.height_mm,
        f"Hotspot {number}",
        f"Axial slice at hotspot {number} (change of log-risk {say_signed(hotspot.effect)}): CT in grey, the same with "
        "the heatmap, and the PET in inverted grey, each with the outline of the region of interest.",
    )


def _shade_heatmap(hu: Image, effect: Image, limit: float) -> Pixels:
    return blend(shade_ct(hu), shade_effect(effect, limit))


def _write_pet_foot(sheet: Sheet, height: float, width: float, ramp: Pixels, windows: str) -> None:
    sheet.bar(0, height + 1, width, ramp, _PET_TICKS, "SUVbw (g/mL)")
    lines = windows.splitlines()
    if len(lines) > 1:
        sheet.write(width / 2, height + 7.2, lines[1], 4.6, SOFT, ha="center")
    sheet.write_research_use(0, height + 10.9, width)


def _write_effect_foot(sheet: Sheet, left: float, top: float, width: float, scene: Scene) -> None:
    """The heatmap's colour bar, and from which effect on it is drawn."""
    sheet.bar(left, top, width, *_effect_bar(scene.limit, scene.floor))
    sheet.write(left + width / 2, top + 6.1, _say_hidden(scene), 4.6, SOFT, ha="center")


def _say_hidden(scene: Scene, before: str = "", after: str = "") -> str:
    """Which effects are not drawn; nothing where all are."""
    return f"{before}not drawn within ±{say_plain(scene.floor, 2)}{after}" if scene.floor > 0 else ""


def _ramp() -> Image:
    return np.linspace(PET_DISPLAY.low, PET_DISPLAY.high, 128, dtype=np.float32)[None]


def _ramp_pet() -> Pixels:
    return shade_pet(_ramp())


def _ramp_fused() -> Pixels:
    return shade_fused(np.full((1, 128), sum((CT_DISPLAY.low, CT_DISPLAY.high)) / 4), _ramp())


def _effect_bar(limit: float, floor: float) -> tuple[Pixels, tuple[str, ...], str]:
    """Colour bar of the heatmap: the same blend over mid-grey, so its colours are those of the picture; bare grey
    within the noise floor."""
    ramp = np.linspace(-limit, limit, 129, dtype=np.float32)[None]
    ramp[np.abs(ramp) <= floor] = 0
    grey = np.full((1, 129, 3), 0.45, dtype=np.float32)
    ticks = (f"≤ −{limit:g}", "0", f"≥ +{limit:g}")
    return blend(grey, shade_effect(ramp, limit)), ticks, "change of log-risk"
