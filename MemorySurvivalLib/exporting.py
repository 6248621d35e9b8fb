"""A finished result as what leaves this computer: pages, data, DICOM objects, and whom all of them name."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from MemorySurvivalLib.clinical.findings import convert_findings
from MemorySurvivalLib.dicom_out.export import export_dicom
from MemorySurvivalLib.dicom_out.manifest import ExportedObjects, Kind
from MemorySurvivalLib.dicom_out.sources import SourcePaths, recorded_paths
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_folder, explain_os_error
from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.tables import write_lesions, write_segments
from MemorySurvivalLib.privacy import manifest
from MemorySurvivalLib.privacy.burned_in import burned_in_note
from MemorySurvivalLib.privacy.clean import case_identifiers, clean_record, wording_of
from MemorySurvivalLib.privacy.head import PERHAPS_NOTE, Head, find_head, head_note, leave_head_out
from MemorySurvivalLib.privacy.identifiers import Identifier, identifiers_in_path, identifiers_of
from MemorySurvivalLib.privacy.images import clean_image
from MemorySurvivalLib.privacy.pseudonym import load_key
from MemorySurvivalLib.privacy.report import clean_report, may_show_head, shows_body
from MemorySurvivalLib.privacy.scene import SCENE_FILE, place_scene
from MemorySurvivalLib.privacy.subject import keep_subject, read_headers, read_subject
from MemorySurvivalLib.privacy.wording import Wording
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.report.drawing import FOLDER
from MemorySurvivalLib.report.language import ENGLISH
from MemorySurvivalLib.report.model import FILE_NAME, Report, read_report
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.subject import IdentityChoice, Subject
from MemorySurvivalLib.report.writing import Format, Paper, write_formats
from MemorySurvivalLib.sending.guard import check_identity, look_at
from MemorySurvivalLib.sending.nodes import Node
from MemorySurvivalLib.sending.outbox import Outbox, Parcel
from MemorySurvivalLib.sending.sending import send

DICOM_FOLDER = "dicom"
VOLUMES = (
    "roi.nrrd",
    "labels.nrrd",
    "lesions.nrrd",
    "references.nrrd",
    "agreement.nrrd",
    "gradient.nrrd",
    "heatmap.nrrd",
    "heatmap_CT.nrrd",
    "heatmap_PET.nrrd",
)
"""The masks and maps that a result may hold."""

TABLES = ("measurements.json", "segments.csv", "lesions.csv")
_MADE_HERE = (*VOLUMES, *TABLES, "result.json", "report.json", "report.html", "report.csv", "report.pdf")


@dataclass(frozen=True)
class ExportRequest:
    """What of a finished result goes where, and whom it names.

    `folder` is the result's. `out` is a folder that the export makes (None: no files); the DICOM objects in it are in
    a folder of their own. `record` adds result.json, report.json and the pictures, from which the report can be made
    again; `tables` the measurements as JSON and CSV; `volumes` the masks and maps as NRRD. `scene` is a viewer's scene
    of the case (.mrb), searched before it goes along, for `scene_identifiers` too. `sources` says where the DICOM
    images are now, `ct` is the CT in which the head is looked for (an image file or DICOM). `findings` are plain
    values: scores, reading, reviewed_lesions. `scratch` is a private folder for what is under way (None: the system's).
    """

    folder: Path
    out: Path | None = None
    formats: tuple[Format, ...] = ("html",)
    objects: tuple[Kind, ...] = ()
    paper: Paper = "a4"
    language: str = ENGLISH
    identity: IdentityChoice = "none"
    pseudonym: str | None = None
    record: bool = False
    tables: bool = False
    volumes: bool = False
    scene: Path | None = None
    scene_identifiers: tuple[Identifier, ...] = ()
    leave_head_out: bool = False
    ct: Path | None = None
    sources: SourcePaths | None = None
    findings: Mapping[str, Any] | None = None
    confirm_identity: bool = False
    overwrite: bool = False
    scratch: Path | None = None

    @property
    def has_voxels(self) -> bool:
        """Whether masks or maps are asked for."""
        return self.volumes or bool({"seg", "pm"} & set(self.objects))

    @property
    def has_pictures(self) -> bool:
        """Whether anything is asked for that holds the report's pictures."""
        return self.record or bool({"html", "pdf"} & set(self.formats)) or bool({"pdf", "sc"} & set(self.objects))


@dataclass(frozen=True)
class Exported:
    """What was written (files relative to `folder`), what was left out and why, what to know, and what was sent."""

    folder: Path | None
    files: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    subject: Subject = field(default_factory=Subject)
    parcel: Parcel | None = None


@dataclass(frozen=True)
class _Work:
    """A result, and all that decides how it may be shown; `stage` is a copy of it that may be shown."""

    request: ExportRequest
    raw: CaseRecord
    record: CaseRecord
    subject: Subject
    known: tuple[Identifier, ...]
    wording: Wording | None
    head: Head | None
    sources: SourcePaths
    burned_in: str
    stage: Path


def export_result(
    request: ExportRequest,
    *,
    node: Node | None = None,
    token: str | None = None,
    outbox: Outbox | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Exported:
    """Write a result's export whole or not at all, and send its DICOM objects to `node` where one is given.

    Everything is made from the saved result: no score is computed anew, and nothing in the result is changed. Objects
    with the risk of a demonstration bundle are written, never sent. An existing folder is replaced only with
    `overwrite`, and only where it holds an earlier export. export.json lists every file with its hash. Raises
    InputError and OutputError with one sentence; trouble with the node is in the parcel.
    """
    if request.out is None and node is None:
        raise InputError("An export needs a folder or a node to go to.")
    if node is not None and not request.objects:
        raise InputError("Only DICOM objects can be sent to a node; choose at least one kind of object.")
    identified = request.identity == "identified"
    if request.scene is not None and (identified or request.leave_head_out):
        reason = "names nobody" if identified else "shows the head"
        raise InputError(f"A scene copy {reason}, which is not what was chosen; leave it out.")
    if request.out is not None:
        _check_place(request.out, overwrite=request.overwrite)
    with tempfile.TemporaryDirectory(prefix="memory-survival-export-", dir=request.scratch) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        work = _prepare(request, Path(scratch) / "stage")
        without_risk = work.raw.bundle.status == "demonstration"
        exported, left_out, notes = _write(work, made, progress)
        if node is not None:  # what may not go is told before anything is published
            check_identity(look_at([made / DICOM_FOLDER], without_risk=without_risk), identified, node.name)
        files = manifest.list_files(made)
        cut = work.head is not None and work.head.from_z_mm is not None
        manifest.ExportManifest(request.identity, cut, notes, left_out, files).write(made / manifest.FILE_NAME)
        if request.out is not None:
            # Made elsewhere, so that a worker that is killed meanwhile leaves nothing beside the user's folders.
            with atomic_folder(request.out, overwrite=request.overwrite, ours=manifest.FILE_NAME) as target:
                for name in (*(one.name for one in files), manifest.FILE_NAME):
                    (target / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(made / name, target / name)
        parcel = None
        if node is not None:
            parcel = send(
                [made / DICOM_FOLDER],
                node,
                identified=identified,
                without_risk=without_risk,
                token=token,
                outbox=outbox,
                progress=progress,
            )
            if without_risk and exported is not None and len(exported.sendable) < len(exported.objects):
                sent = "Objects with the risk of the demonstration model were not sent; the others were."
                notes = (*notes, sent)
    names = tuple(one.name for one in files) if request.out is not None else ()
    return Exported(request.out, names, left_out, notes, work.subject, parcel)


class _FreeError(Exception):
    """Ends the making of a folder that was only begun to see whether it could be made."""


def _check_place(out: Path, *, overwrite: bool) -> None:
    """Say what is wrong with the target before there is work to lose. Raises OutputError."""
    with suppress(_FreeError), atomic_folder(out, overwrite=overwrite, ours=manifest.FILE_NAME):
        raise _FreeError


def _prepare(request: ExportRequest, stage: Path) -> _Work:
    record = read_record(request.folder / "result.json")
    sources = request.sources or recorded_paths(record)
    places = [path for path in (sources.study, sources.ct, sources.pet) if path is not None and path.exists()]
    confirmed = request.confirm_identity or record.request.get("confirm_identity") is True
    subject = keep_subject(request.identity, read_report(request.folder).subject, request.pseudonym)
    if subject is None:
        subject = read_subject(request.identity, places, request.pseudonym, confirmed=confirmed)
    headers = [header for path in places for header in read_headers(path, few=True)]
    known: tuple[Identifier, ...] = ()
    if request.identity != "identified":  # images that lie elsewhere now tell names, too
        told = [each for header in headers for each in identifiers_of(header)]
        told += [each for path in places for each in identifiers_in_path(path)]
        known = tuple(dict.fromkeys((*case_identifiers(record), *told)))
    head = None
    if request.leave_head_out and (request.has_voxels or request.has_pictures):
        head = _find_head(request, sources)
    stage.mkdir()
    return _Work(
        request=request,
        raw=record,
        record=clean_record(record, subject, known),
        subject=subject,
        known=known,
        wording=None if request.identity == "identified" else wording_of(record, known),
        head=head,
        sources=sources,
        burned_in=burned_in_note(headers),
        stage=stage,
    )


def _find_head(request: ExportRequest, sources: SourcePaths) -> Head:
    path = request.ct or sources.of("CT")
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


def _write(
    work: _Work, made: Path, progress: ProgressCallback
) -> tuple[ExportedObjects | None, tuple[str, ...], tuple[str, ...]]:
    """Everything that was asked for into `made`; the DICOM objects' list, what was left out, and what to know."""
    request = work.request
    meter = Meter("write report", 1, progress)
    try:
        _stage_volumes(work)
        report, hidden = _stage_report(work)
        if request.formats:
            write_formats(report, work.stage / FOLDER, made, request.formats, request.paper, request.language)
        if request.record:
            work.record.write(made / "result.json")
            report.write(made / FILE_NAME)
            if (work.stage / FOLDER).is_dir():
                shutil.copytree(work.stage / FOLDER, made / FOLDER)
        if request.tables:
            _write_tables(work.record, made)
        if request.volumes:
            for path in sorted(work.stage.glob("*.nrrd")):
                shutil.copyfile(path, made / path.name)
        if request.scene is not None:
            place_scene(request.scene, made / SCENE_FILE, work.subject, (*work.known, *request.scene_identifiers))
        meter.step()
        exported = _write_objects(work, report, made, progress)
    except OSError as error:
        raise explain_os_error(error, request.out or made) from error
    left_out = [*hidden, *_stayed_behind(work)]
    if exported is not None:
        left_out += exported.left_out if work.wording is None else map(work.wording.clean, exported.left_out)
    return exported, tuple(left_out), _notes(work, report, exported)


def _stage_volumes(work: _Work) -> None:
    """Clean copies of the masks and maps; without the head where that was asked for."""
    request, head = work.request, work.head
    shutil.copyfile(request.folder / "result.json", work.stage / "result.json")  # export_dicom cleans it by itself
    if not request.has_voxels:
        return
    heatmap = (work.raw.heatmap.file,) if work.raw.heatmap is not None else ()
    for name in dict.fromkeys((*VOLUMES, *heatmap)):
        source = request.folder / name
        if not source.is_file():
            continue
        volume = clean_image(read_volume(source, name), work.wording)
        rest = volume if head is None else leave_head_out(volume, head)
        if head is not None and name == "roi.nrrd" and volume.voxels.any() and not rest.voxels.any():
            raise InputError(_nothing_left(head))
        write_volume(rest, work.stage / name)


def _nothing_left(head: Head) -> str:
    if head.known:
        rule = head.rule.rstrip(".")
        return f"Nothing of the region is left without the head ({rule}); export with the head in."
    return (
        f"Nothing of the region would be left without the head, but this is a precaution: {head.rule} Look whether the "
        "images show a face, and export with the head in where they do not."
    )


def _stage_report(work: _Work) -> tuple[Report, list[str]]:
    """The report as it may be shown, with its pictures, and a sentence for each picture that may not be shown."""
    request, head = work.request, work.head
    saved = read_report(request.folder)
    findings = saved.findings if request.findings is None else convert_findings(request.findings)
    report = clean_report(replace(saved, findings=findings), work.record, work.subject, work.known, work.wording)
    hidden = [one for one in report.pictures if head is not None and may_show_head(one, work.raw, head)]
    report = replace(report, pictures=tuple(one for one in report.pictures if one not in hidden))
    for picture in report.pictures if request.has_pictures else ():
        if (request.folder / picture.file).is_file():
            (work.stage / picture.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(request.folder / picture.file, work.stage / picture.file)
    report.write(work.stage / FILE_NAME)
    return report, [f'The picture "{one.title}" may show the head, so it was left out.' for one in hidden]


def _write_tables(record: CaseRecord, folder: Path) -> None:
    measured = record.measurements
    if measured is None:
        return
    as_json, segments, lesions = (folder / name for name in TABLES)
    as_json.write_bytes(measured.as_json())
    write_segments((measured.roi, *measured.segments), segments)
    write_lesions(measured.lesions, lesions)


def _write_objects(work: _Work, report: Report, made: Path, progress: ProgressCallback) -> ExportedObjects | None:
    request, pdf = work.request, None
    if not request.objects:
        return None
    if "pdf" in request.objects:
        pdf = made / "report.pdf"
        if not pdf.is_file():
            pdf = work.stage / "report.pdf"
            write_formats(report, work.stage / FOLDER, work.stage, ("pdf",), request.paper, request.language)
    return export_dicom(
        work.stage,
        made / DICOM_FOLDER,
        work.subject,
        request.objects,
        work.sources,
        progress,
        pdf=pdf,
        # With one key the objects of a study stay together from one export to the next.
        salt=load_key() if request.identity == "pseudonym" else None,
    )


def _stayed_behind(work: _Work) -> list[str]:
    """Where a copy of the result is asked for: how many files in it are others'. Their names may be the patient's."""
    request, heatmap = work.request, work.raw.heatmap
    ours = (*_MADE_HERE, heatmap.file if heatmap is not None else "")
    if not (request.record or request.tables or request.volumes):
        return []
    strange = sum(path.is_file() and path.name not in ours for path in request.folder.iterdir())
    files = "One file" if strange == 1 else f"{strange} files"
    return [f"{files} that this software did not make stayed behind, because it cannot clean them."] if strange else []


def _notes(work: _Work, report: Report, exported: ExportedObjects | None) -> tuple[str, ...]:
    """What pictures and voxels may still show of the patient, where there are any and the patient is not named anyway.

    That the head was left out is told in any case.
    """
    notes = list(exported.notes) if exported is not None else []
    pictures = work.request.has_pictures and any(shows_body(one) for one in report.pictures)
    named = work.request.identity == "identified"
    if work.head is not None:
        notes += filter(None, (head_note(work.head), work.head.rule))
    elif (pictures or work.request.has_voxels or work.request.scene is not None) and not named:
        notes.append(PERHAPS_NOTE)
    if pictures and work.burned_in and not named:
        notes.append(work.burned_in)
    return tuple(notes)
