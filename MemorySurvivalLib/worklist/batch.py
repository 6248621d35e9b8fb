"""Scoring a worklist unattended: one case after the other, going on after a failure and where it once stopped."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from MemorySurvivalLib.devices import DeviceName
from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import NoteCallback, ScoreRequest, ignore_note, score_case
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.roi.region import BUILT_IN
from MemorySurvivalLib.worklist.items import WorkItem, folder_name
from MemorySurvivalLib.worklist.status import CaseStatus, WorklistStatus, read_status, write_status

TABLE_FILE = "results.csv"
MASKS = "masks"
"""The folder of masks that a person kept while reading, one file a case."""

TABLE_COLUMNS = ("case", "state", "log_risk", "position", "risk_group", "labels", "reviewer", "sentence", "folder")


@dataclass(frozen=True)
class BatchOptions:
    """What is the same for every case of a run; the fields are those of a ScoreRequest."""

    bundle: str = "demonstration"
    segmenter: str = BUILT_IN
    explain: bool = False
    measure: bool = False
    device: DeviceName = "auto"
    use_cache: bool = True

    def request(self, item: WorkItem, out: Path) -> ScoreRequest:
        """The request of one case."""
        files = item.files
        return ScoreRequest(
            out=out,
            study=files.study,
            ct=files.ct,
            pet=files.pet,
            roi=files.roi,
            covariates=files.covariates,
            bundle=self.bundle,
            segmenter=self.segmenter,
            explain=self.explain,
            measure=self.measure,
            device=self.device,
            use_cache=self.use_cache,
            overwrite=True,
        )


@dataclass(frozen=True)
class BatchOutput:
    """The states after a run, and the table of results."""

    status: WorklistStatus
    table: Path
    done: int
    failed: int
    skipped: int


def run_batch(
    items: Sequence[WorkItem],
    out: Path,
    options: BatchOptions = BatchOptions(),
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
    tell: NoteCallback = ignore_note,
    score: Callable[..., object] = score_case,
) -> BatchOutput:
    """Score every case into a folder of its name under `out`; keep worklist.json and results.csv up to date.

    A case that failed is told and left behind. A case that was already scored or reviewed by the same request, with
    the same files and bundle, is not scored again, so that an interrupted run is resumed by repeating it. What a person
    reviewed, or scored in the panel, is left alone whatever changed. A mask that a person kept for a case goes before
    the list's own. Raises OutputError where `out` cannot be written.
    """
    models = models or Models()
    status = read_status(out)
    done = failed = skipped = 0
    bundle = models.bundle(options.bundle).archive.sha256
    for number, item in enumerate(with_kept_masks(items, out)):
        progress(ProgressEvent("worklist", number, len(items), None))
        before, mark = status.of(item.case), fingerprint(item, options, bundle)
        folder = out / folder_name(item.case)
        # A case scored in the panel has no fingerprint: a person's mask is not among the list's files.
        settled = before.state == "reviewed" or (before.state == "scored" and before.fingerprint in ("", mark))
        if settled and (folder / "result.json").is_file():
            skipped += 1
            continue
        after = _score_one(item, folder, options, models, progress, tell, score)
        failed += after.state == "failed"
        done += after.state == "scored"
        status = status.with_case(item.case, replace(after, fingerprint=mark, reviewer=""))
        write_status(out, status)
    progress(ProgressEvent("worklist", len(items), len(items), 0.0))
    write_status(out, status)
    return BatchOutput(status, write_table(items, status, out), done, failed, skipped)


def with_kept_masks(items: Sequence[WorkItem], out: Path) -> tuple[WorkItem, ...]:
    """The cases with the masks that a person left in the results' folder."""
    kept = (out / MASKS / f"{folder_name(item.case)}.seg.nrrd" for item in items)
    return tuple(
        replace(item, files=replace(item.files, roi=mask)) if mask.is_file() else item
        for item, mask in zip(items, kept, strict=True)
    )


def fingerprint(item: WorkItem, options: BatchOptions, bundle_sha256: str) -> str:
    """A hash of what determines a result: files with their size and time of change, options, bundle."""
    files = {name: (str(path), *_state(path)) for name, path in item.files.named.items()}
    said = {"files": files, "options": asdict(options), "bundle": bundle_sha256}
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def write_table(items: Sequence[WorkItem], status: WorklistStatus, out: Path) -> Path:
    """One row a case, in C locale, in the order of the worklist."""
    table = out / TABLE_FILE
    with atomic_file(table) as place, place.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, TABLE_COLUMNS)
        writer.writeheader()
        for item in items:
            one = status.of(item.case)
            folder = folder_name(item.case)
            risk = _read_risk(out / folder) if one.state in ("scored", "reviewed") else {}
            values = {
                "position": risk.get("position"),
                "risk_group": risk.get("risk_group"),
                "labels": "; ".join(_texts(risk.get("labels"))),
            }
            writer.writerow(
                {
                    "case": item.case,
                    "state": one.state,
                    "log_risk": one.log_risk,
                    **values,
                    "reviewer": one.reviewer,
                    "sentence": one.sentence or item.problem,
                    "folder": folder if risk else "",
                }
            )
    return table


def _score_one(
    item: WorkItem,
    folder: Path,
    options: BatchOptions,
    models: Models,
    progress: ProgressCallback,
    tell: NoteCallback,
    score: Callable[..., object],
) -> CaseStatus:
    if item.problem:
        tell(f"{item.case}: {item.problem}")
        return CaseStatus("failed", sentence=item.problem)
    try:
        score(options.request(item, folder), models, progress, lambda text: tell(f"{item.case}: {text}"))
    except MemorySurvivalError as error:
        tell(f"{item.case} failed: {error}")
        return CaseStatus("failed", sentence=str(error))
    log_risk = _read_risk(folder).get("log_risk")
    return CaseStatus("scored", log_risk=log_risk if isinstance(log_risk, float) else None)


def _read_risk(folder: Path) -> Mapping[str, object]:
    try:
        record = msgspec.json.decode((folder / "result.json").read_bytes())
    except (OSError, msgspec.DecodeError):  # removed or damaged since; the state says what it was
        return {}
    risk = record.get("risk") if isinstance(record, dict) else None
    return risk if isinstance(risk, dict) else {}


def _texts(values: object) -> tuple[str, ...]:
    return tuple(str(each) for each in values) if isinstance(values, list) else ()


def _state(path: Path) -> tuple[int, int]:
    """Size and time of change; of a folder the sum and the latest of its files."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    stats = [each.stat() for each in files]
    return sum(each.st_size for each in stats), max((each.st_mtime_ns for each in stats), default=0)
