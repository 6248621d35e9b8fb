"""The simulated patient of `make demo`, whom other figures look at too."""

from __future__ import annotations

from MemorySurvivalLib.simulation.patient import draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase, simulate_patient, with_ct_spacing

SCENARIO, SEED = "main", 6


def simulate_demo_patient(spacing_mm: tuple[float, float, float]) -> ScenarioCase:
    """Images as that patient's hospital makes them, on CT voxels of `spacing_mm` (x, y, z)."""
    return simulate_patient(with_ct_spacing(draw_patient(load_scenario(SCENARIO), SEED, 0), spacing_mm))
