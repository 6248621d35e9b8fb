"""The tests that run the Slicer module in the test host: how many there are, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
OUTCOMES = ("passed", "failed", "skipped")


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={listing}"]
        begin = time.perf_counter()
        subprocess.run(
            [*command, "Testing/SlicerHost"],
            check=False,  # the counts say how it went
            cwd=ROOT,
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(ROOT)},
            stdout=sys.stderr,
        )
        seconds = time.perf_counter() - begin
        counts, reasons = _count(listing)
    total = sum((Counter(each) for each in counts.values()), Counter())
    return {
        "tests": sum(total.values()),
        **{outcome: total[outcome] for outcome in OUTCOMES},
        "seconds": round(seconds, 1),
        "left_out_because": reasons,
        "files": [
            {"file": name, **{outcome: counts[name][outcome] for outcome in OUTCOMES}} for name in sorted(counts)
        ],
        "goal": "every test of the host passes; what is left out says why",
        "ok": total["passed"] > 0 and total["failed"] == 0,
    }


def _count(listing: Path) -> tuple[dict[str, Counter[str]], list[str]]:
    """Outcomes by file, and the reasons of what was skipped."""
    counts: dict[str, Counter[str]] = {}
    reasons: set[str] = set()
    for case in ElementTree.parse(listing).iter("testcase"):
        name = case.get("classname", "").rpartition(".")[2]
        skipped = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        outcome = "failed" if failed else "passed" if skipped is None else "skipped"
        if skipped is not None:
            reasons.add(skipped.get("message", ""))
        counts.setdefault(name, Counter())[outcome] += 1
    return counts, sorted(reasons)
