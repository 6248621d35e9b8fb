"""A segmentation as files hold it: named segments that may overlap, kept in as few label maps as they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.existing_labels import count_labels
from MemorySurvivalLib.roi.segments import Maker, Segmentation, Structure, StructureGroup

Box = tuple[slice, slice, slice]

PRECEDENCE: tuple[StructureGroup, ...] = ("other", "roi", "organ", "bone", "sacrum", "vertebra", "canal")
"""Who has a voxel that several segments claim: a later group, and of two in one group the later in the file."""


@dataclass(frozen=True)
class Segment:
    """One segment of a file: what it is, what the file calls it, and where it lies (a value in one of the layers).

    `stamp` is our own mark of who made it, where the file carries one.
    """

    structure: Structure
    name: str
    layer: int
    label: int
    stamp: str | None = None


@dataclass(frozen=True, eq=False)
class ExistingSegmentation:
    """Segments on the CT's grid as a file holds them, overlaps included.

    `layers` are label maps (uint8 or uint16, z, y, x). `origin` says what a DICOM file states of itself
    ("PatientID", "FrameOfReferenceUID", "StudyInstanceUID"), for whoever checks that it belongs to the CT. Raises
    InputError when there is no segment with a voxel in it.
    """

    layers: tuple[Volume, ...]
    segments: tuple[Segment, ...]
    maker: Maker
    notes: tuple[str, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.segments:
            raise InputError(f"The segmentation from {self.maker} holds no segment with a voxel inside the CT.")
        object.__setattr__(self, "origin", MappingProxyType(dict(self.origin)))

    def mask(self, segment: Segment) -> npt.NDArray[np.bool_]:
        """Where a segment is (bool, z, y, x), whole, whatever overlaps it."""
        where: npt.NDArray[np.bool_] = self.layers[segment.layer].voxels == segment.label
        return where

    def find(self, name: str) -> Segment | None:
        """The segment that the file or we call by this name."""
        lowered = name.strip().lower()
        return next((s for s in self.segments if lowered in (s.name.lower(), s.structure.name.lower())), None)

    def flatten(self) -> Segmentation:
        """One label map in which every voxel belongs to one structure, by PRECEDENCE; labels count from 1."""
        order = sorted(range(len(self.segments)), key=lambda n: (PRECEDENCE.index(self.segments[n].structure.group), n))
        dtype = np.uint8 if len(order) < 256 else np.uint16
        labels = np.zeros(self.layers[0].shape, dtype=dtype)
        # Segments of one layer never overlap, so one look-up per layer and group does for all of them.
        for layer, numbers in _runs(order, self.segments):
            values = np.zeros(int(self.layers[layer].voxels.max()) + 1, dtype=dtype)
            for number in numbers:
                values[self.segments[number].label] = number + 1
            drawn = values[self.layers[layer].voxels]
            np.copyto(labels, drawn, where=drawn != 0)
        covered = self._covered(labels)
        notes = self.notes
        if covered:
            listed = ", ".join(sorted(covered))
            notes = (
                *notes,
                f"Segments overlap ({listed}); a voxel counts as canal, vertebra, sacrum or bone before anything else, "
                "and of two of a kind as the later one in the file.",
            )
        structures = {n + 1: segment.structure for n, segment in enumerate(self.segments)}
        return Segmentation(self.layers[0].with_voxels(labels), structures, self.maker, None, notes)

    def _covered(self, labels: npt.NDArray[np.generic]) -> list[str]:
        """Names of the segments that lost voxels to others."""
        if len(self.layers) == 1:
            return []
        left = count_labels(labels)
        counts = [count_labels(layer.voxels) for layer in self.layers]
        kept = [int(left[n + 1]) if n + 1 < len(left) else 0 for n in range(len(self.segments))]
        return [s.name for s, voxels in zip(self.segments, kept, strict=True) if voxels < counts[s.layer][s.label]]


class LayerBuilder:
    """Packs masks on one grid into as few label maps as their overlaps allow."""

    def __init__(self, grid: Volume) -> None:
        self._grid = grid
        self._layers: list[npt.NDArray[np.uint16]] = []
        self._counts: list[int] = []
        self.segments: list[Segment] = []

    def add(self, structure: Structure, name: str, box: Box, mask: npt.NDArray[np.bool_]) -> None:
        """Add a segment: `mask` lies in `box` of the grid. One without a voxel is left out."""
        if not mask.any():
            return
        free = (n for n, voxels in enumerate(self._layers) if not voxels[box][mask].any())
        layer = next(free, len(self._layers))
        if layer == len(self._layers):
            self._layers.append(np.zeros(self._grid.shape, dtype=np.uint16))
            self._counts.append(0)
        self._counts[layer] += 1
        self._layers[layer][box][mask] = self._counts[layer]
        self.segments.append(Segment(structure, name, layer, self._counts[layer]))

    @property
    def layers(self) -> tuple[Volume, ...]:
        """The label maps so far."""
        return tuple(Volume(voxels, self._grid.affine) for voxels in self._layers)


def _runs(order: list[int], segments: tuple[Segment, ...]) -> list[tuple[int, list[int]]]:
    """Neighbours in `order` that share layer and group, together."""
    runs: list[tuple[int, list[int]]] = []
    for number in order:
        if runs and runs[-1][0] == segments[number].layer:
            runs[-1][1].append(number)
        else:
            runs.append((segments[number].layer, [number]))
    return runs
