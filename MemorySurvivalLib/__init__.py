"""MemorySurvival: survival risk from the memory states of a SAM 2 model run over FDG-PET/CT."""

import os

# Torch's CPU threads spin while they wait for each other. Beside anything else that computes (a viewer, a second
# worker) every slice then takes many times as long; sleeping instead costs little when the machine is idle. The
# variable is read once, when torch loads, so it must be set before anything here imports it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

RESEARCH_USE = "Research use only, not a medical device"
"""The sentence that stands on every page, panel and file the project makes."""
