"""What a reader must know before trusting a score: the flags of a record, in the order in which they matter."""

from __future__ import annotations

from collections.abc import Iterator

from MemorySurvivalLib.report.model import Flag
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.wording import COMPLETE_COVERAGE, say_fixed, say_percent
from MemorySurvivalLib.risk.covariate_fields import list_titles, say_missing


def find_flags(record: CaseRecord) -> tuple[Flag, ...]:
    """Every flag once. The sentences are English, as everything that a record holds; keys are stable for programs."""
    found: dict[str, Flag] = {}
    for flag in (*_about_model(record), *_about_images(record)):
        found.setdefault(flag.sentence, flag)
    return tuple(sorted(found.values(), key=lambda flag: flag.severity != "warning"))


def _about_model(record: CaseRecord) -> Iterator[Flag]:
    risk, roi = record.risk, record.roi
    if roi.kind == "other":
        yield Flag("other-region", "The region is not of the kind the model was trained on; its score says nothing.")
    if risk.reference_log_risks:
        low, high = min(risk.reference_log_risks), max(risk.reference_log_risks)
        if not low <= risk.log_risk <= high:
            yield Flag(
                "out-of-range",
                f"The log-risk lies outside the range of the model's reference cases, {say_fixed(low)} to "
                f"{say_fixed(high)}: the model is beyond what it has seen.",
            )
    if record.stability is not None and record.stability.verdict == "sensitive":
        yield Flag("sensitive", "The score is sensitive: it moved under changes that should not matter.")
    if record.heatmap is not None and record.heatmap.coarse:
        yield Flag("coarse-heatmap", "The heatmap is a quick one: hotspots may be missing or misplaced.")
    if roi.edited:
        yield Flag("edited-mask", roi.provenance or "A person changed the mask after it was made.", "note")
    if roi.stray:
        pieces = f"{len(roi.stray)} tiny pieces" if len(roi.stray) > 1 else "A tiny piece"
        lie = "lie" if len(roi.stray) > 1 else "lies"
        yield Flag("stray-pieces", f"{pieces} of the mask {lie} far from the rest; check them in the images.")
    if risk.covariates is not None and risk.covariates.missing:
        # Word for word the scorer's own note, so that it stands on the page once.
        yield Flag("missing-covariates", say_missing(list_titles(risk.covariates.missing)), "note")
    if record.bundle.status == "demonstration":
        whose = "model" if record.bundle.backbone.simulated_only else "model's heads"
        yield Flag("simulated-model", f"The {whose} learned from simulated patients only.", "note")
    if record.simulated_case:
        yield Flag("simulated-case", "The images are simulated.", "note")


def _about_images(record: CaseRecord) -> Iterator[Flag]:
    way = record.acquisition
    for flag in way.flags:
        yield Flag(f"pet-{flag.name.replace('_', '-')}", flag.sentence, flag.severity)
    alignment = way.alignment
    if alignment is not None:
        if alignment.correction is not None:
            yield Flag("misregistration-corrected", str(alignment.correction["sentence"]), "note")
        elif alignment.warning:
            yield Flag("misregistration", alignment.warning)
    if way.pet_coverage < COMPLETE_COVERAGE:
        yield Flag("pet-coverage", f"The PET covers only {say_percent(way.pet_coverage)} of the CT that was used.")
    for sentence in way.identity:
        yield Flag("identity", sentence)
