"""The job that scores a case, and the choice between DICOM and what a viewer shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MemorySurvivalLib.imaging.shown import ShownImages
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert, name_files
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.progress import ProgressCallback
from MemorySurvivalLib.report.record import CaseRecord


def score(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Score a case into a folder."""
    chosen, about_shown = choose_shown(parameters, context.progress)
    # What a person said in the panel, such as that images belong together, is part of the record.
    request = convert({**chosen, "notes": (*chosen.get("notes", ()), *about_shown)}, ScoreRequest)
    output = score_case(request, context.warm.models, context.progress, context.tell, context.warm.recent)
    result = {**summary_for_panel(output.record), "shown": about_shown}
    return JobOutput(result, {"heatmap": None, **name_files(output.files)})


def choose_shown(
    parameters: Mapping[str, Any], progress: ProgressCallback
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The parameters with the images that count, and notes; `shown` holds what a viewer shows of the DICOM it read."""
    if "shown" not in parameters:
        return parameters, ()
    rest = {name: value for name, value in parameters.items() if name != "shown"}
    dicom = {name.upper(): rest.get(name) for name in ("ct", "pet") if rest.get(name)}
    shown = {name.upper(): path for name, path in parameters["shown"].items()}
    images = convert({"dicom": dicom, "shown": shown}, ShownImages)
    chosen, notes = images.choose(progress, confirmed=bool(rest.get("confirm_identity")))
    if "PET" in shown and chosen["PET"] == images.shown["PET"] and rest.get("supplied"):
        rest["supplied"] = {}
        notes += ("The values supplied for the PET were not used, because the PET was taken as SUVbw as it is shown.",)
    return {**rest, **{name.lower(): str(Path(path)) for name, path in chosen.items()}}, notes


def summary_for_panel(record: CaseRecord) -> dict[str, Any]:
    """The record plus the few values that the panel shows first, at the top level."""
    plain: dict[str, Any] = record.as_builtins()
    risk = plain["risk"]
    return {
        **plain,
        "log_risk": risk["log_risk"],
        "position": risk["position"],
        "position_reference": risk["reference"],
        "risk_group": risk["risk_group"],
        "label": "; ".join(risk["labels"]),
        "gate_pet": risk["gate_pet"],
    }
