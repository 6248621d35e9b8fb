"""A viewer's scene (.mrb) as an export takes it: searched for what names the patient, and under the export's code."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.privacy.identifiers import SHORT, Identifier, normalise
from MemorySurvivalLib.privacy.scan import Finding, find_in_bytes
from MemorySurvivalLib.report.subject import Subject

SCENE_FILE = "scene.mrb"
PLACEHOLDER = "Subject of this scene"
"""What the viewer calls the patient; the code of the export takes its place."""

_OURS = (
    "Data scene CT PET Heatmap Regions Lesions Colours of Place of segment lesion Volume Segmentation Display Storage "
    "VolumeArchetypeStorage ColorTable Transform SubjectHierarchy Subject Patient vtkMRML Node Binary labelmap Linear "
    "Grey Inverted UseData Segmentation category and type - 3D Slicer General Anatomy list Tissue Anatomic codes - "
    "DICOM master list gzip fastest left posterior superior teem sourceforge nrrd format SIMULATED MODEL Research use "
    "only, not a medical device units of the scanner, not SUV SUVbw Standardized Uptake Value body weight UCUM"
)
"""Words of every such scene; where one of them stands in a path of the input it tells nothing."""

_LONGEST_HEADER = 1 << 22
_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_SETTINGS = re.compile(rb"Segmentation_ConversionParameters:=[^\n]*")
"""A line of Slicer's own words in the header of every segmentation."""
_VALUES = re.compile(r'"[^"]*"')
_BROKEN = (OSError, ValueError, zipfile.BadZipFile, NotImplementedError)


def find_in_scene(scene: Path, identifiers: Iterable[Identifier]) -> tuple[Finding, ...]:
    """Where a scene names the patient: in names of its files, in the scene's description, tables, texts and headers.

    Voxels are not searched: they are numbers of the images, and packed numbers make up short words by chance. Words
    of the input's paths that stand in every scene (such as "volume") count for nothing. Raises InputError for a file
    that is no .mrb.
    """
    known = tuple(identifiers)
    found: dict[Finding, None] = {}
    for name, content in _members(scene):
        text = content.decode("utf-8", errors="replace") if name.endswith(".mrml") else ""
        common = _words(f"{_OURS} {_VALUES.sub(' ', text)}")
        wanted = tuple(one for one in known if one.kind != "text" or not _is_common(one.text, common))
        named = find_in_bytes(name.encode(), wanted)
        place = "the name of a file" if named else name.rpartition("/")[2]
        found |= dict.fromkeys(Finding(scene, place, each.kind) for each in (*named, *find_in_bytes(content, wanted)))
    return tuple(found)


def place_scene(scene: Path, target: Path, subject: Subject, identifiers: Iterable[Identifier]) -> None:
    """Put a scene into an export, its patient under the export's code. Raises InputError where it names anybody."""
    found = find_in_scene(scene, identifiers)
    if found:
        said = " ".join(sorted({each.sentence.replace(str(scene), "Scene copy") for each in found}))
        raise InputError(f"The scene copy would name the patient, so nothing was exported. {said} Leave it out.")
    code = escape(subject.patient_id or "Patient")
    try:
        with zipfile.ZipFile(scene) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
            for name in source.namelist():
                info = zipfile.ZipInfo(name)  # without the moment; voxels are packed already
                if name.endswith(".mrml"):
                    out.writestr(info, source.read(name).replace(PLACEHOLDER.encode(), code.encode()))
                else:
                    with source.open(name) as stream, out.open(info, "w", force_zip64=True) as copy:
                        shutil.copyfileobj(stream, copy)
    except _BROKEN as error:
        raise OutputError(f"The scene copy cannot be written ({error}); free some disk space.") from error


def _is_common(text: str, common: set[str]) -> bool:
    """Whether a text is made of words of every scene; long ones are found inside of others ("colour" in "colours")."""
    words = _words(text)
    return all(word in common or (len(word) >= SHORT and any(word in one for one in common)) for word in words)


def _words(text: str) -> set[str]:
    """The words of a text, and the parts of words such as "VolumeDisplay"."""
    return {normalise(part) for word in _WORD.findall(text) for part in (word, *_PART.findall(word))}


def _members(scene: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a scene; of images the header alone."""
    try:
        with zipfile.ZipFile(scene) as archive:
            for name in archive.namelist():
                with archive.open(name) as stream:
                    content = stream.read(_LONGEST_HEADER)
                    header, end, _voxels = content.partition(b"\n\n")
                    is_image = content.startswith(b"NRRD") and bool(end)
                    yield name, _SETTINGS.sub(b"", header) if is_image else content + stream.read()
    except _BROKEN as error:
        raise InputError(f"The scene copy cannot be read ({error}); export without it.") from error
