"""`memory-survival weights`: fetch, import, list and verify the backbone weights that do not ship."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Never, TypedDict

from tqdm import tqdm

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import WeightsError
from MemorySurvivalLib.interrupts import stop_if_asked
from MemorySurvivalLib.memory.weights_releases import RELEASES, Release
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent

if TYPE_CHECKING:
    from MemorySurvivalLib.memory.weights import LicenceQuestion
    from MemorySurvivalLib.memory.weights_store import StoreEntry, WeightsRecord

# The handlers import the library's weights rooms themselves, so that `memory-survival --help` does not load torch.


class _Row(TypedDict):
    name: str
    status: str
    size_bytes: int
    sha256: str
    licence: str
    detail: str


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `weights` and its four commands; each sets `run`, which takes the arguments and returns the exit code."""
    weights = subparsers.add_parser(
        "weights",
        help="fetch, import, list or verify backbone weights such as MedSAM2's",
        description=f"Manage backbone weights that do not ship with MemorySurvival. {RESEARCH_USE}.",
    )
    commands = weights.add_subparsers(required=True, metavar="COMMAND")
    names = ", ".join(release.name for release in RELEASES)

    fetch = commands.add_parser("fetch", help="download a published release")
    fetch.add_argument("name", metavar="NAME", help=f"one of {names}")
    fetch.add_argument("--url", help="another address of the same file, such as a mirror inside a firewall")
    _add_licence_option(fetch)
    fetch.set_defaults(run=run_fetch)

    import_ = commands.add_parser("import", help="take a checkpoint file from this machine; needs no network")
    import_.add_argument("file", type=Path, metavar="FILE", help="a .pt, .pth or .safetensors file")
    import_.add_argument("--name", help="what to call weights that match no published release")
    _add_licence_option(import_)
    import_.set_defaults(run=run_import)

    list_ = commands.add_parser("list", help="show which weights exist and which are on this machine")
    list_.add_argument("--json", action="store_true", help="print JSON in place of a table")
    list_.set_defaults(run=run_list)

    verify = commands.add_parser("verify", help="read stored weights again and compare their hashes")
    verify.add_argument("name", metavar="NAME", nargs="?", help="only these weights")
    verify.set_defaults(run=run_verify)


def run_fetch(args: argparse.Namespace) -> int:
    """Download a release. Ctrl-C keeps what has arrived."""
    from MemorySurvivalLib.memory.weights import WeightsStore, fetch_weights

    store = WeightsStore()
    try:
        with _bar() as progress:
            record = fetch_weights(args.name, _question(args), url=args.url, store=store, progress=progress)
    except KeyboardInterrupt:
        _say("Stopped. What has arrived is kept; run the same command again to continue.")
        return 130
    return _report(record, store.path(record))


def run_import(args: argparse.Namespace) -> int:
    """Copy a checkpoint of this machine into the store."""
    from MemorySurvivalLib.memory.weights import WeightsStore, import_weights

    store = WeightsStore()
    with _bar() as progress:
        record = import_weights(args.file, _question(args), name=args.name, store=store, progress=progress)
    return _report(record, store.path(record))


def run_list(args: argparse.Namespace) -> int:
    """Print every release and every stored file with its status."""
    from MemorySurvivalLib.memory.weights_store import WeightsStore

    store = WeightsStore()
    with _bar() as progress:
        entries = store.entries(progress)
    rows = [_row(entry) for entry in entries]
    if args.json:
        content = {"research_use": RESEARCH_USE, "folder": str(store.folder), "weights": rows}
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return 0
    header = ("name", "status", "size", "sha256", "licence")
    cells = [(r["name"], r["status"], f"{r['size_bytes'] / 1e6:.1f} MB", r["sha256"][:12], r["licence"]) for r in rows]
    widths = [max(len(line[i]) for line in [header, *cells]) for i in range(len(header))]
    for line in [header, *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    _print_damage(entries)
    print(f"Folder: {store.folder}\n{RESEARCH_USE}.")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Read every stored file (or the one named) again; exit code 1 when any is damaged."""
    from MemorySurvivalLib.memory.weights_store import WeightsStore

    store = WeightsStore()
    with _bar() as progress:
        entries = [e for e in store.entries(progress, reread=True) if e.status != "absent"]
    if args.name is not None:
        wanted = args.name.casefold()
        entries = [e for e in entries if e.name.casefold() == wanted]
        if not entries:
            raise WeightsError(
                f"No weights called {args.name} are stored in {store.folder}; `memory-survival weights list` shows all."
            )
    if not entries:
        print(f"No weights are stored in {store.folder}.")
    for entry in entries:
        if entry.status == "present" and entry.record is not None:
            print(f"{entry.name}: intact, sha256 {entry.record.sha256}")
    _print_damage(entries)
    return 1 if any(e.status == "damaged" for e in entries) else 0


def _add_licence_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-licence", metavar="ID", help="accept the licence of the weights, for example CC-BY-SA-4.0"
    )


def _question(args: argparse.Namespace) -> LicenceQuestion:
    """How this run answers for the licence: by the option, or by asking where somebody sits at the terminal."""

    def ask(release: Release) -> str | None:
        if args.accept_licence is not None:
            return str(args.accept_licence)
        if not sys.stdin.isatty():
            return None
        _say(f"{release.notice}\n{RESEARCH_USE}.\nType yes to accept this licence:", end=" ")
        answer = sys.stdin.readline().strip().casefold()
        return release.licence.identifier if answer == "yes" else None

    return ask


def _report(record: WeightsRecord, path: Path) -> int:
    what = record.name if record.release else f"{record.name} (unknown release)"
    print(f"{what} is ready at {path}\nsha256 {record.sha256}\nLicence: {record.licence}\n{RESEARCH_USE}.")
    return 0


def _row(entry: StoreEntry) -> _Row:
    size_bytes, sha256, licence = 0, "", "unknown"
    if entry.record is not None:
        size_bytes, sha256, licence = entry.record.size_bytes, entry.record.sha256, entry.record.licence
    elif entry.release is not None:
        release = entry.release
        size_bytes, sha256, licence = release.size_bytes, release.sha256, release.licence.identifier
    return {
        "name": entry.name,
        "status": entry.status,
        "size_bytes": size_bytes,
        "sha256": sha256,
        "licence": licence,
        "detail": entry.detail,
    }


def _print_damage(entries: list[StoreEntry]) -> None:
    for entry in entries:
        if entry.status == "damaged":
            print(f"{entry.name}: DAMAGED, {entry.detail}; fetch or import it again.")


def _say(text: str, end: str = "\n") -> None:
    sys.stderr.write(text + end)
    sys.stderr.flush()


@contextlib.contextmanager
def _bar() -> Iterator[ProgressCallback]:
    """One progress bar per stage on the error stream, which leaves the output to results."""
    bars: dict[str, tqdm[Never]] = {}

    def show(event: ProgressEvent) -> None:
        stop_if_asked()
        bar = bars.get(event.stage)
        if bar is None:
            for finished in bars.values():
                finished.close()
            bytes_count = event.stage.startswith("download")
            bar = bars[event.stage] = tqdm(
                total=event.total,
                initial=event.done,
                desc=event.stage,
                unit="B" if bytes_count else "MiB",
                unit_scale=bytes_count,
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
            )
        bar.update(event.done - bar.n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
