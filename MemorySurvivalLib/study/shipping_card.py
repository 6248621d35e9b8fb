"""The model card of the shipped demonstration bundle: what its heads are, what they learned from, how they did."""

from __future__ import annotations

from dataclasses import dataclass

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.manifest import HeadEntry, Manifest, ReaderEntry
from MemorySurvivalLib.measure.statistics import STATISTICS
from MemorySurvivalLib.memory.inside import Inside
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.cohorts import StudyCohort
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.shipping_heads import ShippedHead
from MemorySurvivalLib.training.demonstration import say_learned
from MemorySurvivalLib.training.demonstration_heads import ordinal
from MemorySurvivalLib.training.models.cox import FittedCox


@dataclass(frozen=True, eq=False)
class CardFacts:
    """What the card says."""

    manifest: Manifest
    heads: tuple[ShippedHead, ...]
    development: StudyCohort
    tests: tuple[StudyCohort, ...]
    configuration: StudyConfiguration


def write_shipped_card(facts: CardFacts, training: str) -> str:
    """The card as Markdown; `training` is the section on the backbone's training, empty where that is not known."""
    manifest, configuration = facts.manifest, facts.configuration
    return f"""# Demonstration model (SIMULATED)

{RESEARCH_USE}. {say_learned(manifest.backbone)} It shows what the software does; it says nothing about any person.
Simulation tests the software and the method, not myeloma.

- Backbone: {manifest.backbone.release}, float16 weights with sha256 {manifest.backbone.sha256}; a small network of SAM
  2.1's classes.
{_reader(manifest.backbone.reader)}{describe_heads(facts)}

{describe_results(facts)}

The study's models may read the skeleton too and take statistics of both regions, which one bundle cannot; these heads
are theirs on the spine alone. Nothing here is calibrated or validated, or compared with any clinical score.

Study: configuration sha256 {configuration.sha256}, embedding sha256 {configuration.embedding.sha256}, seed
{configuration.fitting.seed}.
{f"{chr(10)}{training}" if training else ""}"""


def describe_heads(facts: CardFacts) -> str:
    """List entries: what the heads are and read, from whom they learned, and how everything was chosen."""
    manifest, fitting = facts.manifest, facts.configuration.fitting
    propagation, provenance = manifest.propagation, manifest.provenance
    development = facts.configuration.cohort(facts.development.name)
    scenario = load_scenario(facts.development.scenario)
    return f"""- Heads, on one vector a patient from PET and one from CT, not the paper's
  downsampler:
  {_kinds(facts.heads)}.
- Learned from {provenance.cases} simulated patients with {provenance.events} events (cohort {development.name}, seed
  {development.seed}, scenario {scenario.name} with sha256 {scenario.sha256}).
- Pictures: {_pictures(propagation.close_up_mm)}.
- Vector: {_pooled(propagation.inside)}; readout
  `{propagation.readout}` over every {ordinal(propagation.slice_step)} ROI slice, or as few as give at most
  {propagation.most_slices} slices; ROI: {manifest.roi}, the phantoms' masks with each simulated hospital's error.
- Chosen in {fitting.inner_folds} folds of these patients among {fitting.trials} settings a readout, head and kind
  (ridge Cox; DeepSurv with the paper's gate): the readout by the sum of both heads' c, kind and settings by each
  head's own ({_settings(facts.heads)}). The test patients decided nothing.
- Statistics of the region: {_statistics(facts.heads[0].entry)}.
- Clinical values of the head with them: {_covariates(facts.heads[1].entry)}.{_notes(facts.heads)}
- Outcome: simulated progression-free survival. Groups and baseline hazard: risks of the same patients by models of
  other folds. Reference risks: {len(facts.tests[0].data)} patients of {facts.tests[0].name}, whom no head saw."""


def describe_results(facts: CardFacts) -> str:
    """The table of the heads' c, and how to read it."""
    return f"""{_table(facts)}

c on its own patients is optimistic. Intervals are 95 % percentiles over resampled test patients. The oracle knows the
simulated log hazard, without what nobody can know; recovered is (c - .5) / (c of the oracle - .5)."""


def _table(facts: CardFacts) -> str:
    lines = ["| head | patients | c | c of the oracle | recovered |", "| --- | --- | --- | --- | --- |"]
    for head in facts.heads:
        own = head.entry.metrics["training_c_index"]
        lines.append(f"| {head.entry.name} | {len(facts.development.data)}, its own | {own:.3f} | | |")
        for test in head.tested:
            where = f"{test.c.n} of {test.cohort} (scenario {test.scenario}), {test.c.events} events"
            share = "" if test.recovered is None else f"{test.recovered:.0%}"
            lines.append(f"| {head.entry.name} | {where} | {test.c} | {test.oracle:.3f} | {share} |")
    return "\n".join(lines)


def _settings(heads: tuple[ShippedHead, ...]) -> str:
    return "; ".join(
        f"{head.entry.name}: " + ", ".join(f"{name} {value:.3g}" for name, value in head.choice.values.items())
        for head in heads
    )


def _pictures(close_up_mm: float | None) -> str:
    return "whole slices" if close_up_mm is None else f"close-ups of the region, with {close_up_mm:g} mm around it"


def _pooled(inside: Inside) -> str:
    if inside == "lesions":
        return "what the backbone's lesion reader finds on each slice in the memory's cells that the region covers"
    how = "their peaks among" if inside == "peak" else "averaged over"
    return f"the memory's channels, on each slice {how} the cells that the region covers"


def _reader(entry: ReaderEntry | None) -> str:
    if entry is None:
        return ""
    return f"""- Lesion reader, sha256 {entry.sha256}: a small network that says of each memory cell how much of it is
  lesion ({", ".join(entry.kinds)}). It learned from the planted lesions of {entry.simulated_cases} other simulated
  patients; what it does on persons' lesions nobody has measured.
"""


def _kinds(heads: tuple[ShippedHead, ...]) -> str:
    return "; ".join(
        f"{head.entry.name} is "
        + (
            "Cox's model with a ridge penalty"
            if isinstance(head.fitted, FittedCox)
            else "DeepSurv with the paper's gate between them"
        )
        for head in heads
    )


def _statistics(entry: HeadEntry) -> str:
    return ", ".join(STATISTICS[name].title for name in entry.spec.statistics)


def _covariates(entry: HeadEntry) -> str:
    return ", ".join(entry.covariates.names) if entry.covariates else "none"


def _notes(heads: tuple[ShippedHead, ...]) -> str:
    return "".join(f" {note}" for note in dict.fromkeys(note for head in heads for note in head.fitted.notes))
