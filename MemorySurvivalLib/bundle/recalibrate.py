"""A bundle's baseline hazard fitted anew on another site's patients; all else in it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.bundle.archive import CARD, write_archive
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.bundle.manifest import BaselineHazard, Calibration, HeadEntry
from MemorySurvivalLib.errors import BundleError, InputError, OutputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FEWEST_PATIENTS, FEWEST_EVENTS = 50, 20
"""With fewer the new baseline is noisier than the old one is wrong; a floor, not a recommendation."""


@dataclass(frozen=True)
class SitePatients:
    """Patients of a new site, whom no head of the bundle saw: times (n,) in months, events (n,), log-risks (n,) of
    each head by name, whether they are simulated, and the site's name as it stands in the card."""

    site: str
    times_months: Floats
    events: Bools
    log_risks: Mapping[str, Floats]
    simulated: bool


def recalibrate_bundle(bundle: ModelBundle, patients: SitePatients, out: Path) -> ModelBundle:
    """Write `bundle` to `out` with a Breslow baseline of these patients, the log-risks taken as they are (an offset).

    Nothing else is fitted. Where the bundle was calibrated, slope and interval are replaced by those measured on these
    patients, because the old ones were of the old baseline; where it was not, it does not become so. Version, hash
    and card are new; the card is appended to. Raises InputError for too few patients or events, BundleError where
    simulated and real would mix, OutputError where `out` is there already.
    """
    if out.exists():
        raise OutputError(f"{out} is there already; bundles are never replaced, so choose another name.")
    n, events = len(patients.events), int(patients.events.sum())
    check_site(n, events)
    manifest = bundle.manifest
    if manifest.provenance.simulated != patients.simulated:
        made, given = ("simulated", "real") if manifest.provenance.simulated else ("real", "simulated")
        raise BundleError(
            f"The model bundle {manifest.name} learned from {made} patients and is not recalibrated on {given} ones."
        )
    heads = tuple(_recalibrate_head(entry, patients) for entry in manifest.heads)
    today = datetime.now(UTC).date().isoformat()
    said = (
        f"Recalibrated on {today} for {patients.site}: the baseline hazard was fitted on {n} patients with {events} "
        f"events of that site (from version {manifest.version}, sha256 {bundle.archive.sha256}). Weights, "
        "covariates, reference risks and group thresholds are unchanged, and so is discrimination."
    )
    changed = msgspec.structs.replace(
        manifest,
        name=out.stem,
        version=f"{manifest.version}+{today.replace('-', '')}",
        heads=heads,
        status="demonstration" if manifest.status == "demonstration" else "local-research",
        provenance=msgspec.structs.replace(manifest.provenance, how=f"{manifest.provenance.how} {said}"),
    )
    rows = "\n".join(_card_row(before, after) for before, after in zip(manifest.heads, heads, strict=True))
    card = (
        f"{bundle.card.rstrip()}\n\n## Recalibration for {patients.site}\n\n{said} What stands above about calibration "
        f"is of the old baseline.\n\n{rows}\n"
    )
    write_archive(out, changed, {**bundle.archive.members, CARD: card.encode()})
    return load_bundle(out)


def check_site(n: int, events: int) -> None:
    """Raises InputError where a site has too few patients or events for a baseline of its own."""
    if n < FEWEST_PATIENTS or events < FEWEST_EVENTS:
        raise InputError(
            f"The new site has {n} patients with {events} events; a baseline needs at least {FEWEST_PATIENTS} and "
            f"{FEWEST_EVENTS}, so add patients or wait for more events."
        )


def breslow_baseline(times_months: Floats, events: Bools, log_risk: Floats) -> BaselineHazard:
    """Breslow's cumulative baseline hazard for log-risk 0 at each observed event time (ties at one time together)."""
    order = np.argsort(-times_months, kind="stable")
    log_still = np.logaddexp.accumulate(log_risk[order])
    at = np.unique(times_months[events])
    log_at_risk = log_still[np.searchsorted(-times_months[order], -at, side="right") - 1]
    died = np.array([(events & (times_months == t)).sum() for t in at])
    return BaselineHazard(tuple(at.tolist()), tuple(np.cumsum(died / np.exp(log_at_risk)).tolist()))


def risk_by(baseline: BaselineHazard, log_risk: Floats, months: float) -> Floats:
    """Predicted risks (n,) of an event by `months`. Raises InputError where the baseline does not reach so far."""
    if not 0 < months <= baseline.times_months[-1]:
        raise InputError(f"The baseline hazard ends at {baseline.times_months[-1]:g} months, before {months:g}.")
    at = int(np.searchsorted(baseline.times_months, months, side="right")) - 1
    hazard = baseline.cumulative_hazard[at] if at >= 0 else 0.0
    risks: Floats = 1 - np.exp(-hazard * np.exp(np.minimum(log_risk, 700.0)))
    return risks


def measure_calibration(
    baseline: BaselineHazard,
    times_months: Floats,
    events: Bools,
    log_risk: Floats,
    horizon_months: float,
    resamples: int = 1000,
) -> Calibration | None:
    """Slope and interval at a horizon of risks that the head did not learn from these patients; None where it has none.

    Raises InputError where the horizon lies outside the follow-up.
    """
    from MemorySurvivalLib.evaluation.calibration import calibration

    risk = risk_by(baseline, log_risk, horizon_months)
    slope = calibration(times_months, events, risk, horizon_months, resamples).slope
    if slope is None or not slope.low <= slope.value <= slope.high or baseline.times_months[0] > horizon_months:
        return None
    return Calibration(horizon_months, True, round(slope.value, 4), (round(slope.low, 4), round(slope.high, 4)))


def _recalibrate_head(entry: HeadEntry, patients: SitePatients) -> HeadEntry:
    log_risk = patients.log_risks.get(entry.name)
    if log_risk is None or len(log_risk) != len(patients.events) or not np.isfinite(log_risk).all():
        raise InputError(f"The head {entry.name} has no finite log-risk for each patient of the new site; score them.")
    baseline = breslow_baseline(patients.times_months, patients.events, log_risk)
    calibrated = None
    if entry.calibration is not None:
        calibrated = measure_calibration(
            baseline, patients.times_months, patients.events, log_risk, entry.calibration.horizon_months
        )
    return msgspec.structs.replace(entry, baseline=baseline, calibration=calibrated)


def _card_row(before: HeadEntry, after: HeadEntry) -> str:
    if after.calibration is not None:
        low, high = after.calibration.slope_interval
        said = (
            f"calibration slope on the new site's patients {after.calibration.slope:.2f} ({low:.2f} to {high:.2f}) at "
            f"{after.calibration.horizon_months:g} months"
        )
    else:
        said = "not calibrated, so no survival is shown" if before.calibration is None else "its slope could not be had"
    return f"- Head {after.name}: {said}."
