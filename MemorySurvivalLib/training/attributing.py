"""A bundle's heatmaps of a whole cohort, one file a patient, so that a run that was stopped goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch

from MemorySurvivalLib import __version__
from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.devices import DeviceName, choose_device
from MemorySurvivalLib.errors import InputError, MemorySurvivalError, OutputError
from MemorySurvivalLib.explain.case import explain_scored
from MemorySurvivalLib.explain.fills import FILLING_VERSION
from MemorySurvivalLib.explain.heatmap import spread_effects
from MemorySurvivalLib.explain.plan import ExplainChoice, ExplainConfig, plan_patches
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.statistics import STATISTICS_VERSION
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.preparing import PreparedCase, Run, ignore_note
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.recent import fingerprint
from MemorySurvivalLib.roi.region import BUILT_IN
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Segmentation
from MemorySurvivalLib.scoring import choose_covariates
from MemorySurvivalLib.training.attribution import BONES, SiteEffect, attribute_case
from MemorySurvivalLib.training.exclusion import Excluded, ExclusionFlow
from MemorySurvivalLib.training.intake import Intake, OwnPatient
from MemorySurvivalLib.training.own_cohort import EmbedOptions, find_mask, score_request

PARTS = "parts"
"""The folder, in that of the results, with a file for each patient."""

_FORMAT = 1


@dataclass(frozen=True)
class AttributionOptions:
    """What is the same for all patients. With `covariates` a patient is scored by the head that scoring would take;
    without them by the head of images alone. `use_cache` also keeps the patches of a map that was stopped."""

    bundle: str = "demonstration"
    choice: ExplainChoice = field(default_factory=ExplainChoice)
    covariates: bool = True
    segmenter: str = BUILT_IN
    device: DeviceName = "auto"
    use_cache: bool = True


class PatientAttribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a patient's file holds: nothing that names them."""

    simulated: bool
    labels: tuple[str, ...]
    log_risk: float
    noise_floor: float
    covered: float
    sites: tuple[SiteEffect, ...]


@dataclass(frozen=True, eq=False)
class CohortAttribution:
    """The patients whose maps could be made, in the order of the table, and how they were made."""

    intake: Intake
    flow: ExclusionFlow
    cases: tuple[PatientAttribution, ...]
    bundle: ModelBundle
    head: str
    config: ExplainConfig
    simulated: bool
    computed: int
    """How many maps this run made; the others were there."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands beside any of the patients' scores."""
        return tuple(dict.fromkeys(label for case in self.cases for label in case.labels))


def attribute_cohort(
    intake: Intake,
    options: AttributionOptions,
    out: Path,
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
) -> CohortAttribution:
    """Score and explain every patient of a cohort.

    Files in `out`/parts are named by hashes of images, mask, values, bundle and settings; what is there is not computed
    again. Patients whose images cannot be used are excluded with the reason. Raises InputError where nobody is left,
    where two heads would be needed, where simulated and real patients are mixed and for a damaged file of a patient;
    OutputError where `out` is not such a folder or cannot be written; WeightsError without the bundle's weights.
    """
    models = models or Models()
    bundle = models.bundle(options.bundle)
    config = _config(bundle, options)
    head = _one_head(intake, bundle, options)
    _check_reads(bundle, head, config)
    folder = _claim(out)
    device = choose_device(options.device)
    kept: list[PatientAttribution] = []
    failed: list[Excluded] = []
    computed = 0
    for patient in track(intake.patients, "cohort", len(intake.patients), progress):
        target = folder / f"patient-{_key(patient, bundle, options, config, head)[:32]}.json"
        if not target.exists():
            models.engine(bundle, device)  # absent weights are no fault of a patient's
            try:
                made = _attribute(patient, bundle, models, options, device, target.parent)
            except OutputError:
                raise
            except MemorySurvivalError as error:
                sentence = str(error).replace(f"{intake.path.parent}/", "")
                failed.append(Excluded(patient.row, "image cannot be used", f"Row {patient.row}: {sentence}"))
                continue
            computed += 1
            with atomic_file(target) as temporary:
                temporary.write_bytes(msgspec.json.encode(made))
        kept.append(_read(target))
    if not kept:
        reason = f" ({failed[0].sentence})" if failed else ""
        raise InputError(f"No patient of {intake.path} can be explained{reason}; look at the exclusion flow.")
    simulated = {one.simulated for one in kept}
    if len(simulated) > 1:
        raise InputError(f"{intake.path} mixes simulated and real patients; give a table for each.")
    flow = intake.flow.and_also(failed)
    return CohortAttribution(intake, flow, tuple(kept), bundle, head, config, simulated.pop(), computed)


def _config(bundle: ModelBundle, options: AttributionOptions) -> ExplainConfig:
    if options.choice.coarse:
        raise ValueError("a coarse map leaves parts of the region out, which would count as no effect")
    defaults = bundle.manifest.explain
    return options.choice.config(defaults.patch_mm, defaults.stride_mm, defaults.fill, defaults.modalities)


def _values(patient: OwnPatient, options: AttributionOptions) -> Mapping[str, str] | None:
    return dict(patient.covariates) if options.covariates and patient.covariates else None


def _one_head(intake: Intake, bundle: ModelBundle, options: AttributionOptions) -> str:
    """The head that scores all patients; effects of two heads are not on one scale."""
    if not intake.patients:
        raise InputError(f"No patient of {intake.path} is left to explain; look at the exclusion flow with --check.")
    heads = [choose_covariates(bundle, _values(patient, options))[1] for patient in intake.patients]
    names = tuple(dict.fromkeys(heads))
    if len(names) > 1:
        told = " and ".join(f"{heads.count(name)} by {name}" for name in names)
        raise InputError(
            f"The patients of {intake.path} would be scored by several heads of this bundle ({told}), whose effects "
            "are not on one scale; add --no-covariates, or leave out the patients without clinical values."
        )
    return names[0]


def _check_reads(bundle: ModelBundle, head: str, config: ExplainConfig) -> None:
    """Refuse a map of images that the head does not read, once for all patients."""
    reads = next(entry.spec.modalities for entry in bundle.manifest.heads if entry.name == head)
    if not set(reads) & set(config.modalities):
        raise InputError(
            f"The head {head} reads {' and '.join(reads)} only, so occluding {' and '.join(config.modalities)} changes "
            f"nothing; use --occlude {reads[0]}."
        )


def _claim(out: Path) -> Path:
    """The folder of the patients' files. Raises OutputError for a folder that holds something else."""
    folder = out / PARTS
    if out.exists() and not folder.is_dir() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(
            f"{out} holds something other than an earlier attribution (no folder {PARTS} in it); choose another folder."
        )
    return folder


def _key(
    patient: OwnPatient, bundle: ModelBundle, options: AttributionOptions, config: ExplainConfig, head: str
) -> str:
    files = patient.files
    plain = {
        "format": _FORMAT,
        "bundle": bundle.archive.sha256,
        "head": head,
        "values": _values(patient, options),
        "map": config,
        "segmenter": options.segmenter,
        "versions": [__version__, FILLING_VERSION, STATISTICS_VERSION],
    }
    return fingerprint(plain, (files.ct, files.pet, files.study, find_mask(patient, bundle)))


def _attribute(
    patient: OwnPatient,
    bundle: ModelBundle,
    models: Models,
    options: AttributionOptions,
    device: torch.device,
    folder: Path,
) -> PatientAttribution:
    embed = EmbedOptions(options.bundle, options.segmenter, options.device)
    run = Run(score_request(patient, bundle, embed, folder), models, bundle, device, ignore_progress, ignore_note)
    cache = MemoryCache() if options.use_cache else None
    scored = run.score(_values(patient, options), cache)
    explanation = explain_scored(run, scored, options.choice, cache)
    heatmap, roi = explanation.heatmap, scored.prepared.region.roi
    sites = attribute_case(heatmap.effect, _looked_at(roi, heatmap.config), _bones(run, scored.prepared))
    if not np.isfinite([site.effect for site in sites]).all():
        raise InputError("The map holds values that are no numbers; check the images for voxels without a value.")
    return PatientAttribution(
        scored.prepared.case.simulated,
        scored.risk.labels,
        scored.risk.log_risk,
        heatmap.noise_floor,
        heatmap.covered,
        sites,
    )


def _looked_at(roi: Roi, config: ExplainConfig) -> Volume:
    """The voxels of the region that a patch held (bool, on the map's grid); of the others nothing is known."""
    patches = plan_patches(roi, config)
    held, _share = spread_effects(roi, patches, np.ones(len(patches)))
    return held.with_voxels(held.voxels > 0)


def _bones(run: Run, prepared: PreparedCase) -> Segmentation:
    """The case's named bones: those beside its mask, where its file names any, else the built-in segmenter's."""
    found = run.structures(prepared)
    if any(structure.group in BONES for structure in found.structures.values()):
        return found
    from MemorySurvivalLib.roi.automatic import segment_case

    return segment_case(prepared.case.ct)


def _read(path: Path) -> PatientAttribution:
    try:
        return msgspec.json.decode(path.read_bytes(), type=PatientAttribution)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"The explained patient {path} is damaged ({error}); delete it and run again.") from error
