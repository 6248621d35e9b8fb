"""What the built-in CT segmenter hands on, and what it can be told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume


@dataclass(frozen=True)
class SegmenterConfig:
    """Settings of `segment_builtin`; the defaults suit any adult CT. Raises InputError for values that cannot work.

    HU values are above the patient's own soft-tissue peak, so that contrast and calibration matter less.
    """

    working_spacing_mm: float = 2.2
    """Finer grids are averaged by whole factors up to this spacing; the result is refined on the CT's grid."""

    bone_above_tissue_hu: float = 85.0
    """Least density of bone, halfway between soft tissue and the spongy bone of an adult."""

    cortex_above_tissue_hu: float = 150.0
    """Density that only bone, contrast agent, stones and metal reach."""

    cortex_reach_mm: float = 9.0
    """Spongy bone lies no further than this from something as dense as cortex."""

    edge_share: float = 0.35
    """Bone ends where density has fallen to this share of the densest voxel nearby (both above soft tissue)."""

    coarse_edge_share: float = 0.55
    """The same for voxels of 4.3 mm (4 x 4 x 5) and more: a cortex thinner than the voxel blurs as far outwards as
    inwards, and density is still near its peak at the bone's true edge. In between both are mixed."""

    smallest_bone_ml: float = 0.5
    """Smaller dense pieces are calcifications."""

    metal_hu: float = 2000.0
    """Denser voxels are metal; it stays in the bone mask, and the user is told."""

    shortest_spine_mm: float = 24.0
    """A shorter run of canal is no spine."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"The segmenter's {name} must be a positive number, got {value}.")


DEFAULT_CONFIG = SegmenterConfig()


@dataclass(frozen=True, eq=False)
class BuiltinSegmentation:
    """Masks (uint8, on the grid and in the orientation of the CT) and what the user should know about them.

    `body` is the patient without table. `skeleton_bones` is bone with its marrow, `vertebrae` numbers the vertebrae
    from the top (1, 2, ...; 0 elsewhere), and `vertebra_names` are their names in that order: "L4" where an anchor
    was found, else "vertebra 1". `canal` is the spinal canal. `notes` are sentences for the user.
    """

    body: Volume
    skeleton_bones: Volume
    vertebrae: Volume
    canal: Volume
    vertebra_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("body", "skeleton_bones", "vertebrae", "canal"):
            volume: Volume = getattr(self, name)
            if volume.voxels.dtype != np.uint8:
                raise InputError(f"The mask {name} must be uint8, got {volume.voxels.dtype}.")
            if not volume.same_grid(self.body):
                raise InputError(f"The mask {name} lies on another grid than the body mask.")
        if int(np.max(self.vertebrae.voxels, initial=0)) > len(self.vertebra_names):
            raise InputError("Every vertebra needs a name.")

    @property
    def has_spine(self) -> bool:
        """Whether a spinal column was found."""
        return bool(self.vertebrae.voxels.any())
