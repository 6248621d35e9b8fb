"""What is done about a PET that lies beside the CT: nothing, an estimate with a warning, or a rigid correction."""

from __future__ import annotations

from dataclasses import asdict, replace

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.acquisition import Alignment, AlignmentRecord
from MemorySurvivalLib.imaging.volume import Volume


def align(ct: Volume, pet: Volume, how: Alignment) -> tuple[Volume, AlignmentRecord | None]:
    """Judge, and with "correct" move, a PET (SUVbw) against its CT (HU); the voxels stay as they are.

    Gives back the PET and the record of it, None for "off". Images that cannot be compared are no error of "check": the
    record says why. With "correct" a movement that cannot be trusted raises InputError, because it was asked for.
    """
    if how == "off":
        return pet, None
    # The registration's packages load only when it runs.
    from MemorySurvivalLib.imaging.misregistration import estimate_misregistration
    from MemorySurvivalLib.imaging.registration_correction import correct_rigidly

    try:
        found = estimate_misregistration(ct, pet)
    except InputError as error:
        if how == "correct":
            raise
        return pet, AlignmentRecord(None, None, False, "", (str(error),), {})
    record = AlignmentRecord(
        shift_lps_mm=found.shift_lps_mm,
        magnitude_mm=round(found.magnitude_mm, 3),
        reliable=found.reliable,
        warning=found.warning(),
        reasons=found.reasons,
        details=dict(found.details),
    )
    if how == "check":
        return pet, record
    moved, correction = correct_rigidly(pet, ct, estimate=found)
    return moved, replace(record, warning="", correction={**asdict(correction), "sentence": correction.sentence})


def alignment_notes(record: AlignmentRecord | None) -> tuple[str, ...]:
    """What the user should know of it: the correction, else the warning; an unreliable estimate is only recorded."""
    if record is None:
        return ()
    if record.correction is not None:
        return (str(record.correction["sentence"]),)
    return (record.warning,) if record.warning else ()
