"""Looking through a folder for DICOM: every file's header once, grouped into series, each checked to be one volume."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom.uid import UID, CTImageStorage, PositronEmissionTomographyImageStorage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_header import FileHeader, read_file_header, reading_quietly, show, text
from MemorySurvivalLib.imaging.dicom_series import (
    DicomSeries,
    Found,
    OtherFile,
    SeriesFacts,
    read_facts,
    read_identity,
)
from MemorySurvivalLib.imaging.dicom_slices import SliceHeader, list_slices
from MemorySurvivalLib.imaging.dicom_stack import NAMED, Stack, arrange
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress

IMAGE_MODALITIES = ("CT", "PT", "MR", "NM", "OT", "SC", "")
"""Modalities whose files may be slices of a volume; the rest (SEG, RTDOSE, projections ...) is listed beside them."""

_DIRECTORY = UID("1.2.840.10008.1.3.10")
_SLICE_CLASSES = (CTImageStorage, PositronEmissionTomographyImageStorage)
_HU_TYPES = ("", "HU")


@dataclass
class _Group:
    """What accumulates of one series while files are read."""

    facts: SeriesFacts
    folder: Path
    slices: list[SliceHeader] = field(default_factory=list)


@dataclass
class _Walk:
    """What accumulates while folders are walked."""

    problems: list[str] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)


def scan(path: Path, progress: ProgressCallback = ignore_progress, *, recursive: bool = True) -> Found:
    """Find the DICOM series in a folder and, unless `recursive` is false, in the folders below it.

    For a single file, the series it belongs to is found in its folder. Files that are not DICOM, and DICOMDIR indexes,
    are counted and otherwise ignored; files and folders that cannot be read, and links that run in circles, become
    sentences. Pixels are read only to tell exact copies from different images at one place. Raises InputError when the
    path does not exist, cannot be opened, or is a single file that is not DICOM.
    """
    if not path.is_dir():
        return _scan_beside(path, progress)
    walk = _Walk()
    files = sorted(_walk(path, walk, recursive=recursive))
    if walk.problems and not files and not os.access(path, os.R_OK | os.X_OK):
        raise InputError(f"The folder {show(path)} cannot be opened; check its permissions.")
    groups: dict[object, _Group] = {}
    others: list[OtherFile] = []
    ignored = 0
    meter = Meter("scan", len(files), progress)
    for file in files:
        header = _read(file, others)
        if header is None or (isinstance(header, FileHeader) and not _sort_in(header, groups, others)):
            ignored += 1
        meter.step()
    series = [part for group in groups.values() for part in _make_series(group)]
    return Found(path, tuple(_with_unique_keys(series)), tuple(others), ignored, tuple(walk.problems))


def _scan_beside(path: Path, progress: ProgressCallback) -> Found:
    try:
        header = read_file_header(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{show(path)} does not exist; check the path.") from None
    except OSError as error:
        raise InputError(f"{show(path)} cannot be opened ({error.strerror}); check its permissions.") from error
    if header is None:
        raise InputError(f"{show(path)} is not a DICOM file.")
    found = scan(path.absolute().parent, progress, recursive=False)
    name = path.absolute()
    series = tuple(part for part in found.series if any(image.path == name for image in part.slices))
    if not series:  # an exact copy that was left out: its series is the one of the same UID
        uid = text(header.dataset, "SeriesInstanceUID")
        series = tuple(part for part in found.series if part.facts.series_uid == uid)
    others = tuple(other for other in found.others if other.path == name)
    return replace(found, root=path, series=series, others=others, ignored=0)


def _walk(folder: Path, walk: _Walk, *, recursive: bool) -> Iterator[Path]:
    """Regular files below a folder, each real folder once."""
    pending = [folder]
    while pending:
        here = pending.pop()
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in walk.seen:
                continue
            walk.seen.add((status.st_dev, status.st_ino))
            entries = [Path(entry.path) for entry in os.scandir(here)]
        except OSError as error:
            walk.problems.append(f"The folder {show(here)} cannot be opened ({error.strerror}).")
            continue
        for entry in entries:
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                walk.problems.append(f"{show(entry)} cannot be opened ({error.strerror}).")
                continue
            if stat.S_ISDIR(mode) and recursive:
                pending.append(entry)
            elif stat.S_ISREG(mode):
                yield entry


def _read(file: Path, others: list[OtherFile]) -> FileHeader | OtherFile | None:
    """The header of a DICOM file, None for another file; what cannot be read joins `others`."""
    try:
        header = read_file_header(file)
        if header is not None or file.suffix.lower() != ".dcm":
            return header
        others.append(OtherFile(file, "", problem=f"{show(file)} is empty or damaged; copy or export it again."))
    except OSError as error:
        others.append(OtherFile(file, "", problem=f"{show(file)} cannot be opened ({error.strerror})."))
    except InputError as error:
        others.append(OtherFile(file, "", problem=str(error)))
    return others[-1]


def _sort_in(header: FileHeader, groups: dict[object, _Group], others: list[OtherFile]) -> bool:
    """Put a file where it belongs; false for what is no DICOM object of a patient (an index, or nothing we know)."""
    ds = header.dataset
    with reading_quietly():
        sop_class = UID(text(ds, "SOPClassUID"))
        if sop_class == _DIRECTORY or text(ds.file_meta, "MediaStorageSOPClassUID") == _DIRECTORY:
            return False
        modality = text(ds, "Modality").upper()
        if not modality and not sop_class:
            return False
        slices = list_slices(header) if modality in IMAGE_MODALITIES else ()
        if slices:
            key = _series_key(header, modality)
            if key not in groups:
                groups[key] = _Group(read_facts(ds), header.path.parent)
            groups[key].slices.extend(slices)
            return True
        problem = ""
        if sop_class in _SLICE_CLASSES or (not sop_class and modality in ("CT", "PT")):
            problem = f"The DICOM file {show(header.path)} is damaged or cut short; copy or export it again."
        others.append(
            OtherFile(
                header.path,
                modality,
                sop_class.name,
                text(ds, "SeriesDescription"),
                text(ds, "SeriesInstanceUID"),
                read_identity(ds),
                problem,
            )
        )
    return True


def _series_key(header: FileHeader, modality: str) -> tuple[object, ...]:
    """What the files of one series share; those without a Series Instance UID are held together by their folder."""
    ds = header.dataset
    uid = text(ds, "SeriesInstanceUID")
    named = (uid,) if uid else (header.path.parent, text(ds, "SeriesNumber"), text(ds, "SeriesDescription"))
    return (*named, modality, read_identity(ds), text(ds, "FrameOfReferenceUID"))


def _make_series(group: _Group) -> Iterator[DicomSeries]:
    facts = group.facts
    key = facts.series_uid
    told: tuple[str, ...] = ()
    if not key:
        key = str(group.folder)
        told = ("The files carry no Series Instance UID; those of one folder were taken as one series.",)
    stacks = arrange(group.slices)
    for index, stack in enumerate(stacks):
        notes = [*told, *stack.notes]
        if len(stacks) > 1 and not any("stacks" in note for note in stack.notes):
            notes.append(f"The series holds {len(stacks)} stacks that differ in size, direction or place.")
        if facts.announced > len(stack.slices):
            notes.append(
                f"The headers announce {facts.announced} images, {len(stack.slices)} are here; check that the series "
                "is whole."
            )
        problems = (*stack.problems, *_broken(stack), *_unscaled(stack, facts))
        yield DicomSeries(
            key=key if index == 0 else f"{key}#{index + 1}",
            facts=facts,
            slices=stack.slices,
            affine=None if problems else stack.affine,
            problems=problems,
            notes=tuple(notes),
        )


def _broken(stack: Stack) -> tuple[str, ...]:
    """One sentence for each thing that is wrong with single images."""
    sentences = []
    for problem in dict.fromkeys(image.problem for image in stack.slices if image.problem):
        paths = list(dict.fromkeys(image.path for image in stack.slices if image.problem == problem))
        names = ", ".join(show(Path(path.name)) for path in paths[:NAMED])
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        verb = "is" if len(paths) == 1 else "are"
        sentences.append(f"{names}{more} {verb} {problem}; copy or export the series again.")
    return tuple(sentences)


def _unscaled(stack: Stack, facts: SeriesFacts) -> tuple[str, ...]:
    """Why stored numbers cannot become HU or activity."""
    if facts.modality not in ("CT", "PT"):
        return ()
    if any(image.slope == 0 for image in stack.slices):
        return ("The Rescale Slope (0028,1053) is zero, so the values are lost; export the series again.",)
    bare = sum(image.slope is None or image.intercept is None for image in stack.slices)
    if facts.modality == "CT" and facts.rescale_type not in _HU_TYPES:
        return (f"The values are not Hounsfield units but {facts.rescale_type} (Rescale Type); choose the plain CT.",)
    if bare == len(stack.slices) and facts.modality == "CT" and all(image.signed for image in stack.slices):
        return ()  # signed values without a rescale can be HU as they stand; the case checks their range
    if not bare:
        return ()
    meant = "Hounsfield units" if facts.modality == "CT" else "activity"
    return (
        f"{bare} of {len(stack.slices)} images carry no Rescale Slope (0028,1053) or Intercept (0028,1052), so "
        f"their values are not {meant}; export the series again from the scanner or the archive.",
    )


def _with_unique_keys(series: list[DicomSeries]) -> Iterator[DicomSeries]:
    """Two patients' files under one series UID, or two unnamed series in one folder, still need two keys."""
    seen: dict[str, int] = {}
    for part in series:
        seen[part.key] = seen.get(part.key, 0) + 1
        yield part if seen[part.key] == 1 else replace(part, key=f"{part.key}#{seen[part.key]}")
