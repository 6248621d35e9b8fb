"""The panel put together from one .ui file a part, in the order of the work."""

from typing import Any

import slicer

from MemorySurvivalPanels import locations

PARTS = (
    "Case",
    "Covariates",
    "Reading",
    "Masks",
    "Model",
    "Score",
    "Result",
    "Explain",
    "Findings",
    "Report",
    "ReviewList",
    "ReaderStudy",
    "Prior",
    "Install",
)
"""Names of files in Resources/UI, from the top of the panel to its bottom."""


def load_panel() -> tuple[Any, Any]:
    """The panel's widget, and every named widget inside it as an attribute; their names are unique over all files."""
    panel = slicer.util.loadUI(str(locations.locate_resource("UI/MemorySurvival.ui")))
    for name in PARTS:
        part = slicer.util.loadUI(str(locations.locate_resource(f"UI/{name}.ui")))
        panel.layout().insertWidget(panel.layout().count() - 1, part)  # above the spacer
        part.setMRMLScene(slicer.mrmlScene)
    panel.setMRMLScene(slicer.mrmlScene)
    return panel, slicer.util.childWidgetVariables(panel)
