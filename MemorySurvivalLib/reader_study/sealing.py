"""Results kept out of sight until a reader has said what he thinks: one sealed file a case, opened on reveal."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file, atomic_folder
from MemorySurvivalLib.reader_study.events import ModelAnswer
from MemorySurvivalLib.reader_study.study import check_name
from MemorySurvivalLib.report.record import CaseRecord, read_record

SEALED = "sealed"
SUFFIX = ".sealed"
_RESULT = "result.json"


def sealed_file(study: Path, case: str) -> Path:
    """Where a case's result is kept."""
    check_name(case, "case")
    return study / SEALED / f"{case}{SUFFIX}"


def seal_result(study: Path, case: str, result: Path) -> Path:
    """Pack a result folder. This keeps the score out of sight, not from a person who wants to break it open.

    Raises InputError where the folder holds no result.
    """
    read_record(result / _RESULT)
    target = sealed_file(study, case)
    with atomic_file(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(each for each in result.rglob("*") if each.is_file()):
            packed.write(path, path.relative_to(result).as_posix())
    return target


def open_sealed(study: Path, case: str, out: Path) -> CaseRecord:
    """Unpack a sealed result into a new folder, whole or not at all; its record.

    The caller records the reveal first (`append_event`), which refuses it before the estimate. Raises InputError where
    nothing is sealed for the case, or the file is damaged.
    """
    source = sealed_file(study, case)
    if not source.is_file():
        raise InputError(f"There is no sealed result of {case} in this study; score the case now.")
    with atomic_folder(out, overwrite=True, ours=_RESULT) as folder:
        try:
            with zipfile.ZipFile(source) as packed:
                for each in packed.infolist():
                    target = folder / _inside(each.filename, source)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(packed.read(each))
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise InputError(f"The sealed result {source.name} is damaged; seal the case again.") from error
        return read_record(folder / _RESULT)


def peek(study: Path, case: str) -> ModelAnswer | None:
    """What the sealed result says, for the record of the reveal; None where nothing is sealed."""
    source = sealed_file(study, case)
    if not source.is_file():
        return None
    try:
        with zipfile.ZipFile(source) as packed:
            return answer_of(msgspec.json.decode(packed.read(_RESULT), type=CaseRecord))
    except (zipfile.BadZipFile, NotImplementedError, KeyError, msgspec.MsgspecError) as error:
        raise InputError(f"The sealed result {source.name} is damaged; seal the case again.") from error


def answer_of(record: CaseRecord) -> ModelAnswer:
    """What a record says, as far as it may."""
    risk = record.risk
    bundle = f"{record.bundle.name} {record.bundle.version}"
    return ModelAnswer(risk.log_risk, risk.position, risk.risk_group, bundle, risk.labels)


def _inside(name: str, source: Path) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in name or "\\" in name:
        raise InputError(f"The sealed result {source.name} is damaged; seal the case again.")
    return Path(*path.parts)
