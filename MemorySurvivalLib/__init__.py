"""MemorySurvival: survival risk from the memory states of a SAM 2 model run over FDG-PET/CT."""

__version__ = "0.1.0"

RESEARCH_USE = "Research use only, not a medical device"
"""The sentence that stands on every page, panel and file the project makes."""
