"""A small finished result whose images were DICOM, with lesions and a heatmap, and helpers that look at objects."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import write_series
from made_up import Patient, make_patient

from MemorySurvivalLib.dicom_out.export import export_dicom
from MemorySurvivalLib.dicom_out.manifest import KINDS, ExportedObjects
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.lesion import Lesion, LesionConfig, LesionTotals
from MemorySurvivalLib.measure.reference import References
from MemorySurvivalLib.measure.tables import MeasurementRecord, SegmentRow, lesion_row, relate
from MemorySurvivalLib.measure.uptake import RegionMeasure
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.report.model import read_report
from MemorySurvivalLib.report.subject import Subject

PER_BQML = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"


@dataclass(frozen=True)
class Finished:
    """A result folder and the DICOM folder that it was made from."""

    result: Path
    study: Path
    patient: Patient

    def copied(self, folder: Path) -> Finished:
        """The result in a folder of its own, to be changed there; the images stay where they are."""
        return Finished(Path(shutil.copytree(self.result, folder / "result")), self.study, self.patient)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, small_bundle: Path) -> Finished:
    """A scored and explained case from DICOM; its lesions are made up."""
    folder = tmp_path_factory.mktemp("finished")
    patient = make_patient(folder).written()
    study = folder / "study"
    tags = {"PatientName": NAME, "TimezoneOffsetFromUTC": "+0900", "AccessionNumber": "A-77"}
    write_series(study / "ct", patient.ct, "CT", shuffle=1, tags=tags)
    bqml = patient.pet.with_voxels(patient.pet.voxels.astype(np.float64) / PER_BQML)
    write_series(study / "pet", bqml, "PT", shuffle=2, tags=tags)
    result = folder / "result"
    request = ScoreRequest(
        out=result,
        study=study,
        roi=patient.spine_path,
        bundle=str(small_bundle),
        device="cpu",
        explain=True,
        patch_mm=80,
        stride_mm=80,
    )
    record = score_case(request).record
    labels = make_lesions(read_volume(result / "roi.nrrd", "mask"))
    write_volume(labels, result / "lesions.nrrd")
    record = replace(record, measurements=measured(labels))
    record.write(result / "result.json")
    replace(read_report(result), record=record).write(result / "report.json")
    return Finished(result, study, patient)


SUBJECTS = {
    "identified": Subject("identified"),
    "nobody": Subject(),
    "pseudonym": Subject("pseudonym", patient_id="MM-1", sex="F", age_years=60),
}


@dataclass(frozen=True)
class Export:
    """A folder of objects, what was written, and whom they name."""

    out: Path
    objects: ExportedObjects
    subject: Subject


@pytest.fixture(scope="session")
def exports(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """Everything of the result, once for each choice of whom it names (drawing a PDF takes time: two will do)."""
    made = {}
    for name, subject in SUBJECTS.items():
        out = tmp_path_factory.mktemp(name) / "dicom"
        kinds = tuple(kind for kind in KINDS if kind != "pdf" or name != "pseudonym")
        made[name] = Export(out, export_dicom(finished.result, out, subject, kinds), subject)
    return made


@pytest.fixture
def exported(exports: dict[str, Export]) -> tuple[Path, ExportedObjects]:
    """Everything of the result in the patient's study."""
    return exports["identified"].out, exports["identified"].objects


def make_lesions(roi: Volume) -> Volume:
    """Three pieces of a mask: 1 focal, 2 diffuse, 3 spill-in."""
    labels = np.zeros(roi.shape, dtype=np.uint16)
    z = np.flatnonzero(roi.voxels.any(axis=(1, 2)))
    for number, at in enumerate((z[1], z[len(z) // 2], z[-2]), start=1):
        labels[at : at + 1] = number * (roi.voxels[at] != 0)
    return Volume(labels, roi.affine)


def measured(labels: Volume) -> MeasurementRecord:
    """Measurements of three lesions, with numbers to be told apart."""
    references = References()
    measure = RegionMeasure(
        voxels=1000,
        volume_ml=100.0,
        hu_mean=300.0,
        hu_sd=10.0,
        hu_median=299.0,
        suv_mean=2.5,
        suv_median=2.0,
        suv_max=9.75,
        suv_peak=8.5,
        suv_max_lps_mm=(0.0, 0.0, 0.0),
        suv_peak_lps_mm=(0.0, 0.0, 0.0),
    )
    kinds = (("focal", "T7"), ("diffuse", "rib_left_7"), ("spill-in", ""))
    lesions = [make_lesion(number, kind, site) for number, (kind, site) in enumerate(kinds, start=1)]
    return MeasurementRecord(
        roi=SegmentRow("spine_dilated", 1, "roi", measure, relate(2.5, 9.75, 8.5, references, 2.5)),
        segments=(),
        references=references,
        lesion_config=LesionConfig(),
        threshold_suv=4.0,
        marrow_suv=1.0,
        lesions=tuple(lesion_row(lesion, references) for lesion in lesions),
        totals=LesionTotals(1, 0, 1, 1, 12.5, 75.0, 9.75),
        roi_made_by="test",
        segmentation_made_by="test",
        notes=("No liver reference.",),
        seconds={},
        simulated=True,
    )


def make_lesion(number: int, kind: str, site: str) -> Lesion:
    """A lesion; only a focal one has a 41 % outline."""
    outline = kind == "focal"
    return Lesion(
        number=number,
        kind=kind,  # type: ignore[arg-type]
        spill_in="bladder" if kind == "spill-in" else None,
        site=site,
        site_distance_mm=0.0,
        suv_max=9.75,
        suv_peak=8.5,
        suv_mean=6.0 if outline else None,
        mtv_ml=12.5 if outline else None,
        tlg_g=75.0 if outline else None,
        diameter_mm=20.0 if outline else None,
        volume_above_threshold_ml=14.0,
        centre_lps_mm=(0.0, 0.0, 0.0),
        suv_max_lps_mm=(0.0, 0.0, 0.0),
        hu_mean=250.0,
        hu_median=240.0,
        low_density=False,
        in_region=1.0,
    )
