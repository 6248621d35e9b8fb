"""What is not as it was when a result was made, ordered by how likely it explains numbers that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from MemorySurvivalLib.replay.record import Cause, Difference
from MemorySurvivalLib.report.record import CaseRecord

PACKAGES = (
    "memory-survival",
    "torch",
    "sam2",
    "numpy",
    "scipy",
    "SimpleITK",
    "pydicom",
    "highdicom",
    "safetensors",
    "matplotlib",
    "python",
    "system",
)
"""Software by how much of the numbers is made by it."""


def name_causes(was: CaseRecord, now: CaseRecord, differences: Sequence[Difference]) -> tuple[Cause, ...]:
    """Everything that differs between the two runs: inputs first, then the environment."""
    return (*_inputs(was, now, differences), *_environment(was, now))


def _inputs(was: CaseRecord, now: CaseRecord, differences: Sequence[Difference]) -> Iterator[Cause]:
    for modality, source in was.inputs.items():
        found = now.inputs[modality]
        if source.sha256 != found.sha256:
            sentence = (
                f"The {modality} is not the image that was scored: its content's sha256 {_change(source, found)}."
            )
            yield Cause("input", f"{modality} image", source.sha256, found.sha256, sentence)
    if was.roi.sha256 != now.roi.sha256:
        made = "the mask" if now.request.get("roi") else "the mask that the segmenter made"
        sentence = f"The region is not the one that was scored: the sha256 of {made} {_change(was.roi, now.roi)}."
        yield Cause("input", "mask", was.roi.sha256, now.roi.sha256, sentence)
    if was.bundle.sha256 != now.bundle.sha256:
        sentence = (
            f"The model bundle {now.bundle.name} {now.bundle.version} is not the one that scored the case "
            f"({was.bundle.name} {was.bundle.version}): its sha256 {_change(was.bundle, now.bundle)}."
        )
        yield Cause("input", "bundle", was.bundle.sha256, now.bundle.sha256, sentence)
    if was.bundle.backbone.sha256 != now.bundle.backbone.sha256:
        sentence = f"The backbone's weights are others: the sha256 {_change(was.bundle.backbone, now.bundle.backbone)}."
        yield Cause("input", "weights", was.bundle.backbone.sha256, now.bundle.backbone.sha256, sentence)
    if any(one.name.startswith("risk.covariates") for one in differences) or was.risk.head != now.risk.head:
        sentence = f"The clinical values are not those of the recorded run (head {was.risk.head}, now {now.risk.head})."
        yield Cause("input", "covariates", was.risk.head, now.risk.head, sentence)


def _environment(was: CaseRecord, now: CaseRecord) -> Iterator[Cause]:
    if was.device != now.device:
        sentence = f"The case was scored on {was.device} and replayed on {now.device}."
        yield Cause("environment", "device", was.device, now.device, sentence)
    for package in PACKAGES:
        before, here = was.software.get(package, "not recorded"), now.software.get(package, "not recorded")
        if before != here:
            yield Cause("environment", package, before, here, f"{package} was {before} and is {here} now.")
    if was.threads != now.threads:
        sentence = f"The case was scored with {was.threads} threads and replayed with {now.threads}."
        yield Cause("environment", "threads", str(was.threads), str(now.threads), sentence)


def _change(was: object, now: object) -> str:
    before, here = str(getattr(was, "sha256", "")), str(getattr(now, "sha256", ""))
    return f"began with {before[:12]} and now begins with {here[:12]}"
