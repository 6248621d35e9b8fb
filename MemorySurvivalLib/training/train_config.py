"""What a researcher may choose for a training, read from a JSON file and checked before hours of work."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.measures import EvaluationPlan
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.measure.statistics import STATISTICS, check_names
from MemorySurvivalLib.memory.inside import Inside
from MemorySurvivalLib.memory.readout import ReadoutName
from MemorySurvivalLib.risk.downsamplers import DownsamplerName, PoolingName
from MemorySurvivalLib.risk.fusion import FusionName
from MemorySurvivalLib.training.duplicates import SamePatient
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.nested import Validation
from MemorySurvivalLib.training.search import HEAD_BUDGET
from MemorySurvivalLib.training.tuning import Budget


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a researcher may choose; the defaults are the paper's head with our validation.

    `evaluation` and `validation` are fixed before results are seen. `head_budget`: Sobol trials and inner folds.
    `model` "network" trains downsamplers, fusion and DeepSurv on memory states; "ridge" (Cox) and "mlp" take one vector
    a patient: states pooled over the grid by `pooling`, statistics, covariates. `statistics` are numbers measured in
    the region, by the names of measure/statistics.py; with "network" they enter as one more token. `readout` None is
    that of the base bundle, and so is `inside` (true: memories averaged inside the region, "peak": their largest values
    there) but with "network", which reads whole maps whatever the base does. `harmonise` also judges the region's
    statistics behind ComBat; `permutations` repeats the whole procedure on so many permuted outcomes.
    """

    title: str = "Own cohort"
    version: str = "1"
    licence: str = "not stated"
    modalities: tuple[Modality, ...] = ("PET", "CT")
    fusion: FusionName = "gated"
    downsampler: DownsamplerName = "average"
    downsampler_width: int = 32
    hidden: tuple[int, ...] = (16,)
    training: TrainingConfig = TrainingConfig()
    validation: Validation = Validation()
    head_budget: Budget = HEAD_BUDGET
    evaluation: EvaluationPlan = EvaluationPlan()
    horizon_months: float = 36.0
    same_patient: SamePatient = "refuse"
    model: Literal["network", "ridge", "mlp"] = "network"
    statistics: tuple[str, ...] = ()
    pooling: PoolingName = "mean"
    readout: ReadoutName | None = None
    inside: Inside | None = None
    harmonise: bool = False
    permutations: int = 0

    @property
    def reads_inside(self) -> Inside | None:
        """How memories are pooled inside the region before the head reads them; None is as in the base bundle."""
        return False if self.model == "network" else self.inside


def read_config(path: Path | None) -> TrainConfig:
    """The settings of a JSON file, the defaults without one. Raises InputError for a field or value not known."""
    if path is None:
        return TrainConfig()
    try:
        config = msgspec.json.decode(path.read_bytes(), type=TrainConfig)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"The settings {path} cannot be used ({str(error).rstrip('.')}); correct them.") from error
    check_config(config)
    return config


def check_config(config: TrainConfig) -> None:
    """Before hours of work: whether a bundle's head can take what is asked for."""
    if config.model == "network" and config.inside:
        raise InputError(
            'The model "network" reads maps, and "inside" leaves one number a channel; take the model "ridge" or '
            '"mlp", or leave "inside" out.'
        )
    if config.permutations < 0:
        raise InputError(f"The settings ask for {config.permutations} permutations; give 0 (none) or more.")
    check_names(config.statistics)
    for name in config.statistics:
        modality = STATISTICS[name].modality
        if modality is not None and modality not in config.modalities:
            raise InputError(f"{name} is measured in the {modality}, which the model does not read; add {modality}.")
