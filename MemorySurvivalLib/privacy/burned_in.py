"""Text that a scanner or a person burned into the voxels: pictures made of them may show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

BURNED_IN_NOTE = (
    "The images say that text is burned into their pixels (Burned In Annotation), which may name the patient; look at "
    "every picture before it goes to others."
)


def burned_in_note(headers: Iterable[Dataset]) -> str:
    """A sentence where a DICOM header says that its pixels hold text (0028,0301); "" where none does.

    Images that say nothing may hold text all the same; axial CT and PET hardly ever do.
    """
    from MemorySurvivalLib.imaging.dicom_header import text

    return BURNED_IN_NOTE if any(text(one, "BurnedInAnnotation").upper() == "YES" for one in headers) else ""
