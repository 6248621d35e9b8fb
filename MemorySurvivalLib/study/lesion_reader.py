"""The study's lesion reader: trained on phantoms of its own, kept with its card beside the study's configuration."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch

from MemorySurvivalLib.bundle.bundle import as_float16
from MemorySurvivalLib.bundle.manifest import ReaderEntry
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.window import MODALITIES
from MemorySurvivalLib.memory.lesion_reader import LesionReader, build_reader, reader_sha256
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.resources import locate_resource
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.configuration import Embedding, StudyConfiguration
from MemorySurvivalLib.study.parts import NOTICE, sort_json
from MemorySurvivalLib.training.lesion_reader import ReaderFound, ReaderRecipe, ReaderSlices, judge_reader, train_reader

WEIGHTS, CARD = "lesion_reader.safetensors", "lesion_reader.json"
FOLDER = "Study"
"""Of the resources: where both files lie."""


class ReaderCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the reader was made. `found`, by modality, is of phantoms that it never saw."""

    notice: str
    sha256: str
    kinds: tuple[str, ...]
    backbone_sha256: str
    scenario: str
    scenario_sha256: str
    training_seed: int
    held_out_seed: int
    simulated_cases: int
    held_out_cases: int
    recipe: ReaderRecipe
    found: dict[str, ReaderFound]
    software: dict[str, str]

    @property
    def entry(self) -> ReaderEntry:
        """What a bundle's manifest says of it."""
        return ReaderEntry(self.sha256, self.kinds, self.simulated_cases)


def make_reader(
    configuration: StudyConfiguration,
    work: Path,
    out: Path,
    *,
    processes: int = 1,
    progress: ProgressCallback = ignore_progress,
) -> ReaderCard:
    """Simulate and read the phantoms (what is in `work` is not made again), train, judge, write both files to `out`.

    Raises InputError where the study embeds no close-ups.
    """
    # Imported here: it loads engines as cohorts do, and these ask this module for their reader.
    from MemorySurvivalLib.study import reader_cases

    settings, plan = configuration.embedding.close_up, configuration.reader
    if settings is None:
        raise InputError("The study embeds no close-ups, and a lesion reader reads nothing else.")
    slices = []
    for seed, count in ((reader_cases.TRAINING_COHORT, plan.patients), (reader_cases.HELD_OUT_COHORT, plan.held_out)):
        paths = reader_cases.gather_cases(
            settings, plan.scenario, seed, count, work, processes=processes, progress=progress
        )
        slices.append(join_slices(reader_cases.read_cases(paths)))
    reader = train_reader(slices[0], plan.recipe, progress)
    as_float16(reader)
    card = ReaderCard(
        NOTICE,
        reader_sha256(reader),
        reader.kinds,
        settings.backbone_sha256,
        plan.scenario,
        load_scenario(plan.scenario).images_sha256,
        reader_cases.TRAINING_COHORT,
        reader_cases.HELD_OUT_COHORT,
        plan.patients,
        plan.held_out,
        plan.recipe,
        judge_reader(reader, slices[1]),
        {"python": platform.python_version(), "torch": str(torch.__version__)},
    )
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / WEIGHTS) as temporary:
        state = {key: tensor.half().contiguous() for key, tensor in reader.state_dict().items()}
        temporary.write_bytes(safetensors.torch.save(state))
    with atomic_file(out / CARD) as temporary:
        temporary.write_text(sort_json(msgspec.to_builtins(card)), encoding="utf-8")
    return card


def join_slices(cases: list[Any]) -> ReaderSlices:
    """The slices of all `ReaderCase`s in their order."""
    owners = torch.cat([torch.full((len(one.shares),), number) for number, one in enumerate(cases)])
    return ReaderSlices(
        {modality: torch.cat([one.memories[modality] for one in cases]) for modality in MODALITIES},
        torch.cat([one.counted for one in cases]),
        torch.cat([one.shares for one in cases]),
        owners,
    )


def load_reader(folder: Path | None = None) -> tuple[LesionReader, ReaderCard]:
    """The reader and its card; None: those of the study. Raises InputError where either is absent or damaged."""
    weights, card = (
        (folder / name) if folder is not None else locate_resource(f"{FOLDER}/{name}") for name in (WEIGHTS, CARD)
    )
    try:
        known = msgspec.json.decode(card.read_bytes(), type=ReaderCard)
        reader = build_reader(known.kinds, safetensors.torch.load(weights.read_bytes()))
    except (OSError, ValueError, msgspec.MsgspecError, safetensors.SafetensorError) as error:
        raise InputError(
            f"The lesion reader {weights} cannot be read ({error}); train it again, or reinstall."
        ) from error
    if reader_sha256(reader) != known.sha256:
        raise InputError(f"The lesion reader {weights} is not the one of its card; train it again, or reinstall.")
    return reader, known


def reader_of(settings: Embedding) -> LesionReader | None:
    """The reader that these settings name, None where they name none. Raises InputError where it is another one."""
    named = next((way.reader_sha256 for way in settings.ways if way.reader_sha256 is not None), None)
    if named is None:
        return None
    reader, card = load_reader()
    if (card.sha256, card.backbone_sha256) != (named, settings.backbone_sha256):
        raise InputError(
            f"The lesion reader {card.sha256[:12]} is of the backbone {card.backbone_sha256[:12]}, the study was "
            f"configured for the reader {named[:12]} of {settings.backbone_sha256[:12]}; train it again, or change "
            "Resources/Study/study.json and embed anew."
        )
    return reader
