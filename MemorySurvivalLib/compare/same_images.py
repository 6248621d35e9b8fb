"""Whether two results rest on the same images, by the hashes that their records hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from MemorySurvivalLib.imaging.case import ImageSource
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.report.record import CaseRecord


def images_key(inputs: Mapping[Modality, ImageSource]) -> str:
    """One hash of all images of a case: equal voxels at equal places, equal key; file names do not count."""
    said = "\n".join(f"{modality} {source.sha256}" for modality, source in sorted(inputs.items()))
    return hashlib.sha256(said.encode()).hexdigest()


def shared_images(one: CaseRecord, other: CaseRecord) -> tuple[str, ...]:
    """The modalities whose image is the very same in both."""
    return tuple(
        modality
        for modality, source in sorted(one.inputs.items())
        if modality in other.inputs and other.inputs[modality].sha256 == source.sha256
    )
