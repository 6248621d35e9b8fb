"""What is explained: a case with its passes and the head that scored it, and its log-risk if memories were others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.plan import Occlusion
from MemorySurvivalLib.explain.statistics import Measured, OccludedStatistics
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import Direction, Pass
from MemorySurvivalLib.memory.readout import Readout
from MemorySurvivalLib.risk.head import RiskHead

FUSED = "fused"
"""The name of the effect of occluding all modalities at once."""

States = Mapping[Modality, torch.Tensor]
"""Memory states (layers, channels, h, w) by modality."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A scored case. `passes` are those of all modalities that the head reads; `modalities` are those occluded.

    `statistics` measures what the head takes of the region beside memory states, None where it takes none. With
    `follow_statistics` false they stay what they are without any occlusion, so that memories alone are told.
    """

    engine: MemoryEngine
    case: Case
    passes: Mapping[Modality, Pass]
    head: RiskHead
    covariates: tuple[float, ...]
    modalities: tuple[Modality, ...] = ("PET", "CT")
    direction: Direction = "head_to_feet"
    statistics: OccludedStatistics | None = None
    follow_statistics: bool = True

    def __post_init__(self) -> None:
        taken = self.statistics.names if self.statistics else ()
        if taken != self.head.spec.statistics:
            raise InputError(
                f"The head takes the statistics {', '.join(self.head.spec.statistics) or 'none'}, but "
                f"{', '.join(taken) or 'none'} are measured; measure those."
            )
        read = tuple(m for m in self.modalities if m in self.head.spec.modalities)
        if not read:
            raise InputError(
                f"This model reads {' and '.join(self.head.spec.modalities)} only, so occluding "
                f"{' and '.join(self.modalities)} changes nothing; choose {self.head.spec.modalities[0]}."
            )
        object.__setattr__(self, "modalities", read)

    @property
    def mode(self) -> str:
        """How the passes went through the slices."""
        return self.any_pass.mode

    @property
    def any_pass(self) -> Pass:
        """One of the passes; their slices and boxes are the same."""
        return self.passes[self.modalities[0]]

    @property
    def variants(self) -> tuple[tuple[str, tuple[Modality, ...]], ...]:
        """What is told apart: all modalities occluded at once, and each alone where there are two."""
        each = tuple((str(m), (m,)) for m in self.modalities) if len(self.modalities) > 1 else ()
        return ((FUSED, self.modalities), *each)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the variants."""
        return tuple(name for name, _ in self.variants)

    def baseline_states(self) -> dict[Modality, torch.Tensor]:
        """The memory states of the case as it is."""
        return {modality: self.passes[modality].readout.state() for modality in self.head.spec.modalities}

    def baseline(self) -> float:
        """The log-risk of the case as it is."""
        return float(self.log_risks([self.baseline_states()])[0])

    def measure(self, occlusion: Occlusion, fills: Fills) -> Measured:
        """What an occlusion makes of the statistics of each modality; empty where nothing is followed."""
        if self.statistics is None or not self.follow_statistics:
            return {}
        return self.statistics.measure(occlusion, fills, self.modalities)

    def variant_risks(
        self, baseline: States, occluded: States, measured: Measured | None = None
    ) -> npt.NDArray[np.float64]:
        """Log-risk of each variant: the occluded states and statistics of its modalities, the rest as they are."""
        states = [{**baseline, **{m: occluded[m] for m in ms}} for _, ms in self.variants]
        if self.statistics is None:
            return self.log_risks(states)
        return self.log_risks(states, [self.statistics.with_changes(measured or {}, ms) for _, ms in self.variants])

    @torch.inference_mode()
    def log_risks(
        self, states: Sequence[Mapping[Modality, torch.Tensor]], statistics: Sequence[tuple[float, ...]] | None = None
    ) -> npt.NDArray[np.float64]:
        """Log-risks of several sets of states, in one go through the head; `statistics` are the case's where None."""
        vector = torch.tensor([self.covariates], dtype=torch.float32).reshape(1, -1).expand(len(states), -1)
        maps = {
            modality: self.head.prepare(torch.stack([one[modality] for one in states]))
            for modality in self.head.spec.modalities
        }
        rows = statistics if statistics is not None else self.own_statistics(len(states))
        measured = torch.tensor(rows, dtype=torch.float32) if rows is not None else None
        risks: npt.NDArray[np.float64] = self.head(maps, vector, measured).log_risk.double().numpy()
        return risks

    def own_statistics(self, count: int = 1) -> list[tuple[float, ...]] | None:
        """The case's statistics, `count` times; None for a head without."""
        return [self.statistics.values] * count if self.statistics is not None else None

    def positions(self, touched: list[int]) -> list[int]:
        """Of these positions of the pass those whose slices can change the readout; where slices look back, all."""
        return [k for k in touched if self.mode != "boxed" or self.any_pass.readout.sees(k)]


def exchanged(readout: Readout, memories: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """The state with some slices' memories exchanged."""
    return readout.state_with(dict(memories))
