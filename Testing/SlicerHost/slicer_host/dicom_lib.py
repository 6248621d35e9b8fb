"""Stand-in for Slicer's DICOMLib: importing a folder and loading a series, as far as the module asks for it."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import slicer

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def importDicom(dicomDataDir: str, dicomDatabase: Any = None, copyFiles: bool = False) -> bool:
    """Index the DICOM files of a folder and of the folders in it."""
    from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source

    files = [path for path in sorted(Path(dicomDataDir).rglob("*")) if path.is_file() and is_dicom_source(path)]
    (dicomDatabase or slicer.dicomDatabase).add(files)
    return True


def loadSeriesByUID(seriesUIDs: list[str]) -> list[str]:
    """Load series as volumes with rescaled voxels, without a storage node, that name their images; their node IDs."""
    return [_load(slicer.dicomDatabase.filesForSeries(uid), uid).GetID() for uid in seriesUIDs]


def _load(files: list[str], uid: str) -> Any:
    from MemorySurvivalLib.imaging.dicom_pixels import read_series
    from MemorySurvivalLib.imaging.dicom_scan import scan

    series = next(one for one in scan(Path(files[0]).parent).series if one.key == uid)
    volume = read_series(series)
    matrix = RAS_TO_LPS @ volume.affine.matrix
    node = slicer.util.addVolumeFromArray(volume.voxels, matrix, name=series.description or "series")
    uids = [str(pydicom.dcmread(each.path, stop_before_pixels=True).SOPInstanceUID) for each in series.slices]
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return node


def install_dicom_lib() -> None:
    """Make `from DICOMLib import DICOMUtils` work."""
    library = types.ModuleType("DICOMLib")
    library.DICOMUtils = types.SimpleNamespace(importDicom=importDicom, loadSeriesByUID=loadSeriesByUID)
    sys.modules["DICOMLib"] = library
