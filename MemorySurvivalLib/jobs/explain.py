"""The jobs that explain a score: the maps into a folder, and how long they will take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.amending import add_explanation
from MemorySurvivalLib.errors import InputError, MemorySurvivalError
from MemorySurvivalLib.explain.plan import ExplainChoice
from MemorySurvivalLib.explaining import MAPS, ExplainOutput, estimate_explanation, explain_to_folder
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert, name_files
from MemorySurvivalLib.jobs.score import choose_shown
from MemorySurvivalLib.preparing import ScoreRequest
from MemorySurvivalLib.recent import fingerprint


def explain(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Explain a case into a folder, and where `result` names the folder of its saved result, into that too.

    The output's `amended` then holds what of that result's record is new, and the names of its `maps`; where it could
    not be changed `not_kept` says why, and the explanation itself is there all the same.
    """
    request, choice = _read(parameters, context)
    warm = context.warm
    output = explain_to_folder(request, choice, warm.models, context.progress, context.tell, warm.recent)
    told = {**output.record.as_builtins(), "amended": None, "not_kept": ""}
    folder = parameters.get("result")
    if folder is not None:
        told |= _keep(output, Path(folder))
    return JobOutput(told, {**dict.fromkeys(MAPS), **name_files(output.files)})


def _keep(output: ExplainOutput, folder: Path) -> dict[str, Any]:
    try:
        record = add_explanation(folder, output)
    except MemorySurvivalError as error:  # an hour of work is not lost, because a disk is full
        return {"not_kept": str(error)}
    maps = {name: f"{name}.nrrd" if (folder / f"{name}.nrrd").is_file() else None for name in MAPS}
    plain = record.as_builtins()
    return {"amended": {"heatmap": plain["heatmap"], "seconds": plain["seconds"], "maps": maps}}


def estimate(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """How long the same request would take; nothing is written."""
    request, choice = _read({"out": ".", **parameters}, context)
    warm = context.warm
    found = estimate_explanation(request, choice, warm.models, context.progress, context.tell, warm.recent)
    return JobOutput(msgspec.to_builtins(found))


def _read(parameters: Mapping[str, Any], context: JobContext) -> tuple[ScoreRequest, ExplainChoice]:
    """The request and what it asks of the map. Raises InputError naming a parameter that is wrong."""
    rest = {name: value for name, value in parameters.items() if name != "explanation"}
    asked = parameters.get("explanation") or {}
    if not isinstance(asked, Mapping):
        raise InputError("The job's parameters are not valid: explanation must be an object.")
    choice = convert(asked, ExplainChoice)
    chosen, notes = _choose(rest, context)
    return convert({**chosen, "notes": notes}, ScoreRequest), choice


def _choose(parameters: Mapping[str, Any], context: JobContext) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """As for a score; the comparison of DICOM with what is shown of it is not repeated for the same files."""
    shown = parameters.get("shown")
    if not isinstance(shown, Mapping):
        return choose_shown(parameters, context.progress)
    paths = [Path(str(path)) for path in (parameters.get("ct"), parameters.get("pet"), *shown.values()) if path]
    key = fingerprint([parameters.get("confirm_identity"), parameters.get("supplied"), shown, paths], paths)
    known: tuple[Mapping[str, Any], tuple[str, ...]] | None = context.warm.recent.find("shown", key)
    if known is None:
        chosen, notes = choose_shown(parameters, context.progress)
        kept = {name: chosen[name] for name in ("ct", "pet", "supplied") if name in chosen}
        known = kept, notes
        context.warm.recent.keep("shown", key, known)
    rest = {name: value for name, value in parameters.items() if name != "shown"}
    return {**rest, **known[0]}, known[1]
