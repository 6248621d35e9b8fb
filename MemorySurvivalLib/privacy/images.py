"""Masks and maps as an export may show them: the voxels, and of the header what this software wrote and cleaned."""

from __future__ import annotations

from dataclasses import replace

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.imaging.case import SIMULATED_ATTRIBUTE
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.privacy.clean import SEGMENTERS
from MemorySurvivalLib.privacy.wording import Wording
from MemorySurvivalLib.roi.provenance import ROI_ATTRIBUTE, RoiStamp, read_stamp

_KEPT_ATTRIBUTES = ("research_use", "meaning", "unit", SIMULATED_ATTRIBUTE)


def clean_image(volume: Volume, wording: Wording | None) -> Volume:
    """The same voxels with only those attributes that this software writes; the mask's stamp cleaned.

    `wording` None (an identified export) keeps the stamp as it is.
    """
    kept = {key: volume.attributes[key] for key in _KEPT_ATTRIBUTES if key in volume.attributes}
    stamp = read_stamp(volume)
    if stamp is not None:
        kept[ROI_ATTRIBUTE] = (stamp if wording is None else _clean_stamp(stamp, wording)).as_text()
    kept["research_use"] = RESEARCH_USE
    return Volume(volume.voxels, volume.affine, kept)


def _clean_stamp(stamp: RoiStamp, wording: Wording) -> RoiStamp:
    parts = []
    for part in stamp.parts:
        settings = part.maker.settings if part.maker.method in SEGMENTERS else ""
        maker = replace(part.maker, method=wording.clean(part.maker.method), settings=settings)
        parts.append(replace(part, name=wording.clean(part.name), maker=maker))
    return replace(stamp, parts=tuple(parts))
