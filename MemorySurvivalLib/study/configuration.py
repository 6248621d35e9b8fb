"""The one committed configuration of the study: how cases are embedded, which cohorts, how much is fitted."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Literal, get_args

import msgspec

from MemorySurvivalLib.bundle.manifest import Windows
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.plan import FillName
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.readout import ReadoutName
from MemorySurvivalLib.resources import locate_resource
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.simulation.scenario import SCENARIOS, load_scenario
from MemorySurvivalLib.simulation.scenario_case import name_images
from MemorySurvivalLib.training.lesion_reader import ReaderRecipe

FORMAT = "memory-survival-study"

Extra = Literal["small", "imagenet"]
"""What is kept of a cohort's first cases alone, in files beside the parts: small maps and ImageNet vectors."""

EXTRAS: tuple[Extra, ...] = get_args(Extra)

ENCODER = "encoder"
"""Stands for a readout's name where the image encoder's coarsest features were averaged and no memory was made."""

CLOSE = "close-"
"""Before the pooling in a vector's name: it was made of close-ups."""


class ImagenetBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stand-in for the paper's ResNet: which weights (the hash of their file), and what they read.

    At most `most_slices` of the ladder of `roi`, evenly spread, each as a square picture of `image_size`.
    """

    weights_sha256: str
    roi: RoiKind
    most_slices: int
    image_size: int


class Embedding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that decides what is kept of a case; its hash names the folder of the parts.

    `backbone_sha256` is the hash of the weights (memory.backbone.weights_sha256) in the bundle `bundle`. The
    first of `rois` is read on every `first_step`-th of its slices, and where these are more than `most_slices` with a
    larger step; the others on every second slice of the same ladder, or fewer (embedding.choose_boxes). Readouts in
    `region_readouts` are kept as one vector of channels that were averaged inside the ROI on each slice, those in
    `peak_readouts` of each channel's largest value there, those in `grid_readouts` averaged over the whole grid, those
    in `lesion_readouts` of what the lesion reader with the hash `reader_sha256` finds there (study/lesion_reader.py).
    `average_maps` and `small_maps` name readouts by ROI: maps averaged over channels (all the average downsampler
    sees), and maps with all channels on a grid of `small_side` cells, for the first cases of a cohort only. Voxels of
    the ROI at `lesion_suv` or above make its MTV and TLG. With `close_up_mm` pictures show the first ROI with so many
    millimetres around it (memory/slices.py) and there is no other ROI; what is kept is then named apart (`CLOSE`).
    `close_up` is such a second way to embed the same cases, kept in a folder of its own and so not in this hash.
    """

    version: int
    bundle: str
    backbone_sha256: str
    image_size: int
    windows: Windows
    rois: tuple[RoiKind, ...]
    first_step: int
    most_slices: int
    batch_size: int
    region_readouts: tuple[ReadoutName, ...]
    peak_readouts: tuple[ReadoutName, ...]
    grid_readouts: tuple[ReadoutName, ...]
    average_maps: dict[RoiKind, tuple[ReadoutName, ...]]
    small_maps: dict[RoiKind, tuple[ReadoutName, ...]]
    small_side: int
    lesion_suv: float
    imagenet: ImagenetBaseline | None = None
    close_up_mm: float | None = None
    lesion_readouts: tuple[ReadoutName, ...] = ()
    reader_sha256: str | None = None
    close_up: Embedding | None = None

    def __post_init__(self) -> None:
        if self.close_up_mm is not None and len(self.rois) != 1:
            raise ValueError("close-ups show one region")
        if bool(self.lesion_readouts) != (self.reader_sha256 is not None):
            raise ValueError("lesions are read by a lesion reader, which is named by its hash")
        if self.close_up is not None and self.close_up.close_up_mm is None:
            raise ValueError("the second way to embed says how close it comes (close_up_mm)")

    def kind(self, pooling: str) -> str:
        """The last part of a vector's name: how channels were pooled, and whether pictures were close-ups."""
        return pooling if self.close_up_mm is None else f"{CLOSE}{pooling}"

    @property
    def sha256(self) -> str:
        """Fingerprint of these settings, without those of the second way."""
        return _digest(msgspec.structs.replace(self, close_up=None))

    @property
    def ways(self) -> tuple[Embedding, ...]:
        """This way to embed a case, and the second one."""
        return (self,) if self.close_up is None else (self, self.close_up)

    @property
    def region_vectors(self) -> tuple[str, ...]:
        """What is averaged inside the ROI: the readouts, and with them the image encoder's own features."""
        return (*self.region_readouts, ENCODER) if self.region_readouts else ()

    @property
    def window_map(self) -> dict[Modality, Window]:
        """Windows by modality."""
        return {"PET": self.windows.PET, "CT": self.windows.CT}


class Cohort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Patients whose images are embedded: those of `scenario` (and of every scenario that shows the same images) with
    the cohort seed `seed`, up to `patients`; the first `small_maps` also keep small maps, the first `imagenet` the
    vectors of the ImageNet network. The first `seen` were looked at with models of earlier configurations."""

    name: str
    scenario: str
    seed: int
    patients: int
    small_maps: int = 0
    imagenet: int = 0
    seen: int = 0

    @property
    def images(self) -> str:
        """The name of the images (simulation.scenario_case.name_images)."""
        return name_images(load_scenario(self.scenario))

    def count(self, extra: Extra) -> int:
        """Of how many first cases this is kept."""
        return min(self.patients, self.small_maps if extra == "small" else self.imagenet)

    def extras(self, number: int) -> frozenset[Extra]:
        """What is kept of this case beside the part."""
        return frozenset(extra for extra in EXTRAS if number < self.count(extra))


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of the embedding's order: this cohort up to so many patients."""

    cohort: str
    patients: int


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scenario of the study: models learn from `development` under that scenario's outcomes and are judged on
    `tests`, pairs of a cohort and the scenario whose outcomes it gets there."""

    scenario: str
    development: str
    tests: tuple[tuple[str, str], ...]
    nested: bool = False


class Fitting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of development cohorts, and how much is tried: Sobol points and inner folds for vectors (none for heads on
    maps, whose settings are fixed), outer folds and repeats of the nested cross-validation."""

    sizes: tuple[int, ...]
    smallest_test: int
    trials: int
    inner_folds: int
    outer_folds: int
    outer_repeats: int
    seed: int
    resamples: int


class Explaining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Explanation against truth: how many cases of `cohort` under `scenario`, patches of which size in which ROI, and
    how near to a planted lesion a hotspot must lie. The models learn from `development`."""

    scenario: str
    development: str
    cohort: str
    cases: int
    roi: RoiKind
    patch_mm: float
    stride_mm: float
    fill: FillName
    tolerance_mm: float


class ReaderTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the lesion reader is made: from so many phantoms of a scenario, judged on others (study/reader_cases.py)."""

    scenario: str = "main"
    patients: int = 600
    held_out: int = 100
    recipe: ReaderRecipe = ReaderRecipe()


class StudyConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole study. Changing what is fitted leaves the embedded parts valid."""

    format: str
    version: int
    embedding: Embedding
    cohorts: tuple[Cohort, ...]
    order: tuple[Stage, ...]
    questions: tuple[Question, ...]
    fitting: Fitting
    explaining: Explaining
    reader: ReaderTraining = ReaderTraining()
    part_cases: int = 25

    def __post_init__(self) -> None:
        names = [cohort.name for cohort in self.cohorts]
        drawn = [(cohort.images, cohort.seed) for cohort in self.cohorts]
        if len(set(names)) < len(names) or len(set(drawn)) < len(drawn):
            raise ValueError("every cohort of the study needs a name and patients of its own")
        if self.part_cases < 1 or any(
            kept % self.part_cases for cohort in self.cohorts for kept in (cohort.small_maps, cohort.imagenet)
        ):
            raise ValueError("small maps and ImageNet vectors are kept for whole parts")
        used = {stage.cohort for stage in self.order} | {question.development for question in self.questions}
        used |= {cohort for question in self.questions for cohort, _scenario in question.tests}
        if used - set(names):
            raise ValueError(f"the study uses cohorts it does not define: {', '.join(sorted(used - set(names)))}")
        for question in self.questions:
            pairs = ((question.development, question.scenario), *question.tests)
            for cohort, scenario in pairs:
                if scenario not in SCENARIOS or name_images(load_scenario(scenario)) != self.cohort(cohort).images:
                    raise ValueError(f"the cohort {cohort} does not show the images of the scenario {scenario}")

    @property
    def sha256(self) -> str:
        """Fingerprint of everything that the configuration decides."""
        return _digest(self)

    def cohort(self, name: str) -> Cohort:
        """The cohort of that name. Raises InputError for one that there is not."""
        found = next((cohort for cohort in self.cohorts if cohort.name == name), None)
        if found is None:
            known = ", ".join(cohort.name for cohort in self.cohorts)
            raise InputError(f"The study has no cohort {name!r}; use one of {known}, or all.")
        return found


@cache
def load_configuration() -> StudyConfiguration:
    """The committed configuration, Resources/Study/study.json. Raises InputError for a damaged file."""
    path = locate_resource("Study/study.json")
    try:
        configuration = msgspec.json.decode(path.read_bytes(), type=StudyConfiguration)
    except msgspec.DecodeError as error:
        raise InputError(f"The study's configuration {path.name} cannot be read ({error}); reinstall it.") from error
    if configuration.format != FORMAT:
        raise InputError(f"{path.name} is not the configuration of the study; reinstall it.")
    return configuration


def _digest(value: msgspec.Struct) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
