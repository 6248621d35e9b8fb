"""What may leave this machine: asked of every file before it goes into the outbox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from MemorySurvivalLib.bundle.rights import SIMULATED_MODEL
from MemorySurvivalLib.dicom_out.manifest import FILE_NAME, read_manifest
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.sending.outgoing import DEMONSTRATION, Outgoing, read_outgoing

_NO_DICOM = (".json", ".txt", ".csv", ".html", ".png", ".md", ".nrrd", ".pdf")


@dataclass(frozen=True)
class Told:
    """What the manifest beside a file tells of it: the bundle's status, and whether the file carries the risk."""

    status: str
    risk: bool


def find_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The files to look at: those named, and all below folders but those that are plainly something else.

    Raises InputError where a path is missing or nothing is left.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (each for each in sorted(path.rglob("*")) if each.is_file() and not each.name.startswith("."))
            found += [each for each in inside if each.suffix.casefold() not in _NO_DICOM and each.name != "DICOMDIR"]
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path} does not exist; check the path.")
    unique = tuple(dict.fromkeys(each.resolve() for each in found))
    if not unique:
        raise InputError("There is no DICOM object to send; export the result as DICOM first.")
    return unique


def look_at(
    paths: Sequence[Path], progress: ProgressCallback = ignore_progress, *, without_risk: bool = False
) -> tuple[Outgoing, ...]:
    """Read every file, and let none pass that may not be sent to any node.

    Raises InputError for a file that is not DICOM or not a result of this software, for two files that are the same
    instance, and for every object that carries the risk of a demonstration bundle: a watermark does not survive in a
    structured report or a parametric map. What counts is what the file says and what the manifest says; an object
    with a risk whose bundle is unknown does not pass either. `without_risk` leaves all objects with a risk out.
    """
    files = find_files(paths)
    items = tuple(read_outgoing(path) for path in track(files, "look", len(files), progress))
    told = {item.path: _told(item.path) for item in items}
    foreign = [item.path.name for item in items if not item.ours and told[item.path] is None]
    if foreign:
        raise InputError(
            f"{_some(foreign)} not made by MemorySurvival; only its own results are sent, other images go by the "
            "PACS's own tools."
        )
    seen: dict[str, Outgoing] = {}
    for item in items:
        first = seen.setdefault(item.sop_instance_uid, item)
        if first is not item and first.sha256 != item.sha256:
            raise InputError(
                f"{first.path.name} and {item.path.name} differ but say that they are the same instance; export again."
            )
    kept = tuple(item for item in seen.values() if not (without_risk and _carries_risk(item, told[item.path])))
    if not kept:
        raise InputError("Every object there carries a risk, so nothing is left to send without it.")
    for item in kept:
        check_risk(item, told[item.path])
    return kept


def check_risk(item: Outgoing, told: Told | None) -> None:
    """Raise InputError where `item` carries the risk of a demonstration bundle, or of one that nobody knows."""
    if not _carries_risk(item, told):
        return
    known = {item.status, "" if told is None else told.status} - {""}
    if DEMONSTRATION in known:
        raise InputError(
            f"{item.path.name} ({item.title}) carries the risk of a {SIMULATED_MODEL} and is never sent to a node; "
            "masks and measurements may be (--without-risk)."
        )
    if not known:
        raise InputError(
            f"{item.path.name} ({item.title}) carries a risk, and nothing tells which model made it (no {FILE_NAME} "
            "beside it); send it from the folder that it was exported to."
        )


def check_identity(items: Sequence[Outgoing], identified: bool, place: str) -> None:
    """Raise InputError where a file names the patient and the user did not say that this may go to `place`."""
    named = [item.path.name for item in items if item.names_patient]
    if named and not identified:
        raise InputError(
            f"{len(named)} of {len(items)} objects name the patient ({_some(named, verb=False)}); allow it for {place} "
            "(--identified), or export with a pseudonym or without names."
        )


def _carries_risk(item: Outgoing, told: Told | None) -> bool:
    return item.speaks_of_risk or (told is not None and told.risk)


def _told(path: Path) -> Told | None:
    """What the manifest beside a file says of it. Raises InputError where there is one that cannot be read."""
    if not (path.parent / FILE_NAME).is_file():
        return None
    exported = read_manifest(path.parent)
    named = [each for each in exported.objects if each.file == path.name]
    return Told(exported.bundle_status, named[0].carries_risk) if named else None


def _some(names: Sequence[str], verb: bool = True) -> str:
    """A few names and how many more there are, with "is" or "are"."""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}" if verb else shown
