"""What is wrong with the simulated patient: foci, diffuse infiltration, genetics. Latent truth, not measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.tissues import Tissue

FocusKind = Literal["focal", "paramedullary", "extramedullary"]

MAX_FOCI = 60
"""More than this cannot be told apart on an image, nor by the hazard, which saturates long before."""

MAX_AVIDITY = 3.0


@dataclass(frozen=True)
class Focus:
    """One lesion before it is placed: `diameter_mm` along its mean axis, `suv_bw` at its centre before blurring; `site`
    is the tissue that it must begin in (None: drawn when it is placed)."""

    kind: FocusKind
    diameter_mm: float
    suv_bw: float
    lytic: bool
    site: Tissue | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("focal", "paramedullary", "extramedullary"):
            raise InputError(f"A focus cannot be of kind {self.kind!r}; use focal, paramedullary or extramedullary.")
        if not (0 < self.diameter_mm <= 150 and 0 <= self.suv_bw <= 60):
            raise InputError(
                f"A focus of {self.diameter_mm:g} mm with SUV {self.suv_bw:g} is not plausible; give 0-150 mm and 0-60."
            )


@dataclass(frozen=True)
class Disease:
    """Latent biology. `marrow_infiltration` (0-1) is the share of red marrow that is tumour; `avidity` how strongly
    tumour takes up FDG (about 0.15 when hexokinase-2 is low: FDG-negative disease, lytic on CT only)."""

    foci: tuple[Focus, ...] = ()
    marrow_infiltration: float = 0.0
    avidity: float = 1.0
    high_risk_genetics: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.marrow_infiltration <= 1 and 0 <= self.avidity <= MAX_AVIDITY):
            raise InputError(
                "A disease needs a marrow infiltration of 0-1 and an FDG avidity of 0-3; correct these numbers."
            )
        if len(self.foci) > MAX_FOCI:
            raise InputError(f"A phantom holds at most {MAX_FOCI} foci, got {len(self.foci)}; give fewer.")

    def count(self, kind: FocusKind) -> int:
        """How many foci of one kind there are."""
        return sum(focus.kind == kind for focus in self.foci)

    @property
    def fdg_negative(self) -> bool:
        """Whether the tumour hardly takes up FDG."""
        return self.avidity < 0.5


NO_DISEASE = Disease()


def draw_disease(rng: np.random.Generator) -> Disease:
    """A newly diagnosed patient: focal lesions in 78 %, extramedullary disease in 11 %, marrow at least as hot as
    the liver in about 35 % (Zamagni et al. 2021), FDG-negative tumour in about 10 %."""
    aggressive = float(rng.normal())
    high_risk = bool(rng.random() < 1 / (1 + np.exp(1.6 - 0.9 * aggressive)))
    avidity = min(float(np.exp(rng.normal(0.1 * aggressive, 0.25))), MAX_AVIDITY)
    if rng.random() < 0.10:
        avidity = float(rng.uniform(0.08, 0.2))
    infiltration = float(1 / (1 + np.exp(-(rng.normal(-1.0, 1.25) + 0.45 * aggressive))))
    count = 0
    if rng.random() < 0.78:
        count = int(np.clip(np.rint(np.exp(rng.normal(1.55 + 0.45 * aggressive, 0.85))), 1, MAX_FOCI - 8))
    foci = [_draw_focus(rng, "focal", avidity) for _ in range(count)]
    if count and rng.random() < 0.17:
        foci += [_draw_focus(rng, "paramedullary", avidity) for _ in range(int(rng.integers(1, 4)))]
    if rng.random() < 1 / (1 + np.exp(2.45 - 0.8 * aggressive)):
        foci += [_draw_focus(rng, "extramedullary", avidity) for _ in range(int(rng.integers(1, 5)))]
    return Disease(tuple(foci), round(infiltration, 4), round(avidity, 4), high_risk)


def _draw_focus(rng: np.random.Generator, kind: FocusKind, avidity: float) -> Focus:
    middle, low, high = {
        "focal": (15.0, 7.0, 45.0),
        "paramedullary": (32.0, 20.0, 60.0),
        "extramedullary": (24.0, 12.0, 55.0),
    }[kind]
    diameter = float(np.clip(middle * np.exp(rng.normal(0, 0.38)), low, high))
    suv = float(np.clip(1.0 + 6.5 * avidity * np.exp(rng.normal(0, 0.4)), 0.6, 30))
    lytic = bool(rng.random() < (0.55 if avidity > 0.5 else 0.9))
    return Focus(kind, round(diameter, 2), round(suv, 3), lytic)
