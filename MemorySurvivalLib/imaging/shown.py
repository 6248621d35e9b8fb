"""Images that a viewer shows, held against the DICOM that it read them from: what a person sees is what is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from MemorySurvivalLib.imaging.dicom_series import DicomSeries, Identity

GRID_TOLERANCE_MM = 0.01
VALUE_TOLERANCE = 5e-4
"""Share of the largest value: viewers round rescaled values to whole numbers."""


@dataclass(frozen=True)
class ShownImages:
    """A viewer's images, each with the DICOM that it was read from: files by modality, of `dicom` and as `shown`."""

    dicom: Mapping[Modality, Path]
    shown: Mapping[Modality, Path]

    def choose(
        self, progress: ProgressCallback = ignore_progress, *, confirmed: bool = False
    ) -> tuple[dict[Modality, Path], tuple[str, ...]]:
        """The files to score: the DICOM where the viewer shows exactly that, else what it shows; and notes.

        A PET whose DICOM cannot be used stays DICOM, so that the refusal is heard and not gone round. What is taken as
        shown carries no identity any more, so CT and PET are compared here: raises IdentityMismatch unless `confirmed`.
        """
        chosen, notes = dict(self.dicom), []
        identities: dict[Modality, Identity] = {}
        for modality in MODALITIES:
            if modality not in self.dicom or modality not in self.shown:
                continue
            try:
                series = find_series(self.dicom[modality], modality, progress)
                identities[modality] = series.identity
                same = is_shown(series, self.shown[modality], modality, progress)
            except InputError as error:
                if modality == "CT":
                    chosen["CT"] = self.shown["CT"]
                    notes.append(f"The CT is taken as it is shown, because its DICOM cannot be used: {error}")
                continue
            if not same:
                chosen[modality] = self.shown[modality]
                taken = ", as SUVbw" if modality == "PET" else ""
                notes.append(f"The {modality} is shown otherwise than its DICOM says; it is taken as shown{taken}.")
        if notes and len(identities) == len(MODALITIES):
            from MemorySurvivalLib.imaging.study_identity import check_identity

            notes += check_identity(identities["CT"], identities["PET"], confirmed=confirmed)
        return chosen, tuple(notes)


def find_series(dicom: Path, modality: Modality, progress: ProgressCallback = ignore_progress) -> DicomSeries:
    """The series that a DICOM folder or file stands for. Raises InputError."""
    # pydicom takes a quarter of a second to load; only DICOM needs it.
    from MemorySurvivalLib.imaging.dicom_scan import scan
    from MemorySurvivalLib.imaging.study import choose_one

    return choose_one(scan(dicom, progress), modality)


def is_shown(
    series: DicomSeries, shown: Path, modality: Modality, progress: ProgressCallback = ignore_progress
) -> bool:
    """Whether the file `shown` holds the same voxels at the same places as a DICOM series.

    Values are compared as stored (a PET's before they become SUV). Raises InputError for a series that cannot be read.
    """
    from MemorySurvivalLib.imaging.dicom_pixels import read_series

    original = read_series(series, progress).reoriented()
    return same_images(original, read_volume(shown, modality).reoriented())


def same_images(one: Volume, other: Volume) -> bool:
    """Whether two volumes with axes running alike have the same voxels at the same places."""
    if not one.same_grid(other, GRID_TOLERANCE_MM):
        return False
    limit = VALUE_TOLERANCE * max(float(np.abs(one.voxels).max()), 1.0)
    return all(np.abs(a.astype(np.float64) - b).max() <= limit for a, b in zip(one.voxels, other.voxels, strict=True))
