"""`memory-survival bundle`: which bundles there are, what one says about itself, is it sound, who signed it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from MemorySurvivalLib.commands.rebuild import add_rebuild
from MemorySurvivalLib.commands.train import add_cohort_options, work_folder


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its actions."""
    parser = subparsers.add_parser(
        "bundle", help="list, show, verify, sign, recalibrate, promote and rebuild model bundles"
    )
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
    sign = actions.add_parser("sign", help="sign a bundle with your own key (a file beside it)")
    sign.add_argument("bundle", help="name or file")
    sign.add_argument("--as", dest="signed_by", required=True, metavar="NAME", help="what you call yourself")
    sign.set_defaults(run=run_sign)
    key = actions.add_parser("key", help="your signing key, and the keys that you know")
    key.add_argument("--new", action="store_true", help="make your own key (Ed25519)")
    key.add_argument("--trust", nargs=2, metavar=("KEY", "NAME"), help="keep a public key under its owner's name")
    key.set_defaults(run=run_key)
    again = actions.add_parser("recalibrate", help="fit the baseline hazard alone on another site's patients")
    again.add_argument("base", metavar="BUNDLE", help="name or file")
    again.add_argument("cohort", type=Path, metavar="COHORT.csv", help="patients that no head saw")
    again.add_argument("--site", required=True, help="the site's name, for the model card")
    again.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the .msbundle file to write")
    add_cohort_options(again, with_base=False)
    again.set_defaults(run=run_recalibrate)
    promote = actions.add_parser("promote", help="a local bundle made `validated`: statements and a validation in it")
    promote.add_argument("base", metavar="BUNDLE", help="name or file, with status local-research")
    promote.add_argument("--validation", type=Path, required=True, metavar="JSON", help="what `validate --json` wrote")
    promote.add_argument("--patients", required=True, metavar="TEXT", help="who was validated on, for the model card")
    promote.add_argument("--as", dest="by", required=True, metavar="NAME", help="who answers for it")
    promote.add_argument("--stated", type=Path, metavar="JSON", help="answers to what the model card leaves open")
    promote.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the .msbundle file to write")
    promote.set_defaults(run=run_promote)
    add_rebuild(actions)


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
    from MemorySurvivalLib.bundle.signing import describe_signature

    path = find_bundle(options.bundle)
    bundle = load_bundle(path)
    said = describe_signature(path, bundle.archive.sha256)
    bundle.backbone()
    sys.stdout.write(f"{bundle.manifest.name} {bundle.manifest.version} is sound: sha256 {bundle.archive.sha256}\n")
    sys.stdout.write(f"{said}\n")
    return 0


def run_sign(options: argparse.Namespace) -> int:
    """Sign with the own key."""
    from MemorySurvivalLib.bundle.registry import find_bundle
    from MemorySurvivalLib.bundle.signing import KeyStore, sign_bundle

    keys = KeyStore()
    signature = sign_bundle(find_bundle(options.bundle), options.signed_by, keys)
    sys.stdout.write(f"{signature} is written (key {keys.own_public_key()}); hand it on together with the bundle.\n")
    return 0


def run_key(options: argparse.Namespace) -> int:
    """Make a key, keep one, or list those that are known."""
    from MemorySurvivalLib.bundle.signing import KeyStore

    keys = KeyStore()
    if options.new:
        public = keys.make_key()
        sys.stdout.write(f"Your key is in {keys.private_file}; keep it secret. Its public half: {public}\n")
    if options.trust:
        keys.trust(*options.trust)
    for public, name in keys.known_keys().items():
        sys.stdout.write(f"{public}  {name}\n")
    return 0


def run_recalibrate(options: argparse.Namespace) -> int:
    """Embed and score the site's patients, and write the bundle with a new baseline."""
    from MemorySurvivalLib.bundle.recalibrate import SitePatients, check_site, recalibrate_bundle
    from MemorySurvivalLib.commands.terminal import ProgressBars
    from MemorySurvivalLib.models import Models
    from MemorySurvivalLib.training.intake import take_cohort
    from MemorySurvivalLib.training.own_cohort import EmbedOptions, bundle_log_risks, embed_patients

    models = Models()
    intake = take_cohort(options.cohort)
    check_site(len(intake.patients), intake.events)
    embed = EmbedOptions(options.base, options.segmenter, options.device, not options.no_lesions)
    with ProgressBars() as bars:
        cohort = embed_patients(intake, embed, work_folder(options) / "patients", models, bars)
    bundle, data = models.bundle(options.base), cohort.data
    patients = SitePatients(
        options.site, data.times_months, data.events, bundle_log_risks(bundle, data), data.simulated
    )
    manifest = recalibrate_bundle(bundle, patients, options.out).manifest
    sys.stdout.write(f"{cohort.flow.sentence}\n{options.out} is written: {manifest.name} {manifest.version}.\n")
    return 0


def run_promote(options: argparse.Namespace) -> int:
    """Write the bundle with its evidence and the higher status."""
    from MemorySurvivalLib.bundle.bundle import load_bundle
    from MemorySurvivalLib.bundle.registry import find_bundle
    from MemorySurvivalLib.training.model_card import read_stated
    from MemorySurvivalLib.training.promoting import promote_bundle, read_validation

    stated, validation = read_stated(options.stated), read_validation(options.validation)
    bundle = load_bundle(find_bundle(options.base))
    manifest = promote_bundle(bundle, stated, validation, options.patients, options.by, options.out).manifest
    sys.stdout.write(f"{options.out} is written: {manifest.name} {manifest.version}, status {manifest.status}.\n")
    return 0
