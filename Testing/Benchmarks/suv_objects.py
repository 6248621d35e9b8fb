"""SUVbw of the 17 digital reference objects (each must give 0.20, 1.00, 4.00) and of two real PT series."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.suv import SuvConversion, convert_to_suv, suv_volume
from MemorySurvivalLib.imaging.volume import Volume, resample_onto

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = (0.20, 1.00, 4.00)
TOLERANCE = 1e-3
REAL_TOLERANCE_SUV = 1e-3


def data_folder() -> Path:
    """Where the real data lies."""
    return Path(os.environ.get("MEMORYSURVIVAL_TEST_DATA", ROOT.parent / "shared" / "data"))


def convert_folder(folder: Path) -> tuple[Volume, SuvConversion]:
    """The one PT series of a folder in SUVbw."""
    (series,) = [one for one in scan(folder).series if one.modality == "PT"]
    conversion = convert_to_suv(series.headers)
    return suv_volume(read_series(series), conversion.factors), conversion


def measure_object(folder: Path) -> dict[str, Any]:
    """One row of the table: what was done to an object and what came out inside its mask."""
    suv, conversion = convert_folder(folder / "PT")
    mask = resample_onto(read_volume(folder / "mask" / "DRO_mask.nii.gz", "mask"), suv, linear=False)
    inside = suv.voxels[mask.voxels > 0]
    measured = [float(inside.min()), float(np.median(inside)), float(inside.max())]
    errors = [abs(value / goal - 1) for value, goal in zip(measured, EXPECTED, strict=True)]
    minimum, middle, maximum = (round(value, 4) for value in measured)
    return {
        "object": folder.name.removeprefix("DRO_"),
        "method": conversion.method,
        "min": minimum,
        "median": middle,
        "max": maximum,
        "largest_error_percent": round(100 * max(errors), 4),
    }


def measure_real(data: Path, patient: str) -> dict[str, Any]:
    """A real PT series against the NIfTI that others made of it, voxel by voxel where both have slices."""
    suv, conversion = convert_folder(data / "petct_sts_dicom" / patient / "PET" / "image")
    other = read_volume(data / "petct_sts10" / patient / "PET_image.nii.gz", "PET").reoriented()
    difference = np.abs(suv.voxels.astype(np.float64) - other.voxels)
    return {
        "patient": patient,
        "same_grid": suv.same_grid(other, tolerance_mm=1e-2),
        "largest_difference_suv": float(difference.max()),
        "suv_max": float(suv.voxels.max()),
        "uptake_min": conversion.uptake_min,
        "flags": len(conversion.flags),
    }


def run() -> dict[str, Any]:
    data = data_folder()
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(data / "suv_dro" / "DRO_all17.tar.xz") as archive:
            archive.extractall(name, filter="data")
        rows = [measure_object(folder) for folder in sorted(Path(name).glob("DRO/DRO_*")) if folder.is_dir()]
    real = [measure_real(data, patient) for patient in ("STS_002", "STS_041")]
    ok = len(rows) == 17 and all(row["largest_error_percent"] <= 100 * TOLERANCE for row in rows)
    ok = ok and all(row["same_grid"] and row["largest_difference_suv"] <= REAL_TOLERANCE_SUV for row in real)
    return {
        "objects": rows,
        "real": real,
        "goal": "17 of 17 objects give SUVbw min, median, max of 0.20, 1.00, 4.00 within 0.1 %; "
        f"both real PT series equal their NIfTI within {REAL_TOLERANCE_SUV} SUV",
        "ok": ok,
    }
