"""A researcher's patients embedded once, one file each, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch

from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.devices import DeviceName, choose_device
from MemorySurvivalLib.errors import InputError, MemorySurvivalError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.measure.measuring import measure_case
from MemorySurvivalLib.measure.statistics import STATISTICS_VERSION, measure_statistics
from MemorySurvivalLib.memory.inside import Inside
from MemorySurvivalLib.memory.readout import ReadoutName
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.preparing import Run, ScoreRequest, embed_case, ignore_note
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.recent import fingerprint
from MemorySurvivalLib.risk.covariates import encode_covariates
from MemorySurvivalLib.roi.region import BUILT_IN
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.exclusion import Excluded, ExclusionFlow
from MemorySurvivalLib.training.intake import Intake, OwnPatient

_FORMAT = 2


@dataclass(frozen=True)
class EmbedOptions:
    """What is the same for all patients. `lesions` also lists lesions, which needs every bone segmented; what comes of
    that (`lesion_mtv_ml`, `lesion_tlg_g`, `focal_lesions`) is told and can be fitted, but no bundle's head takes it.
    `readout` and `inside` None are those of the bundle."""

    bundle: str = "demonstration"
    segmenter: str = BUILT_IN
    device: DeviceName = "auto"
    lesions: bool = True
    readout: ReadoutName | None = None
    inside: Inside | None = None


class _Kept(msgspec.Struct, frozen=True):
    """What a patient's file holds beside the states."""

    simulated: bool
    statistics: dict[str, float]
    flags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class OwnCohort:
    """The patients who could be embedded, in the order of the table. `image_hashes` are equal for equal images."""

    intake: Intake
    patients: tuple[OwnPatient, ...]
    data: CohortData
    flow: ExclusionFlow
    image_hashes: tuple[str, ...]
    flagged: Mapping[str, int]


def embed_patients(
    intake: Intake,
    options: EmbedOptions,
    folder: Path,
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
) -> OwnCohort:
    """Prepare, embed and measure every patient; those whose images cannot be used are excluded with the reason.

    States are keyed "MODALITY/readout" with the readout of the bundle, float16. Files in `folder` are named by hashes
    of images, mask and settings; what is there is not computed again. Raises InputError where nobody is left and where
    simulated and real patients are mixed, OutputError where `folder` cannot be written.
    """
    models = models or Models()
    bundle = read_otherwise(models.bundle(options.bundle), options.readout, options.inside)
    kept: list[tuple[OwnPatient, dict[str, torch.Tensor], _Kept]] = []
    failed = []
    for patient in track(intake.patients, "cohort", len(intake.patients), progress):
        try:
            target = folder / f"patient-{_key(patient, bundle, options)[:32]}.safetensors"
            if not target.exists():
                _embed(patient, bundle, models, options, folder, target)
            kept.append((patient, *_read(target)))
        except MemorySurvivalError as error:
            sentence = str(error).replace(f"{intake.path.parent}/", "")
            failed.append(Excluded(patient.row, "image cannot be used", f"Row {patient.row}: {sentence}"))
    if not kept:
        reason = f" ({failed[0].sentence})" if failed else ""
        raise InputError(f"No patient of {intake.path} can be used{reason}; look at the exclusion flow.")
    simulated = {one.simulated for _patient, _states, one in kept}
    if len(simulated) > 1:
        raise InputError(f"{intake.path} mixes simulated and real patients; give a table for each.")
    patients = tuple(patient for patient, _states, _kept in kept)
    names = sorted({name for _patient, _states, one in kept for name in one.statistics})
    data = CohortData(
        tuple(patient.patient_id for patient in patients),
        np.array([patient.months for patient in patients]),
        np.array([patient.event for patient in patients]),
        tuple(dict(patient.covariates) for patient in patients),
        {name: np.array([one.statistics.get(name, np.nan) for _p, _s, one in kept]) for name in names},
        {key: torch.stack([states[key] for _p, states, _k in kept]) for key in kept[0][1]},
        tuple(patient.site for patient in patients) if any(patient.site for patient in patients) else (),
        simulated.pop(),
    )
    flags = [flag for _patient, _states, one in kept for flag in one.flags]
    hashes = tuple(_hash(states) for _patient, states, _kept in kept)
    flagged = {name: flags.count(name) for name in sorted(set(flags))}
    return OwnCohort(intake, patients, data, intake.flow.and_also(failed), hashes, flagged)


def drop_constant(cohort: OwnCohort) -> tuple[OwnCohort, tuple[str, ...]]:
    """The cohort without covariates that say the same of everybody, and a sentence for each."""
    values = {
        name: {row[name].strip() for row in cohort.data.covariates if row.get(name, "").strip()}
        for name in cohort.intake.covariates
    }
    constant = [name for name, found in values.items() if len(found) < 2]
    if not constant:
        return cohort, ()
    kept = tuple(name for name in cohort.intake.covariates if name not in constant)
    notes = [
        f"{name} is {next(iter(values[name]), 'missing')} in every patient who has a value, so it was left out."
        for name in constant
    ]
    if not kept:
        notes.append("No covariate is left, so there is no head with clinical values.")
    return replace(cohort, intake=replace(cohort.intake, covariates=kept)), tuple(notes)


def read_otherwise(bundle: ModelBundle, readout: ReadoutName | None, inside: Inside | None) -> ModelBundle:
    """The bundle with another readout for heads that are still to be trained; None leaves what it says."""
    own = bundle.manifest.propagation
    propagation = msgspec.structs.replace(
        own, readout=own.readout if readout is None else readout, inside=own.inside if inside is None else inside
    )
    manifest = msgspec.structs.replace(bundle.manifest, propagation=propagation)
    return replace(bundle, archive=replace(bundle.archive, manifest=manifest))


def bundle_log_risks(bundle: ModelBundle, data: CohortData) -> dict[str, Floats]:
    """Log-risks (n,) of every head of a bundle, by its name.

    Missing covariates and statistics take the head's training average. Raises InputError where the cohort was embedded
    otherwise, or lacks a statistic.
    """
    readout = bundle.manifest.propagation.readout
    found = {}
    for entry in bundle.manifest.heads:
        absent = [m for m in entry.spec.modalities if f"{m}/{readout}" not in data.states]
        if absent:
            raise InputError(
                f"The cohort has no {absent[0]}/{readout} states; embed it with the bundle's own settings."
            )
        unmeasured = [name for name in entry.spec.statistics if name not in data.statistics]
        if unmeasured:
            raise InputError(
                f"The cohort has no statistic {unmeasured[0]}, which the head {entry.name} takes; measure it."
            )
        risks = []
        for row in range(len(data)):
            measured = tuple(float(data.statistics[name][row]) for name in entry.spec.statistics) or None
            states: dict[Modality, torch.Tensor] = {
                m: data.states[f"{m}/{readout}"][row][None] for m in entry.spec.modalities
            }
            vector = encode_covariates(entry.covariates, data.covariates[row]).vector if entry.covariates else ()
            risks.append(float(bundle.heads[entry.name].score(states, vector, measured).log_risk[0]))
        found[entry.name] = np.array(risks)
    return found


def score_request(patient: OwnPatient, bundle: ModelBundle, options: EmbedOptions, folder: Path) -> ScoreRequest:
    """What a patient of the table is scored from."""
    return ScoreRequest(
        out=folder,
        ct=patient.files.ct,
        pet=patient.files.pet,
        study=patient.files.study,
        roi=find_mask(patient, bundle),
        segmenter=options.segmenter,
        bundle=options.bundle,
        device=options.device,
    )


def find_mask(patient: OwnPatient, bundle: ModelBundle) -> Path | None:
    """The patient's mask of the bundle's kind; a column "roi" is taken as such."""
    return patient.masks.get(bundle.manifest.roi) or patient.masks.get("roi")


def _key(patient: OwnPatient, bundle: ModelBundle, options: EmbedOptions) -> str:
    manifest, files = bundle.manifest, patient.files
    plain = {
        "format": _FORMAT,
        "backbone": manifest.backbone,
        "windows": manifest.windows,
        "propagation": manifest.propagation.key(),
        "region": [manifest.roi, manifest.roi_config, manifest.pet_limits],
        "options": [options.segmenter, options.lesions],
        "statistics": STATISTICS_VERSION,
    }
    return fingerprint(plain, (files.ct, files.pet, files.study, find_mask(patient, bundle)))


def _embed(
    patient: OwnPatient, bundle: ModelBundle, models: Models, options: EmbedOptions, folder: Path, target: Path
) -> None:
    request = score_request(patient, bundle, options, folder)
    run = Run(request, models, bundle, choose_device(options.device), ignore_progress, ignore_note)
    prepared = run.prepare(None)
    case, roi = prepared.case, prepared.region.roi
    passes = run.on_device(lambda engine: embed_case(engine, bundle, case, roi))
    statistics = measure_statistics(case, roi.mask.voxels)
    structures = run.structures_or_none(prepared) if options.lesions else None
    if structures is not None:
        totals = measure_case(case, structures, roi).record.totals
        statistics |= {
            "lesion_mtv_ml": totals.mtv_ml,
            "lesion_tlg_g": totals.tlg_g,
            "focal_lesions": float(totals.focal),
        }
    flags = tuple(sorted({flag.name for flag in case.acquisition.flags if flag.severity == "warning"}))
    kept = _Kept(case.simulated, {name: float(value) for name, value in statistics.items()}, flags)
    readout = bundle.manifest.propagation.readout
    states = {f"{m}/{readout}": one.readout.state().flatten(0, 1).half().contiguous() for m, one in passes.items()}
    with atomic_file(target) as temporary:
        content = safetensors.torch.save(states, {"kept": msgspec.json.encode(kept).decode()})
        temporary.write_bytes(content)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], _Kept]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            kept = msgspec.json.decode(file.metadata()["kept"], type=_Kept)
            return {key: file.get_tensor(key) for key in file.keys()}, kept  # noqa: SIM118 (not a dictionary)
    except (OSError, KeyError, TypeError, safetensors.SafetensorError, msgspec.MsgspecError) as error:
        raise InputError(f"The embedded patient {path} is damaged ({error}); delete it and run again.") from error


def _hash(states: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(states):
        digest.update(name.encode() + states[name].numpy().tobytes())
    return digest.hexdigest()
