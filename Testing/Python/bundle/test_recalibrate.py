"""Recalibration changes the baseline and says so; weights, covariates, reference and thresholds stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from MemorySurvivalLib.bundle.archive import HEADS, write_archive
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.bundle.manifest import Calibration
from MemorySurvivalLib.bundle.recalibrate import SitePatients, breslow_baseline, recalibrate_bundle, risk_by
from MemorySurvivalLib.errors import BundleError, InputError, OutputError


def site(n: int = 120, *, factor: float = 1.0, simulated: bool = True) -> SitePatients:
    """Patients whose hazard is `factor` / 40 months times exp(log-risk)."""
    rng = np.random.default_rng(3)
    risk = rng.normal(0, 0.7, n)
    failure = rng.exponential(40 / factor / np.exp(risk))
    censored = rng.uniform(30, 80, n)
    return SitePatients("Hospital B", np.minimum(failure, censored), failure <= censored, {"image": risk}, simulated)


@pytest.fixture
def bundle(light_bundle: Path) -> ModelBundle:
    return load_bundle(light_bundle)


def test_only_the_baseline_changes(bundle: ModelBundle, tmp_path: Path) -> None:
    after = recalibrate_bundle(bundle, site(), tmp_path / "b.msbundle")
    assert after.archive.members[HEADS] == bundle.archive.members[HEADS]
    old, new = bundle.manifest, after.manifest
    assert new.heads[0].baseline != old.heads[0].baseline
    assert msgspec.structs.replace(new.heads[0], baseline=old.heads[0].baseline) == old.heads[0]
    same = ("backbone", "windows", "roi", "propagation", "explain", "status", "licence")
    assert all(getattr(new, name) == getattr(old, name) for name in same)
    assert new.version.startswith(old.version + "+") and after.archive.sha256 != bundle.archive.sha256
    assert "Recalibration for Hospital B" in after.card and bundle.archive.sha256 in after.card
    assert after.card.startswith(bundle.card.rstrip())


def test_the_new_baseline_fits_the_new_site(bundle: ModelBundle, tmp_path: Path) -> None:
    """Twice the hazard gives about twice the cumulative hazard: what recalibration is for."""
    twice = site(2000, factor=2.0)
    after = recalibrate_bundle(bundle, twice, tmp_path / "b.msbundle")
    baseline = after.manifest.heads[0].baseline
    assert baseline is not None
    found = risk_by(baseline, np.zeros(1), 20.0)[0]
    assert found == pytest.approx(1 - np.exp(-2 * 20 / 40), abs=0.03)


def test_breslow_by_hand() -> None:
    """Two events at 1 month among three with relative risks 1, 1, 2; the third at 2 months alone."""
    times, events = np.array([1.0, 1.0, 2.0]), np.array([True, True, True])
    baseline = breslow_baseline(times, events, np.log([1.0, 1.0, 2.0]))
    assert baseline.times_months == (1.0, 2.0)
    assert baseline.cumulative_hazard == pytest.approx((2 / 4, 2 / 4 + 1 / 2))


def test_what_was_not_calibrated_does_not_become_so(bundle: ModelBundle, tmp_path: Path) -> None:
    after = recalibrate_bundle(bundle, site(), tmp_path / "b.msbundle")
    assert after.manifest.heads[0].calibration is None and "no survival is shown" in after.card


def test_the_old_slope_is_replaced(bundle: ModelBundle, tmp_path: Path) -> None:
    entry = msgspec.structs.replace(bundle.manifest.heads[0], calibration=Calibration(24, True, 9.0, (8.0, 10.0)))
    manifest = msgspec.structs.replace(bundle.manifest, heads=(entry,))
    path = tmp_path / "a.msbundle"
    write_archive(path, manifest, bundle.archive.members)
    calibration = (
        recalibrate_bundle(load_bundle(path), site(150), tmp_path / "b.msbundle").manifest.heads[0].calibration
    )
    assert calibration is not None and calibration.slope_interval[0] < 1 < calibration.slope_interval[1] < 2


def test_what_is_refused(bundle: ModelBundle, tmp_path: Path) -> None:
    out = tmp_path / "b.msbundle"
    with pytest.raises(InputError, match="has 30 patients with"):
        recalibrate_bundle(bundle, site(30), out)
    with pytest.raises(BundleError, match="learned from simulated patients and is not recalibrated on real ones"):
        recalibrate_bundle(bundle, site(simulated=False), out)
    with pytest.raises(InputError, match="no finite log-risk"):
        recalibrate_bundle(bundle, replace(site(), log_risks={"other": np.zeros(120)}), out)
    assert not out.exists()
    out.touch()
    with pytest.raises(OutputError, match="is there already"):
        recalibrate_bundle(bundle, site(), out)
