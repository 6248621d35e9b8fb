"""A copy of a result folder that may be given away: every file in it says no more than the user chose."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.clinical.record import ClinicalFindings
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_folder, explain_os_error
from MemorySurvivalLib.imaging.case import SIMULATED_ATTRIBUTE
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.tables import write_lesions, write_segments
from MemorySurvivalLib.privacy.burned_in import burned_in_note
from MemorySurvivalLib.privacy.clean import SEGMENTERS, case_identifiers, clean_findings, clean_record, wording_of
from MemorySurvivalLib.privacy.head import Head, head_note, leave_head_out
from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.privacy.subject import read_headers
from MemorySurvivalLib.privacy.wording import Wording
from MemorySurvivalLib.report.flags import find_flags
from MemorySurvivalLib.report.model import FILE_NAME, PictureEntry, Report, read_report
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.subject import IdentityChoice, Subject
from MemorySurvivalLib.report.writing import Format, write_formats
from MemorySurvivalLib.roi.provenance import ROI_ATTRIBUTE, RoiStamp, read_stamp

MANIFEST = "export.json"
FORMATS: tuple[Format, ...] = tuple(form for form in get_args(Format) if form != "pdf")

_KEPT_ATTRIBUTES = ("research_use", "meaning", "unit", SIMULATED_ATTRIBUTE)
_MADE_ANEW = "result.json report.json report.html report.csv report.pdf measurements.json segments.csv lesions.csv"
_IMAGES = "roi labels lesions references agreement gradient heatmap heatmap_CT heatmap_PET"
_WHOLE_BODY = ("overview", "hotspot")


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export and the hash of its bytes."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ExportManifest:
    """What an export holds and whom it names; `notes` say what the receiver must know, `left_out` what is not in it."""

    identity: IdentityChoice
    head_left_out: bool
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    files: tuple[ExportedFile, ...]
    research_use: str = RESEARCH_USE
    schema: str = "memory-survival-export"
    schema_version: int = 1


def export_result(
    result: Path,
    out: Path,
    subject: Subject,
    *,
    head: Head | None = None,
    without_head: bool = False,
    identifiers: Iterable[Identifier] | None = None,
    formats: Sequence[Format] = FORMATS,
    overwrite: bool = False,
) -> ExportManifest:
    """Copy a result folder into `out` as `subject` allows: records, tables, masks, maps, pictures, the report anew.

    Nothing in `result` is changed; `out` appears whole or not at all. `head` says where the head begins (`find_head`);
    `without_head` sets masks and maps to zero there and leaves the pictures of the body out. `identifiers` are what is
    known of the patient, by default what the record's own sources tell (`case_identifiers`). Raises InputError where
    `result` is no result folder or `without_head` lacks a `head`, OutputError where `out` holds something already.
    """
    if without_head and head is None:
        raise InputError("To leave the head out one must know where it begins; give the CT, or export with the head.")
    record = read_record(result / "result.json")
    known = tuple(case_identifiers(record) if identifiers is None else identifiers)
    shown = clean_record(record, subject, known)
    wording = None if subject.choice == "identified" else wording_of(record, known)
    cut = head if without_head else None
    with atomic_folder(out, overwrite=overwrite, ours=MANIFEST) as folder:
        shown.write(folder / "result.json")
        _write_tables(shown, folder)
        left_out = _write_images(result, folder, wording, cut)
        if (result / FILE_NAME).is_file():
            pictures = _write_report(read_report(result), shown, subject, known, wording, result, folder, formats, cut)
            left_out += [f"The picture {entry.title!r} shows the body, so it was left out." for entry in pictures]
        manifest = ExportManifest(
            subject.choice, without_head, _notes(record, head, without_head), tuple(left_out), _listed(folder)
        )
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return manifest


def clean_report(
    report: Report,
    shown: CaseRecord,
    subject: Subject,
    identifiers: Iterable[Identifier] = (),
    wording: Wording | None = None,
) -> Report:
    """The report about a cleaned record, for a subject: its findings, flags and pictures' words cleaned too."""
    words = wording or Wording()
    pictures = tuple(
        entry if wording is None else replace(entry, title=words.clean(entry.title), alt=words.clean(entry.alt))
        for entry in report.pictures
    )
    return replace(
        report,
        subject=subject,
        record=shown,
        findings=clean_findings(report.findings or ClinicalFindings(), subject, identifiers),
        pictures=pictures,
        flags=find_flags(shown),
    )


def _write_report(
    report: Report,
    shown: CaseRecord,
    subject: Subject,
    known: tuple[Identifier, ...],
    wording: Wording | None,
    result: Path,
    folder: Path,
    formats: Sequence[Format],
    cut: Head | None,
) -> tuple[PictureEntry, ...]:
    """The pictures that may go along and the report in each format; gives back the pictures that may not."""
    made = clean_report(report, shown, subject, known, wording)
    hidden = tuple(
        one for one in made.pictures if cut is not None and cut.from_z_mm is not None and one.role in _WHOLE_BODY
    )
    made = replace(made, pictures=tuple(one for one in made.pictures if one not in hidden))
    for entry in made.pictures:
        target = folder / entry.file
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((result / entry.file).read_bytes())
        except FileNotFoundError as error:
            raise InputError(f"{result} lacks the picture {entry.file}; score the case again.") from error
        except OSError as error:
            raise explain_os_error(error, target) from error
    made.write(folder / FILE_NAME)
    pages = [form for form in formats if form != "json"]
    if pages:
        write_formats(made, folder / "pictures", folder, pages, overwrite=True)
    return hidden


def _notes(record: CaseRecord, head: Head | None, without_head: bool) -> tuple[str, ...]:
    """What pictures and voxels may still show of the patient."""
    headers = [header for source in record.inputs.values() for header in read_headers(Path(source.path), few=True)]
    face = "" if head is None else head_note(head, left_out=without_head)
    return tuple(filter(None, (face, burned_in_note(headers))))


def _write_tables(shown: CaseRecord, folder: Path) -> None:
    measured = shown.measurements
    if measured is None:
        return
    try:
        (folder / "measurements.json").write_bytes(measured.as_json())
    except OSError as error:
        raise explain_os_error(error, folder) from error
    write_segments((measured.roi, *measured.segments), folder / "segments.csv")
    write_lesions(measured.lesions, folder / "lesions.csv")


def _write_images(result: Path, folder: Path, wording: Wording | None, cut: Head | None) -> list[str]:
    """Masks and maps, without what others wrote into their headers; other files stay behind, and are told of."""
    left = 0
    for path in sorted(result.iterdir()):
        if path.suffix == ".nrrd" and path.stem in _IMAGES.split():
            volume = clean_image(read_volume(path, path.name), wording)
            write_volume(volume if cut is None else leave_head_out(volume, cut), folder / path.name)
        elif path.name not in _MADE_ANEW.split() and path.is_file():
            left += 1
    # Their names may be the patient's.
    files = "One file" if left == 1 else f"{left} files"
    return [f"{files} that this software did not make stayed behind, because it cannot clean them."] if left else []


def clean_image(volume: Volume, wording: Wording | None) -> Volume:
    """The same voxels with only those attributes that this software writes; the mask's stamp cleaned.

    `wording` None (an identified export) keeps the stamp as it is.
    """
    kept = {key: volume.attributes[key] for key in _KEPT_ATTRIBUTES if key in volume.attributes}
    stamp = read_stamp(volume)
    if stamp is not None:
        kept[ROI_ATTRIBUTE] = (stamp if wording is None else _clean_stamp(stamp, wording)).as_text()
    kept["research_use"] = RESEARCH_USE
    return Volume(volume.voxels, volume.affine, kept)


def _clean_stamp(stamp: RoiStamp, wording: Wording) -> RoiStamp:
    parts = []
    for part in stamp.parts:
        settings = part.maker.settings if part.maker.method in SEGMENTERS else ""
        maker = replace(part.maker, method=wording.clean(part.maker.method), settings=settings)
        parts.append(replace(part, name=wording.clean(part.name), maker=maker))
    return replace(stamp, parts=tuple(parts))


def _listed(folder: Path) -> tuple[ExportedFile, ...]:
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        data = path.read_bytes()
        found.append(ExportedFile(path.relative_to(folder).as_posix(), hashlib.sha256(data).hexdigest(), len(data)))
    return tuple(found)
