"""Making the demonstration bundle that ships, its heads from simulated cases alone: embedded cohort, heads, one file.

Run as `python -m MemorySurvivalLib.training.demonstration --work FOLDER --out FILE [--backbone FOLDER]`; the backbone
is that of a folder of `python -m MemorySurvivalLib.training.backbone` (its card and log travel along), or the one that
ships already. Every step is resumed where the folder already holds its result. Simulation tests the software and the
method, never myeloma.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.backbone_training import PHANTOMS_ONLY
from MemorySurvivalLib.bundle.bundle import as_float16, load_bundle, save_bundle
from MemorySurvivalLib.bundle.manifest import FORMAT, FORMAT_VERSION, BackboneEntry, Manifest, Provenance
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.memory.backbone import COMPACT, build_backbone, load_weights, weights_sha256
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.weights_checkpoint import load_state_dict
from MemorySurvivalLib.progress import ProgressCallback
from MemorySurvivalLib.report.record import software_versions
from MemorySurvivalLib.simulation.anatomy import PHANTOM_VERSION
from MemorySurvivalLib.training.backbone import LOG, WEIGHTS
from MemorySurvivalLib.training.backbone_card import describe_training, pack_training, read_learned_from
from MemorySurvivalLib.training.demonstration_heads import (
    REFERENCE_FROM,
    TRAINING_FROM,
    HeadRecipe,
    fit_heads,
    metrics_table,
    ordinal,
)
from MemorySurvivalLib.training.embedded_cohort import embed_cohort, read_cohort

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


@dataclass(frozen=True)
class DemonstrationConfig:
    """Seeds of everything that is drawn; those of training and reference cases are disjoint."""

    version: str = "1"
    training_seeds: range = range(TRAINING_FROM, TRAINING_FROM + 150)
    reference_seeds: range = range(REFERENCE_FROM, REFERENCE_FROM + 60)
    recipe: HeadRecipe = field(default_factory=HeadRecipe)


def load_compact(place: Path | None) -> tuple[SAM2Base, dict[str, bytes]]:
    """A compact backbone, float16, and the card and log of its training as members of a bundle.

    `place` is the folder of a training, or the weights in it; None: the bundle that ships, with what travels in it.
    Raises InputError where the weights' own card does not lie beside them: a bundle has to say what they learned from.
    """
    if place is None:
        shipped = load_bundle(find_bundle("demonstration"))
        return shipped.backbone(), shipped.backbone_training
    file = place / WEIGHTS if place.is_dir() else place
    backbone = build_backbone(COMPACT)
    load_weights(backbone, load_state_dict(file))
    as_float16(backbone)
    return backbone, pack_training(file.parent, file.parent / LOG, weights_sha256(backbone))


def make_demonstration(
    config: DemonstrationConfig,
    backbone: SAM2Base,
    work: Path,
    out: Path,
    progress: ProgressCallback,
    backbone_training: Mapping[str, bytes] | None = None,
) -> Manifest:
    """All steps; returns the manifest of the bundle written to `out`.

    `backbone_training` are the members that say how the backbone was trained, as `load_compact` gives them. Raises
    InputError as `name_compact` does, before anything is made.
    """
    work.mkdir(parents=True, exist_ok=True)
    recipe, sha256, course = config.recipe, weights_sha256(backbone), backbone_training or {}
    entry = name_compact(sha256, course)
    engine = MemoryEngine(backbone, torch.device("cpu"))
    # Cases of another phantom or backbone must not be resumed from.
    folder = work / f"cohort-phantom-{PHANTOM_VERSION}-{sha256[:12]}"
    seeds = [*config.training_seeds, *config.reference_seeds]
    embed_cohort(engine, seeds, recipe.window_map(), recipe.propagation, folder, progress)
    training, reference = (read_cohort(folder, part) for part in (config.training_seeds, config.reference_seeds))
    heads, entries = fit_heads(recipe.fit, training, reference, progress)
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        name="demonstration",
        title=say_title(entry),
        version=config.version,
        status="demonstration",
        licence="Apache-2.0",
        backbone=entry,
        windows=recipe.windows,
        roi="spine_dilated",
        propagation=recipe.propagation,
        heads=entries,
        explain=recipe.explain,
        provenance=Provenance(
            created=datetime.now(UTC).date().isoformat(),
            population=say_population(entry),
            simulated=True,
            cases=len(training.outcomes),
            events=int(training.events.sum()),
            seed=recipe.fit.seed,
            software={**software_versions(), "phantom": str(PHANTOM_VERSION)},
            how="python -m MemorySurvivalLib.training.demonstration",
        ),
        members={},
    )
    card = model_card(manifest, config, course)
    return save_bundle(out, manifest, heads, card, backbone, course).manifest


def name_compact(
    sha256: str, backbone_training: Mapping[str, bytes], image_size: int = COMPACT.image_size
) -> BackboneEntry:
    """The manifest's entry of compact weights inside a bundle, with what their card says that they learned from.

    Raises InputError without a card, but for the weights that are known to have learned from phantoms alone: nobody
    could say whose images went in.
    """
    learned = read_learned_from(backbone_training)
    if learned is None and sha256 not in PHANTOMS_ONLY:
        raise InputError(
            f"What the weights {sha256[:12]} learned from is not known, and the bundle has to say it; give the folder "
            "of their training."
        )
    what = "compact SAM 2.1, not MedSAM2"
    return BackboneEntry(COMPACT.architecture, image_size, "bundled", sha256, what, learned)


def say_title(backbone: BackboneEntry) -> str:
    """The title of a demonstration bundle: that of the heads where the backbone has seen more than phantoms."""
    return f"Demonstration model, {'' if backbone.simulated_only else 'its heads '}trained on simulated patients only"


def say_population(backbone: BackboneEntry) -> str:
    """Whom the heads learned from, always phantoms, and which images the backbone: patients' are never passed over."""
    learned = backbone.learned_from
    if backbone.simulated_only:
        return "simulated whole-body PET/CT phantoms; no patient's data was used"
    images = learned.sentence if learned is not None else "images that are not stated"
    return f"simulated whole-body PET/CT phantoms for the heads; the backbone learned from {images}"


def say_learned(backbone: BackboneEntry) -> str:
    """The model card's sentence on what the heads and the backbone learned from; the card names the images below."""
    if backbone.simulated_only:
        return "This model learned from simulated patients only."
    learned = backbone.learned_from
    whose = "patients' images, named below" if learned and learned.real_cases else "images that are not all named"
    return f"Its heads learned from simulated patients only, its backbone also from {whose}."


def model_card(
    manifest: Manifest, config: DemonstrationConfig, backbone_training: Mapping[str, bytes] | None = None
) -> str:
    """The model card that travels inside the bundle."""
    step = manifest.propagation.slice_step
    section = describe_training(backbone_training or {})
    return f"""# Demonstration model (SIMULATED)

{RESEARCH_USE}. {say_learned(manifest.backbone)} It shows what the software does; it says nothing about any person.

- Backbone: {manifest.backbone.release}, float16 weights with sha256 {manifest.backbone.sha256}; a small network of SAM
  2.1's classes.
- Heads: average downsampler (paper section 2.3.1), gated PET/CT fusion, DeepSurv; trained on
  {manifest.provenance.cases} simulated patients with {manifest.provenance.events} events.
- Readout: {manifest.propagation.readout} over every {ordinal(step)} ROI slice; ROI: {manifest.roi}.
- Outcome: simulated progression-free survival. Reference risks: {len(config.reference_seeds)} other simulated patients.

{metrics_table(manifest)}

Fixed seeds: heads {config.recipe.fit.seed}; cases {config.training_seeds}, {config.reference_seeds}. Not calibrated,
not validated, not compared with any clinical score. The widths of the heads were chosen by hand with the held-out cases
in sight, so their c-index is a little optimistic too; the intervals of so few cases are wide (about +-0.08).
{f"{chr(10)}{section}" if section else ""}"""


def main(arguments: list[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for intermediate results")
    parser.add_argument("--out", type=Path, required=True, help="the .msbundle file to write")
    parser.add_argument(
        "--backbone",
        type=Path,
        help="folder of a training of the compact backbone, or the weights in it (default: those that ship)",
    )
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO, filename=options.work / "training.log", format="%(asctime)s %(name)s %(message)s"
    )
    with ProgressBars() as bars:
        backbone, training = load_compact(options.backbone)
        manifest = make_demonstration(DemonstrationConfig(), backbone, options.work, options.out, bars, training)
    for head in manifest.heads:
        sys.stdout.write(f"{head.name}: {head.metrics}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
