"""A case's record and findings as an export may show them: nothing of the patient beyond what the user chose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import msgspec

from MemorySurvivalLib.clinical.record import ClinicalFindings, VisualReading
from MemorySurvivalLib.clinical.staging_fields import STAGING_FIELDS
from MemorySurvivalLib.privacy.identifiers import Identifier, identifiers_in_path, identifiers_of
from MemorySurvivalLib.privacy.subject import read_headers
from MemorySurvivalLib.privacy.wording import REMOVED, Wording, neutral_names
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.risk.covariate_fields import plain_name
from MemorySurvivalLib.roi.labelled import METHOD
from MemorySurvivalLib.roi.segmenters.moose import Moose
from MemorySurvivalLib.roi.segmenters.totalsegmentator import TotalSegmentator

NEUTRAL = {
    "ct": "CT",
    "pet": "PET",
    "study": "study",
    "roi": "mask",
    "roi_generated": "mask as generated",
    "covariates": "covariates",
    "out": "result",
}
"""The paths of a request, and what an export calls them."""

SEGMENTERS = (METHOD, TotalSegmentator.title, Moose.title)
"""Makers of masks that state their own settings; for any other they are the name of the mask's file."""

READER = "a reader"
"""Who confirmed a form, where an export may not name people."""

_OURS = (
    "created schema schema_version research_use software bundle kind severity modality modalities risk_group "
    "risk_groups head labels group readout orientation device sha256 generated_sha256 meaning rule unit verdict fill "
    "category_title reference file version status citation citations key times_months "
    "statistics learned_from"
)
"""Keys of a record whose values this software or the bundle made up; they can name no patient."""

_PANELS = re.compile(
    r"(Confirmed by the user although: |Scored without |The (CT|PET|images|mask|region|values supplied)\b)"
)
"""How the sentences begin that a viewer hands over with a request; any other was typed by somebody."""

_SERIES = re.compile(r'^DICOM series "(.*)" of (\d+) images$', re.DOTALL)


def case_identifiers(record: CaseRecord) -> tuple[Identifier, ...]:
    """What the record's own sources, where they are still there, tell of the patient: to be kept out of an export.

    DICOM headers of the CT and PET, and the telling words of the paths of all inputs. Reads files; an input that is
    gone adds the words of its path alone.
    """
    found: list[Identifier] = []
    for path in _paths(record):
        found += identifiers_in_path(path)
    for source in record.inputs.values():
        for header in read_headers(Path(source.path), few=True):
            found += identifiers_of(header)
    return tuple(dict.fromkeys(found))


def clean_record(record: CaseRecord, subject: Subject, identifiers: Iterable[Identifier] = ()) -> CaseRecord:
    """The record without what may tell who the patient is, as far as `subject.choice` asks.

    Always: paths become neutral names ("CT", "mask"), the result's folder goes. An identified export keeps the names of
    files and everything else. Otherwise also: descriptions of series, series UIDs, dates and clock times of the
    examination, names of segments that are not anatomy, makers' settings that are names of files, covariates that
    neither the model nor the staging scores know, and every word in `identifiers` (see `case_identifiers`). All
    numbers, hashes and the time when the record was made (`created`) stay.
    """
    identified = subject.choice == "identified"
    plain = record.as_builtins()
    plain["request"] = _request(record, identified)
    for modality, source in plain["inputs"].items():
        source["path"] = _file_name(source["path"]) if identified else modality
    if identified:
        cleaned = _walk(plain, _PathsOnly({str(path): path.name for path, _neutral in _named_paths(record)}))
    else:
        plain = _without_details(plain, record)
        cleaned = _walk(plain, wording_of(record, identifiers))
    made: CaseRecord = msgspec.convert(cleaned, CaseRecord)
    return made


def wording_of(record: CaseRecord, identifiers: Iterable[Identifier] = ()) -> Wording:
    """How texts that belong to a record are cleaned for an export that names nobody, or only a pseudonym."""
    known = {str(path): neutral for path, neutral in _named_paths(record)}
    return Wording(known | _typed_names(record), tuple(identifiers))


def clean_findings(
    findings: ClinicalFindings, subject: Subject, identifiers: Iterable[Identifier] = ()
) -> ClinicalFindings:
    """Scores and form as an export may show them: unless identified, without the reader's name, remarks and the day.

    Answers stay: a form offers them, nobody types them.
    """
    if subject.choice == "identified" or findings.reading is None:
        return findings
    wording = Wording({}, tuple(identifiers))
    return replace(findings, reading=_clean_reading(findings.reading, wording))


def _clean_reading(reading: VisualReading, wording: Wording) -> VisualReading:
    items = tuple(replace(item, basis=wording.clean(item.basis)) for item in reading.items)
    reader = READER if reading.reader else ""
    return replace(reading, items=items, reader=reader, confirmed_at="", notes=())


class _PathsOnly:
    """Puts names of files in the place of their paths, and leaves everything else."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = sorted(names.items(), key=lambda pair: -len(pair[0]))

    def clean(self, text: str) -> str:
        """The text without folders."""
        for path, name in self._names:
            text = text.replace(path, name)
        return text


def _walk(value: Any, wording: Wording | _PathsOnly) -> Any:
    """Every text of a plain tree cleaned, but for those that this software made up."""
    if isinstance(value, str):
        return wording.clean(value)
    if isinstance(value, dict):
        return {key: one if key in _OURS.split() else _walk(one, wording) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(one, wording) for one in value]
    return value


def _request(record: CaseRecord, identified: bool) -> dict[str, Any]:
    """The request without folders; unless identified without anything that a person typed about the patient."""
    made: dict[str, Any] = {}
    for key, value in record.request.items():
        if value is None or value == "None":
            made[key] = None
        elif key == "out":
            made[key] = NEUTRAL["out"]
        elif key in NEUTRAL:
            made[key] = _file_name(str(value)) if identified else NEUTRAL[key]
        elif key == "bundle":
            made[key] = record.bundle.name
        elif key == "roi_labels" and _is_path(str(value)):
            made[key] = _file_name(str(value)) if identified else "labels"
        elif identified:
            made[key] = value
        elif key in ("ct_series", "pet_series"):
            made[key] = f"{key.removesuffix('_series').upper()} series"
        elif key == "covariate_values":
            made[key] = _known_covariates(value, record)
        elif key == "notes":
            made[key] = [note for note in value if _PANELS.match(note)]
        else:
            made[key] = value
    return made


def _without_details(plain: dict[str, Any], record: CaseRecord) -> dict[str, Any]:
    """Values of their own that no sentence holds: typed columns, makers' files, descriptions of series."""
    origin = plain["acquisition"]["origin"]
    for modality, text in origin.items():
        series = _SERIES.match(text)
        origin[modality] = f"DICOM series of {series[2]} images" if series else text
    for part in plain["roi"]["parts"]:
        if part["maker"]["method"] not in SEGMENTERS:
            part["maker"]["settings"] = ""
    covariates = plain["risk"]["covariates"]
    if covariates is not None:
        covariates["ignored"] = []
    plain["given"] = _known_covariates(plain["given"], record)
    typed = {note for note in record.request.get("notes") or () if not _PANELS.match(note)}
    plain["notes"] = [note for note in plain["notes"] if note not in typed]
    return plain


def _known_covariates(values: Any, record: CaseRecord) -> dict[str, Any]:
    """Of covariates by name those that the model or a staging score knows; anything else may be a name or a remark."""
    known = {plain_name(field.name) for field in STAGING_FIELDS}
    if record.risk.covariates is not None:
        known |= {plain_name(name) for name in (*record.risk.covariates.used, *record.risk.covariates.missing)}
    return {name: one for name, one in dict(values).items() if plain_name(name) in known}


def _typed_names(record: CaseRecord) -> dict[str, str]:
    """Texts that people typed and sentences of the record repeat -> what stands in their place."""
    names = [part.name for part in record.roi.parts]
    if record.heatmap is not None:
        names += [spot.site.removeprefix("near ") for spot in record.heatmap.hotspots]
    if record.measurements is not None:
        names += [row.name for row in record.measurements.segments]
        names += [row.lesion.site.removeprefix("near ") for row in record.measurements.lesions]
    made = neutral_names(names)
    if record.request.get("roi_segment"):
        made |= neutral_names([str(record.request["roi_segment"])])
    for text in record.acquisition.origin.values():
        series = _SERIES.match(text)
        if series and series[1].strip():
            made[series[1]] = "series"
    for part in record.roi.parts:
        if part.maker.settings and part.maker.method not in SEGMENTERS:
            made[part.maker.settings] = REMOVED
    return made


def _paths(record: CaseRecord) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(Path(str(path)) for path, _neutral in _named_paths(record)))


def _named_paths(record: CaseRecord) -> list[tuple[PurePosixPath | PureWindowsPath, str]]:
    """Every path that the record holds, and what an export calls it."""
    found = []
    for key, neutral in NEUTRAL.items():
        value = record.request.get(key)
        if value and value != "None":
            found.append((_pure(str(value)), neutral))
    for modality, source in record.inputs.items():
        if source.path and source.path != modality:
            found.append((_pure(source.path), modality))
    return found


def _pure(text: str) -> PurePosixPath | PureWindowsPath:
    """A path of whichever system the record was made on."""
    return PureWindowsPath(text) if "\\" in text or text[1:3] == ":/" else PurePosixPath(text)


def _file_name(text: str) -> str:
    return _pure(text).name


def _is_path(text: str) -> bool:
    return "/" in text or "\\" in text or _is_file_like(text)


def _is_file_like(text: str) -> bool:
    return bool(re.search(r"\.(nrrd|nii|gz|mha|mhd|nhdr|dcm|csv|json|txt|seg)$", text, re.IGNORECASE))
