"""`memory-survival replay`: a result.json run again; the same numbers, or what differs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.devices import DEVICES

if TYPE_CHECKING:
    from MemorySurvivalLib.replay.record import ReplayRecord

EXIT_DIFFERENT = 1
_MOST_SHOWN = 12


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "replay",
        help="run a result again and compare",
        description="Run a result.json again and compare every number. Exit code 0: the same; 1: different, with what "
        f"differs; 2: it cannot be run again, because something is missing. {RESEARCH_USE}.",
    )
    parser.add_argument("result", type=Path, metavar="RESULT", help="a result.json, or the folder that holds it")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="where CT and PET are now; they are found by their content"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the new result and replay.json in this folder")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it already holds a result")
    parser.add_argument("--bundle", help="another model bundle than the recorded one, by name or file")
    parser.add_argument("--device", choices=DEVICES, help="where to run the model (default: the recorded device)")
    parser.add_argument("--threads", type=int, metavar="N", help="how many threads to use (default: the recorded)")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON instead of sentences")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replay and print what came of it."""
    from MemorySurvivalLib.replay.rebuild import ReplayRequest
    from MemorySurvivalLib.replay.replaying import replay_result

    result = options.result / "result.json" if options.result.is_dir() else options.result
    request = ReplayRequest(
        result, options.images, options.out, options.overwrite, options.bundle, options.device, options.threads
    )
    with ProgressBars() as bars:
        record = replay_result(request, progress=bars)
    sys.stdout.write(record.as_json().decode() + "\n" if options.json else describe(record))
    return 0 if record.same else EXIT_DIFFERENT


def describe(record: ReplayRecord) -> str:
    """The outcome in plain lines."""
    lines = [record.sentence, f"log-risk    recorded {record.log_risk_was:+.6f}, now {record.log_risk_now:+.6f}"]
    lines += [f"note        {note}" for note in record.notes]
    lines += [f"{'not same' if cause.kind == 'input' else 'other':<12}{cause.sentence}" for cause in record.causes]
    moved = sorted(record.differences, key=lambda one: one.within)
    for one in moved[:_MOST_SHOWN]:
        change = "" if one.change is None else f" (by {one.change:.3g}, allowed {one.tolerance:g})"
        lines.append(
            f"{'within' if one.within else 'differs':<12}{one.name}: {_short(one.was)} -> {_short(one.now)}{change}"
        )
    if len(moved) > _MOST_SHOWN:
        lines.append(f"            and {len(moved) - _MOST_SHOWN} more; --json lists all")
    return "\n".join((*lines, f"{record.research_use}.")) + "\n"


def _short(value: object) -> str:
    text = f"{value:.8g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
