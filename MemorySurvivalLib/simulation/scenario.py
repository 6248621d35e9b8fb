"""What a scenario is: who is scanned where, and what the outcome depends on. Frozen definitions with a fingerprint."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.resources import locate_resource

FORMAT = "memory-survival-scenario"
SCENARIOS = (
    "main",
    "null",
    "burden-only",
    "spatial",
    "ct-only",
    "confounded-site",
    "confounded-site-swapped",
    "misspecified",
    "second",
)
"""Names of the committed definitions in Resources/Scenarios."""

Generator = Literal["first", "second"]
Region = Literal["upper_spine", "lower_spine", "pelvis", "thorax", "limbs", "skull"]


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One hospital: its share of patients and what its scanner and its habits do to images and tables.

    `uptake_minutes` is mean and SD of the time from injection to scan. `resolution_mm` is the PET's full width at half
    maximum; `liver_noise` its relative noise in the liver. `ct_spacing_mm` and `pet_spacing_mm` are x, y, z.
    `head_share` is the share of scans that include the head, `contrast_share` of those with intravenous contrast.
    `mask_error_mm` is how far the masks' surface strays (SD). `fish_failure` and `ratio_missing` are chances.
    """

    name: str
    share: float
    uptake_minutes: tuple[float, float]
    resolution_mm: float
    liver_noise: float
    ct_spacing_mm: tuple[float, float, float]
    pet_spacing_mm: tuple[float, float, float]
    contrast_share: float
    head_share: float
    mask_error_mm: float
    fish_failure: float
    ratio_missing: float


class Images(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What decides voxels. Scenarios with equal `Images` show the same patients, so their images are made once.

    `fdg_visible` false: tumour takes up no more FDG than marrow and shows on CT only.
    """

    generator: Generator
    sites: tuple[Site, ...]
    fdg_visible: bool = True

    def __post_init__(self) -> None:
        if not self.sites or abs(sum(site.share for site in self.sites) - 1) > 1e-9:
            raise ValueError("The shares of the sites must add up to 1")


class Hazard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of latent biology in the log hazard; nothing that is measured on an image enters.

    Counts saturate as 1 - exp(-count / half); `focal_regions` weigh a focal lesion by where it sits. `burden` weighs
    log10 of the tumour's millilitres, `lytic` the lytic focal lesions, `host` the frailty that blood values feel and
    images do not show. `age` is for ten years, `age_bend` for its square; `genetics_x_infiltration` is an interaction.
    `site` adds a number at each site. `offset` takes the mean over patients off.
    """

    focal: float = 0.0
    focal_half: float = 7.0
    focal_regions: dict[Region, float] = {}
    lytic: float = 0.0
    infiltration: float = 0.0
    extramedullary: float = 0.0
    paramedullary: float = 0.0
    burden: float = 0.0
    high_risk_fish: float = 0.0
    gain_1q: float = 0.0
    genetics_x_infiltration: float = 0.0
    host: float = 0.0
    age: float = 0.0
    age_bend: float = 0.0
    site: dict[str, float] = {}
    offset: float = 0.0


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How times follow from the log hazard.

    `weibull`: shape and scale (months) with proportional hazards; after `late_from_months` the log hazard counts only
    `late_factor`. `log-normal-cure`: the log hazard, divided by `shape`, is taken off a normal log time (SD
    `log_sd`) around `scale_months`; a share with logit `cure_logit` - log hazard never progresses.
    `frailty` is the distribution of what nobody can know: its SD on the log hazard. Censoring: uniform between
    `censoring_months`, and lost at an exponential `loss_per_year`.
    """

    family: Literal["weibull", "log-normal-cure"] = "weibull"
    shape: float = 2.2
    scale_months: float = 40.0
    frailty: Literal["normal", "log-gamma"] = "normal"
    frailty_sd: float = 0.3
    late_from_months: float | None = None
    late_factor: float = 1.0
    log_sd: float = 0.5
    cure_logit: float = -2.0
    censoring_months: tuple[float, float] = (20.0, 80.0)
    loss_per_year: float = 0.0


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One frozen definition. `linked` false: the images are those of another person than covariates and outcome."""

    format: str
    version: int
    name: str
    summary: str
    images: Images
    hazard: Hazard
    outcome: Outcome
    linked: bool = True

    @property
    def sha256(self) -> str:
        """Fingerprint of everything that the definition decides (not of the file's layout)."""
        return _digest(self)

    @property
    def images_sha256(self) -> str:
        """Fingerprint of what decides the images: equal for scenarios whose images are the same."""
        return _digest(self.images)


def _digest(value: msgspec.Struct) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def load_scenario(name: str) -> Scenario:
    """The committed definition of that name. Raises InputError for a name that there is not, or a damaged file."""
    if name not in SCENARIOS:
        raise InputError(f"There is no scenario {name!r}; use one of {', '.join(SCENARIOS)}.")
    path = locate_resource(f"Scenarios/{name}.json")
    try:
        scenario = msgspec.json.decode(path.read_bytes(), type=Scenario)
    except msgspec.DecodeError as error:
        raise InputError(f"The scenario's definition {path.name} cannot be read ({error}); reinstall it.") from error
    if scenario.format != FORMAT or scenario.name != name:
        raise InputError(f"{path.name} does not define the scenario {name!r}; reinstall it.")
    return scenario
