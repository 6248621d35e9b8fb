"""`memory-survival dicom`: a finished result as DICOM objects that refer to the images it was made from."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.report.subject import IDENTITY_CHOICES, Subject

if TYPE_CHECKING:
    from MemorySurvivalLib.dicom_out.manifest import ExportedObjects, Kind
    from MemorySurvivalLib.dicom_out.sources import SourcePaths

_OBJECTS = ("seg", "sr", "pm", "pdf", "sc")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "dicom",
        help="write a scored case as DICOM objects",
        description="Write masks, measurements, risk, heatmap, report and key images of a scored case as DICOM objects "
        f"that refer to its CT and PET. {RESEARCH_USE}.",
    )
    parser.add_argument("folder", type=Path, metavar="RESULT_DIR", help="the folder that `score` made")
    parser.add_argument("--out", type=Path, required=True, help="folder for the objects; made anew")
    parser.add_argument(
        "--objects",
        default=",".join(_OBJECTS),
        help="masks (seg), measurements and risk (sr), heatmap (pm), report (pdf), key images (sc); %(default)s",
    )
    parser.add_argument(
        "--identity",
        choices=IDENTITY_CHOICES,
        default="none",
        help="whom the objects name; only identified ones join the patient's study (%(default)s)",
    )
    parser.add_argument("--pseudonym", metavar="CODE", help="your own code (default: one made from the patient ID)")
    parser.add_argument("--study", type=Path, help="where the DICOM images are now, if they were moved")
    parser.add_argument("--ct", type=Path, help="where the CT's DICOM images are now")
    parser.add_argument("--pet", type=Path, help="where the PET's DICOM images are now")
    parser.add_argument("--structures", type=Path, help="folder that `segment` made of this CT, to write as masks too")
    parser.add_argument("--covariates", action="store_true", help="name the covariates in the report of the risk")
    parser.add_argument(
        "--deflate",
        action="store_true",
        help="pack the heatmap losslessly (Deflated Explicit VR); not every viewer and node reads that",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the objects that are there already")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the objects and list them. Raises InputError and OutputError."""
    # pydicom and highdicom take a second to load, so help and mistyped options do not wait for them.
    from MemorySurvivalLib.dicom_out.export import export_dicom

    kinds = tuple(dict.fromkeys(name.strip() for name in options.objects.split(",") if name.strip()))
    unknown = [name for name in kinds if name not in _OBJECTS]
    if unknown or not kinds:
        raise InputError(f"DICOM objects are chosen from {', '.join(_OBJECTS)}; got {options.objects!r}.")
    sources = _sources(options)
    with ProgressBars() as progress:
        exported = export_dicom(
            options.folder,
            options.out,
            _subject(options, sources),
            cast("tuple[Kind, ...]", kinds),
            sources,
            progress,
            overwrite=options.overwrite,
            deflate=options.deflate,
            with_covariates=options.covariates,
            structures=options.structures,
            salt=_salt(options),
        )
    sys.stdout.write(_summarise(exported, options.out))
    return 0


def _sources(options: argparse.Namespace) -> SourcePaths | None:
    from MemorySurvivalLib.dicom_out.sources import SourcePaths

    given = SourcePaths(options.ct, options.pet, options.study)
    if options.study is not None and (options.ct or options.pet):
        raise InputError("Give either --study or --ct and --pet, not both.")
    return None if given == SourcePaths() else given


def _subject(options: argparse.Namespace, sources: SourcePaths | None) -> Subject:
    """Whom the objects name, as the images say."""
    from MemorySurvivalLib.dicom_out.sources import recorded_paths
    from MemorySurvivalLib.privacy.subject import read_subject
    from MemorySurvivalLib.report.record import read_record

    if options.pseudonym is not None and options.identity != "pseudonym":
        raise InputError("A pseudonym needs --identity pseudonym.")
    record = read_record(options.folder / "result.json")
    places = sources or recorded_paths(record)
    paths = [path for path in (places.study, places.ct, places.pet) if path is not None and path.exists()]
    confirmed = record.request.get("confirm_identity") is True
    return read_subject(options.identity, paths, options.pseudonym, confirmed=confirmed)


def _salt(options: argparse.Namespace) -> bytes | None:
    """With a pseudonym this user's key, so that objects of one study stay together from one export to the next."""
    if options.identity != "pseudonym":
        return None
    from MemorySurvivalLib.privacy.pseudonym import load_key

    return load_key()


def _summarise(exported: ExportedObjects, out: Path) -> str:
    """A line for each object, and what was left out."""
    lines = [f"{out}"]
    for one in exported.objects:
        risk = " (carries the risk)" if one.carries_risk else ""
        lines.append(f"{one.kind:<14} {one.file:<22} {one.size_bytes / 1e6:8.2f} MB{risk}")
    lines += [f"left out       {sentence}" for sentence in exported.left_out]
    lines += [f"note           {sentence}" for sentence in exported.notes]
    if len(exported.sendable) < len(exported.objects):
        lines.append("note           Objects that carry the risk of a demonstration model are never sent to a node.")
    study = "the study of the images" if exported.same_study else "a study of their own"
    lines.append(f"In {study}, {exported.seconds:.1f} s. {RESEARCH_USE}.")
    return "\n".join(lines) + "\n"
