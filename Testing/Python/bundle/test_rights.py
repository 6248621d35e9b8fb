"""The table of what a bundle may show: status, simulated or real case, kind of ROI, evidence."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest
from made_up import SMALL, make_head, make_manifest

from MemorySurvivalLib.bundle.manifest import BackboneEntry, Calibration, HeadEntry, Manifest, Status, check_manifest
from MemorySurvivalLib.bundle.rights import OTHER_ROI, SIMULATED_MODEL, Rights, decide_rights

BACKBONE = BackboneEntry(SMALL.architecture, SMALL.image_size, "external", "0" * 64, "elsewhere")
CALIBRATED = Calibration(24, True, 1.0, (0.8, 1.2))
RESUBSTITUTED = Calibration(24, False, 1.0, (0.8, 1.2))
RESEARCH: tuple[Status, ...] = ("local-research", "validated")


@pytest.fixture(scope="module")
def entry() -> HeadEntry:
    """All evidence except a calibration."""
    return make_head("image", None, 1)[1]


def manifest_of(status: Status, head: HeadEntry) -> Manifest:
    manifest = make_manifest((head,), BACKBONE, status=status)
    provenance = msgspec.structs.replace(manifest.provenance, simulated=status == "demonstration")
    manifest = msgspec.structs.replace(manifest, provenance=provenance)
    assert check_manifest(manifest) is None
    return manifest


def rights(status: Status, head: HeadEntry, *, simulated: bool, other: bool) -> Rights:
    return decide_rights(manifest_of(status, head), head, simulated_case=simulated, other_roi=other)


def test_a_demonstration_bundle_shows_everything_on_simulated_cases(entry: HeadEntry) -> None:
    assert rights("demonstration", entry, simulated=True, other=False) == Rights(
        position=True, group=True, survival=True, labels=(SIMULATED_MODEL, "SIMULATED CASE")
    )


@pytest.mark.parametrize("calibration", [None, CALIBRATED])
def test_a_demonstration_bundle_shows_only_the_position_on_real_images(
    entry: HeadEntry, calibration: Calibration | None
) -> None:
    head = msgspec.structs.replace(entry, calibration=calibration)
    assert rights("demonstration", head, simulated=False, other=False) == Rights(
        position=True, group=False, survival=False, labels=("SIMULATED MODEL",)
    )


@pytest.mark.parametrize(
    ("status", "simulated"), list(product(("demonstration", "local-research", "validated"), (True, False)))
)
def test_another_roi_leaves_the_log_risk_only(entry: HeadEntry, status: Status, simulated: bool) -> None:
    head = msgspec.structs.replace(entry, calibration=CALIBRATED)
    result = rights(status, head, simulated=simulated, other=True)
    assert not (result.position or result.group or result.survival)
    assert result.labels[-1] == OTHER_ROI == "ENGINEERING USE: ROI NOT OF THE MODEL'S KIND"
    assert (SIMULATED_MODEL in result.labels) == (status == "demonstration")
    assert ("SIMULATED CASE" in result.labels) == simulated


@pytest.mark.parametrize(
    ("status", "simulated", "calibration"),
    list(product(RESEARCH, (True, False), (None, RESUBSTITUTED, CALIBRATED))),
)
def test_other_bundles_show_survival_only_when_calibrated_out_of_fold(
    entry: HeadEntry, status: Status, simulated: bool, calibration: Calibration | None
) -> None:
    head = msgspec.structs.replace(entry, calibration=calibration)
    result = rights(status, head, simulated=simulated, other=False)
    assert result.survival == (calibration is CALIBRATED)
    assert result.position and result.group
    assert result.labels == (("SIMULATED CASE",) if simulated else ())


@pytest.mark.parametrize(("status", "simulated"), list(product(("demonstration", *RESEARCH), (True, False))))
def test_nothing_is_shown_without_its_evidence(entry: HeadEntry, status: Status, simulated: bool) -> None:
    bare = msgspec.structs.replace(entry, reference=None, groups=None, baseline=None, calibration=None)
    result = rights(status, bare, simulated=simulated, other=False)
    assert not (result.position or result.group or result.survival)


def test_groups_and_position_need_each_their_own_evidence(entry: HeadEntry) -> None:
    no_reference = msgspec.structs.replace(entry, reference=None)
    no_groups = msgspec.structs.replace(entry, groups=None)
    first = rights("validated", no_reference, simulated=False, other=False)
    second = rights("validated", no_groups, simulated=False, other=False)
    assert (first.position, first.group) == (False, True)
    assert (second.position, second.group) == (True, False)
