"""Flags: each raised by its cause and by nothing else, warnings first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from MemorySurvivalLib.imaging.acquisition import Acquisition
from MemorySurvivalLib.report.flags import find_flags
from MemorySurvivalLib.report.record import CaseRecord


@pytest.fixture
def plain(example: Any) -> CaseRecord:
    """A record that nothing can be said against."""
    record: CaseRecord = example.record
    return replace(
        record,
        acquisition=Acquisition(),
        simulated_case=False,
        bundle=replace(record.bundle, status="validated"),
        roi=replace(record.roi, edited=False, parts=(), provenance=""),
        risk=replace(record.risk, covariates=None),
    )


def keys(record: CaseRecord) -> list[str]:
    return [flag.key for flag in find_flags(record)]


def test_a_plain_record_has_no_flag(plain: CaseRecord) -> None:
    assert keys(plain) == []


@pytest.mark.parametrize("log_risk", [-9.0, 9.0])
def test_a_score_beyond_the_reference_is_flagged(plain: CaseRecord, log_risk: float) -> None:
    assert keys(replace(plain, risk=replace(plain.risk, log_risk=log_risk))) == ["out-of-range"]
    unknown = replace(plain.risk, log_risk=log_risk, reference_log_risks=(), position=None)
    assert keys(replace(plain, risk=unknown)) == []


def test_each_cause_has_its_flag(plain: CaseRecord) -> None:
    badge = plain.stability
    assert badge is not None and plain.heatmap is not None
    for changed, key in (
        (replace(plain, stability=replace(badge, verdict="sensitive")), "sensitive"),
        (replace(plain, heatmap=replace(plain.heatmap, coarse=True)), "coarse-heatmap"),
        (replace(plain, roi=replace(plain.roi, kind="other")), "other-region"),
        (replace(plain, roi=replace(plain.roi, edited=True)), "edited-mask"),
        (replace(plain, simulated_case=True), "simulated-case"),
        (replace(plain, bundle=replace(plain.bundle, status="demonstration")), "simulated-model"),
        (replace(plain, acquisition=Acquisition(pet_coverage=0.8)), "pet-coverage"),
        (replace(plain, acquisition=Acquisition(identity=("Days apart.",))), "identity"),
    ):
        assert keys(changed) == [key]


def test_the_example_has_all_it_should_with_warnings_first(example: Any) -> None:
    flags = find_flags(example.record)
    assert [flag.key for flag in flags] == [
        "pet-glucose",
        "misregistration",
        "identity",
        "edited-mask",
        "missing-covariates",
        "simulated-model",
        "simulated-case",
    ]
    severities = [flag.severity for flag in flags]
    assert severities == sorted(severities, reverse=True)


def test_a_corrected_misregistration_is_a_note(example: Any) -> None:
    way = example.record.acquisition
    moved = replace(way, alignment=replace(way.alignment, correction={"sentence": "The PET was moved by 6 mm."}))
    found = {flag.key: flag for flag in find_flags(replace(example.record, acquisition=moved))}
    assert found["misregistration-corrected"].severity == "note" and "misregistration" not in found
