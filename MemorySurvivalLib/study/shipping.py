"""What the study embedded and judged, written as the demonstration bundle that ships. Simulated patients only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from MemorySurvivalLib.bundle.bundle import save_bundle
from MemorySurvivalLib.bundle.manifest import (
    FORMAT,
    FORMAT_VERSION,
    BackboneEntry,
    ExplainDefaults,
    Manifest,
    Provenance,
)
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.backbone import weights_sha256
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.report.record import software_versions
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.simulation.anatomy import PHANTOM_VERSION
from MemorySurvivalLib.study.cohorts import StudyCohort, read_cohort
from MemorySurvivalLib.study.configuration import Embedding, Explaining, Question, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import count_embedded
from MemorySurvivalLib.study.lesion_reader import load_reader
from MemorySurvivalLib.study.readings import split_pooled
from MemorySurvivalLib.study.shipping_card import CardFacts, write_shipped_card
from MemorySurvivalLib.study.shipping_heads import REGION, ShippedHead, choose_settings, fit_shipped, head_recipes
from MemorySurvivalLib.training.backbone_card import describe_training
from MemorySurvivalLib.training.demonstration import name_compact, say_population, say_title
from MemorySurvivalLib.training.demonstration_heads import HeadRecipe, scale_display

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

SCENARIO = "main"
VERSION = "3"
OCCLUDED: tuple[Modality, ...] = ("PET",)
"""Where the bundle's maps replace tissue. With the CT left as it is they point at planted lesions more often and take
half the time: the lesion reader takes a cube of one grey value in bone for a finding (docs/study.md)."""

COMMAND = "python -m MemorySurvivalLib.study bundle"


def ship_study(
    configuration: StudyConfiguration,
    parts: Path,
    backbone: SAM2Base,
    out: Path,
    progress: ProgressCallback = ignore_progress,
    *,
    scenario: str = SCENARIO,
    backbone_training: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Tune and fit both heads on all embedded development patients of `scenario` and write the bundle to `out`.

    Reference risks and c come from the embedded test patients, whom nothing else looks at. `backbone`, float16, and the
    members that say how it was trained are what `training.demonstration.load_compact` gives; the study has to be of its
    hash. Raises InputError for another backbone, for one of which nobody knows what it learned from, and where too few
    patients are embedded.
    """
    sha256 = weights_sha256(backbone)
    embedding = configuration.embedding
    if sha256 != embedding.backbone_sha256:
        raise InputError(
            f"This backbone is {sha256[:12]}, but the study embedded its patients with "
            f"{embedding.backbone_sha256[:12]}; give the one that the study was run with."
        )
    training = backbone_training or {}
    entry = name_compact(sha256, training, embedding.image_size)
    fitted = fit_heads(configuration, parts, scenario, progress)
    reader = None
    if split_pooled(fitted.reading)[1] == "lesions":
        reader, known = load_reader()
        if known.sha256 not in {way.reader_sha256 for way in embedding.ways}:
            raise InputError(f"The study was embedded with another lesion reader than {known.sha256[:12]}; embed anew.")
        entry = msgspec.structs.replace(entry, reader=known.entry)
    manifest = make_manifest(configuration, entry, fitted)
    card = write_shipped_card(fitted.facts(manifest, configuration), describe_training(training))
    return save_bundle(out, manifest, fitted.tensors, card, backbone, training, reader).manifest


@dataclass(frozen=True, eq=False)
class FittedHeads:
    """Both heads on the one reading (`readings.name_pooled`) that the inner folds chose, the patients that they learned
    from, and the cohorts that they were asked about once; the first of these is their reference."""

    reading: str
    heads: tuple[ShippedHead, ...]
    development: StudyCohort
    tests: tuple[StudyCohort, ...]

    @property
    def tensors(self) -> dict[str, RiskHead]:
        """The heads by name."""
        return {one.entry.name: one.head for one in self.heads}

    def facts(self, manifest: Manifest, configuration: StudyConfiguration) -> CardFacts:
        """What a card says of them."""
        return CardFacts(manifest, self.heads, self.development, self.tests, configuration)


def fit_heads(
    configuration: StudyConfiguration, parts: Path, scenario: str, progress: ProgressCallback = ignore_progress
) -> FittedHeads:
    """Tune and fit both heads on all embedded development patients of `scenario`, and ask them about its test patients.

    Raises InputError where the study asks nothing of the scenario, and where too few patients are embedded.
    """
    question = find_question(configuration, scenario)
    development = read_cohort(configuration, question.development, scenario, parts)
    tests = _read_tests(configuration, question, parts)
    recipes, fitting = head_recipes(configuration.embedding), configuration.fitting
    reading, choices, folds = choose_settings(recipes, development.data, fitting, scenario, progress)
    heads = tuple(
        fit_shipped(recipe.name, choice, folds, development, tests, fitting)
        for recipe, choice in zip(recipes, choices, strict=True)
    )
    return FittedHeads(reading, heads, development, tests)


def shipped_propagation(embedding: Embedding, reading: str) -> PropagationConfig:
    """The pass over the body that gives what the study embedded of the spine under `reading` (`readings.name_pooled`),
    on the same slices.

    Slice by slice, whatever batches the study used: that differs in the last digits alone, and the cache keeps batches
    whole, so that an edit of one slice then encodes one."""
    readout, inside, close_up = split_pooled(reading)
    closer = embedding.close_up if close_up else None
    return PropagationConfig(
        readout=readout,
        slice_step=embedding.first_step,
        mode="boxed",
        inside=inside,
        most_slices=embedding.most_slices,
        close_up_mm=closer.close_up_mm if closer is not None else None,
    )


def _explain_as_judged(explaining: Explaining, defaults: ExplainDefaults) -> ExplainDefaults:
    """Patches, fill and images whose hotspots the study held against planted lesions."""
    return msgspec.structs.replace(
        defaults,
        patch_mm=explaining.patch_mm,
        stride_mm=explaining.stride_mm,
        fill=explaining.fill,
        modalities=OCCLUDED,
    )


def find_question(configuration: StudyConfiguration, scenario: str) -> Question:
    """What the study asks of a scenario. Raises InputError where it asks nothing."""
    found = next((question for question in configuration.questions if question.scenario == scenario), None)
    if found is None:
        known = ", ".join(question.scenario for question in configuration.questions)
        raise InputError(f"The study asks nothing of the scenario {scenario!r}; use one of {known}.")
    return found


def _read_tests(configuration: StudyConfiguration, question: Question, parts: Path) -> tuple[StudyCohort, ...]:
    """The reference cohort and those others that are large enough."""
    enough = configuration.fitting.smallest_test
    (name, scenario), *others = question.tests
    there = count_embedded(configuration, name, parts)
    if there < enough:
        raise InputError(
            f"Only {there} test patients of {name} are embedded, {enough} are needed for the reference; "
            f"run `python -m MemorySurvivalLib.study embed --cohort {name}` first."
        )
    large = [pair for pair in others if count_embedded(configuration, pair[0], parts) >= enough]
    return tuple(read_cohort(configuration, *pair, parts) for pair in ((name, scenario), *large))


def make_manifest(configuration: StudyConfiguration, backbone: BackboneEntry, fitted: FittedHeads) -> Manifest:
    """The manifest of the bundle that ships; `backbone` is its entry."""
    embedding, data = configuration.embedding, fitted.development.data
    entries = tuple(one.entry for one in fitted.heads)
    return Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        name="demonstration",
        title=say_title(backbone),
        version=VERSION,
        status="demonstration",
        licence="Apache-2.0",
        backbone=backbone,
        windows=embedding.windows,
        roi=REGION,
        propagation=shipped_propagation(embedding, fitted.reading),
        heads=entries,
        explain=_explain_as_judged(configuration.explaining, scale_display(HeadRecipe().explain, entries[0])),
        provenance=Provenance(
            created=datetime.now(UTC).date().isoformat(),
            population=say_population(backbone),
            simulated=True,
            cases=len(data),
            events=int(data.events.sum()),
            seed=configuration.fitting.seed,
            software={**software_versions(), "phantom": str(PHANTOM_VERSION), "study": configuration.sha256},
            how=f"{COMMAND}, on the parts of the study's embedding {embedding.sha256[:12]}",
        ),
        members={},
    )
