"""docs/benchmarks.md, written from the figures kept in docs/figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from Testing.Benchmarks.evidence_page import write_stability

DOCS = Path(__file__).resolve().parents[2] / "docs"

HEAD = """# Benchmarks

Written by `make figure NAME=<name> SAVE=1` from the objects in [figures](figures); do not edit by hand. Ratios come
from paired runs on one machine. Anything about simulated cases says so. Research use only, not a medical device.
"""


def save(name: str, title: str, result: dict[str, Any]) -> None:
    """Keep one figure's result and write the page anew."""
    folder = DOCS / "figures"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"title": title, **result}, indent=1) + "\n", encoding="utf-8")
    write_page()
    if name == "stability":
        write_stability(DOCS / "evidence.md", result)


def write_page() -> None:
    """Write docs/benchmarks.md from all figures that are kept."""
    kept = sorted((DOCS / "figures").glob("*.json"))
    sections = [_section(json.loads(path.read_text(encoding="utf-8"))) for path in kept]
    (DOCS / "benchmarks.md").write_text("\n".join([HEAD, *sections]), encoding="utf-8")


def _section(figure: dict[str, Any]) -> str:
    name, title = figure.pop("figure"), figure.pop("title")
    goal, ok = figure.pop("goal"), figure.pop("ok")
    lines = [f"## {name}", "", title, "", f"`make figure NAME={name}`", ""]
    lines += [f"Goal: {goal}. **{'Not measured' if ok is None else 'Met' if ok else 'Missed'}.**", ""]
    tables = {key: value for key, value in figure.items() if _is_table(value)}
    lines += ["| | |", "| --- | --- |"]
    lines += [f"| {key} | {_cell(value)} |" for key, value in figure.items() if key not in tables]
    for key, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        lines += ["", f"{key}:", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
        lines += ["| " + " | ".join(_cell(row.get(column, "")) for column in columns) + " |" for row in rows]
    return "\n".join([*lines, ""])


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
