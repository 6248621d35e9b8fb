"""Whether the packages can be imported, asked of a process of their own: a broken one may end the process it is in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from MemorySurvivalPanels.requirements import Package

_SCRIPT = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    print(json.dumps({"begin": name}), flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        print(json.dumps({"name": name, "error": f"{type(error).__name__}: {error}"}), flush=True)
    else:
        print(json.dumps({"name": name, "error": None}), flush=True)
"""


def import_arguments(packages: Sequence[Package]) -> list[str]:
    """What to give to Python: it imports one package after the other and prints a JSON line before and after each."""
    return ["-c", _SCRIPT, json.dumps([package.module for package in packages])]


@dataclass(frozen=True)
class ImportReport:
    """Package names with the reason why they cannot be imported; empty where all can."""

    problems: Mapping[str, str]

    @property
    def fine(self) -> bool:
        """Whether all can be imported."""
        return not self.problems


def read_import_report(packages: Sequence[Package], output: str, exit_code: int) -> ImportReport:
    """Understand what the process printed. A package during whose import the process ended is to blame for it."""
    found: dict[str, str | None] = {}
    begun = ""
    for line in output.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a package that prints when it is imported
        if isinstance(event, dict) and "begin" in event:
            begun = event["begin"]
        elif isinstance(event, dict) and "name" in event:
            found[event["name"]] = event["error"]
    problems: dict[str, str] = {}
    for package in packages:
        if package.module not in found:
            if package.module == begun or not begun:
                problems[package.name] = f"Python ended with exit code {exit_code}"
        elif (error := found[package.module]) is not None:
            problems[package.name] = error.splitlines()[0]
    return ImportReport(problems)
