"""Memory states to a log-risk, end to end: downsampler, fusion, statistics token, clinical columns, DeepSurv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import msgspec
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.measure.statistics import STATISTICS, find_unknown
from MemorySurvivalLib.risk.covariates import CovariateSchema
from MemorySurvivalLib.risk.downsamplers import DownsamplerName
from MemorySurvivalLib.risk.fusion import FusionName
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.models.clinical_table import FittedClinical, fit_clinical
from MemorySurvivalLib.training.models.features import choose_statistics, state_tensor
from MemorySurvivalLib.training.models.fingerprint import hash_fitted
from MemorySurvivalLib.training.models.fitting import TrainingConfig, TrainingHistory, train_network
from MemorySurvivalLib.training.models.outcomes import check_outcomes, split_for_watching

PATIENTS_AT_ONCE = 64


@dataclass(frozen=True)
class ImageModel:
    """`inputs` are keys of states such as "PET/mean"; several readouts of one modality go side by side as channels.

    `region_keys` name weights (n, 1, h, w) by modality, in the order of the modalities, for pooling inside the region
    (downsampler "channels"). `missing_modality` lets patients without one of the images in (rows of NaN);
    `training.modality_dropout` hides images at random in training, so that the model learns to do without.
    """

    name: str
    inputs: tuple[str, ...] = ("PET/mean", "CT/mean")
    downsampler: DownsamplerName = "average"
    fusion: FusionName = "concatenation"
    clinical: CovariateSchema | None = None
    statistics: tuple[str, ...] = ()
    indicators: bool = False
    region_keys: tuple[str, ...] = ()
    missing_modality: bool = False
    downsampler_width: int = 32
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.3
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        modalities = self.modalities
        if not self.inputs or len(set(self.inputs)) != len(self.inputs):
            raise ValueError("a model of images needs keys of states, each once")
        if self.downsampler == "average" and len(modalities) != len(self.inputs):
            raise ValueError("the average downsampler takes one readout a modality: it would mix several into one map")
        if self.region_keys and (self.downsampler != "channels" or len(self.region_keys) != len(modalities)):
            raise ValueError('pooling inside the region is for "channels", with one key of weights a modality')
        if self.training.modality_dropout and not self.missing_modality:
            raise ValueError("hiding images in training needs missing_modality")
        if self.fusion == "gated" and len(modalities) != 2:
            raise ValueError("gated fusion mixes two modalities")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities of the inputs, in their order."""
        names = tuple(dict.fromkeys(key.partition("/")[0] for key in self.inputs))
        if not set(names) <= set(MODALITIES):
            raise ValueError(f"keys of states begin with one of {', '.join(MODALITIES)}, got {', '.join(names)}")
        return cast(tuple[Modality, ...], names)

    def fit(self, data: CohortData, seed: int) -> FittedImageModel:
        """Fit on these patients; equal seeds give equal heads."""
        check_outcomes(data)
        clinical = fit_clinical(self.clinical, data, indicators=self.indicators) if self.clinical else None
        statistics = choose_statistics(data, self.statistics) if self.statistics else ()
        shapes = {self._states(data, modality).shape[1:] for modality in self.modalities}
        if len(shapes) != 1:
            raise InputError(f"The memory states of {', '.join(self.modalities)} differ in shape; embed them alike.")
        spec = HeadSpec(
            modalities=self.modalities,
            fusion=self.fusion,
            covariate_width=clinical.schema.width if clinical else 0,
            downsampler_width=self.downsampler_width,
            hidden=self.hidden,
            dropout=self.dropout,
            downsampler=self.downsampler,
            memory_shape=cast(tuple[int, int, int], tuple(shapes.pop())),
            statistics=statistics,
            missing_modality=self.missing_modality,
        )
        parts = split_for_watching(data.events, self.training.validation_share, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = RiskHead(spec)
            inputs = self.prepare(head, clinical, data)
            inputs.standardise(head, torch.from_numpy(parts[0]))
            hide = self.training.modality_dropout

            def risk_of(rows: torch.Tensor) -> torch.Tensor:
                return inputs.run(head, rows, hide if head.training else 0.0)

            # Channels last, convolutions train in about half the time; scoring keeps the layout that bundles load into.
            _lay_out(head, torch.channels_last)
            history = train_network(head, risk_of, data, parts, self.training, seed)
            _lay_out(head, torch.contiguous_format)
        with torch.inference_mode():
            head.offset.copy_(inputs.run(head, torch.arange(len(data))).mean())
        return FittedImageModel(self, head, clinical, history)

    def prepare(self, head: RiskHead, clinical: FittedClinical | None, data: CohortData) -> ImageInputs:
        """What the head takes, for all patients. Raises InputError for images that are not there."""
        maps, present, weights = {}, {}, {}
        for modality in self.modalities:
            states = self._states(data, modality)
            present[modality] = ~torch.isnan(states).flatten(1).any(dim=1)
            maps[modality] = head.prepare(torch.nan_to_num(states)[:, None])
        for modality, key in zip(self.modalities, self.region_keys, strict=False):
            weights[modality] = state_tensor(data, key).float()
        _insist_on_images(present, self.missing_modality)
        n = len(data)
        names = head.spec.statistics
        measured = (
            [torch.from_numpy(data.statistics[name]).float() for name in choose_statistics(data, names)]
            if names
            else []
        )
        return ImageInputs(
            maps,
            present,
            weights,
            torch.from_numpy(clinical.encode(data)).float() if clinical else torch.zeros(n, 0),
            torch.stack(measured, dim=1) if measured else torch.zeros(n, 0),
        )

    def _states(self, data: CohortData, modality: Modality) -> torch.Tensor:
        keys = [key for key in self.inputs if key.partition("/")[0] == modality]
        return torch.cat([state_tensor(data, key).float() for key in keys], dim=1)


@dataclass(frozen=True, eq=False)
class ImageInputs:
    """Prepared states, which of them are there, region weights, covariates (n, p) and statistics (n, q)."""

    maps: Mapping[Modality, torch.Tensor]
    present: Mapping[Modality, torch.Tensor]
    weights: Mapping[Modality, torch.Tensor]
    covariates: torch.Tensor
    statistics: torch.Tensor

    def standardise(self, head: RiskHead, rows: torch.Tensor) -> None:
        """Take the means and SDs of these rows, absent images left out."""
        for modality, maps in self.maps.items():
            there = rows[self.present[modality][rows]]
            if len(there) < 2:
                raise InputError(f"Fewer than two patients to learn from have a {modality}; leave {modality} out.")
            head.standardise(modality, maps[there])
        if head.spec.statistics:
            if torch.isnan(self.statistics[rows]).all():
                raise InputError(
                    f"Every statistic ({', '.join(head.spec.statistics)}) is missing in all patients to learn from; "
                    "measure them, or choose a model without statistics."
                )
            head.statistics.standardise(self.statistics[rows])

    def run(self, head: RiskHead, rows: torch.Tensor, hide: float = 0.0) -> torch.Tensor:
        """Log-risks of these rows; each image is hidden with probability `hide`, never a patient's last one."""
        present = {modality: there[rows] for modality, there in self.present.items()}
        if hide and len(present) > 1:
            present = _hide(present, hide)
        log_risk: torch.Tensor = head(
            {modality: maps[rows] for modality, maps in self.maps.items()},
            self.covariates[rows],
            self.statistics[rows] if head.spec.statistics else None,
            present,
            {modality: weights[rows] for modality, weights in self.weights.items()},
        ).log_risk
        return log_risk


@dataclass(frozen=True)
class ExportedHead:
    """What a bundle needs of a fitted model: the head, the readout of the pass, and the schema of the form."""

    head: RiskHead
    readout: str
    covariates: CovariateSchema | None


def check_exported(name: str, spec: HeadSpec) -> None:
    """Raise InputError for a head with statistics that scoring does not measure, or of an image it does not read."""
    unknown = find_unknown(spec.statistics)
    if unknown:
        raise InputError(
            f"{name} takes {unknown[0]}, which scoring does not measure; a bundle's heads can take "
            f"{', '.join(STATISTICS)}."
        )
    blind = [one for one in spec.statistics if STATISTICS[one].modality not in (None, *spec.modalities)]
    if blind:
        raise InputError(
            f"{name} takes {blind[0]} without reading the {STATISTICS[blind[0]].modality}; a bundle's head reads every "
            "image that it takes statistics of."
        )


@dataclass(frozen=True, eq=False)
class FittedImageModel:
    """The trained head with its clinical preprocessing."""

    config: ImageModel
    head: RiskHead
    clinical: FittedClinical | None
    history: TrainingHistory

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on columns that could not be used."""
        return self.clinical.notes if self.clinical else ()

    @torch.inference_mode()
    def log_risk(self, data: CohortData) -> Floats:
        """Log-risks (n,), 0 at the training patients' mean."""
        inputs = self.config.prepare(self.head, self.clinical, data)
        parts = [inputs.run(self.head, rows) for rows in torch.split(torch.arange(len(data)), PATIENTS_AT_ONCE)]
        risk: Floats = torch.cat(parts).double().numpy()
        return risk

    def fingerprint(self) -> str:
        """A hash of all that was fitted."""
        return hash_fitted(self.clinical.schema if self.clinical else None, self.head.spec, self.head.state_dict())

    def export_head(self, region: str = "") -> ExportedHead:
        """The head for a bundle. Raises InputError where a bundle could not score with it.

        Where a cohort holds several regions, `region` is the bundle's: statistics named "region/tlg_g" become `tlg_g`.
        """
        readouts = {key.partition("/")[2] for key in self.config.inputs}
        if len(readouts) != 1:
            raise InputError(
                f"A bundle has one readout, but {self.config.name} takes {', '.join(sorted(readouts))}; "
                "fit it on one readout to export it."
            )
        if self.config.region_keys:
            raise InputError(
                f"{self.config.name} pools inside the region, which scoring does not hand to a head; "
                "fit it without region weights to export it."
            )
        names = tuple(one.removeprefix(f"{region}/") if region else one for one in self.head.spec.statistics)
        spec = msgspec.structs.replace(self.head.spec, statistics=names)
        check_exported(self.config.name, spec)
        head = RiskHead(spec)
        head.load_state_dict(self.head.state_dict())
        return ExportedHead(head.eval(), readouts.pop(), self.clinical.schema if self.clinical else None)


def _insist_on_images(present: Mapping[Modality, torch.Tensor], may_miss: bool) -> None:
    rows = torch.stack(list(present.values()), dim=1)
    wrong = ~rows.any(dim=1) if may_miss else ~rows.all(dim=1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        absent = ", ".join(modality for modality, there in present.items() if not there[row])
        advice = "leave the patient out" if may_miss else "leave the patient out, or allow missing images"
        raise InputError(
            f"Row {row + 1} of the cohort has no image of {absent} ({int(wrong.sum())} of {len(wrong)} rows are like "
            f"that); {advice}."
        )


def _lay_out(head: RiskHead, layout: torch.memory_format) -> None:
    for module in head.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.data.to(memory_format=layout)


def _hide(present: Mapping[Modality, torch.Tensor], share: float) -> dict[Modality, torch.Tensor]:
    rows = torch.stack(list(present.values()), dim=1)
    kept = rows & (torch.rand(rows.shape) >= share)
    # A patient whose every image was drawn keeps what there is.
    kept = torch.where(kept.any(dim=1, keepdim=True), kept, rows)
    return dict(zip(present, kept.unbind(dim=1), strict=True))
