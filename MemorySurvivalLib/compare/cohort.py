"""A folder of results as a cohort: every case that can be read, what cannot, and where each case stands."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from MemorySurvivalLib.bundle.rights import SIMULATED_MODEL
from MemorySurvivalLib.compare.outcomes import match_outcomes
from MemorySurvivalLib.compare.same_images import images_key
from MemorySurvivalLib.compare.survival import FollowedCase, GroupedSurvival, Outcome, group_survival
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.worklist.items import folder_name
from MemorySurvivalLib.worklist.status import STATUS_FILE, CaseStatus, read_status

RESULT_FILE = "result.json"
REPORT_FILE = "report.html"

DEMONSTRATION_OUTCOMES = (
    "No curves: a demonstration bundle's numbers say nothing about real patients, so their outcomes are not grouped by "
    "them."
)


@dataclass(frozen=True)
class CohortCase:
    """One result. `name` is its folder below the cohort's, with slashes; `images` a hash of CT and PET.

    `superseded` is true where a newer result of the same images by the same model counts in its place.
    """

    name: str
    record: CaseRecord
    images: str
    report: str | None
    status: CaseStatus
    outcome: Outcome | None = None
    superseded: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of what was found about the PET that can change the score."""
        return tuple(flag.name for flag in self.record.acquisition.flags if flag.severity == "warning")


@dataclass(frozen=True)
class ModelGroup:
    """The cases of one model (bundle, head, kind of region), simulated and real ones apart: one scale of log-risks."""

    title: str
    status: str
    simulated: bool
    labels: tuple[str, ...]
    cases: tuple[CohortCase, ...]
    survival: GroupedSurvival | None

    @property
    def counted(self) -> tuple[CohortCase, ...]:
        """Each pair of images once."""
        return tuple(case for case in self.cases if not case.superseded)


@dataclass(frozen=True)
class Unread:
    """A result that cannot be read, or a case of a worklist that failed, with the reason."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Cohort:
    """Everything found in a folder. `duplicates` are the names of results that rest on the same images."""

    groups: tuple[ModelGroup, ...]
    unread: tuple[Unread, ...]
    failed: tuple[Unread, ...]
    states: Mapping[str, int]
    duplicates: tuple[tuple[str, ...], ...]
    flags: Mapping[str, int]
    outcomes_given: bool
    outcomes_unknown: tuple[str, ...]

    @property
    def cases(self) -> tuple[CohortCase, ...]:
        """All that could be read."""
        return tuple(case for group in self.groups for case in group.cases)

    @property
    def labels(self) -> tuple[str, ...]:
        """What holds for the whole page: SIMULATED MODEL where any group has it, other labels where all have them; each
        group has its own beside it."""
        every = dict.fromkeys(label for group in self.groups for label in group.labels)
        return tuple(
            label for label in every if label == SIMULATED_MODEL or all(label in group.labels for group in self.groups)
        )


def read_cohort(
    folder: Path, outcomes: Mapping[str, Outcome] | None = None, progress: ProgressCallback = ignore_progress
) -> Cohort:
    """Read every result.json below a folder; what cannot be read is listed with the reason and hurts nobody else.

    Raises InputError where there is no such folder or no result in it.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give a folder with results in it.")
    results, worklists, closed = _find(folder)
    if not results:
        raise InputError(f"There is no {RESULT_FILE} anywhere in {folder}; give a folder with results in it.")
    statuses, failed, unread = _read_statuses(folder, worklists)
    unread += closed
    records: dict[str, CaseRecord] = {}
    for place in track(results, "results", len(results), progress):
        name = _name(folder, place)
        try:
            records[name] = read_record(place)
        except InputError as error:
            unread.append(Unread(name, _without_folder(str(error), folder)))
    matched, unknown = match_outcomes(tuple(records), outcomes or {})
    cases = [
        CohortCase(
            name,
            record,
            images_key(record.inputs),
            REPORT_FILE if (folder / name / REPORT_FILE).is_file() else None,
            statuses.get(name, CaseStatus("scored", log_risk=record.risk.log_risk)),
            matched.get(name),
        )
        for name, record in records.items()
    ]
    names_by_images: dict[str, list[str]] = {}
    for case in cases:
        names_by_images.setdefault(case.images, []).append(case.name)
    return Cohort(
        groups=_group(cases, outcomes is not None),
        unread=tuple(unread),
        failed=tuple(failed),
        states=Counter(
            [case.status.state for case in cases] + [one.state for name, one in statuses.items() if name not in records]
        ),
        duplicates=tuple(tuple(names) for names in names_by_images.values() if len(names) > 1),
        flags=Counter(flag for case in cases for flag in set(case.flags)),
        outcomes_given=outcomes is not None,
        outcomes_unknown=unknown,
    )


def _find(folder: Path) -> tuple[list[Path], list[Path], list[Unread]]:
    """Results and worklists in the order of their paths, and folders that cannot be opened; hidden folders are results
    that never came to an end."""
    results, worklists, closed = [], [], []

    def note(error: OSError) -> None:
        name = _name(folder, Path(str(error.filename), RESULT_FILE))
        closed.append(Unread(name, f"The folder cannot be opened ({error.strerror})."))

    for place, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        results += [Path(place, RESULT_FILE)] if RESULT_FILE in files else []
        worklists += [Path(place)] if STATUS_FILE in files else []
    return results, worklists, closed


def _read_statuses(folder: Path, worklists: list[Path]) -> tuple[dict[str, CaseStatus], list[Unread], list[Unread]]:
    """States by result folder, cases that failed, and worklists that cannot be read."""
    states: dict[str, CaseStatus] = {}
    failed, unread = [], []
    for place in worklists:
        try:
            status = read_status(place)
        except InputError as error:
            unread.append(Unread(_name(folder, place / STATUS_FILE), _without_folder(str(error), folder)))
            continue
        for case, one in status.cases.items():
            name = _name(folder, place / folder_name(case) / RESULT_FILE)
            states[name] = one
            if one.state == "failed" and not (folder / name / RESULT_FILE).is_file():
                failed.append(Unread(name, _without_folder(one.sentence, folder)))
    return states, failed, unread


def _name(folder: Path, file: Path) -> str:
    return file.parent.relative_to(folder).as_posix()


def _without_folder(sentence: str, folder: Path) -> str:
    """Paths below the cohort's folder; what lies above it is nobody's business."""
    return sentence.replace(f"{folder}{os.sep}", "").replace(str(folder), folder.name)


def _group(cases: list[CohortCase], outcomes_given: bool) -> tuple[ModelGroup, ...]:
    found: dict[tuple[str, ...], list[CohortCase]] = {}
    for case in cases:
        bundle = case.record.bundle
        key = (bundle.sha256, case.record.risk.head, case.record.roi.kind, str(case.record.simulated_case))
        found.setdefault(key, []).append(case)
    groups = []
    for members in found.values():
        members = _mark_superseded(members)
        first = members[0].record
        kind = first.roi.kind.replace("_", " ")
        groups.append(
            ModelGroup(
                title=f"{first.bundle.title} {first.bundle.version}, head {first.risk.head}, region {kind}",
                status=first.bundle.status,
                simulated=first.simulated_case,
                labels=tuple(dict.fromkeys(label for case in members for label in case.record.risk.labels)),
                cases=tuple(members),
                survival=_survival(members) if outcomes_given else None,
            )
        )
    return tuple(sorted(groups, key=lambda group: -len(group.cases)))


def _mark_superseded(members: list[CohortCase]) -> list[CohortCase]:
    newest: dict[str, CohortCase] = {}
    for case in members:
        other = newest.get(case.images)
        if other is None or case.record.created >= other.record.created:
            newest[case.images] = case
    return [case if newest[case.images] is case else replace(case, superseded=True) for case in members]


def _survival(members: list[CohortCase]) -> GroupedSurvival:
    first = members[0].record
    if first.bundle.status == "demonstration" and not first.simulated_case:
        return GroupedSurvival("", (), DEMONSTRATION_OUTCOMES)
    return group_survival(
        [
            FollowedCase(case.record.risk.log_risk, case.record.risk.risk_group, case.outcome)
            for case in members
            if case.outcome is not None and not case.superseded
        ]
    )
