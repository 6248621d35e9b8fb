"""A local bundle made `validated`: people state what only they know, and a validation on other patients is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from MemorySurvivalLib.bundle.archive import CARD, write_archive
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.bundle.card import OPEN_FIELD, say_held_back
from MemorySurvivalLib.errors import BundleError, InputError, OutputError
from MemorySurvivalLib.training.model_card import QUESTIONS, Stated

FEWEST_EVENTS = 100
"""Events below which an external validation says little (Collins, Ogundimu and Altman, Stat Med 2016)."""


class Figure(msgspec.Struct, frozen=True):
    """One figure of a validation with its interval."""

    name: str
    value: float
    low: float
    high: float


class HeadFigures(msgspec.Struct, frozen=True):
    """What a validation says of one head."""

    head: str
    estimates: tuple[Figure, ...]


class Validation(msgspec.Struct, frozen=True):
    """What is read of the file that `validate --json` writes; further fields are left alone."""

    bundle: str
    bundle_sha256: str
    n: int
    events: int
    simulated: bool
    horizon_months: float
    heads: tuple[HeadFigures, ...]
    seen_before: str = ""


def read_validation(path: Path) -> Validation:
    """The figures of `validate --json`. Raises InputError for any other file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Validation)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(
            f"The validation {path} cannot be read ({str(error).rstrip('.')}); give the file that "
            "`memory-survival validate --json` wrote."
        ) from error


def promote_bundle(
    bundle: ModelBundle, stated: Stated, validation: Validation, patients: str, by: str, out: Path
) -> ModelBundle:
    """Write `bundle` to `out` with status `validated`: open fields of its card filled, the validation in its card.

    `patients` says who was validated on, `by` who answers for it. No weight, baseline or threshold changes. Raises
    InputError for a validation of other bytes, of simulated patients, of patients that the bundle seems to know, of too
    few events or without discrimination of every head; BundleError for a bundle that is not `local-research`, or whose
    card still has open fields; OutputError where `out` is there already.
    """
    manifest = bundle.manifest
    if manifest.status != "local-research":
        raise BundleError(
            f"The model bundle {manifest.name} is {manifest.status}; only a local-research one is promoted."
        )
    _check(bundle, validation)
    for name, text in (("patients were validated on", patients), ("answers for it", by)):
        if not _one_line(text):
            raise InputError(f"Say who {name}; it stands in the model card.")
    card = fill_card(bundle.card, stated)
    held_back = say_held_back(card)
    if held_back:
        raise BundleError(
            f"The model bundle {manifest.name} stays at local-research: {held_back}; give them with --stated "
            "(`memory-survival train --questions` prints the fields)."
        )
    if out.exists():
        raise OutputError(f"{out} is there already; bundles are never replaced, so choose another name.")
    today = datetime.now(UTC).date().isoformat()
    said = (
        f"Validated on other patients ({_one_line(patients)}): {validation.n} patients with {validation.events} "
        f"events, stated on {today} by {_one_line(by)} (from version {manifest.version}, sha256 "
        f"{bundle.archive.sha256}). Nothing was fitted."
    )
    changed = msgspec.structs.replace(
        manifest,
        name=out.stem,
        version=f"{manifest.version}+validated",
        status="validated",
        provenance=msgspec.structs.replace(manifest.provenance, how=f"{manifest.provenance.how} {said}"),
    )
    card = f"{card.rstrip()}\n\n{_section(validation, said)}"
    write_archive(out, changed, {**bundle.archive.members, CARD: card.encode()})
    return load_bundle(out)


def fill_card(card: str, stated: Stated) -> str:
    """The card with every open field filled that was stated; what stands there already stays."""
    for name, question in QUESTIONS.items():
        text = _one_line(str(getattr(stated, name)))
        if text:
            card = card.replace(f"**{question}**: {OPEN_FIELD}", f"**{question}**: {text}")
    return card


def _check(bundle: ModelBundle, validation: Validation) -> None:
    if validation.bundle_sha256 != bundle.archive.sha256:
        raise InputError(
            f"The validation is of {validation.bundle} (sha256 {validation.bundle_sha256[:12]}), the bundle "
            f"{bundle.manifest.name} has the sha256 {bundle.archive.sha256[:12]}; validate this one."
        )
    if validation.simulated:
        raise InputError(
            "The validation is of simulated patients; it says nothing about persons and validates nothing."
        )
    if validation.seen_before:
        raise InputError(validation.seen_before)
    if validation.events < FEWEST_EVENTS:
        raise InputError(
            f"The validation has {validation.events} events; with fewer than {FEWEST_EVENTS} it says too little for a "
            "status above local-research."
        )
    judged = {one.head for one in validation.heads if one.estimates}
    missing = [entry.name for entry in bundle.manifest.heads if entry.name not in judged]
    if missing:
        raise InputError(f"The validation has no figures of the head {missing[0]}; validate the whole bundle.")


def _section(validation: Validation, said: str) -> str:
    lines = ["## External validation", "", said, ""]
    for head in validation.heads:
        lines += [f"Head {head.head} ({validation.horizon_months:g} months where a figure has a horizon):", ""]
        lines += ["| figure | value | 95 % interval |", "| --- | --- | --- |"]
        lines += [f"| {_one_line(e.name)} | {e.value:.3f} | {e.low:.3f} to {e.high:.3f} |" for e in head.estimates]
        lines.append("")
    lines.append("The status says that this evidence was stated, not that the model is good enough for any use.")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
