"""Two bundles judged on the same patients, head against head: who ranks them better, and whose risks fit better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.bundle.manifest import HeadEntry
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.curves import Censoring
from MemorySurvivalLib.evaluation.discrimination import auc_pairs, harrell_pairs, uno_pairs
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.report.document import Block, Bullets, Cell, Section, Table
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.external import ExternalValidation, integrated_brier, validate_bundle
from MemorySurvivalLib.training.own_cohort import OwnCohort

RESAMPLES = 1000
SEED = 2026


@dataclass(frozen=True, eq=False)
class HeadsCompared:
    """A head of the first and one of the second bundle: paired differences, first minus second, and what could not be
    had."""

    first: str
    second: str
    differences: tuple[Estimate, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class BundlesCompared:
    """Each bundle on its own, and head against head."""

    first: ExternalValidation
    second: ExternalValidation
    heads: tuple[HeadsCompared, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands on every page."""
        return tuple(dict.fromkeys((*self.first.labels, *self.second.labels)))

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON: both validations, and every difference with its interval."""
        said = {
            "first": msgspec.Raw(self.first.as_json()),
            "second": msgspec.Raw(self.second.as_json()),
            "heads": [
                {"first": one.first, "second": one.second, "differences": one.differences, "notes": one.notes}
                for one in self.heads
            ],
            "research_use": RESEARCH_USE,
        }
        return msgspec.json.format(msgspec.json.encode(said), indent=1)

    def sections(self) -> tuple[Section, ...]:
        """A section for each pair of heads."""
        return tuple(_section(one, self) for one in self.heads)


def in_common(first: OwnCohort, second: OwnCohort) -> tuple[OwnCohort, OwnCohort]:
    """Both cohorts cut to the patients whom both bundles could read; each flow also counts whom the other could not.

    Raises InputError where nobody is left.
    """
    rows = [{patient.row: place for place, patient in enumerate(cohort.patients)} for cohort in (first, second)]
    both = [row for row in rows[0] if row in rows[1]]
    if not both:
        raise InputError("No patient's images could be read by both bundles; see why with `validate` for each.")
    pairs = ((first, second, rows[0]), (second, first, rows[1]))
    own, other = (_take(cohort, theirs, [places[row] for row in both]) for cohort, theirs, places in pairs)
    return own, other


def compare_bundles(
    bundles: tuple[ModelBundle, ModelBundle],
    cohorts: tuple[OwnCohort, OwnCohort],
    horizon_months: float = 36.0,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> BundlesCompared:
    """Judge both on the same patients (rows of the two cohorts in the same order), each embedded its own way.

    Heads with clinical values meet heads with them, heads without meet heads without. Differences are paired: both
    models are asked about the same resampled patients. Nothing is fitted.
    """
    judged = [
        validate_bundle(bundle, cohort.data, horizon_months, resamples, seed, cohort.patients)
        for bundle, cohort in zip(bundles, cohorts, strict=True)
    ]
    risks = [one.log_risks for one in judged]
    pairs = [
        (one, other)
        for one in bundles[0].manifest.heads
        for other in bundles[1].manifest.heads
        if (one.covariates is None) == (other.covariates is None)
    ]
    if not pairs:
        raise InputError("One bundle has heads with clinical values alone, the other none; they have no heads to meet.")
    heads = tuple(
        _compare(one, other, cohorts[0].data, risks[0][one.name], risks[1][other.name], horizon_months, resamples, seed)
        for one, other in pairs
    )
    return BundlesCompared(judged[0], judged[1], heads)


def _compare(
    one: HeadEntry,
    other: HeadEntry,
    data: CohortData,
    risk: Floats,
    other_risk: Floats,
    horizon: float,
    resamples: int,
    seed: int,
) -> HeadsCompared:
    times, events = data.times_months, data.events
    censoring = Censoring.from_training(times, events, len(data))

    def brier() -> Estimate:
        if one.baseline is None or other.baseline is None:
            raise InputError("A head without a baseline hazard has none.")
        of_one = integrated_brier(one.baseline, data, risk, censoring, horizon)
        return of_one.difference(
            integrated_brier(other.baseline, data, other_risk, censoring, horizon), resamples, seed
        )

    wanted: dict[str, Callable[[], Estimate]] = {
        "Harrell's c": lambda: harrell_pairs(times, events).difference(risk, other_risk, resamples, seed),
        "Uno's c": lambda: uno_pairs(times, events, censoring, horizon).difference(risk, other_risk, resamples, seed),
        "AUC": lambda: auc_pairs(times, events, censoring, horizon).difference(risk, other_risk, resamples, seed),
        "Integrated Brier score": brier,
    }
    found, notes = [], []
    for what, make in wanted.items():
        try:
            found.append(make())
        except InputError as error:  # one figure that cannot be had does not hide the others
            notes.append(f"{what}: {error}")
    return HeadsCompared(one.name, other.name, tuple(found), tuple(notes))


def _take(cohort: OwnCohort, other: OwnCohort, places: list[int]) -> OwnCohort:
    rows = {patient.row for patient in cohort.patients}
    unread = [one for one in other.flow.excluded if one.row in rows]
    return replace(
        cohort,
        flow=cohort.flow.and_also(unread),
        patients=tuple(cohort.patients[place] for place in places),
        data=cohort.data.take(np.array(places, dtype=np.intp)),
        image_hashes=tuple(cohort.image_hashes[place] for place in places),
    )


def _section(heads: HeadsCompared, whole: BundlesCompared) -> Section:
    own, theirs = (
        {estimate.name: estimate for head in side.heads if head.head == name for estimate in head.estimates}
        for side, name in ((whole.first, heads.first), (whole.second, heads.second))
    )
    rows = []
    for one in heads.differences:
        plain = one.name.removeprefix("difference of ").removeprefix("the ")
        alone = [f"{side[plain].value:.3f}" if plain in side else "" for side in (own, theirs)]
        rows.append((plain, *alone, f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"))
    caption = (
        f"{whole.first.n} patients, {whole.first.events} events, the same for both; difference with its 95 % interval "
        "over resampled patients, paired. Of the Brier score less is better. Nothing was fitted."
    )
    columns = ("Figure", whole.first.bundle, whole.second.bundle, "First minus second")
    cells = tuple(tuple(map(Cell, row)) for row in rows)
    blocks: list[Block] = [Table(columns, cells, numeric=(1, 2, 3), caption=caption)]
    if heads.notes:
        blocks.append(Bullets(heads.notes))
    return Section(f"{heads.first} against {heads.second}", tuple(blocks))
