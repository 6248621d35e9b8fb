"""Tables of reference cases with their measured burden and, where known, what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.compare.burden import Burden, burden_of
from MemorySurvivalLib.compare.cohort import Cohort
from MemorySurvivalLib.compare.survival import Outcome
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.measure.lesion import LesionConfig
from MemorySurvivalLib.measure.measuring import measure_case
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.resources import locate_resource
from MemorySurvivalLib.roi.derive import derive_roi
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.simulation.anatomy import PHANTOM_VERSION
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case

SCHEMA = "memory-survival-reference"
SCHEMA_VERSION = 1
Origin = Literal["simulated", "cohort"]

SHIPPED = "Reference/simulated.json"
SIMULATED_SEEDS = range(500_000, 500_060)
"""The simulated patients among whom the demonstration bundle places a new case."""
SIMULATED_SPACING_MM = (5.0, 5.0, 5.0)
REGIONS: tuple[RoiKind, ...] = ("spine_dilated", "skeleton")


@dataclass(frozen=True)
class ReferenceCase:
    """One reference case: its burden by the kind of region it was measured in, and its outcome where known.

    `event` is true where it ended in progression or death, false where it was followed for `months` without. `images`
    is a hash of CT and PET, so that a case is never its own twin; empty where there is none. Raises InputError for an
    outcome that cannot be.
    """

    name: str
    burdens: Mapping[str, Burden]
    months: float | None = None
    event: bool | None = None
    images: str = ""

    def __post_init__(self) -> None:
        if (self.months is None) != (self.event is None):
            raise InputError(f"The reference case {self.name} needs both months and event, or neither.")
        if self.months is not None and not self.months >= 0:
            raise InputError(f"The reference case {self.name} has {self.months} months; give zero or more.")


@dataclass(frozen=True)
class ReferenceTable:
    """Reference cases that were all measured the same way. Raises InputError where two have one name."""

    title: str
    origin: Origin
    how: str
    lesion_config: LesionConfig
    cases: tuple[ReferenceCase, ...]
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION
    version: str = __version__
    research_use: str = RESEARCH_USE

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        if len(set(names)) != len(names):
            raise InputError(f"The reference table {self.title!r} names a case twice; give each its own name.")

    def measured_in(self, region: str) -> tuple[ReferenceCase, ...]:
        """The cases that were measured in this kind of region."""
        return tuple(case for case in self.cases if region in case.burdens)

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def write(self, path: Path) -> None:
        """Write the table whole or not at all. Raises OutputError."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(self.as_json())


def read_reference(path: Path) -> ReferenceTable:
    """Read a table. Raises InputError with one sentence for a file that is none."""
    try:
        table = msgspec.json.decode(path.read_bytes(), type=ReferenceTable)
    except (OSError, msgspec.DecodeError, InputError) as error:
        raise InputError(
            f"{path} is no table of reference cases ({error}); make one with `memory-survival twins build`."
        ) from error
    if (table.schema, table.schema_version) != (SCHEMA, SCHEMA_VERSION):
        raise InputError(
            f"{path} is {table.schema} {table.schema_version} and this version reads {SCHEMA} {SCHEMA_VERSION}; make "
            "it anew with `memory-survival twins build`."
        )
    return table


def read_shipped() -> ReferenceTable:
    """The simulated cases that come along."""
    return read_reference(locate_resource(SHIPPED))


def measure_simulated(simulated: SimulatedCase) -> dict[str, Burden]:
    """Segment and measure a simulated patient as a real one would be, in every kind of region."""
    # The segmenter's morphology packages load only when it runs.
    from MemorySurvivalLib.roi.automatic import segment_case

    case = make_case(simulated.ct, simulated.pet, "CT", "PET")
    structures = segment_case(case.ct)
    regions = {kind: derive_roi(structures, kind, grid=case.ct) for kind in REGIONS}
    return {kind: _rounded(burden_of(measure_case(case, structures, roi).record)) for kind, roi in regions.items()}


def simulate_reference(
    seeds: Sequence[int] = SIMULATED_SEEDS,
    spacing_mm: tuple[float, float, float] = SIMULATED_SPACING_MM,
    progress: ProgressCallback = ignore_progress,
    measure: Callable[[SimulatedCase], dict[str, Burden]] = measure_simulated,
) -> ReferenceTable:
    """Simulate and measure the patients of these seeds; equal seeds give equal tables."""
    cases = []
    for seed in track(seeds, "simulate", len(seeds), progress):
        simulated = simulate_case(seed, spacing_mm=spacing_mm)
        truth = simulated.truth
        cases.append(ReferenceCase(f"simulated {seed}", measure(simulated), truth.time_months, truth.event))
    size = " x ".join(f"{mm:g}" for mm in spacing_mm)
    return ReferenceTable(
        title="simulated patients",
        origin="simulated",
        how=f"{len(cases)} phantoms of version {PHANTOM_VERSION}, CT voxels {size} mm, built-in segmenter",
        lesion_config=LesionConfig(),
        cases=tuple(cases),
    )


def table_from_cohort(cohort: Cohort, title: str) -> tuple[ReferenceTable, tuple[str, ...]]:
    """A table of the user's own measured results, numbered instead of named, and sentences on what was left out.

    Of several results of the same images the newest counts. All have to be measured by the same lesion settings: those
    of most cases; others are left out, and so are simulated patients. Raises InputError where nothing remains.
    """
    measured = [
        (case, case.record.measurements)
        for case in cohort.cases
        if case.record.measurements is not None and not case.record.simulated_case
    ]
    if not measured:
        raise InputError("No result of a real patient in this folder was measured; score with --measure first.")
    configs = Counter(measurements.lesion_config for _, measurements in measured)
    config = configs.most_common(1)[0][0]
    alike = [(case, one) for case, one in measured if one.lesion_config == config]
    burdens: dict[str, dict[str, Burden]] = {}
    outcomes: dict[str, Outcome] = {}
    for case, one in sorted(alike, key=lambda pair: pair[0].record.created):
        burdens.setdefault(case.images, {})[one.roi.name] = burden_of(one)
        if case.outcome is not None:
            outcomes[case.images] = case.outcome
    cases = tuple(
        ReferenceCase(
            f"case {number}",
            by_region,
            outcomes[images].months if images in outcomes else None,
            outcomes[images].event if images in outcomes else None,
            images,
        )
        for number, (images, by_region) in enumerate(burdens.items(), start=1)
    )
    left_out = []
    if len(cohort.cases) > len(measured):
        left_out.append(f"{len(cohort.cases) - len(measured)} results that are simulated or were not measured.")
    if len(measured) > len(alike):
        left_out.append(f"{len(measured) - len(alike)} results that were measured with other lesion settings.")
    if len(alike) > len(cases):
        left_out.append(f"{len(alike) - len(cases)} results of images that another result stands for.")
    table = ReferenceTable(title, "cohort", f"{len(cases)} measured cases", config, cases)
    return table, tuple(left_out)


def _rounded(burden: Burden) -> Burden:
    """Five significant digits: the table is read by people too."""
    suv_max = None if burden.suv_max is None else _digits(burden.suv_max)
    return replace(
        burden,
        mtv_ml=_digits(burden.mtv_ml),
        tlg_g=_digits(burden.tlg_g),
        suv_max=suv_max,
        marrow_suv=_digits(burden.marrow_suv),
    )


def _digits(value: float) -> float:
    return float(f"{value:.5g}")
