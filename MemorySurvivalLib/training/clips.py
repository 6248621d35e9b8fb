"""Training material for the compact backbone: short clips of phantom slices with the mask of one structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate, pad

from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.roi.boxes import SliceBox

SLICES_APART = 2
LEAST_PIXELS = 12


@dataclass(frozen=True, eq=False)
class ClipSource:
    """One case's images on the CT grid and the structures (boolean, z, y, x) to segment on them."""

    images: dict[Modality, Volume]
    structures: tuple[npt.NDArray[np.bool_], ...]

    @classmethod
    def of(cls, ct: Volume, pet: Volume, structures: list[npt.NDArray[np.bool_]]) -> ClipSource:
        """Bring the PET onto the CT's grid; structures too small to prompt are left out."""
        kept = tuple(mask for mask in structures if (mask.sum(axis=(1, 2)) >= LEAST_PIXELS).sum() >= 8)
        return cls({"CT": ct, "PET": resample_onto(pet, ct, linear=True)}, kept)


@dataclass(frozen=True, eq=False)
class Clip:
    """Pictures (frames, 3, s, s), masks (frames, 1, s, s) as 0 or 1, and the first frame's box (4,)."""

    pictures: torch.Tensor
    masks: torch.Tensor
    box: torch.Tensor


def draw_clip(
    sources: list[ClipSource],
    windows: dict[Modality, Window],
    image_size: int,
    frames: int,
    rng: np.random.Generator,
) -> Clip:
    """A random clip from head to feet: case, modality, structure and first slice drawn; the box is jittered by 5 %."""
    source = sources[rng.integers(len(sources))]
    modality: Modality = "PET" if rng.random() < 0.5 else "CT"
    structure = source.structures[rng.integers(len(source.structures))]
    area = structure.sum(axis=(1, 2))
    first = int(rng.choice(np.flatnonzero(area >= LEAST_PIXELS)))
    slices = [max(first - SLICES_APART * k, 0) for k in range(frames)]
    image = source.images[modality]
    frame = SliceFrame.of(image, image_size)
    mask = torch.from_numpy(structure[slices].astype(np.float32))[:, None]
    resized = interpolate(mask, (frame.height, frame.width), mode="bilinear", antialias=True, align_corners=False)
    bottom, right = image_size - frame.height - frame.top, image_size - frame.width - frame.left
    rows, columns = (np.flatnonzero(structure[first].any(axis=axis)) for axis in (1, 0))
    tight = SliceBox(first, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    box = frame.box(tight)
    sides = (box[2:] - box[:2]).repeat(2)
    jitter = torch.from_numpy(rng.normal(0, 0.05, 4).astype(np.float32)) * sides
    return Clip(
        pictures=frame.picture(image.voxels[slices].astype(np.float32), windows[modality]),
        masks=(pad(resized, (frame.left, right, frame.top, bottom)) >= 0.5).float(),
        box=(box + jitter).clamp(0, image_size - 1),
    )
