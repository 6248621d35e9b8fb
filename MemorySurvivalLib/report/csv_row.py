"""A report as one row of a table: the numbers that a study collects, in columns that name their units."""

from __future__ import annotations

import csv
from pathlib import Path

from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.measure.tables import NOTICE_COLUMN
from MemorySurvivalLib.report.model import Report

_RUNS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text that begins with one of these for a formula."""


def csv_row(report: Report) -> dict[str, str]:
    """Column names (with units) and values as text in the C locale; what is absent is empty.

    The columns are the same for every report, so that rows of many cases make a table.
    """
    record, risk, subject = report.record, report.record.risk, report.subject
    measured, badge, heatmap = record.measurements, record.stability, record.heatmap
    scores = {score.name: score.value for score in report.findings.scores}
    curve = risk.survival
    values: dict[str, object] = {
        "subject": subject.choice,
        "patient_id": subject.patient_id,
        "study_date": subject.study_date,
        "created": record.created,
        "bundle": record.bundle.name,
        "bundle_version": record.bundle.version,
        "bundle_status": record.bundle.status,
        "head": risk.head,
        "labels": "; ".join(risk.labels),
        "log_risk": risk.log_risk,
        "position_share": risk.position,
        "reference_cases": len(risk.reference_log_risks) if risk.position is not None else None,
        "risk_group": risk.risk_group,
        "survival_months": curve.times_months[-1] if curve and curve.times_months else None,
        "survival_share": curve.probability[-1] if curve and curve.probability else None,
        "pet_weight_share": risk.gate_pet,
        "stability": badge.verdict if badge else None,
        "stability_lowest_log_risk": badge.lowest if badge else None,
        "stability_highest_log_risk": badge.highest if badge else None,
        "flags": "; ".join(flag.key for flag in report.flags),
        "covariates_used": "; ".join(f"{k}={v}" for k, v in risk.covariates.used.items()) if risk.covariates else "",
        "covariates_missing": "; ".join(risk.covariates.missing) if risk.covariates else "",
        "statistics_used": "; ".join(f"{one.name}={_text(one.value)}" for one in risk.statistics),
        "region": record.roi.kind,
        "region_volume_ml": record.roi.volume_ml,
        "region_edited": record.roi.edited,
        "hotspots": len(heatmap.hotspots) if heatmap else None,
        "strongest_hotspot_log_risk": heatmap.hotspots[0].effect if heatmap and heatmap.hotspots else None,
        "focal_lesions": measured.totals.focal if measured else None,
        "lesions_mtv_41_ml": measured.totals.mtv_ml if measured else None,
        "lesions_tlg_41_g": measured.totals.tlg_g if measured else None,
        "lesions_suv_max_g_ml": measured.totals.suv_max if measured else None,
        "lesions_reviewed": len(report.findings.reviewed_lesions),
        "iss": scores.get("ISS"),
        "r_iss": scores.get("R-ISS"),
        "r2_iss": scores.get("R2-ISS"),
        "visual_reading_final": report.findings.reading.final if report.findings.reading else None,
        "seconds": round(sum(record.seconds.values()), 3),
        "memory_survival_version": record.software.get("memory-survival"),
        "bundle_sha256": record.bundle.sha256,
        "ct_sha256": record.inputs["CT"].sha256 if "CT" in record.inputs else None,
        "pet_sha256": record.inputs["PET"].sha256 if "PET" in record.inputs else None,
        "region_sha256": record.roi.sha256,
        NOTICE_COLUMN: report.research_use,
    }
    return {name: _text(value) for name, value in values.items()}


def write_csv_row(report: Report, path: Path) -> None:
    """One header line and one row, UTF-8 with commas. Raises OutputError where it cannot be written."""
    row = csv_row(report)
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(row.keys())
        writer.writerow(row.values())


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.9g}"
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_RUNS) else text
