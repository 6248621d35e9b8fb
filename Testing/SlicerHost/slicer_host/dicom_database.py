"""Stand-in for Slicer's DICOM database: files and tags by their UIDs, and nothing else of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pydicom

_SERIES = "0020,000E"


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

    def add(self, files: Iterable[Path]) -> None:
        """Index files, as importing a folder does."""
        for file in files:
            self._files[str(pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)] = file

    def fileValue(self, file: str, tag: str) -> str:
        """The text of a tag of a file."""
        return self.instanceValue(next((uid for uid, path in self._files.items() if str(path) == file), ""), tag)

    def seriesForFile(self, file: str) -> str:
        """The series of a file; empty where it is not known."""
        return self.fileValue(file, _SERIES)

    def filesForSeries(self, series: str, hits: int = -1) -> list[str]:
        """The files of a series."""
        found = [str(path) for uid, path in self._files.items() if self.instanceValue(uid, _SERIES) == series]
        return found if hits < 0 else found[:hits]

    def patients(self) -> list[str]:
        """All patients, by what stands for the database's own numbers here: their IDs."""
        return self._values("0010,0020")

    def studiesForPatient(self, patient: str) -> list[str]:
        """A patient's studies."""
        return self._values("0020,000D", ("0010,0020", patient))

    def seriesForStudy(self, study: str) -> list[str]:
        """A study's series."""
        return self._values(_SERIES, ("0020,000D", study))

    def _values(self, tag: str, where: tuple[str, str] | None = None) -> list[str]:
        found = [uid for uid in self._files if where is None or self.instanceValue(uid, where[0]) == where[1]]
        return list(dict.fromkeys(self.instanceValue(uid, tag) for uid in found))
