"""How to explain: from what the user chose to the part "explanation" of a job."""

from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import ScoreParameters

LARGEST_MM = 500.0
"""The library takes no larger patch."""


def explanation_settings(parameters: ScoreParameters) -> dict[str, Any]:
    """Patch, stride, fill, modalities and whether to look coarsely first; None leaves a choice to the model bundle.

    Raises UserError where the stride is larger than the patch, which would leave gaps.
    """
    patch, stride = millimetres(parameters.explain_patch_mm), millimetres(parameters.explain_stride_mm)
    if patch is not None and stride is not None and stride > patch:
        raise UserError(_("The stride is larger than the patch, which would leave gaps; choose a smaller stride."))
    return {
        "patch_mm": patch,
        "stride_mm": stride,
        "fill": parameters.explain_fill.value or None,
        "modalities": parameters.explain_images.value.split(",") if parameters.explain_images.value else None,
        "coarse": parameters.explain_quick,
    }


def score_settings(parameters: ScoreParameters) -> dict[str, Any]:
    """The same for a scoring run that explains itself; it has no coarse look and occludes what the bundle says."""
    if not parameters.explain:
        return {"patch_mm": None, "stride_mm": None, "fill": None}
    settings = explanation_settings(parameters)
    return {name: settings[name] for name in ("patch_mm", "stride_mm", "fill")}


def millimetres(text: str) -> float | None:
    """A length as the parameter node keeps it, in C locale; None for what is no length."""
    try:
        length = float(text)
    except ValueError:
        return None
    return length if 0 < length <= LARGEST_MM else None
