"""A demonstration bundle for backbone weights that a user has, such as MedSAM2's: planned, then made on their device.

Heads belong to their backbone. Simulated patients of the study's frozen scenario are embedded with the user's weights,
the two heads are chosen and fitted as those of the bundle that ships, and a second demonstration bundle names the
weights by their hash. The weights themselves are never in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.bundle import save_bundle
from MemorySurvivalLib.bundle.manifest import MINIMUM_REFERENCE, BackboneEntry, Manifest
from MemorySurvivalLib.bundle.registry import SUFFIX, bundle_folders
from MemorySurvivalLib.devices import is_out_of_memory
from MemorySurvivalLib.errors import BundleError, DeviceError, InputError, WeightsError
from MemorySurvivalLib.memory.backbone import MEDSAM2, BackboneSpec, build_backbone, load_weights
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.weights_checkpoint import load_state_dict
from MemorySurvivalLib.memory.weights_releases import find_release
from MemorySurvivalLib.memory.weights_store import WeightsRecord, WeightsStore
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.resources import data_folder
from MemorySurvivalLib.simulation.anatomy import PHANTOM_VERSION
from MemorySurvivalLib.simulation.scenario_case import simulate_patient
from MemorySurvivalLib.study.configuration import StudyConfiguration, load_configuration
from MemorySurvivalLib.study.rebuild_card import write_rebuilt_card
from MemorySurvivalLib.study.rebuild_cohorts import Simulate, devices_used, embed_patients, rebuild_configuration
from MemorySurvivalLib.study.shipping import SCENARIO, FittedHeads, fit_heads, make_manifest

DEFAULT_CASES, FEWEST_CASES, MOST_CASES = 300, 60, 5000
"""Fewer cases leave too few to learn from in each inner fold; more would take days on most computers."""

HELD_OUT_SHARE = 2 / 7
"""Of the cases: so many are the scenario's test patients. They decide nothing; the heads are judged on them, and their
risks are the reference. Of 300 cases 214 are left to learn from, about as many as the paper had."""

ALIASES = {"medsam2": "MedSAM2_latest"}
"""What people call weights, and the name under which they are stored."""


@dataclass(frozen=True)
class RebuildPlan:
    """Everything that is settled before the first case: which weights, which cases, where things go.

    `configuration` is the study with these weights (`rebuild_cohorts.rebuild_configuration`). `work` keeps the embedded
    cases (some kilobytes each), so that a rebuild that was stopped, or one with more cases, goes on. `simulate` makes
    the images of a patient.
    """

    record: WeightsRecord
    weights: Path
    configuration: StudyConfiguration
    out: Path
    work: Path
    backbone: BackboneSpec
    simulate: Simulate

    @property
    def cases(self) -> int:
        """How many patients there are in all."""
        return sum(cohort.patients for cohort in self.configuration.cohorts)

    @property
    def folder(self) -> Path:
        """Where the embedded cases are; those of other weights or settings lie in others, of other phantoms in other
        folders of it."""
        return self.work / f"embedding-{self.configuration.embedding.sha256[:12]}"

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
    spec, study = MEDSAM2, load_configuration()
    held_out = max(MINIMUM_REFERENCE, round(HELD_OUT_SHARE * cases))
    own = next(folder for folder, shipped in bundle_folders() if not shipped)
    plan = RebuildPlan(
        record=record,
        weights=store.find(record.sha256),
        configuration=rebuild_configuration(study, record.sha256, spec.image_size, cases - held_out, held_out),
        out=out or own / f"demonstration-{record.name}-{cases}{SUFFIX}",
        work=work or data_folder() / "rebuilding",
        backbone=spec,
        simulate=simulate_patient,
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
    configuration = plan.configuration
    with _memory_of_the_device():
        embed_patients(configuration, engine, plan.work, plan.simulate, progress)
    fitted = fit_heads(configuration, plan.work, SCENARIO, _as_training(progress))
    manifest = _make_manifest(plan, fitted)
    card = write_rebuilt_card(
        fitted.facts(manifest, configuration), plan.record, devices_used(configuration, plan.work)
    )
    return save_bundle(plan.out, manifest, fitted.tensors, card, None).manifest


def _make_manifest(plan: RebuildPlan, fitted: FittedHeads) -> Manifest:
    """That of the bundle that ships, with what is another's here."""
    record, spec = plan.record, plan.backbone
    entry = BackboneEntry(spec.architecture, spec.image_size, "external", record.sha256, record.name)
    manifest = make_manifest(plan.configuration, entry, fitted)
    return msgspec.structs.replace(
        manifest,
        name=plan.out.stem,
        title=f"Demonstration model for {record.name}, its heads trained on simulated patients only",
        version="1",
        licence=f"not stated; made with weights under {record.licence}",
        provenance=msgspec.structs.replace(
            manifest.provenance,
            population="simulated whole-body PET/CT phantoms; no patient's data was used for the heads",
            how=f"memory-survival bundle rebuild --backbone {record.name} --n {plan.cases}",
        ),
    )


def _as_training(progress: ProgressCallback) -> ProgressCallback:
    """Tells the search for a head's settings, readout by readout, as the training of that head."""

    def tell(event: ProgressEvent) -> None:
        head = event.stage.removeprefix("tune ").partition(",")[0]
        progress(replace(event, stage=f"training {head}"))

    return tell


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
        and manifest.provenance.software.get("study") == plan.configuration.sha256
        and manifest.provenance.software.get("phantom") == str(PHANTOM_VERSION)
    )
