"""A DICOM case with a conspicuous identity in tags and names: what exports, logs, cache and work lists tell of it."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword

from MemorySurvivalLib.compare.overview import OverviewRequest, write_overview
from MemorySurvivalLib.compare.writing import CompareRequest, compare_to_file
from MemorySurvivalLib.dicom_out.manifest import KINDS
from MemorySurvivalLib.exporting import ExportRequest, export_result
from MemorySurvivalLib.privacy.clean import case_identifiers
from MemorySurvivalLib.privacy.identifiers import IDS, TEXTS, Identifier, too_short
from MemorySurvivalLib.privacy.scan import Finding, find_identifiers
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.report.subject import IDENTITY_CHOICES, IdentityChoice
from MemorySurvivalLib.report.writing import FORMATS
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case
from Testing.Python.dicom_made_up import write_series

SEED, SPACING_MM = 2, (8.0, 8.0, 8.0)
NAME, WORD, NUMBER = "Qvarnström-Ábalos^Zoë", "Qvarnström", "QX-881277"
DATES = {"PatientBirthDate": "19470923", "StudyDate": "20210817", "SeriesDate": "20210817"}
PERSONS = (
    "ReferringPhysicianName",
    "OperatorsName",
    "PerformingPhysicianName",
    "PhysiciansOfRecord",
    "OtherPatientNames",
)
PLACES = ("log", "cache", "temporary", "worklist", "pages", "report")


def identity_tags() -> dict[str, str]:
    """The name or the number in every tag that a scanner or a person may put an identity into."""
    tags = dict.fromkeys(PERSONS, f"{WORD}^Karl")
    for keyword in (*IDS, *TEXTS):
        vr = dictionary_VR(tag_for_keyword(keyword) or 0)
        if vr in ("LO", "SH", "ST", "LT", "UT"):
            tags[keyword] = NUMBER if keyword in IDS else WORD
    return {**tags, **DATES, "PatientName": NAME, "PatientID": NUMBER}


def write_study(case: SimulatedCase, folder: Path) -> None:
    """The case as a DICOM study; its PET in Bq/mL, as the made-up injection gives it."""
    per_bqml = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
    activity = case.pet.with_voxels(case.pet.voxels.astype(np.float64) / per_bqml)
    write_series(folder / "ct", case.ct, "CT", tags=identity_tags())
    write_series(folder / "pet", activity, "PT", tags=identity_tags(), signed=False)


@contextmanager
def private_places(work: Path) -> Iterator[None]:
    """Cache, data and temporary files of this process and its children below one folder."""
    chosen = {
        "MEMORYSURVIVAL_CACHE": work / "cache",
        "MEMORYSURVIVAL_DATA": work / "data",
        "TMPDIR": work / "temporary",
    }
    chosen |= {"MEMORYSURVIVAL_CACHE_GB": "1"}  # type: ignore[dict-item]
    before = {name: os.environ.get(name) for name in chosen}
    (work / "temporary").mkdir()
    os.environ.update({name: str(value) for name, value in chosen.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def ask_worker(jobs: Iterable[dict[str, Any]], log: Path) -> list[dict[str, Any]]:
    """Run jobs in a worker process as the panel does; its log goes to a file. Gives back the last event of each."""
    answers = []
    with log.open("wb") as stream:
        worker = subprocess.Popen(
            [sys.executable, "-m", "MemorySurvivalLib.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
        )
        assert worker.stdin is not None and worker.stdout is not None
        for number, job in enumerate(jobs, start=1):
            worker.stdin.write(json.dumps({"id": str(number), **job}).encode() + b"\n")
            worker.stdin.flush()
            for line in worker.stdout:
                event = json.loads(line)
                if event["event"] in ("finished", "failed"):
                    answers.append(event)
                    break
        worker.stdin.close()
        worker.stdout.close()
        worker.wait(60)
    return answers


def count(found: Iterable[Finding], below: Path) -> list[dict[str, Any]]:
    """Findings by file and kind, for the table."""
    table = Counter((str(one.file.relative_to(below)), one.kind) for one in found)
    return [{"file": file, "kind": kind, "places": places} for (file, kind), places in sorted(table.items())]


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, private_places(Path(name)):
        work = Path(name)
        home = work / "home" / f"{WORD}_Zoe"
        write_study(simulate_case(SEED, spacing_mm=SPACING_MM), home / "study")
        (home / "covariates.csv").write_text(f"patient_id,age_years,sex,remark\n{NUMBER},61,female,{WORD}\n", "utf-8")
        shutil.copytree(home / "study", work / "list" / "case-001")
        options = {"explain": True, "measure": True, "device": "cpu"}
        images = {"study": str(home / "study"), "covariates": str(home / "covariates.csv")}
        answers = ask_worker(
            [
                {"job": "score", "parameters": {**images, **options, "out": str(home / "result")}},
                {"job": "score", "parameters": {"study": str(home / "missing"), "out": str(home / "nothing")}},
                {"job": "batch", "parameters": {"worklist": str(work / "list"), "out": str(work / "worklist")}},
            ],
            work / "log",
        )
        record = read_record(home / "result" / "result.json")
        known = case_identifiers(record)
        exported = {choice: _export(work, home / "result", choice, known) for choice in IDENTITY_CHOICES}
        compared = (home / "result", work / "worklist" / "case-001")
        compare_to_file(CompareRequest(*compared, work / "pages" / "comparison.html", confirm_identity=True))
        write_overview(OverviewRequest(work / "worklist", work / "pages" / "overview.html", numbered=True))
        # The list's own paths are those that its user chose; only the work list's records hold them.
        (work / "report").mkdir()
        for name_of_file in ("report.html", "report.json"):
            shutil.copy(home / "result" / name_of_file, work / "report")
        elsewhere = {place: find_identifiers([work / place], known) for place in PLACES}
        listed = [one for one in elsewhere["worklist"] if one.file.name == "result.json"]
        elsewhere["worklist"] = tuple(one for one in elsewhere["worklist"] if one not in listed)
        rows = [
            {"what": f"export, {choice}", **{key: made[key] for key in ("files", "bytes", "findings", "seconds")}}
            for choice, made in exported.items()
        ]
        for place, found in elsewhere.items():
            files = [one for one in (work / place).rglob("*") if one.is_file()] or [work / place]
            size = sum(one.stat().st_size for one in files if one.is_file())
            rows.append({"what": place, "files": len(files), "bytes": size, "findings": len(found)})
        working = (*find_identifiers([home / "result" / "result.json"], known), *listed)
        leaks = [*exported["none"]["where"], *exported["pseudonym"]["where"]]
        leaks += [row for found in elsewhere.values() for row in count(found, work)]
    return {
        "identifiers": dict(Counter(one.kind for one in known)),
        "too_short_to_look_for": len(too_short(known)),
        "jobs": [event["event"] for event in answers],
        "scanned": rows,
        "leaks": leaks,
        "in_the_working_records": len(working),
        "goal": "no identifier in an export without names, in one with a pseudonym, in the report beside the "
        "result, in pages that compare and list, in the log, the cache, temporary files and a work list with neutral "
        "names; some in an identified export and in the working records (result.json)",
        "ok": not leaks
        and len(working) > 0
        and exported["identified"]["findings"] > 0
        and [one["event"] for one in answers][::2] == ["finished"] * 2,
    }


def _export(work: Path, result: Path, choice: IdentityChoice, known: tuple[Identifier, ...]) -> dict[str, Any]:
    """Everything that an export can hold, as the panel and the command write it."""
    out = work / f"export-{choice}"
    request = ExportRequest(
        result, out, formats=FORMATS, objects=KINDS, identity=choice, record=True, tables=True, volumes=True
    )
    start = time.perf_counter()
    export_result(request)
    made_s = time.perf_counter() - start
    found = find_identifiers([out], known)
    files = [one for one in out.rglob("*") if one.is_file()]
    return {
        "files": len(files),
        "bytes": sum(one.stat().st_size for one in files),
        "findings": len(found),
        "seconds": round(made_s, 2),
        "where": count(found, work),
    }
