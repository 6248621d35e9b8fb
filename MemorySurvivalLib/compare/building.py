"""Making tables of reference cases: from simulated patients, and from the user's own measured results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from MemorySurvivalLib.compare.burden import Burden, burden_of
from MemorySurvivalLib.compare.cohort import Cohort
from MemorySurvivalLib.compare.reference import ReferenceCase, ReferenceTable
from MemorySurvivalLib.compare.survival import Outcome
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.measure.lesion import LesionConfig
from MemorySurvivalLib.measure.measuring import measure_case
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.derive import derive_roi
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.simulation.anatomy import PHANTOM_VERSION
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case

SIMULATED_SEEDS = range(500_000, 500_060)
"""The simulated patients among whom the demonstration bundle places a new case."""
SIMULATED_SPACING_MM = (5.0, 5.0, 5.0)
REGIONS: tuple[RoiKind, ...] = ("spine_dilated", "skeleton")


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
