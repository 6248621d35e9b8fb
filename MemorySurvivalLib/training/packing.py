"""From an embedded cohort to a bundle: heads validated by nested cross-validation, fitted on all patients, packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

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
from MemorySurvivalLib.evaluation.evaluation import Comparison, Evaluation, compare, evaluate
from MemorySurvivalLib.evaluation.out_of_fold import OutOfFold
from MemorySurvivalLib.evaluation.subgroups import Subgroup
from MemorySurvivalLib.evaluation.tables import say_p, subgroup_rows
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.report.record import software_versions
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.training.backbone_card import describe_training
from MemorySurvivalLib.training.cohort_subgroups import cohort_subgroups
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.design import describe_design
from MemorySurvivalLib.training.duplicates import group_patients
from MemorySurvivalLib.training.enough import check_enough_to_train
from MemorySurvivalLib.training.folds import Groups
from MemorySurvivalLib.training.judged_head import card_metrics, difference_metrics, say_rival
from MemorySurvivalLib.training.model_card import CardFacts, CardMetric, Stated, write_card
from MemorySurvivalLib.training.models.cox import FittedCox, RidgeCox
from MemorySurvivalLib.training.models.exporting import FittedVector, export_vector
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.image import ExportedHead, FittedImageModel, ImageModel
from MemorySurvivalLib.training.nested import fit_tuned, validate_models
from MemorySurvivalLib.training.own_cohort import OwnCohort, drop_constant, read_otherwise
from MemorySurvivalLib.training.plain_models import plain_models
from MemorySurvivalLib.training.quantities import make_schema
from MemorySurvivalLib.training.results import FLAT_WARNING, ValidatedModel, hash_data
from MemorySurvivalLib.training.search import searched
from MemorySurvivalLib.training.stacked_mlp import FittedMlp, StackedMlp
from MemorySurvivalLib.training.train_config import TrainConfig, check_config
from MemorySurvivalLib.training.tuning import Recipe
from MemorySurvivalLib.training.whole_procedure import permutation_test

NOTHING_HELD_OUT = (
    "Settings were chosen on the folds that judge them (flat cross-validation), so the bundle holds no reference risks "
    "and no calibration: it shows neither a position nor survival."
)


FittedHead = FittedImageModel | FittedVector


@dataclass(frozen=True)
class Rival:
    """A plain model on the same folds, and what the head has over it."""

    name: str
    evaluation: Evaluation
    difference: Comparison


@dataclass(frozen=True)
class TrainedHead:
    """A head with its evidence; `validated` and `evaluation` are out of fold, `rivals` too."""

    entry: HeadEntry
    head: RiskHead
    validated: ValidatedModel
    evaluation: Evaluation
    notes: tuple[str, ...]
    rivals: tuple[Rival, ...] = ()
    subgroups: tuple[Subgroup, ...] = ()


@dataclass(frozen=True)
class TrainedBundle:
    """What `train` made: the manifest as written, the card, the heads with their figures, how they were judged."""

    manifest: Manifest
    card: str
    heads: tuple[TrainedHead, ...]
    design: tuple[str, ...]
    flat: bool


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
    check_config(config)
    base = read_otherwise(base, config.readout, config.reads_inside)
    check_enough_to_train(cohort.patients, config.validation.plan.folds, config.head_budget.inner_folds)
    data = cohort.data
    groups = group_patients(data, cohort.image_hashes, config.same_patient, [one.row for one in cohort.patients])
    _check_states(data, config)
    cohort, dropped = drop_constant(cohort)
    models = _models(config, cohort, base.manifest.propagation.readout)
    recipes = [searched(model, config.head_budget) for model in models]
    plain = [searched(model) for model in plain_models(cohort, config.harmonise)]
    validated = validate_models(
        data, [*recipes, *plain], config.validation, work / "validation", groups=groups, progress=progress
    )
    rivals = _judge_rivals(validated[len(recipes) :], data, config)
    heads = []
    for model, recipe, judged in zip(models, recipes, validated[: len(recipes)], strict=True):
        if judged.errors:
            raise InputError(f"The validation did not come through: {judged.errors[0]}")
        tuned = fit_tuned(recipe, data, config.head_budget, config.validation.seed, groups=groups, progress=progress)
        head = _head(model.name, cast(FittedHead, tuned.fitted), judged, data, config)
        tested = _permute(data, recipe, config, work / "permutations" / model.name, groups, progress)
        head = replace(head, notes=(*tested, *dropped, *head.notes))
        heads.append(_beside(head, rivals, cohort, config))
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
    return TrainedBundle(saved.manifest, card, tuple(heads), _design(config, data), config.validation.flat)


def _design(config: TrainConfig, data: CohortData) -> tuple[str, ...]:
    return describe_design(config.validation, config.head_budget, config.evaluation, len(data), int(data.events.sum()))


def _check_states(data: CohortData, config: TrainConfig) -> None:
    """Refuse images that are all the same, before anything is split."""
    for key, states in data.states.items():
        if key.partition("/")[0] in config.modalities and bool((states == states[:1]).all()):
            raise InputError(
                f"The memory states {key} are the same in all {len(data)} patients; check which images the table names."
            )


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
    flat = validated.flat
    evaluation = evaluate(OutOfFold(data.times_months, data.events, validated.folds), config.evaluation)
    # One repeat: every patient once, by a model that never saw them, on the scale of its training patients' mean 0.
    held_out = validated.log_risk[0]
    baseline = breslow_baseline(data.times_months, data.events, held_out)
    calibrated: Calibration | None = None
    notes = [*fit_notes, *evaluation.notes]
    if flat:
        # Settings were chosen on these very outcomes: nothing here was held out, so nothing is called so.
        notes.append(NOTHING_HELD_OUT)
    else:
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
    if len(data) >= MINIMUM_REFERENCE and not flat:
        what = "simulated patients" if data.simulated else "patients of the cohort"
        described = f"{len(data)} {what}, each scored by a model of another fold"
        reference = Reference("held-out", described, tuple(np.sort(held_out).round(5).tolist()))
    cuts = np.quantile(own, (1 / 3, 2 / 3)).round(5)
    groups = None
    if cuts[0] < cuts[1]:
        groups = RiskGroups(tuple(cuts.tolist()), ("low", "intermediate", "high"), "training")
    harrell = evaluation.figures[0]
    kind = "flat" if flat else "nested"
    metrics = {}
    if harrell.folds is not None:
        metrics[f"{kind}_c_index_fold_mean"] = round(harrell.folds.value, 4)
    if harrell.pooled is not None:
        metrics[f"{kind}_c_index_pooled"] = round(harrell.pooled.value, 4)
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
        how=f"memory-survival train, on the backbone and settings of {base.manifest.name} {base.manifest.version}."
        + (f" {FLAT_WARNING}" if config.validation.flat else ""),
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
        validation=" ".join((*_design(config, data), heads[0].validated.warning)).strip(),
        performance={one.entry.name: _performance(one) for one in heads},
        subgroups=tuple(_subgroup_row(row) for row in heads[-1].subgroups),
        versions={**manifest.provenance.software},
        hashes={
            "cohort (table, statistics, states)": hash_data(data),
            "backbone": backbone.sha256,
            "base bundle": base.archive.sha256,
        },
        backbone_training=describe_training(base.backbone_training),
        notes=tuple(dict.fromkeys((*silent, *flags, *flagged, *(note for one in heads for note in one.notes)))),
    )


def _performance(head: TrainedHead) -> tuple[CardMetric, ...]:
    """A head's rows of the card: its own figures, then what it has over plain models."""
    rivals = [(one.name, one.difference) for one in head.rivals]
    return (*card_metrics(head.evaluation, head.validated.flat), *difference_metrics(rivals))


def describe_follow_up(data: CohortData) -> str:
    """Observed times and follow-up in a sentence."""
    from MemorySurvivalLib.evaluation.curves import kaplan_meier

    observed = float(np.median(data.times_months))
    follow_up = kaplan_meier(data.times_months, ~data.events).median_months
    said = f"{follow_up:.1f} months" if follow_up is not None else "not reached"
    return f"median observed time {observed:.1f} months; median follow-up (reverse Kaplan-Meier) {said}"


def _permute(
    data: CohortData, recipe: Recipe, config: TrainConfig, folder: Path, groups: Groups, progress: ProgressCallback
) -> tuple[str, ...]:
    """The permutation test of the whole procedure in a sentence, where it was asked for."""
    if not config.permutations:
        return ()
    found = permutation_test(
        data, recipe, config.validation, config.permutations, folder, groups=groups, progress=progress
    )
    return (f"Is there any signal? c {found.observed:.3f}, p {say_p(found.p_value)}. {found.method}",)


def _judge_rivals(
    validated: Sequence[ValidatedModel], data: CohortData, config: TrainConfig
) -> list[tuple[OutOfFold, Evaluation, str]]:
    """Plain models that could be fitted in every fold; the others say nothing about a head."""
    found = []
    for one in validated:
        if not one.errors:
            judged = OutOfFold(data.times_months, data.events, one.folds)
            found.append((judged, evaluate(judged, config.evaluation), one.name))
    return found


def _beside(
    head: TrainedHead, rivals: Sequence[tuple[OutOfFold, Evaluation, str]], cohort: OwnCohort, config: TrainConfig
) -> TrainedHead:
    """The head with its rivals, its subgroups, and a sentence for each rival."""
    data, plan = cohort.data, config.evaluation
    own = OutOfFold(data.times_months, data.events, head.validated.folds)
    found = tuple(Rival(name, judged, compare(own, other, plan)) for other, judged, name in rivals)
    said = [say_rival(one.name, one.difference) for one in found]
    return replace(
        head,
        rivals=found,
        subgroups=cohort_subgroups(data, cohort.patients, head.validated.log_risk[0], plan.resamples, plan.seed),
        notes=tuple(dict.fromkeys((*(text for text in said if text), *head.notes))),
    )


def _subgroup_row(row: Subgroup) -> tuple[str, str, str, str, str]:
    told = subgroup_rows([row])[0]
    _label, n, events, figure = map(str, told.values())
    return row.variable, row.label, n, events, figure
