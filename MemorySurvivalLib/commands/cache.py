"""`memory-survival cache`: how much the cache of memories holds, and emptying it."""

from __future__ import annotations

import argparse
import json
import sys

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.memory.cache_folder import GB, CacheFolder, limit_bytes_of

_DAY_S = 86_400.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its actions."""
    parser = subparsers.add_parser(
        "cache",
        help="show or empty the cache that spares encoding unchanged slices again",
        description="The cache keeps memories of slices, computed from patients' images, so that what did not change "
        "is not encoded again. $MEMORYSURVIVAL_CACHE chooses its folder, $MEMORYSURVIVAL_CACHE_GB its size (0: none).",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    info = actions.add_parser("info", help="folder, size and limit")
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run=run_info)
    clear = actions.add_parser("clear", help="delete cached memories; results are never touched")
    clear.add_argument("--older-than", type=float, metavar="DAYS", help="only those not used for so many days")
    clear.add_argument("--limit-gb", type=float, metavar="N", help="only the least recently used ones, down to N GB")
    clear.set_defaults(run=run_clear)


def run_info(options: argparse.Namespace) -> int:
    """Print where the cache is, how much it holds and how much it may hold."""
    folder = CacheFolder()
    usage = folder.usage()
    if options.json:
        content = {
            "folder": str(folder.path),
            "files": usage.entries,
            "size_bytes": usage.size_bytes,
            "limit_bytes": folder.limit_bytes,
        }
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    else:
        limit = f"{folder.limit_bytes / GB:g} GB" if folder.limit_bytes else "0, nothing is cached"
        sys.stdout.write(f"Folder  {folder.path}\nHolds   {_words(usage.entries, usage.size_bytes)}\nLimit   {limit}\n")
    return 0


def run_clear(options: argparse.Namespace) -> int:
    """Delete what the options name, everything without options, and say how much that was."""
    folder = CacheFolder()
    days, limit_gb = options.older_than, options.limit_gb
    if days is not None and not 0 <= days < float("inf"):
        raise InputError(f"--older-than needs a number of days from 0 on, got {days:g}.")
    limit_bytes = None if limit_gb is None else limit_bytes_of(limit_gb, f"--limit-gb {limit_gb:g}")
    deleted = []
    if days is not None or limit_bytes is None:
        deleted.append(folder.clear((days or 0.0) * _DAY_S))
    if limit_bytes is not None:
        deleted.append(folder.shrink(limit_bytes))
    count, size_bytes = sum(one.entries for one in deleted), sum(one.size_bytes for one in deleted)
    left = folder.usage()
    sys.stdout.write(f"Deleted {_words(count, size_bytes)}; {_words(left.entries, left.size_bytes)} left.\n")
    if limit_bytes is None and days is None and left.entries:
        raise OutputError(f"Some files in {folder.path} could not be deleted; close other programs that use them.")
    return 0


def _words(count: int, size_bytes: int) -> str:
    return f"{count} {'file' if count == 1 else 'files'}, {size_bytes / 1e6:.1f} MB"
