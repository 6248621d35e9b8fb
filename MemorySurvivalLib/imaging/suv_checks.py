"""Whether SUV can be made of a PT series at all, and what else is odd about it."""

from __future__ import annotations

from collections.abc import Iterator

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.pet_tags import PetTags
from MemorySurvivalLib.imaging.quality_flag import QualityFlag


def check_corrections(tags: PetTags) -> None:
    """Raise InputError unless ATTN and decay are corrected, the latter as far as units demand it, and tags agree."""
    if "REPROJECTION" in tags.series_type:
        raise InputError("The PET is a reprojection (such as a MIP), not slices; choose the series of slices.")
    if not tags.corrected:
        raise InputError(
            "The PET does not tell its corrections (0028,0051), so it is unknown whether attenuation was corrected; "
            "choose the attenuation-corrected series, or give a PET in SUVbw."
        )
    if "ATTN" not in tags.corrected or tags.attenuation_method.strip().lower() in ("none", "no"):
        raise InputError(
            "The PET is not attenuation-corrected (no ATTN in 0028,0051, or its method 0054,1101 is none); "
            "choose the attenuation-corrected series."
        )
    corrected = bool({"DECY", "DECAY"} & set(tags.corrected))
    if corrected == (tags.decay_correction == "NONE") and tags.decay_correction:
        raise InputError(
            f'The PET contradicts itself about decay: decay correction (0054,1102) is "{tags.decay_correction}", but '
            f"DECY is {'' if corrected else 'not '}among its corrections (0028,0051); export the series again."
        )
    if not corrected and (tags.units in ("GML", "CM2ML") or not tags.decay_correction):
        raise InputError(
            "The PET is not decay-corrected (no DECY in 0028,0051), so its values are no SUV; "
            "choose the decay-corrected series."
        )


def series_flags(tags: PetTags) -> Iterator[QualityFlag]:
    """What is unusual about the series, whatever its SUV is made from."""
    if {"DYNAMIC", "GATED"} & set(tags.series_type):
        kind = tags.series_type[0].lower()
        yield QualityFlag("series_type", "warning", f"The PET series is {kind}, not a static or whole-body one.")
    if tags.injections > 1:
        sentence = f"The PET names {tags.injections} injections; only what they agree on was used."
        yield QualityFlag("injections", "warning", sentence, tags.injections)
    if any(part.rescale_intercept for part in tags.slices):
        sentence = "The PET has a rescale intercept other than 0, which DICOM forbids for PT; it was applied."
        yield QualityFlag("rescale_intercept", "warning", sentence)
    if not tags.dated:
        yield QualityFlag("dates", "note", "The PET tells no dates; its times were taken to be of one day.")
