"""The command `memory-survival`: parses arguments, calls the library, turns errors into one sentence."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.commands import (
    attribute,
    batch,
    bundle,
    cache,
    compare,
    dicom,
    explain,
    export,
    findings,
    inspect,
    measure,
    node,
    overview,
    readers,
    replay,
    report,
    score,
    segment,
    send,
    simulate,
    train,
    twins,
    validate,
    weights,
)
from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.interrupts import listening

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """All subcommands with their options."""
    parser = argparse.ArgumentParser(
        prog="memory-survival",
        description="Progression-free-survival risk in multiple myeloma from the SAM 2 memory of FDG-PET/CT.",
        epilog=f"{RESEARCH_USE}.",
    )
    parser.add_argument("--version", action="version", version=f"memory-survival {__version__}")
    parser.add_argument("--verbose", action="store_true", help="log what happens, and show tracebacks")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (
        score,
        explain,
        batch,
        inspect,
        segment,
        measure,
        findings,
        report,
        dicom,
        export,
        replay,
        compare,
        overview,
        twins,
        readers,
        node,
        send,
        weights,
        bundle,
        cache,
        simulate,
        train,
        validate,
        attribute,
    ):
        command.register(subparsers)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; exit code 0 when done, 2 for what the user can put right, 130 when interrupted."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, format="%(name)s: %(message)s")
    try:
        with listening():  # a polite kill cleans up like Ctrl-C does
            return int(options.run(options))
    except MemorySurvivalError as error:
        if options.verbose:
            raise
        sys.stderr.write(f"memory-survival: {error}\n")
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("\nmemory-survival: interrupted; nothing half-written was left.\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
