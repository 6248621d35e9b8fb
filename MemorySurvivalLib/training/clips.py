"""Training material for the backbone: short clips of slices with several structures, drawn and augmented at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate, pad

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.inside import CELL, cover_cells
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue
from MemorySurvivalLib.training.backbone_data import SKELETON, SPINE_DILATED, StoredCase

LEAST_VOXELS = 6
"""A structure with fewer voxels on the first slice is not asked for."""

LEAST_PIXELS = 12
"""The same in the picture."""

BOX_JITTER = 0.05
"""SD of each box edge's jitter as a share of the box's side; never beyond twice that."""

CLASS_STRIDE = 4
"""The map of tissue classes has one cell for so many picture pixels."""

LESION_SHARE = 0.02
"""A memory cell (CELL pixels a side) holds a lesion where that covers so much of it: 5 of 256 pixels."""

_CLASSES: tuple[tuple[int, ...], ...] = (
    (Tissue.OUTSIDE,),
    (Tissue.SKIN, Tissue.FAT, Tissue.VISCERAL_FAT, Tissue.BREAST),
    (Tissue.MUSCLE,),
    (Tissue.LUNG, Tissue.AIRWAY),
    (Tissue.HEART_BLOOD, Tissue.MYOCARDIUM, Tissue.ARTERY, Tissue.VEIN, Tissue.MEDIASTINUM),
    (Tissue.LIVER,),
    (Tissue.SPLEEN,),
    (Tissue.KIDNEY, Tissue.RENAL_PELVIS),
    (Tissue.BLADDER, Tissue.PROSTATE_UTERUS),
    (Tissue.STOMACH, Tissue.COLON, Tissue.SMALL_BOWEL, Tissue.GAS, Tissue.PANCREAS),
    (Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.CEREBELLUM),
    VERTEBRAE,
    (Tissue.DISC, Tissue.SPINAL_CANAL, Tissue.CARTILAGE),
    (Tissue.SKULL, Tissue.MANDIBLE),
    (Tissue.SACRUM, Tissue.HIP_LEFT, Tissue.HIP_RIGHT),
)
_OTHER_BONE = len(_CLASSES)
LESION_CLASS = _OTHER_BONE + 1
CLASS_COUNT = LESION_CLASS + 1


def _class_table() -> npt.NDArray[np.int64]:
    table = np.full(256, -1, dtype=np.int64)
    table[list(BONES)] = _OTHER_BONE
    for number, tissues in enumerate(_CLASSES):
        table[list(tissues)] = number
    return table


CLASS_OF_TISSUE = _class_table()
"""The tissue class (0 to CLASS_COUNT - 2) of each label of a phantom, -1 for what belongs to none."""


@dataclass(frozen=True)
class Structure:
    """What a box is drawn around: voxels with any of `labels`, with the bit `region`, or of a lesion (-1 any)."""

    labels: tuple[int, ...] = ()
    region: int = 0
    lesion: int = 0

    def mask(self, case: StoredCase, slices: list[int], rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
        """The structure (frames, rows, columns) on those slices."""
        if self.labels:
            wanted = np.zeros(256, dtype=np.bool_)
            wanted[list(self.labels)] = True
            return wanted[case.labels[slices, rows, columns]]
        if self.region:
            return (case.regions[slices, rows, columns] & self.region) > 0
        lesions = case.lesions[slices, rows, columns]
        return lesions > 0 if self.lesion < 0 else lesions == self.lesion


@dataclass(frozen=True, eq=False)
class Clip:
    """`pictures` (frames, 3, s, s); `masks` (frames, structures, s, s), 0 or 1; `boxes` (structures, 4) on the first
    frame, x0, y0, x1, y1 in picture pixels, jittered; `classes` (frames, s/4, s/4), -1 where unknown; `lesion_cells`
    (frames, s/16, s/16), 1 where a memory cell holds a lesion, -1 where unknown."""

    pictures: torch.Tensor
    masks: torch.Tensor
    boxes: torch.Tensor
    classes: torch.Tensor
    lesion_cells: torch.Tensor


@dataclass(frozen=True)
class ClipShape:
    """Side of the square pictures in pixels, slices of a clip, structures asked for on each."""

    image_size: int
    frames: int
    structures: int


def structures_on(case: StoredCase, z: int) -> dict[str, list[Structure]]:
    """The structures that slice `z` shows, by kind: regions, groups, single ones, lesions."""
    labels = np.bincount(np.ravel(case.labels[z]), minlength=256)
    lesions = np.bincount(np.ravel(case.lesions[z]), minlength=256)
    regions = np.ravel(case.regions[z])
    kinds = {
        "region": [
            Structure(region=bit) for bit in (SPINE_DILATED, SKELETON) if (regions & bit > 0).sum() >= LEAST_VOXELS
        ],
        "group": [
            Structure(labels=values) for values in case.groups.values() if labels[list(values)].sum() >= LEAST_VOXELS
        ],
        "single": [Structure(labels=(value,)) for value in case.single if labels[value] >= LEAST_VOXELS],
        "lesion": [Structure(lesion=int(n)) for n in np.flatnonzero(lesions >= LEAST_VOXELS) if n > 0],
    }
    if len(kinds["lesion"]) > 1:
        kinds["lesion"].append(Structure(lesion=-1))
    return {kind: found for kind, found in kinds.items() if found}


def draw_clip(
    cases: list[StoredCase], windows: Mapping[Modality, Window], shape: ClipShape, rng: np.random.Generator
) -> Clip:
    """A random clip that runs up or down the body: case, modality, slices, structures, crop, flips and grey values."""
    for _ in range(50):
        clip = _try_clip(cases[rng.integers(len(cases))], windows, shape, rng)
        if clip is not None:
            return clip
    raise ValueError("the cases hold no structure that is large enough to ask for")


def _try_clip(
    case: StoredCase, windows: Mapping[Modality, Window], shape: ClipShape, rng: np.random.Generator
) -> Clip | None:
    modality = list(case.images)[rng.integers(len(case.images))]
    often = case.lesion_slices if case.lesion_slices and rng.random() < 0.35 else case.slices
    first = int(often[rng.integers(len(often))])
    kinds = structures_on(case, first)
    if not kinds:
        return None
    asked = [_draw_structure(kinds, rng) for _ in range(2 * shape.structures)]
    step = int(rng.integers(1, 4)) * (1 if rng.random() < 0.5 else -1)
    depth = case.labels.shape[0]
    slices = [int(np.clip(first + step * k, 0, depth - 1)) for k in range(shape.frames)]
    rows, columns = _draw_crop(case, asked[0], first, rng)
    # Another shape of the voxels is another build of the person; the frame then pads the shorter side.
    stretch = float(np.exp(rng.normal(0, 0.08)))
    spacing = (case.spacing_mm[0] * stretch, case.spacing_mm[1], case.spacing_mm[2])
    frame = _frame(rows.stop - rows.start, columns.stop - columns.start, spacing, shape.image_size)
    voxels = case.images[modality][slices, rows, columns].astype(np.float32)
    window = _draw_window(windows[modality], rng)
    pictures = frame.picture(_change_greys(voxels, window, rng), window)
    masks = torch.stack([_fit(frame, one.mask(case, slices, rows, columns)) for one in asked], dim=1)
    flips = [axis for axis, chance in ((-1, 0.5), (-2, 0.2)) if rng.random() < chance]
    seen = torch.nonzero(masks[0].sum(dim=(1, 2)) >= LEAST_PIXELS)[:, 0]
    if len(seen) == 0:
        return None
    chosen = seen[torch.arange(shape.structures) % len(seen)]
    masks = masks[:, chosen].flip(flips)
    boxes = torch.stack([_jitter(_tight_box(mask), shape.image_size, rng) for mask in masks[0]])
    classes = _classes(case, slices, rows, columns, frame).flip(flips)
    lesion_cells = _lesion_cells(case, slices, rows, columns, frame).flip(flips)
    return Clip(pictures.flip(flips), masks, boxes, classes, lesion_cells)


def _draw_structure(kinds: Mapping[str, list[Structure]], rng: np.random.Generator) -> Structure:
    weights = {"region": 0.2, "group": 0.2, "single": 0.3, "lesion": 0.3}
    shares = np.array([weights[kind] for kind in kinds])
    found = list(kinds.values())[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    return found[rng.integers(len(found))]


def _draw_crop(case: StoredCase, around: Structure, z: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """The whole slice half of the time, else a square (in voxels) near a structure, from close by to most of it."""
    height, width = case.labels.shape[1:]
    whole = slice(0, height), slice(0, width)
    if rng.random() < 0.5:
        return whole
    mask = around.mask(case, [z], *whole)[0]
    ys, xs = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    extent = max(ys[-1] - ys[0], xs[-1] - xs[0]) + 1
    side = int(max(extent * np.exp(rng.uniform(np.log(1.15), np.log(6.0))), 12))
    parts = []
    for low, high, size in ((ys[0], ys[-1], height), (xs[0], xs[-1], width)):
        length = min(side, size)
        centre = (low + high) / 2 + rng.uniform(-0.35, 0.35) * max(length - extent, 0)
        start = int(np.clip(round(centre - length / 2), 0, size - length))
        parts.append(slice(start, start + length))
    return parts[0], parts[1]


def _frame(rows: int, columns: int, spacing_mm: tuple[float, float, float], image_size: int) -> SliceFrame:
    grid = Volume(
        np.broadcast_to(np.uint8(0), (1, rows, columns)), Affine.from_parts(spacing_mm, np.eye(3), (0.0, 0.0, 0.0))
    )
    return SliceFrame.of(grid, image_size)


def _draw_window(window: Window, rng: np.random.Generator) -> Window:
    width = window.high - window.low
    low, high = rng.normal(0, 0.04) * width, np.exp(rng.normal(0, 0.15)) * width
    return Window(window.low + float(low), window.low + float(low + high))


def _change_greys(voxels: npt.NDArray[np.float32], window: Window, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Contrast bent and noise added, half of the time each: scanners, doses and phantoms differ in both."""
    width = window.high - window.low
    if rng.random() < 0.5:
        unit = np.clip((voxels - window.low) / width, 0, 1)
        voxels = (window.low + width * unit ** np.float32(np.exp(rng.normal(0, 0.25)))).astype(np.float32)
    if rng.random() < 0.5:
        noise = rng.standard_normal(voxels.shape, dtype=np.float32)
        voxels = voxels + noise * np.float32(rng.uniform(0, 0.06) * width)
    return voxels


def _fit(frame: SliceFrame, masks: npt.NDArray[np.bool_]) -> torch.Tensor:
    """Masks (frames, rows, columns) in picture pixels: set where at least half covered."""
    covered = torch.from_numpy(masks.astype(np.float32))[:, None]
    if (frame.height, frame.width) != (frame.rows, frame.columns):
        size = (frame.height, frame.width)
        covered = interpolate(covered, size, mode="bilinear", antialias=True, align_corners=False)
    return pad((covered >= 0.5).float(), _margins(frame))[:, 0]


def _classes(case: StoredCase, slices: list[int], rows: slice, columns: slice, frame: SliceFrame) -> torch.Tensor:
    side = frame.image_size // CLASS_STRIDE
    if not case.simulated:
        return torch.full((len(slices), side, side), -1, dtype=torch.int64)
    classes = CLASS_OF_TISSUE[case.labels[slices, rows, columns]]
    classes[case.lesions[slices, rows, columns] > 0] = LESION_CLASS
    size = (frame.height, frame.width)
    fitted = interpolate(torch.from_numpy(classes).float()[:, None], size, mode="nearest-exact")
    square = pad(fitted, _margins(frame), value=-1.0)
    return interpolate(square, (side, side), mode="nearest-exact")[:, 0].long()


def _lesion_cells(case: StoredCase, slices: list[int], rows: slice, columns: slice, frame: SliceFrame) -> torch.Tensor:
    side = frame.image_size // CELL
    if not case.simulated:
        return torch.full((len(slices), side, side), -1.0)
    return (cover_cells(frame, case.lesions[slices, rows, columns] > 0)[:, 0] >= LESION_SHARE).float()


def _margins(frame: SliceFrame) -> tuple[int, int, int, int]:
    right, bottom = frame.image_size - frame.width - frame.left, frame.image_size - frame.height - frame.top
    return frame.left, right, frame.top, bottom


def _tight_box(mask: torch.Tensor) -> torch.Tensor:
    """The box (x0, y0, x1, y1) in pixel edges of a mask (s, s) with something in it."""
    ys, xs = (torch.nonzero(mask.any(dim=axis))[:, 0] for axis in (1, 0))
    return torch.stack([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]).float()


def _jitter(box: torch.Tensor, image_size: int, rng: np.random.Generator) -> torch.Tensor:
    sides = (box[2:] - box[:2]).repeat(2)
    shares = np.clip(rng.normal(0, BOX_JITTER, 4), -2 * BOX_JITTER, 2 * BOX_JITTER)
    if rng.random() < 0.25:  # boxes with a margin, as prompts may have
        shares += rng.uniform(0, 0.15) * np.array([-1, -1, 1, 1])
    return (box + torch.from_numpy(shares).float() * sides).clamp(0, image_size)
