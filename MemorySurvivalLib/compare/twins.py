"""The reference cases whose measured burden is nearest to a case's, and how a report shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.compare.burden import TITLES, Burden, Scale, burden_of, find_other_settings
from MemorySurvivalLib.compare.reference import Origin, ReferenceCase, ReferenceTable
from MemorySurvivalLib.compare.same_images import images_key
from MemorySurvivalLib.report.document import Block, Cell, Paragraph, Section, Table
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.roi.roi import ROI_TITLES

SHOWN = 5
LEAST_REFERENCE = 10
"""Fewer cases have no neighbourhood to speak of."""
USUAL_SHARE = 0.95
"""A case is unlike the reference where its nearest case is farther off than this share of theirs are."""

TITLE = "Reference cases with a similar measured burden"
NO_FORECAST = (
    "A similar burden does not make a similar disease: what became of these cases is no forecast for this patient."
)


@dataclass(frozen=True)
class Twin:
    """One near reference case. `distance` is in robust standard deviations of the reference; months and event are None
    where they are unknown or may not be shown."""

    name: str
    simulated: bool
    distance: float
    burden: Burden
    months: float | None
    event: bool | None

    @property
    def outcome(self) -> str:
        """What became of the case, in words; empty where that is not told."""
        if self.months is None:
            return ""
        kind = "simulated " if self.simulated else ""
        if self.event:
            return f"{kind}progression at {self.months:.0f} months"
        return f"no {kind}progression in {self.months:.0f} months of follow-up"


@dataclass(frozen=True)
class Twins:
    """The nearest reference cases, nearest first; none where `sentences` say why.

    `own` is the case's burden, `compared_with` how many cases were looked at, `alike` whether the nearest one is as
    near as reference cases are to each other.
    """

    title: str
    origin: Origin
    how: str
    region: str
    own: Burden | None
    twins: tuple[Twin, ...]
    compared_with: int
    alike: bool
    sentences: tuple[str, ...]
    research_use: str = RESEARCH_USE


def find_twins(record: CaseRecord, reference: ReferenceTable, count: int = SHOWN) -> Twins:
    """The `count` nearest cases of a reference by measured burden; never the case itself.

    Outcomes of simulated patients are told beside simulated cases only. Where nothing was measured, in another kind
    of region, or by other settings, there are no twins and a sentence says why.
    """
    measured = record.measurements
    if measured is None:
        return _without(reference, "", None, "Nothing was measured, so there is no burden to compare.")
    own, region = burden_of(measured), measured.roi.name
    other = find_other_settings(measured.lesion_config, reference.lesion_config)
    if other:
        names = ", ".join(name.replace("_", " ") for name in other)
        sentence = f"The reference cases were measured with other lesion settings ({names}), so they are not compared."
        return _without(reference, region, own, sentence)
    mine = images_key(record.inputs)
    cases = tuple(case for case in reference.measured_in(region) if case.images != mine)
    if len(cases) < LEAST_REFERENCE:
        where = next((title for kind, title in ROI_TITLES.items() if kind == region), region)
        sentence = (
            f"Only {len(cases)} reference cases were measured in this kind of region ({where}), too few to compare."
        )
        return _without(reference, region, own, sentence)
    return _nearest(record, reference, region, own, cases, count)


def twins_section(twins: Twins) -> Section:
    """The nearest reference cases as a section of a page."""
    blocks: list[Block] = [Paragraph(sentence, "quiet") for sentence in twins.sentences]
    if twins.twins and twins.own is not None:
        blocks.insert(0, _table(twins.own, twins.twins))
    return Section(TITLE, tuple(blocks))


def _without(reference: ReferenceTable, region: str, own: Burden | None, sentence: str) -> Twins:
    return Twins(reference.title, reference.origin, reference.how, region, own, (), 0, False, (sentence,))


def _nearest(
    record: CaseRecord,
    reference: ReferenceTable,
    region: str,
    own: Burden,
    cases: tuple[ReferenceCase, ...],
    count: int,
) -> Twins:
    burdens = [case.burdens[region] for case in cases]
    scale = Scale.of(burdens)
    distances = scale.distances(own, burdens)
    simulated = reference.origin == "simulated"
    told = not simulated or record.simulated_case
    nearest = np.argsort(distances, kind="stable")[:count]
    twins = tuple(
        Twin(
            name=cases[place].name,
            simulated=simulated,
            distance=round(float(distances[place]), 4),
            burden=burdens[place],
            months=cases[place].months if told else None,
            event=cases[place].event if told else None,
        )
        for place in nearest
    )
    alike = twins[0].distance <= _usual_distance(scale, burdens)
    kind = "simulated patients, none of them a real person" if simulated else "cases of your own cohort"
    sentences = [
        f"The {len(twins)} nearest of {len(cases)} {kind} ({reference.title}: {reference.how}), by focal MTV, TLG, "
        "SUVmax and number of focal lesions and the marrow's uptake. Distance: root mean square of the five "
        "differences (logarithms) in robust standard deviations of the reference; 0 is equal."
    ]
    if not alike:
        sentences.append("None of them is like this case: the nearest is farther off than they are from each other.")
    if not told:
        sentences.append("What became of simulated patients is not shown beside real images.")
    elif any(twin.months is not None for twin in twins):
        sentences.append(NO_FORECAST)
    return Twins(
        reference.title, reference.origin, reference.how, region, own, twins, len(cases), alike, tuple(sentences)
    )


def _usual_distance(scale: Scale, burdens: list[Burden]) -> float:
    """How far nearly all reference cases are from their own nearest one."""
    nearest = [
        float(scale.distances(burden, burdens[:place] + burdens[place + 1 :]).min())
        for place, burden in enumerate(burdens)
    ]
    return float(np.quantile(nearest, USUAL_SHARE))


def _table(own: Burden, twins: tuple[Twin, ...]) -> Table:
    outcomes = any(twin.months is not None for twin in twins)
    columns = ("case", "kind", "distance", *TITLES.values(), *(("what became of it",) if outcomes else ()))
    first = (Cell("this case"), Cell(""), Cell(""), *_cells(own), *((Cell(""),) if outcomes else ()))
    rows = [first]
    for twin in twins:
        kind = "simulated" if twin.simulated else "own cohort"
        became = (Cell(twin.outcome or "not known"),) if outcomes else ()
        distance = Cell(f"{twin.distance:.2f}", twin.distance)
        rows.append((Cell(twin.name), Cell(kind), distance, *_cells(twin.burden), *became))
    wide = (*_WIDE, *((_WIDE_OUTCOME,) if outcomes else ()))
    return Table(columns, tuple(rows), numeric=tuple(range(2, 3 + len(TITLES))), wide=wide)


_WIDE = (1.6, 1.1, 0.9, 0.9, 0.9, 1.0, 0.9, 0.9)
_WIDE_OUTCOME = 3.4
"""Shares of the width; an outcome fits into one line."""


def _cells(burden: Burden) -> tuple[Cell, ...]:
    return (
        Cell(f"{burden.mtv_ml:.1f}", burden.mtv_ml),
        Cell(f"{burden.tlg_g:.0f}", burden.tlg_g),
        Cell("none" if burden.suv_max is None else f"{burden.suv_max:.1f}", burden.suv_max),
        Cell(str(burden.focal_lesions), burden.focal_lesions),
        Cell(f"{burden.marrow_suv:.2f}", burden.marrow_suv),
    )
