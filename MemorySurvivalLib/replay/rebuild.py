"""From a result.json back to the request that made it, with inputs that are there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.registry import find_bundle, list_bundles
from MemorySurvivalLib.devices import DeviceName, choose_device
from MemorySurvivalLib.errors import BundleError, DeviceError, InputError
from MemorySurvivalLib.explain.plan import FILLS, ExplainChoice, FillName
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.jobs.context import convert
from MemorySurvivalLib.preparing import ScoreRequest
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.replay.images import FoundImage, find_image
from MemorySurvivalLib.report.record import CaseRecord

KEPT_MASK = "roi.nrrd"


@dataclass(frozen=True)
class ReplayRequest:
    """Which result to replay, and where its inputs are now.

    `images`: a folder in which CT and PET are looked for by their content; without it, or where they are not in it, the
    recorded paths count. `out`: a folder for the new result; without it nothing is kept. `bundle`, `device` and
    `threads` stand in for the recorded ones.
    """

    result: Path
    images: Path | None = None
    out: Path | None = None
    overwrite: bool = False
    bundle: str | None = None
    device: DeviceName | None = None
    threads: int | None = None


@dataclass(frozen=True)
class _Device:
    name: DeviceName


@dataclass(frozen=True)
class Rebuilt:
    """The request, and sentences on what had to be taken otherwise than it was recorded.

    `explanation` is what the recorded heatmap was asked for, None where there is none; the request itself explains
    nothing, because a score's own options do not say all that an explanation made later may have been asked for.
    """

    request: ScoreRequest
    notes: tuple[str, ...]
    explanation: Explaining | None = None


@dataclass(frozen=True)
class Explaining:
    """What was asked of a recorded heatmap; `thorough` as an explanation of its own is, not that of a scoring run."""

    choice: ExplainChoice
    thorough: bool


def rebuild(
    record: CaseRecord, replay: ReplayRequest, out: Path, progress: ProgressCallback = ignore_progress
) -> Rebuilt:
    """The request of a recorded run. Raises InputError with one sentence where an input is no longer there.

    A record whose paths were removed, because it was made to name nobody, needs `replay.images`.
    """
    plain = _recorded(record)
    folder = replay.result.absolute().parent
    notes: list[str] = []
    plain |= _find_images(record, plain, replay, folder, progress, notes)
    plain |= _find_mask(plain, folder, notes)
    plain |= _find_covariates(record, plain, folder, notes)
    plain |= {
        "out": str(out),
        "overwrite": replay.overwrite,
        "use_cache": False,
        "bundle": replay.bundle or _find_bundle(record, folder, notes),
        "device": replay.device or _find_device(record, notes),
        "explain": False,
        "measure": record.measurements is not None,
    }
    if record.stability is not None:
        plain["stability"] = True
    return Rebuilt(convert(plain, ScoreRequest), tuple(notes), _explaining(record))


def _explaining(record: CaseRecord) -> Explaining | None:
    heatmap = record.heatmap
    if heatmap is None:
        return None
    fill: Mapping[str, FillName] = {name: name for name in FILLS}
    if heatmap.fill not in fill:
        raise InputError(f"The result's heatmap was made with the fill {heatmap.fill!r}, which this version lacks.")
    choice = ExplainChoice(heatmap.patch_mm, heatmap.stride_mm, fill[heatmap.fill], heatmap.modalities, heatmap.coarse)
    return Explaining(choice, thorough=heatmap.whole_roi_effect is not None)


def _recorded(record: CaseRecord) -> dict[str, Any]:
    """The recorded request without what was taken out of it."""
    known = ScoreRequest.__dataclass_fields__
    return {name: value for name, value in record.request.items() if name in known and value not in ("", None)}


def _find_images(
    record: CaseRecord,
    plain: Mapping[str, Any],
    replay: ReplayRequest,
    folder: Path,
    progress: ProgressCallback,
    notes: list[str],
) -> dict[str, Any]:
    if replay.images is None and _there(plain.get("study"), folder) is not None:
        return {"study": str(_there(plain["study"], folder))}
    recorded = {modality: _there(plain.get(modality.lower()), folder) for modality in MODALITIES}
    found: dict[Modality, FoundImage | None] = dict.fromkeys(MODALITIES)
    if replay.images is not None:
        supplied = convert(plain.get("supplied") or {}, Supplied)
        for modality in MODALITIES:
            found[modality] = find_image(replay.images, modality, record.inputs[modality], supplied, progress)
    chosen: dict[str, Any] = {"study": None}
    for modality in MODALITIES:
        name, one, path = modality.lower(), found[modality], recorded[modality]
        if one is not None:
            chosen |= {name: str(one.path), f"{name}_series": one.series}
        elif path is not None:
            chosen[name] = str(path)
            if replay.images is not None:
                notes.append(
                    f"No {modality} with the recorded content was found; the one at the recorded place is used."
                )
        else:
            raise InputError(_missing(record, modality, replay))
    return chosen


def _missing(record: CaseRecord, modality: Modality, replay: ReplayRequest) -> str:
    digest = record.inputs[modality].sha256[:12]
    if replay.images is not None:
        return (
            f"No {modality} below {replay.images} has the content that was scored (sha256 begins with {digest}); give "
            "the folder that holds that very image."
        )
    return (
        f"The {modality} is not at the place that the result names; say where the images are now with --images, and "
        f"they are found by their content (sha256 begins with {digest})."
    )


def _find_mask(plain: Mapping[str, Any], folder: Path, notes: list[str]) -> dict[str, Any]:
    """The mask's file, or the copy beside the result; a generated mask is generated anew."""
    chosen: dict[str, Any] = {}
    generated = plain.get("roi_generated")
    if generated and _there(generated, folder) is None:
        chosen["roi_generated"] = None
        notes.append("The mask as it was before a person edited it is gone; the changes are not counted again.")
    if not plain.get("roi"):
        return chosen
    mask = _there(plain["roi"], folder)
    if mask is not None:
        return {**chosen, "roi": str(mask)}
    kept = folder / KEPT_MASK
    if not kept.is_file():
        raise InputError(
            f"The mask is not at the place that the result names, and there is no {KEPT_MASK} beside the result; put "
            "the mask back."
        )
    notes.append(f"The mask's own file is gone; the copy beside the result ({KEPT_MASK}) is used.")
    return {**chosen, "roi": str(kept), "roi_segment": None, "roi_labels": None}


def _find_covariates(record: CaseRecord, plain: Mapping[str, Any], folder: Path, notes: list[str]) -> dict[str, Any]:
    """The values as the record gives them; records of version 2 name a file, or at least the values that counted."""
    if record.schema_version >= 3:
        return {"covariates": None, "covariate_values": _values({n: one.value for n, one in record.given.items()})}
    if not plain.get("covariates"):
        return {}
    file = _there(plain["covariates"], folder)
    if file is not None:
        return {"covariates": str(file)}
    used = record.risk.covariates.used if record.risk.covariates is not None else {}
    notes.append("The file of clinical values is gone; the values that the record says were used are taken.")
    return {"covariates": None, "covariate_values": _values(used)}


def _values(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"value": value, "source": "recorded"} for name, value in values.items()}


def _find_bundle(record: CaseRecord, folder: Path, notes: list[str]) -> str:
    """The recorded bundle by its sha256, under its name, its path, or any name that the registry knows."""
    named = str(record.request.get("bundle") or record.bundle.name)
    beside = _there(named, folder) if named.endswith(".msbundle") else None
    candidates = [str(beside)] if beside is not None else []
    candidates += [name for name in (named, record.bundle.name) if name in list_bundles()]
    for name in (*candidates, *list_bundles()):
        try:
            if read_archive(find_bundle(name)).sha256 == record.bundle.sha256:
                return name
        except BundleError:  # a damaged one is not the one that scored the case
            continue
    if not candidates:
        raise BundleError(
            f"The model bundle {record.bundle.name} {record.bundle.version} that scored the case is not installed "
            f"(sha256 begins with {record.bundle.sha256[:12]}); import it, or name its file with --bundle."
        )
    return candidates[0]


def _find_device(record: CaseRecord, notes: list[str]) -> DeviceName:
    """The recorded kind of device, or the best one where this computer has none of it."""
    try:
        recorded: DeviceName = convert({"name": record.device.split(":")[0]}, _Device).name
        choose_device(recorded)
    except (InputError, DeviceError):
        notes.append(f"The case was scored on {record.device}, which is not here; the best device here is used.")
        return "auto"
    return recorded


def _there(path: Any, folder: Path) -> Path | None:
    """The path where something lies: as recorded, or relative to the result's folder."""
    if not path or str(path) == ".":
        return None
    for one in (Path(str(path)), folder / str(path)):
        if one.exists():
            return one
    return None
