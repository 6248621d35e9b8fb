"""From an embedded cohort to a bundle: heads validated by nested cross-validation, fitted on all patients, packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

import msgspec
import numpy as np

from MemorySurvivalLib.bundle.archive import BACKBONE
from MemorySurvivalLib.bundle.bundle import ModelBundle, as_float16, save_bundle
from MemorySurvivalLib.bundle.manifest import (
    MINIMUM_REFERENCE,
    Calibration,
    HeadEntry,
    Manifest,
    Provenance,
    Reference,
    RiskGroups,
    describe_statistics,
)
from MemorySurvivalLib.bundle.recalibrate import breslow_baseline, measure_calibration
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.evaluation.evaluation import Evaluation, evaluate
from MemorySurvivalLib.evaluation.measures import EvaluationPlan
from MemorySurvivalLib.evaluation.out_of_fold import OutOfFold
from MemorySurvivalLib.evaluation.subgroups import Subgroup, bands, subgroup_table
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.measure.statistics import STATISTICS, check_names
from MemorySurvivalLib.memory.inside import Inside
from MemorySurvivalLib.memory.readout import ReadoutName
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.report.document import Bullets, Cell, Section, Table
from MemorySurvivalLib.report.record import software_versions
from MemorySurvivalLib.risk.downsamplers import DownsamplerName, PoolingName
from MemorySurvivalLib.risk.fusion import FusionName
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.training.backbone_card import describe_training
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.duplicates import SamePatient, group_patients
from MemorySurvivalLib.training.model_card import CardFacts, CardMetric, Stated, write_card
from MemorySurvivalLib.training.models.cox import FittedCox, RidgeCox
from MemorySurvivalLib.training.models.exporting import FittedVector, export_vector
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.models.image import ExportedHead, FittedImageModel, ImageModel
from MemorySurvivalLib.training.nested import Validation, fit_tuned, validate_models
from MemorySurvivalLib.training.own_cohort import OwnCohort, read_otherwise
from MemorySurvivalLib.training.quantities import make_schema
from MemorySurvivalLib.training.results import ValidatedModel, hash_data
from MemorySurvivalLib.training.search import HEAD_BUDGET, searched
from MemorySurvivalLib.training.stacked_mlp import FittedMlp, StackedMlp
from MemorySurvivalLib.training.tuning import Budget

AGE_EDGES = (65.0, 75.0)
"""Bands of age in the subgroup table, chosen before any outcome was seen."""


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a researcher may choose; the defaults are the paper's head with our validation.

    `evaluation` and `validation` are fixed before results are seen. `head_budget`: Sobol trials and inner folds.
    `model` "network" trains downsamplers, fusion and DeepSurv on memory states; "ridge" (Cox) and "mlp" take one vector
    a patient: states pooled over the grid by `pooling`, statistics, covariates. `statistics` are numbers measured in
    the region, by the names of measure/statistics.py; with "network" they enter as one more token. `readout` None is
    that of the base bundle, and so is `inside` (true: memories averaged inside the region, "peak": their largest values
    there) but with "network", which reads whole maps whatever the base does.
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

    @property
    def reads_inside(self) -> Inside | None:
        """How memories are pooled inside the region before the head reads them; None is as in the base bundle."""
        return False if self.model == "network" else self.inside


FittedHead = FittedImageModel | FittedVector


@dataclass(frozen=True)
class TrainedHead:
    """A head with its evidence; `validated` and `evaluation` are out of fold."""

    entry: HeadEntry
    head: RiskHead
    validated: ValidatedModel
    evaluation: Evaluation
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrainedBundle:
    """What `train` made: the manifest as written, the card, the heads with their figures."""

    manifest: Manifest
    card: str
    heads: tuple[TrainedHead, ...]


def read_config(path: Path | None) -> TrainConfig:
    """The settings of a JSON file, the defaults without one. Raises InputError for a field or value not known."""
    if path is None:
        return TrainConfig()
    try:
        config = msgspec.json.decode(path.read_bytes(), type=TrainConfig)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"The settings {path} cannot be used ({str(error).rstrip('.')}); correct them.") from error
    _check_config(config)
    return config


def train_bundle(
    cohort: OwnCohort,
    base: ModelBundle,
    config: TrainConfig,
    stated: Stated,
    out: Path,
    work: Path,
    progress: ProgressCallback = ignore_progress,
) -> TrainedBundle:
    """Validate, fit and pack heads for the backbone and settings of `base`; finished folds in `work` are not redone.

    Image-only always, and with covariates where the cohort has any. Real patients make a `local-research` bundle,
    simulated ones a `demonstration`. Raises InputError for cohorts nothing can be fitted on, OutputError where `out`
    is there already.
    """
    if out.exists():
        raise OutputError(f"{out} is there already; bundles are never replaced, so choose another name.")
    _check_config(config)
    base = read_otherwise(base, config.readout, config.reads_inside)
    data = cohort.data
    groups = group_patients(data, cohort.image_hashes, config.same_patient)
    models = _models(config, cohort, base.manifest.propagation.readout)
    recipes = [searched(model, config.head_budget) for model in models]
    validated = validate_models(data, recipes, config.validation, work / "validation", groups=groups, progress=progress)
    heads = []
    for model, recipe, judged in zip(models, recipes, validated, strict=True):
        if judged.errors:
            raise InputError(f"The validation did not come through: {judged.errors[0]}")
        tuned = fit_tuned(recipe, data, config.head_budget, config.validation.seed, groups=groups, progress=progress)
        heads.append(_head(model.name, cast(FittedHead, tuned.fitted), judged, data, config))
    manifest = _manifest(cohort, base, config, heads, out.stem)
    card = write_card(_facts(cohort, base, config, heads, manifest), stated)
    backbone = base.backbone() if BACKBONE in base.archive.members else None
    saved = save_bundle(
        out,
        manifest,
        {one.entry.name: one.head for one in heads},
        card,
        backbone,
        base.backbone_training,
        base.reader,
    )
    return TrainedBundle(saved.manifest, card, tuple(heads))


def _check_config(config: TrainConfig) -> None:
    """Before hours of work: whether a bundle's head can take what is asked for."""
    if config.model == "network" and config.inside:
        raise InputError(
            'The model "network" reads maps, and "inside" leaves one number a channel; take the model "ridge" or '
            '"mlp", or leave "inside" out.'
        )
    check_names(config.statistics)
    for name in config.statistics:
        modality = STATISTICS[name].modality
        if modality is not None and modality not in config.modalities:
            raise InputError(f"{name} is measured in the {modality}, which the model does not read; add {modality}.")


def _models(config: TrainConfig, cohort: OwnCohort, readout: str) -> list[ImageModel | RidgeCox | StackedMlp]:
    keys = tuple(f"{modality}/{readout}" for modality in config.modalities)

    def make(name: str, clinical: tuple[str, ...]) -> ImageModel | RidgeCox | StackedMlp:
        schema = make_schema(clinical) if clinical else None
        features = VectorFeatures(schema, config.statistics, StateVectors(keys, config.pooling))
        if config.model == "ridge":
            return RidgeCox(name, features, penalty=1.0)
        if config.model == "mlp":
            return StackedMlp(name, features)
        return ImageModel(
            name,
            keys,
            config.downsampler,
            config.fusion if len(config.modalities) == 2 else "concatenation",
            schema,
            config.statistics,
            downsampler_width=config.downsampler_width,
            hidden=config.hidden,
            training=config.training,
        )

    covariates = cohort.intake.covariates
    images = "image+statistics" if config.statistics else "image"
    return [make(images, ()), *([make(f"{images}+clinical", covariates)] if covariates else [])]


def _export(name: str, fitted: FittedHead, data: CohortData) -> tuple[ExportedHead, tuple[str, ...]]:
    """The head and the fit's notes."""
    if isinstance(fitted, FittedCox | FittedMlp):
        grid = next(iter(data.states.values())).shape[-2:]
        return export_vector(name, fitted, (int(grid[0]), int(grid[1]))), fitted.features.notes
    assert isinstance(fitted, FittedImageModel)
    exported = fitted.export_head()
    if not exported.head.spec.keeps_float32:
        as_float16(exported.head)
    return exported, fitted.notes


def _head(
    name: str, fitted: FittedHead, validated: ValidatedModel, data: CohortData, config: TrainConfig
) -> TrainedHead:
    exported, fit_notes = _export(name, fitted, data)
    own = fitted.log_risk(data)
    judged = OutOfFold(data.times_months, data.events, validated.folds)
    evaluation = evaluate(judged, config.evaluation)
    # One repeat: every patient once, by a model that never saw them, on the scale of its training patients' mean 0.
    held_out = validated.log_risk[0]
    baseline = breslow_baseline(data.times_months, data.events, held_out)
    calibrated: Calibration | None = None
    notes = [*fit_notes, *evaluation.notes]
    try:
        calibrated = measure_calibration(
            baseline,
            data.times_months,
            data.events,
            held_out,
            config.horizon_months,
            config.evaluation.resamples,
        )
    except InputError as error:
        notes.append(f"Not calibrated at {config.horizon_months:g} months: {error}")
    reference = None
    if len(data) >= MINIMUM_REFERENCE:
        what = "simulated patients" if data.simulated else "patients of the cohort"
        described = f"{len(data)} {what}, each scored by a model of another fold"
        reference = Reference("held-out", described, tuple(np.sort(held_out).round(5).tolist()))
    cuts = np.quantile(own, (1 / 3, 2 / 3)).round(5)
    groups = None
    if cuts[0] < cuts[1]:
        groups = RiskGroups(tuple(cuts.tolist()), ("low", "intermediate", "high"), "training")
    harrell = evaluation.figures[0]
    metrics = {}
    if harrell.folds is not None:
        metrics["nested_c_index_fold_mean"] = round(harrell.folds.value, 4)
    if harrell.pooled is not None:
        metrics["nested_c_index_pooled"] = round(harrell.pooled.value, 4)
    spec = exported.head.spec
    entry = HeadEntry(
        name,
        spec,
        exported.covariates,
        reference,
        groups,
        baseline,
        calibrated,
        metrics,
        describe_statistics(spec.statistics),
    )
    return TrainedHead(entry, exported.head, validated, evaluation, tuple(dict.fromkeys(notes)))


def _manifest(
    cohort: OwnCohort, base: ModelBundle, config: TrainConfig, heads: Sequence[TrainedHead], name: str
) -> Manifest:
    data = cohort.data
    provenance = Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        population=f"{len(data)} {'simulated patients' if data.simulated else 'patients of an own cohort'}",
        simulated=data.simulated,
        cases=len(data),
        events=int(data.events.sum()),
        seed=config.validation.seed,
        software=software_versions(),
        how=f"memory-survival train, on the backbone and settings of {base.manifest.name} {base.manifest.version}.",
    )
    return msgspec.structs.replace(
        base.manifest,
        name=name,
        title=config.title,
        version=config.version,
        status="demonstration" if data.simulated else "local-research",
        licence=config.licence,
        heads=tuple(one.entry for one in heads),
        provenance=provenance,
        members={},
    )


def _facts(
    cohort: OwnCohort, base: ModelBundle, config: TrainConfig, heads: Sequence[TrainedHead], manifest: Manifest
) -> CardFacts:
    data, backbone = cohort.data, manifest.backbone
    scans = sorted(patient.scan_date for patient in cohort.patients if patient.scan_date)
    predictors = [(name, sum(not row.get(name) for row in data.covariates)) for name in cohort.intake.covariates]
    measured = [(name, int(np.isnan(data.statistics[name]).sum())) for name in config.statistics]
    flags = tuple(flag.sentence for flag in cohort.intake.flags)
    flagged = tuple(f"PET finding {name}: {count} patients." for name, count in cohort.flagged.items())
    unstated = cohort.intake.unstated
    silent = (f"The table does not say: {', '.join(unstated)}.",) if unstated else ()
    return CardFacts(
        title=config.title,
        simulated=data.simulated,
        n=len(data),
        events=int(data.events.sum()),
        flow=cohort.flow.sentence,
        first_scan=scans[0].isoformat() if scans else "",
        last_scan=scans[-1].isoformat() if scans else "",
        follow_up=describe_follow_up(data),
        predictors=(*((f"{modality} memory state", 0) for modality in config.modalities), *measured, *predictors),
        missing_method="numbers take the training patients' mean, categories their shares, fitted inside each fold",
        parameters={one.entry.name: sum(p.numel() for p in one.head.parameters()) for one in heads},
        specification=(
            ("Backbone (frozen)", f"{backbone.release}, {backbone.architecture}, {backbone.image_size} px"),
            ("Windows", f"CT {manifest.windows.CT}, PET {manifest.windows.PET}"),
            ("Region and prompts", f"{manifest.roi}, {manifest.propagation}"),
            *((f"Head {one.entry.name}", str(one.entry.spec)) for one in heads),
            ("Training", str(config.training)),
        ),
        validation=f"{config.validation.sentence} {'; '.join(one.validated.warning for one in heads)}".rstrip("; "),
        performance={one.entry.name: _metrics(one.evaluation) for one in heads},
        subgroups=tuple(_subgroup_row(row) for row in _subgroups(cohort, heads[-1], config)),
        versions={**manifest.provenance.software},
        hashes={
            "cohort (table, statistics, states)": hash_data(data),
            "backbone": backbone.sha256,
            "base bundle": base.archive.sha256,
        },
        backbone_training=describe_training(base.backbone_training),
        notes=tuple(dict.fromkeys((*silent, *flags, *flagged, *(note for one in heads for note in one.notes)))),
    )


def figures_section(head: TrainedHead) -> Section:
    """A head's figures out of fold as a table for a page, with the warning and the notes that belong to them."""
    rows = tuple(
        (
            Cell(one.name),
            Cell(f"{one.value:.3f}", one.value),
            Cell("–" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"),
            Cell(one.how),
        )
        for one in _metrics(head.evaluation)
    )
    table = Table(("Figure", "Value", "95 % interval", "How"), rows, numeric=(1, 2))
    said = tuple(text for text in (head.validated.warning, *head.notes) if text)
    return Section(f"Head {head.entry.name}, cross-validated", (table, *([Bullets(said)] if said else [])))


def describe_follow_up(data: CohortData) -> str:
    """Observed times and follow-up in a sentence."""
    from MemorySurvivalLib.evaluation.curves import kaplan_meier

    observed = float(np.median(data.times_months))
    follow_up = kaplan_meier(data.times_months, ~data.events).median_months
    said = f"{follow_up:.1f} months" if follow_up is not None else "not reached"
    return f"median observed time {observed:.1f} months; median follow-up (reverse Kaplan-Meier) {said}"


def _metrics(evaluation: Evaluation) -> tuple[CardMetric, ...]:
    metrics = []
    for figure in evaluation.figures:
        if figure.folds is not None:
            one = figure.folds
            metrics.append(CardMetric(figure.name, one.value, one.low, one.high, "mean over folds, Nadeau-Bengio"))
        if figure.pooled is not None:
            metrics.append(
                CardMetric(
                    figure.name, figure.pooled.value, figure.pooled.low, figure.pooled.high, "pooled out of fold"
                )
            )
    return tuple(metrics)


def _subgroups(cohort: OwnCohort, head: TrainedHead, config: TrainConfig) -> tuple[Subgroup, ...]:
    data, patients = cohort.data, cohort.patients
    risk = head.validated.log_risk[0]
    ages = np.array([float(row.get("age_years") or "nan") for row in data.covariates])
    variables = {
        "sex": [row.get("sex", "") for row in data.covariates],
        "age": list(bands(ages, AGE_EDGES, "years")),
        "scanner": [patient.scanner for patient in patients],
        "site": [patient.site for patient in patients],
    }
    rows: list[Subgroup] = []
    for name, labels in variables.items():
        if any(labels):
            rows += subgroup_table(
                name,
                labels,
                data.events,
                lambda index: harrell_pairs(data.times_months[index], data.events[index]).estimate(
                    risk[index], config.evaluation.resamples, config.evaluation.seed
                ),
            )
    return tuple(rows)


def _subgroup_row(row: Subgroup) -> tuple[str, str, int, int, str]:
    one = row.estimate
    said = f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" if one is not None else row.refused
    return row.variable, row.label, row.n, row.events, said
