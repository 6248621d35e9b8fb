"""The models of the study by name: baselines, the paper's, those it rejected, and ours."""

from __future__ import annotations

from MemorySurvivalLib.risk.covariates import CovariateSchema
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.deep_surv import DeepSurv
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.models.stage import StageRisk
from MemorySurvivalLib.training.survival_model import SurvivalModel


def study_recipes(
    clinical: CovariateSchema, statistics: tuple[str, ...], readout: str = "mean", published: str = "last"
) -> tuple[SurvivalModel, ...]:
    """Recipes with their default settings, each with a name of its own.

    `clinical` names the columns (its means and shares are fitted in each fold), `statistics` those measured in the
    region, `readout` the whole-scan readout, `published` the paper's.
    """
    return (
        *baselines(clinical, statistics),
        *paper_models(clinical, published),
        *rejected_models(published),
        *our_models(clinical, statistics, readout),
    )


def baselines(clinical: CovariateSchema, statistics: tuple[str, ...]) -> tuple[SurvivalModel, ...]:
    """What needs no memory state: stages, clinical columns, region statistics, both."""
    both = VectorFeatures(clinical, statistics)
    return (
        StageRisk("ISS"),
        StageRisk("R-ISS"),
        StageRisk("R2-ISS"),
        RidgeCox("clinical, ridge Cox", VectorFeatures(clinical)),
        DeepSurv("clinical, DeepSurv", VectorFeatures(clinical)),
        RidgeCox("statistics, ridge Cox", VectorFeatures(statistics=statistics)),
        DeepSurv("statistics, DeepSurv", VectorFeatures(statistics=statistics)),
        RidgeCox("clinical + statistics, ridge Cox", both),
        DeepSurv("clinical + statistics, DeepSurv", both),
    )


def paper_models(clinical: CovariateSchema, readout: str) -> tuple[SurvivalModel, ...]:
    """Average and light-attention downsamplers; PET, CT, both concatenated or gated; with clinical columns."""
    pet, ct = f"PET/{readout}", f"CT/{readout}"
    return (
        ImageModel(f"{pet}, average", (pet,)),
        ImageModel(f"{ct}, average", (ct,)),
        ImageModel(f"PET+CT/{readout}, average, concatenated", (pet, ct)),
        ImageModel(f"PET+CT/{readout}, average, gated", (pet, ct), fusion="gated"),
        ImageModel(f"{pet}, attention", (pet,), "attention"),
        ImageModel(f"PET+CT/{readout}, attention, gated", (pet, ct), "attention", "gated"),
        ImageModel(f"PET+CT/{readout}, average, gated, clinical", (pet, ct), fusion="gated", clinical=clinical),
    )


def rejected_models(readout: str) -> tuple[SurvivalModel, ...]:
    """The heads that the paper found at chance: 3D CNN, flatten, PCA."""
    key = f"PET/{readout}"
    compressed = VectorFeatures(states=StateVectors((key,), "flatten", components=16))
    return (
        ImageModel(f"{key}, 3D CNN", (key,), "volume", downsampler_width=8),
        ImageModel(f"{key}, flatten", (key,), "flatten"),
        DeepSurv(f"{key}, PCA", compressed),
    )


def our_models(clinical: CovariateSchema, statistics: tuple[str, ...], readout: str) -> tuple[SurvivalModel, ...]:
    """Past the paper: channels kept, statistics as one more token, missing images, pooled vectors under ridge."""
    pet, ct = f"PET/{readout}", f"CT/{readout}"
    hiding = TrainingConfig(modality_dropout=0.2)
    pooled = StateVectors((pet, ct))
    return (
        ImageModel(f"{pet}, channels kept", (pet,), "channels"),
        ImageModel(f"PET+CT/{readout}, channels kept", (pet, ct), "channels"),
        ImageModel(f"PET+CT/{readout}, channels kept, statistics", (pet, ct), "channels", statistics=statistics),
        ImageModel(
            f"PET+CT/{readout}, channels kept, statistics, clinical",
            (pet, ct),
            "channels",
            statistics=statistics,
            clinical=clinical,
        ),
        ImageModel(
            f"PET+CT/{readout}, channels kept, statistics, clinical, images hidden",
            (pet, ct),
            "channels",
            statistics=statistics,
            clinical=clinical,
            missing_modality=True,
            training=hiding,
        ),
        RidgeCox(f"PET+CT/{readout}, pooled, ridge Cox", VectorFeatures(states=pooled), penalty=1.0),
        RidgeCox(
            f"PET+CT/{readout}, pooled, statistics, clinical, ridge Cox",
            VectorFeatures(clinical, statistics, pooled),
            penalty=1.0,
        ),
    )
