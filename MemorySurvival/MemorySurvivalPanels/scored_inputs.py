"""What a result was made from, in a form that is saved with the scene, and what of it is no longer so."""

import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_jobs import is_segmentation
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.score_job import chosen_values
from MemorySurvivalPanels.segmentations import segment_voxels
from MemorySurvivalPanels.volumes import ijk_to_world

_TOLERANCE_MM = 1e-3
_KEPT = 32
_MOST_BYTES = 1_000_000
"""Checksums that are remembered, and the size of a file that is no table of one patient's values."""

_CHECKSUMS: OrderedDict[tuple[Any, ...], tuple[Any, ...]] = OrderedDict()
"""By VTK's modification times, which no two objects and no two states of one share while Slicer runs."""


@dataclass(frozen=True)
class Content:
    """Voxels of an image or a mask and where they lie: enough to see that something changed, also in another session.

    `voxels` is a checksum (CRC-32) with the size, not a proof of identity. `place` holds the 16 numbers of the matrix
    from voxel indices to world RAS millimetres; empty where there is none.
    """

    voxels: str
    place: tuple[float, ...]

    def same_as(self, other: "Content") -> bool:
        """Whether both have the same voxels at the same place."""
        there = len(self.place) == len(other.place) and np.allclose(self.place, other.place, atol=_TOLERANCE_MM)
        return self.voxels == other.voxels and bool(there)


@dataclass(frozen=True)
class ScoredInputs:
    """The content of CT, PET and mask ("ct", "pet", "roi"; None where none was given) and the chosen values by name."""

    content: Mapping[str, Content | None]
    values: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        content = {
            name: None if each is None else {"voxels": each.voxels, "place": list(each.place)}
            for name, each in self.content.items()
        }
        return {"content": content, "values": dict(self.values)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "ScoredInputs":
        """The same back. Raises KeyError, TypeError or ValueError for anything else."""
        content = {
            str(name): None
            if each is None
            else Content(str(each["voxels"]), tuple(float(number) for number in each["place"]))
            for name, each in dict(plain["content"]).items()
        }
        return cls(content, {str(name): str(text) for name, text in dict(plain["values"]).items()})

    def changes(self, now: "ScoredInputs") -> list[str]:
        """What differs now, one sentence each; what only one of two versions of the module knows is not compared."""
        said = [
            sentence
            for name, sentence in _content_sentences().items()
            if name in self.content and name in now.content and not _same(self.content[name], now.content[name])
        ]
        known = _value_sentences()
        for name in self.values.keys() & now.values.keys():
            if self.values[name] != now.values[name]:
                said.append(known.get(name, _("Something else is chosen.")))
        return list(dict.fromkeys(said))


def read_inputs(parameters: ScoreParameters) -> ScoredInputs:
    """What is chosen now. Voxels are summed up once for each time that they change (0.1 s for the largest CT)."""
    roi = parameters.roi
    mask = segment_content(roi, parameters.segment_id) if is_segmentation(roi) else volume_content(roi)
    content = {"ct": volume_content(parameters.ct), "pet": volume_content(parameters.pet), "roi": mask}
    return ScoredInputs(content, {**chosen_values(parameters), **_file_values(parameters)})


def volume_content(node: slicer.vtkMRMLVolumeNode | None) -> Content | None:
    """Of a volume, transforms applied; None without one."""
    if node is None:
        return None
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        return Content("", ())
    place = _place(lambda: ijk_to_world(node, ""))
    (voxels,) = _remembered(
        ("volume", image.GetMTime(), image.GetDimensions()), lambda: (_checksum(slicer.util.arrayFromVolume(node)),)
    )
    return Content(voxels, place)


def segment_content(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> Content | None:
    """Of one segment, transforms applied; None where it is not there."""
    segment = node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        return None
    image = segment.GetRepresentation("Binary labelmap")
    transform = node.GetParentTransformNode()
    key = (
        "segment",
        segment.GetMTime(),
        image.GetMTime() if image is not None else 0,
        () if transform is None else (transform.GetID(), transform.GetTransformToWorldMTime()),
    )

    def read() -> tuple[str, tuple[float, ...]]:
        try:
            found = segment_voxels(node, segment_id)
        except UserError:  # under a transform that bends
            return "", ()
        if found is None:
            return "", ()
        return _checksum(np.ascontiguousarray(found.voxels)), tuple(float(each) for each in found.ijk_to_ras.ravel())

    return Content(*_remembered(key, read))


def _same(one: Content | None, other: Content | None) -> bool:
    return one is other if one is None or other is None else one.same_as(other)


def _checksum(voxels: np.ndarray) -> str:
    size = "x".join(str(each) for each in voxels.shape)
    return f"crc32:{zlib.crc32(np.ascontiguousarray(voxels)):08x}:{voxels.dtype.name}:{size}"


def _place(matrix: Callable[[], np.ndarray]) -> tuple[float, ...]:
    try:
        return tuple(float(each) for each in matrix().ravel())
    except UserError:  # under a transform that bends or shears: it cannot be scored as it is
        return ()


def _remembered(key: tuple[Any, ...], read: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    if key not in _CHECKSUMS:
        _CHECKSUMS[key] = read()
        while len(_CHECKSUMS) > _KEPT:
            _CHECKSUMS.popitem(last=False)
    _CHECKSUMS.move_to_end(key)
    return _CHECKSUMS[key]


def _file_values(parameters: ScoreParameters) -> dict[str, str]:
    """The content of the covariates file, where it can be read here."""
    if not parameters.covariates:
        return {}
    path = Path(parameters.covariates)
    try:
        state = path.stat()
        if state.st_size > _MOST_BYTES:
            return {}
        key = ("file", str(path), state.st_mtime_ns, state.st_size)
        (checksum,) = _remembered(key, lambda: (f"{zlib.crc32(path.read_bytes()):08x}",))
    except (OSError, ValueError):  # not there, or no path at all
        return {}
    return {"covariates_content": checksum}


def _content_sentences() -> dict[str, str]:
    return {
        "ct": _("The CT was changed or moved."),
        "pet": _("The PET was changed or moved."),
        "roi": _("The mask is not the one that was scored."),
    }


def _value_sentences() -> dict[str, str]:
    return {
        "segment_id": _("Another segment is chosen."),
        "covariates": _("Other covariates are chosen."),
        "covariates_content": _("The covariates file was changed."),
        "covariate_values": _("The covariates were changed."),
        "bundle": _("Another model is chosen."),
        "alignment": _("PET and CT are put together in another way."),
        "pet_values": _("Other values are stated for the PET."),
    }
