"""The jobs that the worker knows: a name, and the function that does it, imported when it is first asked for."""

from __future__ import annotations

import importlib
from typing import cast

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.jobs.context import JobFunction

JOBS = {
    "batch": "MemorySurvivalLib.jobs.worklist:batch",
    "bundles": "MemorySurvivalLib.jobs.bundles:list_for_panel",
    "import_bundle": "MemorySurvivalLib.jobs.bundles:import_file",
    "compare": "MemorySurvivalLib.jobs.compare:compare",
    "covariates": "MemorySurvivalLib.jobs.covariates:read",
    "devices": "MemorySurvivalLib.jobs.devices:list_for_panel",
    "estimate": "MemorySurvivalLib.jobs.estimate:about",
    "inspect": "MemorySurvivalLib.jobs.inspect:inspect",
    "rebuild_bundle": "MemorySurvivalLib.jobs.rebuild:rebuild",
    "rebuild_estimate": "MemorySurvivalLib.jobs.rebuild:estimate",
    "weights": "MemorySurvivalLib.jobs.weights:list_for_panel",
    "weights_fetch": "MemorySurvivalLib.jobs.weights:fetch",
    "weights_import": "MemorySurvivalLib.jobs.weights:take_file",
    "check_mask": "MemorySurvivalLib.jobs.masks:check",
    "choose_series": "MemorySurvivalLib.jobs.worklist:choose_series",
    "mark_case": "MemorySurvivalLib.jobs.worklist:mark",
    "prepare_case": "MemorySurvivalLib.jobs.worklist:prepare",
    "export": "MemorySurvivalLib.jobs.export:export",
    "explain": "MemorySurvivalLib.jobs.explain:explain",
    "explain_estimate": "MemorySurvivalLib.jobs.explain:estimate",
    "mip": "MemorySurvivalLib.jobs.mip:rotate",
    "overview": "MemorySurvivalLib.jobs.compare:overview",
    "prior": "MemorySurvivalLib.jobs.prior:compare",
    "reading_prefill": "MemorySurvivalLib.jobs.reading:suggest",
    "reader_state": "MemorySurvivalLib.jobs.reader_study:read",
    "reader_open": "MemorySurvivalLib.jobs.reader_study:open_case",
    "reader_estimate": "MemorySurvivalLib.jobs.reader_study:estimate",
    "reader_reveal": "MemorySurvivalLib.jobs.reader_study:reveal",
    "reader_leave": "MemorySurvivalLib.jobs.reader_study:leave",
    "replay": "MemorySurvivalLib.jobs.replay:replay",
    "report": "MemorySurvivalLib.jobs.report:render",
    "score": "MemorySurvivalLib.jobs.score:score",
    "segment": "MemorySurvivalLib.jobs.masks:segment",
    "segmenters": "MemorySurvivalLib.jobs.masks:list_segmenters",
    "staging": "MemorySurvivalLib.jobs.reading:stage",
    "nodes": "MemorySurvivalLib.jobs.sending:nodes",
    "save_node": "MemorySurvivalLib.jobs.sending:save_node",
    "remove_node": "MemorySurvivalLib.jobs.sending:remove_node",
    "check_node": "MemorySurvivalLib.jobs.sending:check",
    "look_at_objects": "MemorySurvivalLib.jobs.sending:look",
    "send": "MemorySurvivalLib.jobs.sending:send_objects",
    "resend": "MemorySurvivalLib.jobs.sending:resend_objects",
    "outbox": "MemorySurvivalLib.jobs.sending:outbox",
    "discard_send": "MemorySurvivalLib.jobs.sending:discard",
    "stability": "MemorySurvivalLib.jobs.stability:measure",
    "worklist": "MemorySurvivalLib.jobs.worklist:read",
}


def find_job(name: str) -> JobFunction:
    """The function of a job. Raises InputError where there is no such job."""
    if name not in JOBS:
        raise InputError(f"There is no job {name!r}; the jobs are {', '.join(JOBS)}.")
    module, _, function = JOBS[name].partition(":")
    return cast("JobFunction", getattr(importlib.import_module(module), function))
