"""Stand-in for Slicer's DICOM database: files and tags by SOP Instance UID, and nothing else of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pydicom


class DicomDatabase:
    """Answers as ctkDICOMDatabase does: with an empty text for what it does not know."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._files: dict[str, Path] = {}
        for file in files:
            self._files[str(pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)] = file

    def fileForInstance(self, uid: str) -> str:
        """The path of an image."""
        return str(self._files.get(uid, ""))

    def instanceValue(self, uid: str, tag: str) -> str:
        """The text of a tag, such as "0010,0020"."""
        if uid not in self._files:
            return ""
        group, element = (int(part, 16) for part in tag.split(","))
        found = pydicom.dcmread(self._files[uid], stop_before_pixels=True).get((group, element))
        return "" if found is None else str(found.value)
