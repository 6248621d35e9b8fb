"""A label map in which every label is a named anatomical structure: what any segmenter hands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume

StructureGroup = Literal["vertebra", "sacrum", "canal", "bone", "organ", "roi", "other"]
"""What a structure counts as when ROIs are derived; a sacrum is bone that continues the spine."""


@dataclass(frozen=True)
class Code:
    """A coded concept as DICOM has it (PS3.3 section 8.8), such as 51299004, SCT, "Clavicle"."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Structure:
    """A named structure: a short name ("L4"), its code with laterality where it has one, its group, its colour."""

    name: str
    group: StructureGroup
    code: Code
    laterality: Code | None = None
    colour_rgb: tuple[int, int, int] = (128, 174, 128)


@dataclass(frozen=True)
class Maker:
    """Who made a mask: the method in a few words, its version ("" where unknown), and its settings in a few words."""

    method: str
    version: str = ""
    settings: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.method, self.version) if part)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels (uint8 or uint16, z, y, x; 0 is background) on any grid, and what each label is.

    `body` is the patient without table (bool-like uint8, same grid) where the segmenter found it. `notes` are sentences
    for the user. Raises InputError for a voxel label without a structure and for a structure listed twice.
    """

    labels: Volume
    structures: dict[int, Structure]
    maker: Maker
    body: Volume | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.labels.voxels.dtype not in (np.uint8, np.uint16):
            raise InputError(f"A label map must be uint8 or uint16, got {self.labels.voxels.dtype}.")
        if self.body is not None and not self.body.same_grid(self.labels):
            raise InputError("The body mask lies on another grid than the label map.")
        # Slice by slice, because numpy counts in 64 bits and would copy the whole volume.
        counted = (np.flatnonzero(np.bincount(section.ravel())) for section in self.labels.voxels)
        present = {int(label) for labels in counted for label in labels}
        unnamed = sorted(present - {0} - set(self.structures))
        if unnamed:
            raise InputError(f"The label map from {self.maker} holds labels without a name: {unnamed}.")

    def of(self, *groups: StructureGroup) -> npt.NDArray[np.bool_]:
        """Where any structure of these groups is (bool, z, y, x)."""
        wanted = np.zeros(65536 if self.labels.voxels.dtype == np.uint16 else 256, dtype=np.bool_)
        wanted[[label for label, structure in self.structures.items() if structure.group in groups]] = True
        if self.labels.voxels.dtype == np.uint8:  # bytes are translated ten times faster than numpy looks them up
            translated = bytearray(np.ascontiguousarray(self.labels.voxels)).translate(wanted.tobytes())
            return np.frombuffer(translated, dtype=np.bool_).reshape(self.labels.shape)
        found: npt.NDArray[np.bool_] = wanted[self.labels.voxels]
        return found

    def label_of(self, name: str) -> int | None:
        """The label of the structure with this name."""
        return next((label for label, structure in self.structures.items() if structure.name == name), None)
