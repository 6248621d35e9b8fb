"""`memory-survival bundle`: which bundles there are, what one says about itself, and whether it is sound."""

from __future__ import annotations

import argparse
import sys

import msgspec


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its actions."""
    parser = subparsers.add_parser("bundle", help="list, show and verify model bundles")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the bundles that ship and your own")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", help="a bundle's manifest and model card")
    show.add_argument("bundle", help="name or file")
    show.add_argument("--json", action="store_true", help="print the manifest as JSON")
    show.set_defaults(run=run_show)
    verify = actions.add_parser("verify", help="check every hash and load every weight")
    verify.add_argument("bundle", help="name or file")
    verify.set_defaults(run=run_verify)


def run_list(options: argparse.Namespace) -> int:
    """Print name, status and file of every bundle."""
    from MemorySurvivalLib.bundle.archive import read_archive
    from MemorySurvivalLib.bundle.registry import list_bundles

    for name, path in list_bundles().items():
        sys.stdout.write(f"{name:<24} {read_archive(path).manifest.status:<16} {path}\n")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print the model card, or the manifest as JSON."""
    from MemorySurvivalLib.bundle.archive import CARD, read_archive
    from MemorySurvivalLib.bundle.registry import find_bundle

    archive = read_archive(find_bundle(options.bundle))
    if options.json:
        text = msgspec.json.format(msgspec.json.encode(archive.manifest), indent=1).decode()
    else:
        text = archive.members[CARD].decode()
    sys.stdout.write(text.rstrip("\n") + "\n")
    return 0


def run_verify(options: argparse.Namespace) -> int:
    """Load everything strictly and say so."""
    from MemorySurvivalLib.bundle.bundle import load_bundle
    from MemorySurvivalLib.bundle.registry import find_bundle

    bundle = load_bundle(find_bundle(options.bundle))
    bundle.backbone()
    sys.stdout.write(f"{bundle.manifest.name} {bundle.manifest.version} is sound: sha256 {bundle.archive.sha256}\n")
    return 0
