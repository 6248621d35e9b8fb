"""DICOM studies on disk and the nodes that Slicer's DICOM module makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import slicer
from dicom_made_up import write_series
from scenes import CT_IJK_TO_RAS, add_volume
from slicer_host.dicom_database import DicomDatabase

from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.volume import Affine, Volume

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_study(folder: Path, **words: Any) -> tuple[list[Path], list[Path]]:
    """A small CT and a PET in BQML of one study: their files in slice order. `words` go to the PET's series."""
    affine = Affine(RAS_TO_LPS @ CT_IJK_TO_RAS)
    generator = np.random.default_rng(3)
    ct = Volume(generator.normal(0, 200, (12, 14, 10)).round().astype(np.int16), affine)
    pet = Volume((generator.random((12, 14, 10)) * 20000).astype(np.float32), affine)
    return write_series(folder / "ct", ct, "CT"), write_series(folder / "pet", pet, "PT", slopes=0.75, **words)


def load_series(files: Sequence[Path], name: str) -> Any:
    """A node as Slicer's DICOM module makes it: rescaled voxels, no storage node, the images' UIDs as an attribute."""
    (series,) = scan(files[0]).series
    volume = read_series(series)
    node = add_volume(volume.voxels, RAS_TO_LPS @ volume.affine.matrix, name)
    uids = [str(pydicom.dcmread(each.path, stop_before_pixels=True).SOPInstanceUID) for each in series.slices]
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return node


def load_study(folder: Path, **words: Any) -> tuple[Any, Any]:
    """CT and PET nodes of a study that the DICOM database knows."""
    ct, pet = write_study(folder, **words)
    slicer.dicomDatabase = DicomDatabase([*ct, *pet])
    return load_series(ct, "CT of the study"), load_series(pet, "PET of the study")


def state_units(node: Any, code: str) -> None:
    """Say in a node what its voxels' units are, as Slicer's PET extension does."""
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning(code, "UCUM", "units")
    node.SetVoxelValueUnits(units)


class Recorder:
    """A worker that does nothing but remember what was asked of it."""

    busy = False

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any], Any]] = []
        self.asked: list[tuple[str, dict[str, Any], Any]] = []
        """What was asked in the background."""

    def submit(self, job: str, parameters: dict[str, Any], listener: Any, *, background: bool = False) -> None:
        (self.asked if background else self.sent).append((job, parameters, listener))

    def cancel(self) -> None: ...

    def close(self) -> None: ...

    @property
    def job(self) -> dict[str, Any]:
        """The parameters of the last job."""
        return self.sent[-1][1]
