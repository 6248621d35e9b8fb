"""A finished result as what leaves this computer: pages, data, DICOM objects, and whom all of them name."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.clinical.findings import convert_findings
from MemorySurvivalLib.dicom_out.export import export_dicom
from MemorySurvivalLib.dicom_out.manifest import ExportedObjects, Kind
from MemorySurvivalLib.dicom_out.sources import SourcePaths, recorded_paths
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_folder, explain_os_error
from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.privacy.clean import case_identifiers, clean_findings, clean_record
from MemorySurvivalLib.privacy.head import HEADLESS_NOTE, PERHAPS_NOTE, Head, find_head, leave_head_out
from MemorySurvivalLib.privacy.identifiers import identifiers_of
from MemorySurvivalLib.privacy.subject import read_headers, read_subject
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.report.drawing import FOLDER
from MemorySurvivalLib.report.language import ENGLISH
from MemorySurvivalLib.report.model import PictureEntry, Report, read_report
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.subject import IdentityChoice, Subject
from MemorySurvivalLib.report.writing import Format, Paper, make_report, write_formats
from MemorySurvivalLib.sending.guard import check_identity, look_at
from MemorySurvivalLib.sending.nodes import Node
from MemorySurvivalLib.sending.outbox import Outbox, Parcel
from MemorySurvivalLib.sending.sending import send

DICOM_FOLDER = "dicom"
VOLUMES = ("roi.nrrd", "heatmap.nrrd", "lesions.nrrd")
_NEAR_MM = 80.0
"""A close-up shows this much around its hotspot."""


@dataclass(frozen=True)
class ExportRequest:
    """What of a finished result goes where, and whom it names.

    `folder` is the result's. `out` is a folder that the export makes (None: no files); the DICOM objects in it are in
    a folder of their own. `volumes` adds mask, heatmap and lesions as NRRD. `sources` says where the DICOM images are
    now, `ct` is the CT in which the head is looked for (an image file or DICOM). `findings` are plain values: scores,
    reading, reviewed_lesions. `scratch` is a private folder for what is under way (None: the system's).
    """

    folder: Path
    out: Path | None = None
    formats: tuple[Format, ...] = ("html",)
    objects: tuple[Kind, ...] = ()
    paper: Paper = "a4"
    language: str = ENGLISH
    identity: IdentityChoice = "none"
    pseudonym: str | None = None
    volumes: bool = False
    leave_head_out: bool = False
    ct: Path | None = None
    sources: SourcePaths | None = None
    findings: Mapping[str, Any] | None = None
    confirm_identity: bool = False
    overwrite: bool = False
    scratch: Path | None = None


@dataclass(frozen=True)
class Exported:
    """What was written (files relative to `folder`), what was left out and why, what to know, and what was sent."""

    folder: Path | None
    files: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    subject: Subject = field(default_factory=Subject)
    parcel: Parcel | None = None


def export_result(
    request: ExportRequest,
    *,
    node: Node | None = None,
    token: str | None = None,
    outbox: Outbox | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Exported:
    """Write a result's export whole or not at all, and send its DICOM objects to `node` where one is given.

    Everything is made from the saved result: no score is computed anew. Objects with the risk of a demonstration
    bundle are written, never sent. An existing folder is replaced only with `overwrite`, and only where it holds an
    earlier export. Raises InputError and OutputError with one sentence; trouble with the node is in the parcel.
    """
    if request.out is None and node is None:
        raise InputError("An export needs a folder or a node to go to.")
    if node is not None and not request.objects:
        raise InputError("Only DICOM objects can be sent to a node; choose at least one kind of object.")
    record = read_record(request.folder / "result.json")
    sources = request.sources or recorded_paths(record)
    subject = read_subject(
        request.identity,
        [path for path in (sources.study, sources.ct, sources.pet) if path is not None and path.exists()],
        request.pseudonym,
        confirmed=request.confirm_identity,
    )
    head = _find_head(request, record) if request.leave_head_out else None
    with tempfile.TemporaryDirectory(prefix="memory-survival-export-", dir=request.scratch) as scratch:
        stage = Path(scratch) / "stage"
        _stage_volumes(request, record, stage, head)
        report = _stage_report(request, record, subject, stage, head)
        made = Path(scratch) / "made"
        made.mkdir()
        Meter("write report", 1, progress).step()
        if request.formats:
            write_formats(report, stage / FOLDER, made, request.formats, request.paper, request.language)
        exported = _make_objects(request, report, subject, stage, made, sources, progress)
        if request.volumes:
            for name in VOLUMES:
                if (stage / name).is_file():
                    shutil.copyfile(stage / name, made / name)
        without_risk = record.bundle.status == "demonstration"
        if node is not None:  # what may not go is told before anything is written
            items = look_at([made / DICOM_FOLDER], without_risk=without_risk)
            check_identity(items, request.identity == "identified", node.name)
        files = tuple(sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()))
        if request.out is not None:
            _publish(made, request.out, files, subject, overwrite=request.overwrite)
        parcel = None
        if node is not None:
            parcel = send(
                [made / DICOM_FOLDER],
                node,
                identified=request.identity == "identified",
                without_risk=without_risk,
                token=token,
                outbox=outbox,
                progress=progress,
            )
    notes = _notes(request, exported, record, head, sent=node is not None)
    return Exported(
        folder=request.out,
        files=files if request.out is not None else (),
        left_out=exported.left_out if exported is not None else (),
        notes=notes,
        subject=subject,
        parcel=parcel,
    )


def _find_head(request: ExportRequest, record: CaseRecord) -> Head:
    path = request.ct or (request.sources or recorded_paths(record)).of("CT")
    if path is None or not path.exists():
        raise InputError(
            "The head can only be left out where the CT is at hand, which shows where it begins; say where the CT is."
        )
    return find_head(_read_ct(path))


def _read_ct(path: Path) -> Volume:
    if not is_dicom_source(path):
        return read_volume(path, "CT")
    from MemorySurvivalLib.imaging.dicom_pixels import read_series
    from MemorySurvivalLib.imaging.dicom_scan import scan
    from MemorySurvivalLib.imaging.study import choose_one

    return read_series(choose_one(scan(path), "CT"))


def _stage_volumes(request: ExportRequest, record: CaseRecord, stage: Path, head: Head | None) -> None:
    """Copies of everything that objects are made from; without the head where that was asked for."""
    stage.mkdir()
    heatmap = record.heatmap.file if record.heatmap is not None else "heatmap.nrrd"
    shutil.copyfile(request.folder / "result.json", stage / "result.json")
    for name in dict.fromkeys((*VOLUMES, heatmap, "labels.nrrd")):
        source = request.folder / name
        if not source.is_file():
            continue
        if head is None or head.from_z_mm is None:
            shutil.copyfile(source, stage / name)
        else:
            volume = read_volume(source, name)
            rest = leave_head_out(volume, head)
            if name == "roi.nrrd" and volume.voxels.any() and not rest.voxels.any():
                raise InputError(
                    f"Nothing of the region is left without the head ({head.rule}); export with the head in."
                )
            write_volume(rest, stage / name)


def _stage_report(
    request: ExportRequest, record: CaseRecord, subject: Subject, stage: Path, head: Head | None
) -> Report:
    """The report as it may be shown: whom it names, cleaned of the rest, with this computer's findings on it."""
    saved = read_report(request.folder)
    findings = saved.findings if request.findings is None else convert_findings(request.findings)
    if subject.choice != "identified" and request.sources is not None:  # images that lie elsewhere now tell names, too
        places = {path for path in (request.sources.study, request.sources.ct, request.sources.pet) if path is not None}
        told = [each for path in places for header in read_headers(path) for each in identifiers_of(header)]
        identifiers = (*case_identifiers(record), *told)
        record = clean_record(record, subject, identifiers)
        findings = clean_findings(findings, subject, identifiers)
    pictures = tuple(each for each in saved.pictures if head is None or not _may_show(each, record, head))
    for picture in pictures:
        if (request.folder / picture.file).is_file():
            (stage / picture.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(request.folder / picture.file, stage / picture.file)
    report = make_report(record, pictures, saved.where, subject, findings)
    report.write(stage / "report.json")
    return report


def _may_show(picture: PictureEntry, record: CaseRecord, head: Head) -> bool:
    """Whether a picture may show the head: the whole body, or what lies around a hotspot near it."""
    if head.from_z_mm is None or picture.role in ("reference", "survival"):
        return False
    number = "".join(each for each in picture.name if each.isdigit())
    hotspots = {each.number: each for each in record.heatmap.hotspots} if record.heatmap is not None else {}
    near = hotspots.get(int(number)) if picture.role == "hotspot" and number else None
    return near is None or near.position_lps_mm[2] > head.from_z_mm - _NEAR_MM


def _make_objects(
    request: ExportRequest,
    report: Report,
    subject: Subject,
    stage: Path,
    made: Path,
    sources: SourcePaths,
    progress: ProgressCallback,
) -> ExportedObjects | None:
    if not request.objects:
        return None
    if "pdf" in request.objects:
        pdf = made / "report.pdf"
        if not pdf.is_file():
            write_formats(report, stage / FOLDER, stage, ("pdf",), request.paper, request.language)
        else:
            shutil.copyfile(pdf, stage / "report.pdf")
    return export_dicom(stage, made / DICOM_FOLDER, subject, request.objects, sources, progress)


def _publish(made: Path, out: Path, files: tuple[str, ...], subject: Subject, *, overwrite: bool) -> None:
    """Put what was made in its place, with a list of what it is; an earlier export there only goes when asked."""
    with atomic_folder(out, overwrite=overwrite, ours="export.json") as target:
        try:
            shutil.copytree(made, target, dirs_exist_ok=True)
            listed = {"schema": "memory-survival-export", "schema_version": 1, "identity": subject.choice}
            (target / "export.json").write_bytes(
                msgspec.json.format(msgspec.json.encode({**listed, "files": files}), indent=1)
            )
        except OSError as error:
            raise explain_os_error(error, out) from error


def _notes(
    request: ExportRequest, exported: ExportedObjects | None, record: CaseRecord, head: Head | None, *, sent: bool
) -> tuple[str, ...]:
    notes = list(exported.notes) if exported is not None else []
    if head is None:
        notes.append(PERHAPS_NOTE)
    elif head.from_z_mm is not None:
        notes += [HEADLESS_NOTE, head.rule]
    if sent and record.bundle.status == "demonstration":
        notes.append("Objects with the risk of the demonstration model were not sent; masks and measurements were.")
    return tuple(notes)
