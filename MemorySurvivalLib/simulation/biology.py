"""What is true of a simulated patient before anything is measured: body, disease, genetics, reserve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from MemorySurvivalLib.simulation.body_plan import PhantomSpec
from MemorySurvivalLib.simulation.covariates import tumour_burden
from MemorySurvivalLib.simulation.disease import Disease
from MemorySurvivalLib.simulation.scenario import Region
from MemorySurvivalLib.simulation.tissues import VERTEBRAE, Tissue

REGION_BONES: Mapping[Region, tuple[Tissue, ...]] = {
    "upper_spine": VERTEBRAE[:15],
    "lower_spine": (*VERTEBRAE[15:], Tissue.SACRUM),
    "pelvis": (Tissue.HIP_LEFT, Tissue.HIP_RIGHT),
    "thorax": (Tissue.RIBS_LEFT, Tissue.RIBS_RIGHT, Tissue.STERNUM),
    "limbs": (
        Tissue.FEMUR_LEFT,
        Tissue.FEMUR_RIGHT,
        Tissue.HUMERUS_LEFT,
        Tissue.HUMERUS_RIGHT,
        Tissue.SCAPULA_LEFT,
        Tissue.SCAPULA_RIGHT,
        Tissue.CLAVICLE_LEFT,
        Tissue.CLAVICLE_RIGHT,
    ),
    "skull": (Tissue.SKULL,),
}
"""Where focal lesions sit: C1-T8; T9-L5 with the sacrum; hips; ribs and sternum; limbs with their girdles; skull."""

_REGION_OF = {bone: region for region, bones in REGION_BONES.items() for bone in bones}

RED_MARROW_ML = 1500.0


@dataclass(frozen=True)
class Genetics:
    """The marks that FISH looks for, as they truly are."""

    del_17p: bool = False
    t_4_14: bool = False
    t_14_16: bool = False
    gain_1q: bool = False

    @property
    def high_risk(self) -> bool:
        """Any of the three marks that R-ISS counts."""
        return self.del_17p or self.t_4_14 or self.t_14_16


@dataclass(frozen=True)
class Biology:
    """One person: body with benign findings, disease, genetics, and `host`, a frailty (mean 0, SD 1; higher is worse)
    that blood values feel and images do not show."""

    spec: PhantomSpec
    disease: Disease
    genetics: Genetics
    host: float

    @property
    def burden(self) -> float:
        """Tumour mass on a scale of about 0 to 1, as blood values feel it."""
        return tumour_burden(self.disease)

    @property
    def tumour_ml(self) -> float:
        """Volume of all foci and of the tumour in the red marrow."""
        foci = sum(np.pi / 6 * focus.diameter_mm**3 / 1000 for focus in self.disease.foci)
        return float(foci + RED_MARROW_ML * self.disease.marrow_infiltration)

    def focal_in(self, region: Region) -> int:
        """How many focal lesions sit in a region."""
        return sum(
            focus.kind == "focal" and focus.site is not None and _REGION_OF.get(focus.site) == region
            for focus in self.disease.foci
        )

    @property
    def lytic(self) -> int:
        """How many focal lesions are holes on CT."""
        return sum(focus.kind == "focal" and focus.lytic for focus in self.disease.foci)


def settle(disease: Disease, weights: Mapping[Region, float], spread: float, rng: np.random.Generator) -> Disease:
    """The same disease with a bone for each focal lesion.

    `weights` are the regions' shares over patients; each patient's disease favours some regions, by factors whose
    logarithms have SD `spread`. Within a region every bone is as likely.
    """
    regions = tuple(weights)
    shares = np.asarray([weights[region] for region in regions]) * np.exp(rng.normal(0, spread, len(regions)))
    foci = []
    for focus in disease.foci:
        region = regions[int(rng.choice(len(regions), p=shares / shares.sum()))]
        bones = REGION_BONES[region]
        bone = bones[int(rng.integers(len(bones)))]
        foci.append(replace(focus, site=bone) if focus.kind == "focal" else focus)
    return replace(disease, foci=tuple(foci))


def hide_from_fdg(disease: Disease, rng: np.random.Generator) -> Disease:
    """The same disease, as cold as marrow and mostly lytic: CT alone shows it."""
    foci = tuple(
        replace(focus, suv_bw=round(float(rng.uniform(0.9, 1.4)), 3), lytic=focus.lytic or bool(rng.random() < 0.7))
        for focus in disease.foci
    )
    return replace(disease, foci=foci, avidity=0.02)
