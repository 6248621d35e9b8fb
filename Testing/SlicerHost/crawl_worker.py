"""A worker without a process that answers every job of the panel as the dice say; for tests of the whole panel."""

from __future__ import annotations

import importlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SENTENCE = "Something went wrong with {pet}; try something else."
FAKED = ("score", "segment", "segmenters", "check_mask", "explain", "explain_estimate", "bundles", "mip")
"""Jobs that the fake worker answers, besides its questions."""


@dataclass
class Job:
    """One job that was handed over."""

    kind: str
    parameters: dict[str, Any]
    listener: Any
    background: bool
    cancelled: bool = False


class CrawlWorker:
    """A WorkerProtocol without a process: `work` ends a job or lets it go on, as the dice say. Nothing else calls back.

    What `WorkerClient` promises its listeners holds here too: one end for each job, never in the middle of `submit`,
    and none after `close`.
    """

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.running: Job | None = None
        self.waiting: deque[Job] = deque()
        self.background: deque[Job] = deque()
        self.mood = "any"
        self.prepared: dict[str, Told] = {}
        """Answers of a test's own, by the kind of job."""

    @property
    def busy(self) -> bool:
        return bool(self.waiting) or (self.running is not None and not self.running.background)

    @property
    def process_ids(self) -> list[int]:
        return []

    def submit(self, job: str, parameters: Any, listener: Any, *, background: bool = False) -> None:
        queue = self.background if background else self.waiting
        queue.append(Job(job, dict(parameters), listener, background))

    def cancel(self) -> None:
        self._cancel(lambda job: not job.background)

    def cancel_background(self) -> None:
        self._cancel(lambda job: job.background)

    def cancel_job(self, listener: Any) -> None:
        self._cancel(lambda job: job.listener is listener)

    def close(self) -> None:
        self.running = None
        self.waiting.clear()
        self.background.clear()

    def _cancel(self, wanted: Callable[[Job], bool]) -> None:
        given_up = [job for job in (*self.waiting, *self.background) if wanted(job)]
        self.waiting = deque(job for job in self.waiting if not wanted(job))
        self.background = deque(job for job in self.background if not wanted(job))
        if self.running is not None and wanted(self.running):
            self.running.cancelled = True
        for job in given_up:
            job.listener.job_cancelled()

    def work(self) -> str:
        """One turn of the worker: what it did."""
        protocol = importlib.import_module("MemorySurvivalPanels.worker_protocol")
        if self.running is not None and self.running.background and self.waiting and not self.running.cancelled:
            self.background.appendleft(self.running)
            self.running = None
        if self.running is None:
            if not (self.waiting or self.background):
                return "nothing to do"
            self.running = (self.waiting or self.background).popleft()
        job = self.running
        if job.cancelled:
            self.running = None
            job.listener.job_cancelled()
            return f"{job.kind} cancelled"
        # An endless job is one that the dice never let end.
        mood = self._dice.choices(("success", "failure", "crash", "progress"), (5, 1, 1, 2))[0]
        mood = self.mood if self.mood != "any" else mood
        if mood == "progress":
            job.listener.job_progressed(protocol.Progress("memory PET", self._dice.randrange(150), 150, 12.3))
            return f"{job.kind} goes on"
        self.running = None
        if mood == "success":
            told = self.prepared.get(job.kind) or answer(job, self._dice)
            for text in told.notes:
                job.listener.job_noted(text)
            if told.failure is None:
                job.listener.job_finished(told.result, told.files)
                return f"{job.kind} finished"
            job.listener.job_failed(protocol.Failure(*told.failure))
            return f"{job.kind} refused"
        sentence = SENTENCE.format(pet=job.parameters.get("pet")) if mood == "failure" else "The process stopped."
        kinds = ("InputError", "IdentityMismatch", "MissingPetTags")
        kind = self._dice.choice(kinds) if mood == "failure" else ""
        details = {"differences": ["The CT is of another day."], "missing": ["dose_bq"]} if kind else {}
        job.listener.job_failed(protocol.Failure(sentence, kind, details, ("a line of the log",)))
        return f"{job.kind} failed ({kind or mood})"


@dataclass
class Told:
    """What the worker says at the end of a job."""

    result: dict[str, Any]
    files: dict[str, Any]
    notes: list[str]
    failure: tuple[Any, ...] | None = None


def answer(job: Job, dice: random.Random) -> Told:
    """A good answer, made by the fake worker or, for what concerns a list or a form alone, by the library itself."""
    fake_worker = importlib.import_module("fake_worker")
    if job.kind in ("worklist", "mark_case", "choose_series", "reading_prefill", "staging"):
        return _ask_library(job)
    if job.kind == "batch":
        return Told({"done": 1, "failed": 1, "skipped": 0}, {"table": "cohort.csv"}, [])
    if job.kind == "prior":
        compared = importlib.import_module("made_prior").compared
        return Told(compared(), {}, [])
    if job.kind not in (*fake_worker.QUESTIONS, *FAKED):
        return Told({}, {}, [])
    events: list[dict[str, Any]] = []
    original, fake_worker.send = fake_worker.send, lambda **event: events.append(event)
    try:
        fake_worker.run("success", {"id": "1", "job": job.kind, "parameters": job.parameters})
    finally:
        fake_worker.send = original
    notes = [event["text"] for event in events if event["event"] == "note"]
    last = events[-1]
    if last["event"] == "failed":
        return Told({}, {}, notes, (last["message"], last.get("kind", ""), last.get("details", {})))
    return Told(last["result"], last["files"], notes)


def _ask_library(job: Job) -> Told:
    from MemorySurvivalLib.errors import MemorySurvivalError
    from MemorySurvivalLib.jobs import find_job
    from MemorySurvivalLib.jobs.context import JobContext, Warm

    notes: list[str] = []
    try:
        output = find_job(job.kind)(job.parameters, JobContext(lambda event: None, notes.append, Warm()))
    except MemorySurvivalError as error:
        return Told({}, {}, notes, (str(error), type(error).__name__, error.details))
    return Told(output.result, output.files, notes)
