"""The worker process behind the Slicer panel: jobs in, events out, one JSON object a line on stdin and stdout.

Run as `python -m MemorySurvivalLib.worker`. It stays warm between jobs, beats while it lives, and ends when its
input closes or after idle minutes. Cancelling a job is killing the process: results appear whole or not at all, so a
kill at any moment is safe. docs/worker.md describes every message.
"""

from __future__ import annotations

import _thread
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar, get_args, get_origin

import msgspec

from MemorySurvivalLib import __version__
from MemorySurvivalLib.errors import InputError, MemorySurvivalError
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent

PROTOCOL = 1
HEARTBEAT_S = 1.0
IDLE_S = 300.0

_LOG = logging.getLogger(__name__)

Request = TypeVar("Request")


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of input: a job's id, its kind, and its parameters."""

    id: str
    job: Literal["score", "bundles", "segment", "check_mask"]
    parameters: dict[str, Any] = {}


class EventStream:
    """Writes events to the protocol's stream, one line each, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, event: str, **content: Any) -> None:
        """Write one event."""
        line = msgspec.json.encode({"event": event, **content}) + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


class Worker:
    """Runs jobs one after another and reports them."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._models: Any = None
        self._jobs: dict[str, Callable[[Job], dict[str, Any]]] = {
            "score": self._score,
            "bundles": self._bundles,
            "segment": self._segment,
            "check_mask": self._check_mask,
        }

    def handle(self, line: bytes) -> None:
        """Run the job of one input line; every failure becomes a `failed` event with one sentence."""
        try:
            job = msgspec.json.decode(line, type=Job)
        except msgspec.DecodeError as error:
            self._events.send("failed", id=None, kind="ProtocolError", message=f"The job cannot be read: {error}.")
            return
        self._events.send("started", id=job.id)
        try:
            content = self._jobs[job.job](job)
        except MemorySurvivalError as error:
            self._events.send("failed", id=job.id, kind=type(error).__name__, message=str(error), details=error.details)
        except Exception as error:  # noqa: BLE001  the process must outlive any job; the log has the traceback
            _LOG.exception("job %s failed", job.id)
            text = (
                f"The worker failed with an internal error ({type(error).__name__}: {error}); its log has the details."
            )
            self._events.send("failed", id=job.id, kind="InternalError", message=text)
        else:
            self._events.send("finished", id=job.id, **content)

    def _score(self, job: Job) -> dict[str, Any]:
        from MemorySurvivalLib.models import Models
        from MemorySurvivalLib.pipeline import score_case

        self._models = self._models or Models()

        progress, tell = self._watchers(job)
        parameters, about_shown = choose_shown(job.parameters, progress)
        request = parse_request({**parameters, "notes": about_shown})
        output = score_case(request, self._models, progress, tell)
        files = {name: str(path) for name, path in output.files.items()}
        result = {**summary_for_panel(output.record), "shown": about_shown}
        return {"result": result, "files": {"heatmap": None, **files}}

    def _segment(self, job: Job) -> dict[str, Any]:
        from MemorySurvivalLib.segmenting import DERIVED_KINDS, SegmentRequest, segment_to_folder

        progress, tell = self._watchers(job)
        output = segment_to_folder(_convert(job.parameters, SegmentRequest), progress, tell)
        files = {name: str(path) for name, path in output.files.items()}
        return {
            "result": msgspec.to_builtins(output.record, str_keys=True),
            "files": {**dict.fromkeys(DERIVED_KINDS), **files},
        }

    def _check_mask(self, job: Job) -> dict[str, Any]:
        from MemorySurvivalLib.checking import CheckMaskRequest, check_mask

        review = check_mask(_convert(job.parameters, CheckMaskRequest))
        return {"result": {**msgspec.to_builtins(review), "sentences": review.sentences}, "files": {}}

    def _watchers(self, job: Job) -> tuple[ProgressCallback, Callable[[str], None]]:
        """The callbacks that pass a job's progress and notes on as events."""

        def progress(event: ProgressEvent) -> None:
            self._events.send(
                "progress", id=job.id, stage=event.stage, done=event.done, total=event.total, eta_s=event.eta_s
            )

        def tell(text: str) -> None:
            self._events.send("note", id=job.id, text=text)

        return progress, tell

    def _bundles(self, job: Job) -> dict[str, Any]:
        from MemorySurvivalLib.bundle.archive import read_archive
        from MemorySurvivalLib.bundle.registry import list_bundles

        found = []
        for name, path in list_bundles().items():
            manifest = read_archive(path).manifest
            found.append({"name": name, "status": manifest.status, "title": manifest.title, "path": str(path)})
        return {"result": {"bundles": found}, "files": {}}


def parse_request(parameters: dict[str, Any]) -> Any:
    """A ScoreRequest from a job's parameters. Raises InputError naming a parameter that is wrong."""
    from MemorySurvivalLib.pipeline import ScoreRequest

    return _convert(parameters, ScoreRequest)


def choose_shown(parameters: dict[str, Any], progress: ProgressCallback) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parameters with the images that count, and notes; `shown` holds what a viewer shows of the DICOM it read."""
    if "shown" not in parameters:
        return parameters, ()
    from MemorySurvivalLib.imaging.shown import ShownImages

    rest = {name: value for name, value in parameters.items() if name != "shown"}
    dicom = {name.upper(): rest.get(name) for name in ("ct", "pet") if rest.get(name)}
    shown = {name.upper(): path for name, path in parameters["shown"].items()}
    images = _convert({"dicom": dicom, "shown": shown}, ShownImages)
    chosen, notes = images.choose(progress, confirmed=bool(rest.get("confirm_identity")))
    if "PET" in shown and chosen["PET"] == images.shown["PET"] and rest.get("supplied"):
        rest["supplied"] = {}
        notes += ("The values supplied for the PET were not used, because the PET was taken as SUVbw as it is shown.",)
    return {**rest, **{name.lower(): str(path) for name, path in chosen.items()}}, notes


def _convert(parameters: dict[str, Any], kind: type[Request]) -> Request:
    try:
        return msgspec.convert(parameters, kind, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise InputError(f"The job's parameters are not valid: {error}.") from error


def summary_for_panel(record: Any) -> dict[str, Any]:
    """The record plus the few values that the panel shows first, at the top level."""
    plain: dict[str, Any] = record.as_builtins()
    risk = plain["risk"]
    return {
        **plain,
        "log_risk": risk["log_risk"],
        "position": risk["position"],
        "position_reference": risk["reference"],
        "risk_group": risk["risk_group"],
        "label": "; ".join(risk["labels"]),
        "gate_pet": risk["gate_pet"],
    }


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path or (get_origin(kind) is None and issubclass(kind, Path)):
        return Path(value)
    raise NotImplementedError(f"{kind} {get_args(kind)}")


def main() -> int:
    """Serve jobs until stdin closes, a signal arrives, or nothing came for five minutes."""
    # The protocol owns the real stdout; whatever a library prints goes to stderr instead.
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    events = EventStream(protocol)
    events.send("ready", protocol=PROTOCOL, version=__version__, pid=os.getpid())
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()
    threading.Thread(target=_beat, args=(events,), daemon=True).start()
    try:
        _serve(Worker(events), lines)
    except KeyboardInterrupt:  # stdin closed or a signal came in mid-job; the job has cleaned up behind itself
        _LOG.info("stopped in mid-job")
    return 0


def _serve(worker: Worker, lines: queue.Queue[bytes | None]) -> None:
    while True:
        try:
            line = lines.get(timeout=IDLE_S)
        except queue.Empty:
            return
        if line is None:
            return
        if line.strip():
            worker.handle(line)


def _read_lines(lines: queue.Queue[bytes | None]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    lines.put(None)
    # Nobody is left to read the result of a job that still runs: stop it, first politely, then for good.
    time.sleep(0.5)
    _thread.interrupt_main()
    time.sleep(5.0)
    os._exit(0)


def _beat(events: EventStream) -> None:
    while True:
        time.sleep(HEARTBEAT_S)
        try:
            events.send("heartbeat")
        except OSError:  # the reader is gone
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
