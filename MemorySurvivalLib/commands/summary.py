"""The few lines that `score` prints when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from MemorySurvivalLib.report.record import CaseRecord


def summarise(record: CaseRecord, files: Mapping[str, Path]) -> str:
    """The result in plain lines: what the bundle may show, with its labels, and where the report is."""
    risk = record.risk
    labels = f"  [{'; '.join(risk.labels)}]" if risk.labels else ""
    lines = [
        f"bundle      {record.bundle.name} {record.bundle.version} ({record.bundle.status}), head {risk.head}",
        f"log-risk    {risk.log_risk:+.4f}{labels}",
    ]
    if risk.position is not None:
        count = len(risk.reference_log_risks)
        lines.append(f"position    above {risk.position:.0%} of {count} reference cases ({risk.reference})")
    if risk.risk_group is not None:
        lines.append(f"risk group  {risk.risk_group}")
    if risk.survival is not None:
        curve = risk.survival
        lines.append(f"survival    {curve.probability[-1]:.0%} progression-free at {curve.times_months[-1]:.0f} months")
    if risk.gate_pet is not None:
        lines.append(f"PET weight  {risk.gate_pet:.2f} (CT {1 - risk.gate_pet:.2f})")
    if record.stability is not None:
        lines.append(f"stability   {record.stability.verdict}: {record.stability.sentence}")
    if record.heatmap is not None:
        heat = record.heatmap
        span = f"{heat.minimum:+.4f} to {heat.maximum:+.4f}"
        lines.append(f"heatmap     {heat.patches} patches of {heat.patch_mm:g} mm, effect {span}")
    total_s = sum(record.seconds.values())
    lines.append(f"time        {total_s:.1f} s on {record.device}")
    lines.append(f"report      {files['report']}")
    lines.append(f"{record.research_use}.")
    return "\n".join(lines) + "\n"
