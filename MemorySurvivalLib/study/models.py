"""The models of the study: modality x ROI x readout x pooling, what they are fused with, and the paper's heads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.risk.downsamplers import DownsamplerName
from MemorySurvivalLib.risk.fusion import FusionName
from MemorySurvivalLib.simulation.patient import COVARIATE_COLUMNS
from MemorySurvivalLib.study.configuration import Embedding
from MemorySurvivalLib.study.hidden_images import AskedWithout
from MemorySurvivalLib.study.imagenet import IMAGENET
from MemorySurvivalLib.study.readings import POOLING_WORDS, ROI_WORDS, name_pooled, whole_scan
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.deep_surv import DeepSurv
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.models.stage import StageName, StageRisk
from MemorySurvivalLib.training.quantities import make_schema
from MemorySurvivalLib.training.search import searched
from MemorySurvivalLib.training.stacked_mlp import StackedMlp
from MemorySurvivalLib.training.survival_model import SurvivalModel
from MemorySurvivalLib.training.tuning import Alternative, FloatRange, Recipe

Group = Literal["baselines", "embeddings", "fused", "deep", "imagenet", "published", "small maps"]

PAPER_COVARIATES = (
    "age_years",
    "sex",
    "creatinine_mg_dl",
    "haemoglobin_g_dl",
    "platelets_10e9_l",
    "isotype",
    "light_chain_ratio",
    "calcium_mg_dl",
    "r_iss",
)

CLINICAL = "clinical"
STATISTICS = "statistics"
CLINICAL_STATISTICS = "clinical + statistics"
EMBEDDING = "embedding"
EMBEDDING_STATISTICS = "embedding + statistics"
EMBEDDING_CLINICAL = "embedding + clinical"
ALL = "embedding + statistics + clinical"
IMAGENET_CNN = "ImageNet CNN (EfficientNet-Lite0): PET+CT"
IMAGENET_STATISTICS = f"{IMAGENET_CNN} + statistics"
DEEP = "DeepSurv, gated"
DEEP_STATISTICS = f"{DEEP} + statistics"
DEEP_ALL = f"{DEEP} + statistics + clinical"
DEEP_HIDING = f"{DEEP_STATISTICS}, images hidden in training"
PUBLISHED = "published: PET+CT, dilated spine, last, average, gated"
"""Names that the goals speak of."""

STATE_PENALTY = (3e-2, 1e3)
"""Ridge penalties tried for columns from memory states, of which there are about as many as patients."""

_PENALTIES = (
    FloatRange("penalty", 1e-3, 1e1, log=True),
    FloatRange("state_penalty", *STATE_PENALTY, log=True),
)

SPATIAL_STATISTICS = (
    "suv_max_g_ml",
    "suv_peak_g_ml",
    "suv_mean_g_ml",
    "suv_median_g_ml",
    "mtv_ml",
    "tlg_g",
    "hu_mean",
    "hu_sd",
    "hu_tenth_percentile",
)
"""Statistics that change when a patch is occluded: all but the volume."""

HIDDEN_SHARE = 0.2
"""How often each image is hidden in training of the models that shall do without one."""

PCA_COMPONENTS = 16
"""Principal components of the flattened maps that a head the paper rejected sees."""

LAST = "published readout: last, ridge Cox"


@dataclass(frozen=True)
class StudyModel:
    """A row of the study's tables: what it is made of in words, and the recipe that is fitted."""

    recipe: Recipe
    group: Group
    modality: str = ""
    roi: str = ""
    readout: str = ""
    downsampler: str = ""
    fusion: str = ""

    @property
    def name(self) -> str:
        """Its name in tables and results."""
        return self.recipe.name


def study_models(embedding: Embedding, groups: tuple[Group, ...]) -> tuple[StudyModel, ...]:
    """All models of these groups, cheap ones first."""
    makers = {
        "baselines": _baselines,
        "embeddings": _embeddings,
        "fused": _fused,
        "deep": _deep,
        "imagenet": _imagenet,
        "published": _published,
        "small maps": _small_maps,
    }
    return tuple(model for group in groups for model in makers[group](embedding))


def nested_models(embedding: Embedding) -> tuple[StudyModel, ...]:
    """Those that are also judged by nested cross-validation within the development patients."""
    wanted = (CLINICAL, STATISTICS, CLINICAL_STATISTICS, EMBEDDING, EMBEDDING_STATISTICS, ALL)
    models = {model.name: model for model in study_models(embedding, ("baselines", "embeddings", "fused"))}
    published = embedding_name("PET+CT", "spine_dilated", "last", "grid")
    return tuple(models[name] for name in (*wanted, published) if name in models)


def nested_imagenet(embedding: Embedding) -> tuple[StudyModel, ...]:
    """The ImageNet network's models that are judged so too, where its vectors are there."""
    wanted = (IMAGENET_CNN, IMAGENET_STATISTICS)
    return tuple(model for model in study_models(embedding, ("imagenet",)) if model.name in wanted)


def hotspot_models(embedding: Embedding, roi: str) -> tuple[Recipe, ...]:
    """What is explained: the whole-scan embedding of one ROI, with and without its statistics, and the readout `last`.

    No clinical values: they have no place in the body.
    """
    statistics = tuple(f"{roi}/{name}" for name in SPATIAL_STATISTICS)

    def alternatives(name: str, measured: tuple[str, ...]) -> tuple[Alternative, ...]:
        return tuple(
            Alternative(
                name_pooled(readout, pooling),
                RidgeCox(
                    name,
                    VectorFeatures(statistics=measured, states=StateVectors(_keys("PET+CT", roi, readout, pooling))),
                    state_penalty=1.0,
                ),
                _PENALTIES,
            )
            for readout, pooling in whole_scan(embedding, roi)
        )

    last = RidgeCox("last", VectorFeatures(states=StateVectors(_keys("PET+CT", roi, "last", "grid"))))
    search = FloatRange("penalty", *STATE_PENALTY, log=True)
    return (
        Recipe(EMBEDDING, alternatives(EMBEDDING, ())),
        Recipe(EMBEDDING_STATISTICS, alternatives(EMBEDDING_STATISTICS, statistics)),
        Recipe(LAST, (Alternative("ridge", last, (search,)),)),
    )


def deep_recipe(
    embedding: Embedding,
    name: str,
    roi: str,
    statistics: tuple[str, ...] = (),
    clinical: bool = False,
    hidden_share: float = 0.0,
    asked_without: Modality | None = None,
) -> Recipe:
    """The paper's gate and DeepSurv on the whole-scan vectors of one ROI, each way to read them out an alternative.

    The gate mixes PET and CT channel by channel; statistics and clinical values enter beside the mixture. A fit on
    vectors takes a fraction of a second, so its settings are searched as those of ridge Cox are. With `hidden_share`
    each image is hidden so often in training; the model can then be asked without one (hidden_images.py).
    """
    alternatives = []
    for readout, pooling in whole_scan(embedding, roi):
        model = ImageModel(
            name,
            _keys("PET+CT", roi, readout, pooling),
            "pooled",
            "gated",
            make_schema(COVARIATE_COLUMNS) if clinical else None,
            statistics,
            missing_modality=hidden_share > 0,
            hidden=(32,),
            training=TrainingConfig(modality_dropout=hidden_share),
        )
        found = dataclasses.replace(searched(model).alternatives[0], name=name_pooled(readout, pooling))
        if asked_without:
            space = tuple(dataclasses.replace(number, name=f"base.{number.name}") for number in found.space)
            found = dataclasses.replace(found, base=AskedWithout(model, asked_without), space=space)
        alternatives.append(found)
    return Recipe(f"{name}, asked without {asked_without}" if asked_without else name, tuple(alternatives))


def embedding_name(modality: str, roi: str, readout: str, pooling: str) -> str:
    """The name of an image-only model on one vector."""
    return f"{modality}, {ROI_WORDS.get(roi, roi)}, {readout}, {POOLING_WORDS[pooling]}"


def _baselines(embedding: Embedding) -> list[StudyModel]:
    clinical = make_schema(COVARIATE_COLUMNS)
    both = VectorFeatures(clinical, ("*",))
    ridge: list[SurvivalModel] = [
        RidgeCox(CLINICAL, VectorFeatures(clinical)),
        RidgeCox("clinical, the paper's nine", VectorFeatures(make_schema(PAPER_COVARIATES))),
        RidgeCox(STATISTICS, VectorFeatures(statistics=("*",))),
        RidgeCox(CLINICAL_STATISTICS, both),
    ]
    networks: list[SurvivalModel] = [
        StackedMlp(f"{CLINICAL}, MLP", VectorFeatures(clinical)),
        StackedMlp(f"{STATISTICS}, MLP", VectorFeatures(statistics=("*",))),
        StackedMlp(f"{CLINICAL_STATISTICS}, MLP", both),
    ]
    single = [
        _as_it_is(RidgeCox(f"{word}, {ROI_WORDS[roi]}", VectorFeatures(statistics=(f"{roi}/{name}",)), penalty=1e-4))
        for roi in embedding.rois
        for word, name in (("TLG", "tlg_g"), ("MTV", "mtv_ml"), ("SUVmax", "suv_max_g_ml"))
    ]
    # The same network as the MLP's, trained by pycox's own loop with its fixed settings: what a paper would have run.
    reference = DeepSurv(f"{CLINICAL}, DeepSurv (pycox)", VectorFeatures(clinical), engine="pycox")
    stages: list[StageName] = ["ISS", "R-ISS", "R2-ISS"]
    recipes = [*(_as_it_is(StageRisk(stage)) for stage in stages), *single, _as_it_is(reference)]
    recipes += [searched(model) for model in ridge + networks]
    return [StudyModel(recipe, "baselines") for recipe in recipes]


def _embeddings(embedding: Embedding) -> list[StudyModel]:
    """Image only, one vector a patient, ridge Cox: every modality, ROI, readout and pooling that was kept."""
    models = []
    for way in embedding.ways:
        pooled = [("region", name) for name in way.region_vectors]
        pooled += [("peak", name) for name in way.peak_readouts]
        pooled += [("lesions", name) for name in way.lesion_readouts]
        pooled += [("grid", name) for name in way.grid_readouts]
        for roi in way.rois:
            for pooling, readout in pooled:
                kind = way.kind(pooling)
                for modality in ("PET", "CT", "PET+CT"):
                    recipe = _vector(embedding_name(modality, roi, readout, kind), _keys(modality, roi, readout, kind))
                    models.append(
                        StudyModel(recipe, "embeddings", modality, roi, readout, kind, _concatenated(modality))
                    )
    return models


def _fused(embedding: Embedding) -> list[StudyModel]:
    """The whole-scan embedding (ROI, readout and pooling chosen in inner folds), alone and with the rest."""
    clinical = make_schema(COVARIATE_COLUMNS)
    parts = {
        EMBEDDING: VectorFeatures(states=StateVectors(("?",))),
        EMBEDDING_STATISTICS: VectorFeatures(statistics=("*",), states=StateVectors(("?",))),
        EMBEDDING_CLINICAL: VectorFeatures(clinical, states=StateVectors(("?",))),
        ALL: VectorFeatures(clinical, ("*",), StateVectors(("?",))),
    }
    models = []
    for name, features in parts.items():
        alternatives = tuple(
            Alternative(
                f"{roi} {name_pooled(readout, pooling)}",
                RidgeCox(
                    name,
                    VectorFeatures(
                        features.clinical,
                        features.statistics,
                        StateVectors(_keys("PET+CT", roi, readout, pooling)),
                    ),
                    state_penalty=1.0,
                ),
                _PENALTIES,
            )
            for roi in embedding.rois
            for readout, pooling in whole_scan(embedding, roi)
        )
        models.append(
            StudyModel(Recipe(name, alternatives), "fused", "PET+CT", "chosen", "chosen", "chosen", "concatenation")
        )
    return models


def _deep(embedding: Embedding) -> list[StudyModel]:
    """What a bundle ships: gate and DeepSurv on the first ROI's vectors, with its statistics and clinical values."""
    roi = embedding.rois[0]
    statistics = tuple(f"{roi}/{name}" for name in SPATIAL_STATISTICS)
    recipes = (
        deep_recipe(embedding, DEEP, roi),
        deep_recipe(embedding, DEEP_STATISTICS, roi, statistics),
        deep_recipe(embedding, DEEP_ALL, roi, statistics, clinical=True),
        *(
            deep_recipe(embedding, DEEP_HIDING, roi, statistics, hidden_share=HIDDEN_SHARE, asked_without=absent)
            for absent in (None, *MODALITIES)
        ),
    )
    return [StudyModel(recipe, "deep", "PET+CT", roi, "chosen", "pooled", "gated") for recipe in recipes]


def _imagenet(embedding: Embedding) -> list[StudyModel]:
    """The stand-in for the paper's ResNet: no memory, no prompt, no region but in the choice of slices."""
    if embedding.imagenet is None:
        return []
    roi = embedding.imagenet.roi
    models = []
    for modality in ("PET", "CT", "PET+CT"):
        name = IMAGENET_CNN.replace("PET+CT", modality)
        recipe = _vector(name, _keys(modality, roi, IMAGENET, "grid"))
        models.append(StudyModel(recipe, "imagenet", modality, roi, IMAGENET, "grid", _concatenated(modality)))
    states = StateVectors(_keys("PET+CT", roi, IMAGENET, "grid"))
    both = RidgeCox(IMAGENET_STATISTICS, VectorFeatures(statistics=("*",), states=states), state_penalty=1.0)
    recipe = Recipe(IMAGENET_STATISTICS, (Alternative("ridge", both, _PENALTIES),))
    return [*models, StudyModel(recipe, "imagenet", "PET+CT", roi, IMAGENET, "grid", "concatenation")]


def _published(embedding: Embedding) -> list[StudyModel]:
    """The paper's average downsampler end to end, with its fixed default settings."""
    wanted: list[tuple[str, str, FusionName, bool]] = [
        ("PET", "spine_dilated", "concatenation", False),
        ("CT", "spine_dilated", "concatenation", False),
        ("PET+CT", "spine_dilated", "gated", False),
        ("PET+CT", "spine_dilated", "concatenation", False),
        ("PET+CT", "skeleton", "gated", False),
        ("PET+CT", "spine_dilated", "gated", True),
    ]
    models = []
    for modality, roi, fusion, with_clinical in wanted:
        for readout in embedding.average_maps.get(_roi(roi, embedding), ()):
            words = [modality, ROI_WORDS[roi], readout, "average"] + ([fusion] if modality == "PET+CT" else [])
            name = f"{'published' if readout == 'last' else 'as published'}: {', '.join(words)}"
            model = ImageModel(
                f"{name}, clinical" if with_clinical else name,
                _keys(modality, roi, readout, "average"),
                fusion=fusion,
                clinical=make_schema(COVARIATE_COLUMNS) if with_clinical else None,
            )
            shown = fusion if modality == "PET+CT" else ""
            models.append(StudyModel(_as_it_is(model), "published", modality, roi, readout, "average", shown))
    return models


def _small_maps(embedding: Embedding) -> list[StudyModel]:
    """Heads that need all channels of the maps, kept of the first patients only; fixed settings.

    Light attention is the paper's, channels kept ours; flatten, 3D CNN and PCA are those that it rejected.
    """
    heads: tuple[DownsamplerName, ...] = ("attention", "channels", "flatten")
    models = []
    for roi, readouts in embedding.small_maps.items():
        for readout in readouts:
            keys = _keys("PET+CT", roi, readout, "small")
            where = f"PET+CT, {ROI_WORDS[roi]}, {readout}"
            compressed = VectorFeatures(states=StateVectors(keys, "flatten", components=PCA_COMPONENTS))
            rows: list[tuple[str, SurvivalModel]] = [
                *((head, ImageModel(f"{head}: {where}", keys, head)) for head in heads),
                ("volume", ImageModel(f"3D CNN: {where}", keys, "volume", downsampler_width=8)),
                ("PCA", DeepSurv(f"PCA: {where}", compressed)),
            ]
            models += [
                StudyModel(_as_it_is(model), "small maps", "PET+CT", roi, readout, head, "concatenation")
                for head, model in rows
            ]
    return models


def _keys(modality: str, roi: str, readout: str, kind: str) -> tuple[str, ...]:
    return tuple(f"{one}/{roi}/{readout}/{kind}" for one in modality.split("+"))


def _vector(name: str, keys: tuple[str, ...]) -> Recipe:
    """Image only, vectors side by side under ridge Cox."""
    model = RidgeCox(name, VectorFeatures(states=StateVectors(keys)))
    return Recipe(name, (Alternative("ridge", model, (FloatRange("penalty", *STATE_PENALTY, log=True),)),))


def _concatenated(modality: str) -> FusionName | Literal[""]:
    return "concatenation" if modality == "PET+CT" else ""


def _as_it_is(model: SurvivalModel) -> Recipe:
    """A recipe without anything to search."""
    return Recipe(model.name, (Alternative("as it is", model),))


def _roi(name: str, embedding: Embedding) -> Literal["spine_dilated", "skeleton", "other"]:
    return next(roi for roi in embedding.rois if roi == name)
