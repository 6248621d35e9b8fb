"""DICOM objects of results: what dciodvfy says of each, seconds and sizes; a case of whole-body size and a real one."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MemorySurvivalLib.dicom_out.export import export_dicom
from MemorySurvivalLib.dicom_out.manifest import ExportedObjects
from MemorySurvivalLib.imaging.case import ImageSource
from MemorySurvivalLib.imaging.dicom_pixels import read_series
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.suv import convert_to_suv, suv_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.simulation.case import simulate_case
from Testing.Benchmarks.real_data import data_folder

ROOT = Path(__file__).resolve().parents[2]
SEED, SPACING_MM = 2, (8.0, 8.0, 9.0)
FINER_ZYX = (3, 8, 8)
"""So much finer the objects' CT is than the scored one: about 320 slices of about 400 x 560 pixels."""
PER_BQML = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
LIMIT_S = 30.0


def run() -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result, shape = _whole_body(folder / "simulated")
        whole = export_dicom(result, folder / "dicom", Subject("identified"))
        rows += _judge(folder / "dicom", whole, "simulated, whole-body size")
        hidden = export_dicom(result, folder / "nobody", Subject())
        rows += _judge(folder / "nobody", hidden, "the same, naming nobody")
        packed = export_dicom(result, folder / "packed", Subject("identified"), ("pm",), deflate=True)
        summary["ct_of_whole_body_size"] = shape
        summary["seconds_all_objects"] = whole.seconds
        summary["seconds_naming_nobody"] = hidden.seconds
        summary["heatmap_mb_plain"] = _size(whole, "heatmap")
        summary["heatmap_mb_deflated"] = _size(packed, "heatmap")
        real = _real(folder / "real")
        if real is not None:
            made = export_dicom(real, folder / "real-dicom", Subject("identified"))
            rows += _judge(folder / "real-dicom", made, "real patient (soft-tissue sarcoma, engineering use)")
            summary["seconds_real"] = made.seconds
    errors = sum(row["errors"] for row in rows)
    return {
        **summary,
        "objects": rows,
        "goal": f"no error of dciodvfy in any object; all objects of a whole-body case in at most {LIMIT_S:g} s",
        "ok": errors == 0 and whole.seconds <= LIMIT_S and not whole.left_out,
    }


def _judge(folder: Path, exported: ExportedObjects, case: str) -> list[dict[str, Any]]:
    """A row for each kind of object."""
    rows: dict[str, dict[str, Any]] = {}
    for one in exported.objects:
        row = rows.setdefault(
            one.kind, {"case": case, "object": one.kind, "files": 0, "errors": 0, "warnings": 0, "mb": 0.0}
        )
        done = subprocess.run(["dciodvfy", str(folder / one.file)], capture_output=True, text=True)
        said = (done.stdout + done.stderr).splitlines()
        row["files"] += 1
        row["errors"] += sum("Error" in line for line in said) + (done.returncode != 0)
        row["warnings"] += sum("Warning" in line for line in said)
        row["mb"] = round(row["mb"] + one.size_bytes / 1e6, 3)
    return list(rows.values())


def _size(exported: ExportedObjects, kind: str) -> float:
    return round(sum(one.size_bytes for one in exported.objects if one.kind == kind) / 1e6, 2)


def _whole_body(folder: Path) -> tuple[Path, list[int]]:
    """A simulated case scored on a coarse grid; then images, masks and heatmap repeated to a whole body's size.

    Repeating voxels changes no place of anything. The numbers of the score stay those of the coarse case.
    """
    sys.path.insert(0, str(ROOT / "Testing" / "Python"))
    from dicom_made_up import write_series

    case = simulate_case(SEED, spacing_mm=SPACING_MM)
    coarse = folder / "coarse"
    pet = case.pet.with_voxels(case.pet.voxels / PER_BQML)
    write_series(coarse / "ct", case.ct, "CT")
    write_series(coarse / "pet", pet, "PT", slopes=float(pet.voxels.max()) / 32000)
    spine = case.spine_dilated
    write_volume(spine.with_voxels(spine.voxels.astype(np.uint8)), folder / "spine.nrrd")
    result = folder / "result"
    score_case(
        ScoreRequest(
            study=coarse,
            roi=folder / "spine.nrrd",
            roi_kind="spine_dilated",
            out=result,
            explain=True,
            measure=True,
            patch_mm=80,
            stride_mm=80,
            device="cpu",
            use_cache=False,
        )
    )
    study = folder / "study"
    fine = _finer(case.ct)
    write_series(study / "ct", fine, "CT")
    shutil.copytree(coarse / "pet", study / "pet")
    record = read_record(result / "result.json")
    for file in ("roi.nrrd", "lesions.nrrd", "heatmap.nrrd"):
        write_volume(_finer(read_volume(result / file, file)), result / file)
    (ct,) = (one for one in scan(study).series if one.modality == "CT")
    (found,) = (one for one in scan(study / "pet").series)
    suv = suv_volume(read_series(found), convert_to_suv(found.headers).factors)
    sources = {"CT": _source(study, read_series(ct)), "PET": _source(study, suv)}
    replace(record, inputs=sources, request={**record.request, "study": str(study)}).write(result / "result.json")
    return result, list(fine.shape)


def _source(path: Path, volume: Volume) -> ImageSource:
    return ImageSource(str(path), volume.sha256(), volume.affine.orientation, volume.shape, volume.spacing_mm)


def _finer(volume: Volume) -> Volume:
    """Every voxel as a block of smaller ones at the same place."""
    voxels = volume.voxels
    for axis, times in enumerate(FINER_ZYX):
        voxels = np.repeat(voxels, times, axis=axis)
    times_xyz = np.asarray(FINER_ZYX[::-1], dtype=float)
    matrix = volume.affine.matrix.copy()
    matrix[:3, 3] = volume.affine.points_mm(-0.5 + 0.5 / times_xyz)
    matrix[:3, :3] = matrix[:3, :3] / times_xyz
    return Volume(voxels, Affine(matrix), volume.attributes)


def _real(folder: Path) -> Path | None:
    """A real patient's PET/CT with its tumour mask, scored; None where the data is not there."""
    data = data_folder()
    study = data / "petct_sts_dicom" / "STS_002"
    if not study.is_dir():
        return None
    score_case(
        ScoreRequest(
            study=study,
            roi=study / "CT" / "mask" / "RS.dcm",
            out=folder,
            allow_other_roi=True,
            explain=True,
            patch_mm=80,
            stride_mm=80,
            device="cpu",
            use_cache=False,
        )
    )
    return folder
