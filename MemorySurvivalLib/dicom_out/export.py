"""From a finished result folder to a folder of DICOM objects that refer to the images it was made from."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from pydicom.dataset import Dataset

from MemorySurvivalLib import __version__
from MemorySurvivalLib.dicom_out.envelope import Envelope, make_envelope
from MemorySurvivalLib.dicom_out.manifest import (
    FILE_NAME,
    KINDS,
    RISK_KINDS,
    ExportedObject,
    ExportedObjects,
    Kind,
    ObjectKind,
)
from MemorySurvivalLib.dicom_out.sources import (
    SourcePaths,
    Sources,
    find_sources,
    recorded_paths,
    refuse_unreferable,
    stand_ins,
)
from MemorySurvivalLib.dicom_out.uids import Uids
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.imaging.dicom_header import reading_quietly
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.privacy.clean import clean_record
from MemorySurvivalLib.privacy.identifiers import Identifier, identifiers_in_path, identifiers_of
from MemorySurvivalLib.privacy.subject import read_subject
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.report import model
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.segmenting import LABELS_FILE, RECORD_FILE

SERIES_NUMBERS: dict[ObjectKind, int] = {
    "region": 9001,
    "lesions": 9002,
    "structures": 9003,
    "measurements": 9011,
    "risk": 9012,
    "heatmap": 9021,
    "report": 9031,
    "picture": 9041,
}
KEY_ROLES = ("overview", "hotspot")
NOTHING = "Nothing was written: the result does not say where its DICOM images are; say where they are now."
INPUT_FILES = ("result.json", "report.json", "roi.nrrd", "lesions.nrrd", "heatmap.nrrd")


@dataclass
class _Work:
    """What accumulates while objects are made."""

    folder: Path
    out: Path
    raw: CaseRecord
    record: CaseRecord
    report: model.Report | None
    sources: Sources
    envelope: Envelope
    stands: tuple[Dataset, ...]
    evidence: tuple[Dataset, ...]
    wanted: tuple[Kind, ...]
    subject: Subject
    named: Subject
    deflate: bool = False
    with_covariates: bool = False
    pdf: Path | None = None
    structures: Path | None = None
    written: list[ExportedObject] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    masks: dict[ObjectKind, Dataset] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.record.risk.labels

    def save(self, ds: Dataset, kind: ObjectKind, asked: Kind, name: str) -> None:
        """Write one object and list it."""
        path = self.out / f"{name}.dcm"
        with reading_quietly():
            ds.save_as(path, enforce_file_format=True)
        data = path.read_bytes()
        self.written.append(
            ExportedObject(
                kind=kind,
                asked=asked,
                file=path.name,
                carries_risk=kind in RISK_KINDS,
                sop_class_uid=str(ds.SOPClassUID),
                sop_instance_uid=str(ds.SOPInstanceUID),
                series_instance_uid=str(ds.SeriesInstanceUID),
                transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            )
        )


def export_dicom(
    folder: Path,
    out: Path,
    subject: Subject,
    objects: Sequence[Kind] = KINDS,
    sources: SourcePaths | None = None,
    progress: ProgressCallback = ignore_progress,
    *,
    overwrite: bool = False,
    deflate: bool = False,
    with_covariates: bool = False,
    pdf: Path | None = None,
    structures: Path | None = None,
    salt: bytes | None = None,
) -> ExportedObjects:
    """Write a result's DICOM objects and dicom.json into `out`; the folder appears whole or not at all.

    `subject` says whom they name: an identified one joins the source's study with the source's patient; a pseudonym or
    nobody gives a new study with replaced UIDs (the same ones again for the same `salt`, else new every time).
    `sources` says where the images are now, where the result no longer tells. `pdf` is a report that was drawn for this
    very subject (None: it is drawn anew; a file in the result's folder may name anybody and is never taken).
    `structures` is a folder that `segment` made of this CT. What was asked for and cannot be written is a sentence in
    `left_out`; InputError where nothing can, where the images are not those that were scored, or where the subject is
    another patient.
    """
    start = time.monotonic()
    unknown = [one for one in objects if one not in KINDS]
    if unknown or not objects:
        raise InputError(f"DICOM objects are chosen from {', '.join(KINDS)}; got {', '.join(unknown) or 'none'}.")
    wanted = tuple(kind for kind in KINDS if kind in objects)
    record = read_record(folder / "result.json")
    report = model.read_report(folder) if (folder / model.FILE_NAME).is_file() else None
    with atomic_folder(out, overwrite=overwrite, ours=FILE_NAME) as target:
        given = [pdf, *([structures / LABELS_FILE, structures / RECORD_FILE] if structures is not None else [])]
        work = _prepare(folder, target, record, report, subject, wanted, sources, progress, given, salt)
        work.deflate, work.with_covariates, work.pdf, work.structures = deflate, with_covariates, pdf, structures
        steps: dict[Kind, Callable[[_Work], None]] = {
            "seg": _write_masks,
            "sr": _write_reports,
            "pm": _write_map,
            "pdf": _write_pdf,
            "sc": _write_pictures,
        }
        meter = Meter("write DICOM", len(wanted), progress)
        for kind in wanted:
            if work.stands or kind in ("pdf", "sc"):
                steps[kind](work)
            meter.step()
        if not work.written:
            raise InputError(" ".join(dict.fromkeys((*work.sources.notes, *work.left_out))) or NOTHING)
        exported = ExportedObjects(
            study_instance_uid=work.envelope.study_uid,
            same_study=work.envelope.same_study,
            identity=subject.choice,
            bundle_status=record.bundle.status,
            labels=record.risk.labels,
            objects=tuple(work.written),
            left_out=tuple(dict.fromkeys(work.left_out)),
            notes=(*work.sources.notes, *work.envelope.notes),
            seconds=round(time.monotonic() - start, 2),
        )
        exported.write(target / FILE_NAME)
    return exported


def _prepare(
    folder: Path,
    out: Path,
    record: CaseRecord,
    report: model.Report | None,
    subject: Subject,
    wanted: tuple[Kind, ...],
    paths: SourcePaths | None,
    progress: ProgressCallback,
    given: Sequence[Path | None],
    salt: bytes | None,
) -> _Work:
    images_needed = subject.choice == "identified" or bool(set(wanted) & {"seg", "sr", "pm"})
    sources = find_sources(record, paths, progress) if images_needed else Sources(None, None)
    header = next((series.headers[0] for series in (sources.ct, sources.pet) if series is not None), None)
    extra = [hashlib.sha256(path.read_bytes()).digest() for path in given if path is not None and path.is_file()]
    content = _digest(folder, report, (subject, wanted, extra), header)
    uids = Uids(content) if subject.choice == "identified" else Uids.untraceable(content, salt)
    envelope = make_envelope(subject, header, record.created, record.bundle.sha256[:16], uids)
    shown = clean_record(record, subject, _identifiers(record, paths, sources))
    # A choice alone says who it is through the images.
    bare = subject.choice == "identified" and not (subject.patient_id or subject.name) and header is not None
    named = read_subject("identified", [header]) if bare and header is not None else subject
    work = _Work(folder, out, record, shown, report, sources, envelope, (), (), wanted, subject, named)
    if sources.ct is not None:
        refused = refuse_unreferable(sources.ct)
        if refused:
            # The description of a series is typed, and may name the patient.
            tell_series = subject.choice == "identified"
            work.left_out.append(refused if tell_series else refused.replace(f" {sources.ct.title}", ""))
        else:
            work.stands = stand_ins(sources.ct, envelope)
            pet = sources.pet if sources.pet is not None and not refuse_unreferable(sources.pet) else None
            work.evidence = (*work.stands, *(stand_ins(pet, envelope) if pet is not None else ()))
    return work


def _identifiers(record: CaseRecord, paths: SourcePaths | None, sources: Sources) -> tuple[Identifier, ...]:
    """What the images and their paths tell of the patient, to be kept out of texts where nobody may be named."""
    found: list[Identifier] = []
    for series in (sources.ct, sources.pet):
        found += identifiers_of(series.headers[0]) if series is not None else ()
    for places in (paths, recorded_paths(record)):
        given = (places.ct, places.pet, places.study) if places is not None else ()
        found += [one for path in given if path is not None for one in identifiers_in_path(path)]
    return tuple(dict.fromkeys(found))


def _digest(folder: Path, report: model.Report | None, asked: object, header: Dataset | None) -> bytes:
    """A digest of everything that the objects are made from."""
    digest = hashlib.sha256(msgspec.json.encode([__version__, asked]))
    if header is not None:
        digest.update(str(header.get("SOPInstanceUID", "")).encode())
    names = [*INPUT_FILES, *(entry.file for entry in report.pictures)] if report else INPUT_FILES
    for name in names:
        path = folder / name
        if path.is_file():
            digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _write_masks(work: _Work) -> None:
    from MemorySurvivalLib.dicom_out import masks
    from MemorySurvivalLib.dicom_out.placing import place_on

    series, record = work.sources.ct, work.record
    assert series is not None
    mask = read_volume(work.folder / "roi.nrrd", "mask")
    segment = masks.region_segment(record.roi, work.envelope)
    layers: list[tuple[ObjectKind, str, Dataset]] = []
    seg = masks.write_masks(
        place_on(mask, series, "mask"),
        [segment],
        series,
        work.stands,
        work.envelope,
        words="Region that prompted the model",
        series_number=SERIES_NUMBERS["region"],
    )
    layers.append(("region", "seg-region", seg))
    segments = (
        masks.lesion_segments([row.lesion for row in record.measurements.lesions], work.envelope)
        if record.measurements is not None
        else ()
    )
    if segments and (work.folder / "lesions.nrrd").is_file():
        labels = read_volume(work.folder / "lesions.nrrd", "lesion map")
        seg = masks.write_masks(
            place_on(labels, series, "lesion map"),
            segments,
            series,
            work.stands,
            work.envelope,
            words="Lesions",
            series_number=SERIES_NUMBERS["lesions"],
        )
        layers.append(("lesions", "seg-lesions", seg))
    if work.structures is not None:
        named = masks.read_structures(work.structures)
        seg = masks.write_masks(
            place_on(read_volume(work.structures / LABELS_FILE, "label map"), series, "label map"),
            named,
            series,
            work.stands,
            work.envelope,
            words="Named structures",
            series_number=SERIES_NUMBERS["structures"],
        )
        layers.append(("structures", "seg-structures", seg))
    for kind, name, ds in layers:
        work.masks[kind] = ds
        work.save(ds, kind, "seg", name)


def _write_reports(work: _Work) -> None:
    from highdicom.seg import Segmentation

    from MemorySurvivalLib.dicom_out.measured import write_measured
    from MemorySurvivalLib.dicom_out.risk import write_risk

    record = work.record
    region, lesions = (work.masks.get(kind) for kind in ("region", "lesions"))
    if record.measurements is None:
        work.left_out.append("The result holds no measurements, so there is no report of them; score with --measure.")
    else:
        measured = write_measured(
            record.measurements,
            record.simulated_case,
            region if isinstance(region, Segmentation) else None,
            lesions if isinstance(lesions, Segmentation) else None,
            work.evidence,
            work.envelope,
            series_number=SERIES_NUMBERS["measurements"],
        )
        work.save(measured, "measurements", "sr", "sr-measurements")
    risk = write_risk(
        record,
        work.evidence,
        work.envelope,
        series_number=SERIES_NUMBERS["risk"],
        with_covariates=work.with_covariates,
    )
    work.save(risk, "risk", "sr", "sr-risk")


def _write_map(work: _Work) -> None:
    from MemorySurvivalLib.dicom_out.heatmap import write_heatmap
    from MemorySurvivalLib.dicom_out.placing import place_on

    record, series = work.record.heatmap, work.sources.ct
    assert series is not None
    if record is None or not (work.folder / record.file).is_file():
        work.left_out.append("The result holds no heatmap, so there is no parametric map; explain it first.")
        return
    placed = place_on(read_volume(work.folder / record.file, "heatmap"), series, "heatmap")
    found = write_heatmap(
        placed,
        record,
        series,
        work.stands,
        work.envelope,
        work.labels,
        series_number=SERIES_NUMBERS["heatmap"],
        deflate=work.deflate,
    )
    work.save(found, "heatmap", "pm", "pm-heatmap")


def _write_pdf(work: _Work) -> None:
    from MemorySurvivalLib.dicom_out.pages import write_pdf

    try:
        pdf = work.pdf.read_bytes() if work.pdf is not None else _draw_pdf(work)
    except InputError as error:  # the package that draws PDF is an extra
        work.left_out.append(str(error))
        return
    ds = write_pdf(
        pdf,
        work.stands if work.envelope.same_study else (),
        work.envelope,
        work.labels,
        named=work.subject.choice != "none",
        series_number=SERIES_NUMBERS["report"],
    )
    work.save(ds, "report", "pdf", "report")


def _draw_pdf(work: _Work) -> bytes:
    """The report drawn anew, so that it names whom the objects name, whatever file lies in the result's folder."""
    from MemorySurvivalLib.report.drawing import FOLDER
    from MemorySurvivalLib.report.writing import make_report, write_formats

    saved = work.report
    if saved is None:
        raise InputError("The result's folder holds no report.json, so there is no report to write; score it again.")
    with reading_quietly():  # it looks through the source's headers, which may break the standard
        report = make_report(work.raw, saved.pictures, saved.where, work.named, saved.findings)
    with tempfile.TemporaryDirectory(prefix="memory-survival-pdf-") as folder:
        write_formats(report, work.folder / FOLDER, Path(folder), ("pdf",))
        return (Path(folder) / "report.pdf").read_bytes()


def _write_pictures(work: _Work) -> None:
    from MemorySurvivalLib.dicom_out.pages import write_picture

    entries = [one for one in work.report.pictures if one.role in KEY_ROLES] if work.report else []
    entries = [one for one in entries if (work.folder / one.file).is_file()]
    if not entries:
        work.left_out.append("The result's folder holds no pictures of a report; make the report first.")
    for number, entry in enumerate(entries, start=1):
        ds = write_picture(
            work.folder / entry.file,
            entry,
            number,
            work.envelope,
            work.labels,
            series_number=SERIES_NUMBERS["picture"],
        )
        work.save(ds, "picture", "sc", f"picture-{number:02d}")
