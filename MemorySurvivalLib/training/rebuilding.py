"""A demonstration bundle for backbone weights that a user has, such as MedSAM2's: planned, then made on their device.

Heads belong to their backbone. The simulated cohort of the demonstration bundle is embedded with the user's weights,
two heads are fitted on it, and a second demonstration bundle names the weights by their hash. The weights themselves
are never in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.bundle import save_bundle
from MemorySurvivalLib.bundle.manifest import (
    FORMAT,
    FORMAT_VERSION,
    MINIMUM_REFERENCE,
    BackboneEntry,
    Manifest,
    Provenance,
)
from MemorySurvivalLib.bundle.registry import SUFFIX, bundle_folders
from MemorySurvivalLib.devices import is_out_of_memory
from MemorySurvivalLib.errors import BundleError, DeviceError, InputError, WeightsError
from MemorySurvivalLib.memory.backbone import MEDSAM2, BackboneSpec, build_backbone, load_weights
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.weights_checkpoint import load_state_dict
from MemorySurvivalLib.memory.weights_releases import find_release
from MemorySurvivalLib.memory.weights_store import WeightsRecord, WeightsStore
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.report.record import software_versions
from MemorySurvivalLib.resources import data_folder
from MemorySurvivalLib.simulation.anatomy import PHANTOM_VERSION
from MemorySurvivalLib.training.demonstration_heads import (
    REFERENCE_FROM,
    TRAINING_FROM,
    HeadRecipe,
    fit_heads,
    metrics_table,
    ordinal,
    scale_display,
)
from MemorySurvivalLib.training.embedded_cohort import (
    EmbeddedCohort,
    Simulate,
    embed_cohort,
    read_cohort,
    simulate_cohort_case,
)

DEFAULT_CASES, FEWEST_CASES, MOST_CASES = 300, 40, 5000
"""Fewer cases leave too few to learn from or to place a risk among; seeds of more would run into one another."""

HELD_OUT_SHARE = 2 / 7
"""Of the cases; no head sees them, and their risks are the reference. The share of the bundle that ships."""

ALIASES = {"medsam2": "MedSAM2_latest"}
"""What people call weights, and the name under which they are stored."""


@dataclass(frozen=True)
class RebuildPlan:
    """Everything that is settled before the first case: which weights, which cases, where things go.

    `work` keeps the embedded cases (a quarter of a megabyte each), so that a rebuild that was stopped, or one with more
    cases, goes on. `simulate` makes the patient of a seed.
    """

    record: WeightsRecord
    weights: Path
    training: range
    reference: range
    out: Path
    work: Path
    backbone: BackboneSpec = MEDSAM2
    recipe: HeadRecipe = field(default_factory=HeadRecipe)
    simulate: Simulate = simulate_cohort_case

    @property
    def seeds(self) -> list[int]:
        """All cases, those to learn from first."""
        return [*self.training, *self.reference]

    @property
    def folder(self) -> Path:
        """Where the embedded cases are; those of other weights, settings or phantoms are never resumed from."""
        words = msgspec.json.encode((self.backbone.image_size, self.recipe.windows, self.recipe.propagation.key()))
        settings = hashlib.sha256(words).hexdigest()[:8]
        return self.work / f"cohort-phantom-{PHANTOM_VERSION}-{self.record.sha256[:12]}-{settings}"

    def load_engine(self, device: torch.device) -> MemoryEngine:
        """The backbone with the user's weights, on `device`. Raises WeightsError where they do not fit."""
        model = build_backbone(self.backbone)
        load_weights(model, load_state_dict(self.weights))
        with _memory_of_the_device():
            return MemoryEngine(model, device)


def plan_rebuild(
    backbone: str = "medsam2",
    cases: int = DEFAULT_CASES,
    *,
    out: Path | None = None,
    work: Path | None = None,
    store: WeightsStore | None = None,
) -> RebuildPlan:
    """Settle what will be made of `cases` simulated patients for the stored weights called `backbone`.

    `backbone` is a name of the weights store, "medsam2", or a sha256. `out` is the bundle file (default: in the user's
    own bundles, named after weights and cases), `work` the folder of embedded cases. Raises WeightsError where the
    weights are not there or damaged, InputError for a number of cases that cannot be, and BundleError where the
    bundle's name is taken by another one; nothing is ever replaced, because earlier results name it.
    """
    if not FEWEST_CASES <= cases <= MOST_CASES:
        raise InputError(
            f"A demonstration model cannot be made of {cases} simulated patients; give {FEWEST_CASES} to {MOST_CASES}."
        )
    store = store or WeightsStore()
    record = find_record(backbone, store)
    held_out = max(MINIMUM_REFERENCE, round(HELD_OUT_SHARE * cases))
    own = next(folder for folder, shipped in bundle_folders() if not shipped)
    plan = RebuildPlan(
        record=record,
        weights=store.find(record.sha256),
        training=range(TRAINING_FROM, TRAINING_FROM + cases - held_out),
        reference=range(REFERENCE_FROM, REFERENCE_FROM + held_out),
        out=out or own / f"demonstration-{record.name}-{cases}{SUFFIX}",
        work=work or data_folder() / "rebuilding",
    )
    _check_place(plan)
    return plan


def find_record(backbone: str, store: WeightsStore) -> WeightsRecord:
    """The stored weights with this name, alias or sha256. Raises WeightsError that says how to get them."""
    wanted = ALIASES.get(backbone.casefold(), backbone)
    record = store.find_name(wanted) or next((one for one in store.records() if one.sha256 == backbone), None)
    if record is not None:
        return record
    release = find_release(wanted, store.releases)
    if release is not None:
        store.find(release.sha256)  # says that they are absent, and how to get them
    known = ", ".join(one.name for one in store.records()) or "none"
    raise WeightsError(
        f"No backbone weights called {backbone!r} are on this machine (there are: {known}); fetch or import them first "
        "(`memory-survival weights list` shows what there is)."
    )


def find_made(plan: RebuildPlan) -> Manifest | None:
    """The manifest of the planned bundle where it is there already."""
    return read_archive(plan.out).manifest if plan.out.exists() else None


def rebuild_bundle(plan: RebuildPlan, engine: MemoryEngine, progress: ProgressCallback = ignore_progress) -> Manifest:
    """Embed what is missing, fit the heads, write the bundle; a bundle that is there already is left as it is.

    Raising from `progress` stops the work; the next call goes on with the cases that are on disk. Raises OutputError
    where the folders cannot be written, DeviceError where the device has no memory left.
    """
    made = find_made(plan)
    if made is not None:
        return made
    recipe = plan.recipe
    with _memory_of_the_device():
        embed_cohort(
            engine, plan.seeds, recipe.window_map(), recipe.propagation, plan.folder, progress, simulate=plan.simulate
        )
    training, reference = read_cohort(plan.folder, plan.training), read_cohort(plan.folder, plan.reference)
    heads, entries = fit_heads(recipe.fit, training, reference, progress)
    record = plan.record
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        name=plan.out.stem,
        title=f"Demonstration model for {record.name}, its heads trained on simulated patients only",
        version="1",
        status="demonstration",
        licence=f"not stated; made with weights under {record.licence}",
        backbone=BackboneEntry(
            plan.backbone.architecture, plan.backbone.image_size, "external", record.sha256, record.name
        ),
        windows=recipe.windows,
        roi="spine_dilated",
        propagation=recipe.propagation,
        heads=entries,
        explain=scale_display(recipe.explain, entries[0]),
        provenance=Provenance(
            created=datetime.now(UTC).date().isoformat(),
            population="simulated whole-body PET/CT phantoms; no patient's data was used for the heads",
            simulated=True,
            cases=len(training.outcomes),
            events=int(training.events.sum()),
            seed=recipe.fit.seed,
            software={**software_versions(), "phantom": str(PHANTOM_VERSION)},
            how=f"memory-survival bundle rebuild --backbone {record.name} --n {len(plan.seeds)}",
        ),
        members={},
    )
    return save_bundle(plan.out, manifest, heads, _card(plan, manifest, training, reference), None).manifest


def _card(plan: RebuildPlan, manifest: Manifest, training: EmbeddedCohort, reference: EmbeddedCohort) -> str:
    """The model card that travels inside the bundle."""
    record = plan.record
    devices = sorted({one.computed_on for one in (*training.outcomes, *reference.outcomes) if one.computed_on})
    known = "a published release" if record.release else "an unknown release, brought by the user"
    return f"""# Demonstration model for {record.name} (SIMULATED MODEL)

{RESEARCH_USE}. Its heads learned from simulated patients only. It shows what the software does with these weights; it
says nothing about any person. What the weights themselves learned from is for their makers to say.

- Backbone weights: {record.name} ({known}), sha256 {record.sha256}, {plan.backbone.architecture} at
  {plan.backbone.image_size} pixels, licence {record.licence}. **The weights are not in this bundle**: it names them by
  their hash, and whoever uses it needs that very file in their weights store.
- Heads: average downsampler (paper section 2.3.1), gated PET/CT fusion, DeepSurv; trained on
  {manifest.provenance.cases} simulated patients with {manifest.provenance.events} events.
- Readout: {manifest.propagation.readout} over every {ordinal(manifest.propagation.slice_step)} ROI slice; ROI:
  {manifest.roi}, the phantom's true mask.
- Outcome: simulated progression-free survival. Reference risks: {len(plan.reference)} other simulated patients.
- Embedded on: {"; ".join(devices) or "unknown"}.

{metrics_table(manifest)}

Fixed seeds: heads {plan.recipe.fit.seed}; cases {plan.training}, {plan.reference}. Not calibrated, not validated, not
compared with any clinical score. With so few cases the intervals of the c-index are wide: about
+-{_half_width(reference):.2f} on the held-out ones. The recipe is that of the demonstration bundle and was not tuned to
these weights.
"""


@contextmanager
def _memory_of_the_device() -> Iterator[None]:
    """Say in a sentence that a GPU's memory has run out."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            "The GPU ran out of memory; free some of it or choose the CPU, and start again: what was embedded is kept."
        ) from error


def _half_width(reference: EmbeddedCohort) -> float:
    """About half of a 95 % interval of the c-index: 1.96 times 0.3 over the root of the events."""
    return float(1.96 * 0.3 / max(1, int(reference.events.sum())) ** 0.5)


def _check_place(plan: RebuildPlan) -> None:
    """Raise BundleError unless the bundle's file is free, or holds what is planned."""
    if plan.out.suffix != SUFFIX:
        raise BundleError(f"The bundle {plan.out} needs a name that ends in {SUFFIX}.")
    shipped = next(folder for folder, ships in bundle_folders() if ships)
    if (shipped / plan.out.name).exists():
        raise BundleError(f"{plan.out.stem} is the name of a bundle that ships with MemorySurvival; choose another.")
    made = find_made(plan)
    if made is not None and not _is_planned(made, plan):
        raise BundleError(
            f"There is another bundle at {plan.out} already, and earlier results may name it; give another file with "
            "--out, or move that one away."
        )


def _is_planned(manifest: Manifest, plan: RebuildPlan) -> bool:
    return (
        manifest.status == "demonstration"
        and manifest.backbone.sha256 == plan.record.sha256
        and manifest.provenance.cases == len(plan.training)
        and manifest.provenance.software.get("phantom") == str(PHANTOM_VERSION)
    )
