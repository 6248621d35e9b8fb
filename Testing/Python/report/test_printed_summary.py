"""The lines that `score` prints: what the bundle may show, the badge where it was measured, where the report is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.summary import summarise


def test_the_badge_is_told_where_it_was_measured(example: Any) -> None:
    files = {"report": Path("out/report.html")}
    lines = summarise(example.record, files).splitlines()
    assert "stability   stable: 2 changes were tried; the largest effect on the log-risk was +0.054." in lines
    assert f"{RESEARCH_USE}." == lines[-1] and "SIMULATED MODEL" in lines[1]
    assert "stability" not in summarise(replace(example.record, stability=None), files)
