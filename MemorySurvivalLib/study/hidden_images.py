"""A model that is asked about patients of whom one image is not there: what training with hidden images is for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.measure.statistics import STATISTICS
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.models.image import FittedImageModel, ImageModel


@dataclass(frozen=True)
class AskedWithout:
    """`base` learns from both images (hiding some, by its own settings) and is asked without `hidden`.

    The inner folds that choose its settings ask so too.
    """

    base: ImageModel
    hidden: Modality

    @property
    def name(self) -> str:
        """The model's name and what it does without."""
        return f"{self.base.name}, asked without {self.hidden}"

    def fit(self, data: CohortData, seed: int) -> FittedWithout:
        """Fit on these patients with all that they have; equal seeds give equal heads."""
        return FittedWithout(self.base.fit(data, seed), self.hidden)


@dataclass(frozen=True, eq=False)
class FittedWithout:
    """The fitted model, and the image that it is not shown."""

    fitted: FittedImageModel
    hidden: Modality

    def log_risk(self, data: CohortData) -> Floats:
        """Log-risks (n,) without the image and without what is measured in it."""
        return self.fitted.log_risk(hide_image(data, self.hidden))

    def fingerprint(self) -> str:
        """A hash of all that was fitted."""
        return self.fitted.fingerprint()


def hide_image(data: CohortData, modality: Modality) -> CohortData:
    """The cohort as if nobody had an image of this modality: its states and its statistics are NaN."""
    states = {
        key: torch.full_like(values, torch.nan) if key.partition("/")[0] == modality else values
        for key, values in data.states.items()
    }
    statistics = {
        name: np.full_like(values, np.nan) if STATISTICS[name.rpartition("/")[2]].modality == modality else values
        for name, values in data.statistics.items()
    }
    return replace(data, states=states, statistics=statistics)
