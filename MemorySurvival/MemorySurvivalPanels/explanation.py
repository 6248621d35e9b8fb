"""What is known of a heatmap, kept on its volume node to be saved with the scene: numbers, hotspots, sisters."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import slicer

ATTRIBUTE = "MemorySurvival.Explanation"
LABEL_ATTRIBUTE = "MemorySurvival.Label"
CT_ROLE = "MemorySurvival.CT"
"""Node reference from a heatmap to the CT that it lies on; Slicer keeps it right when a scene is read again."""

FUSED, PET, CT, AGREEMENT, GRADIENT = "fused", "PET", "CT", "agreement", "gradient"
MAP_FILES = {
    FUSED: "heatmap",
    PET: "heatmap_PET",
    CT: "heatmap_CT",
    AGREEMENT: "agreement",
    GRADIENT: "gradient",
}
"""The maps of one explanation, and the worker's names of their files."""

_DEFAULT_HIDDEN_SHARE = 0.04
"""Of the range: what is hidden where a heatmap does not know its noise floor, as heatmaps of a scoring run."""


@dataclass(frozen=True)
class Explanation:
    """One explanation. Effects are changes of log-risk; the scale runs from -limit to +limit for every patient.

    `noise_floor` is None where it was not found; `threshold` is what the user set, None for the floor. `below_noise`
    says that the user chose to see effects below the floor. `hotspots` (position_lps_mm, site, effect, share,
    volume_ml, number) are None where they were not looked for; an empty list says that nothing is above noise.
    `inputs` is what it was made from (ScoredInputs as plain values); empty where that stands with the result.
    """

    limit: float
    noise_floor: float | None = None
    label: str = ""
    log_risk: float | None = None
    unit: str = ""
    meaning: str = ""
    fill: str = ""
    patch_mm: float | None = None
    stride_mm: float | None = None
    modalities: tuple[str, ...] = ()
    patches: int | None = None
    coarse: bool = False
    hotspots: tuple[Mapping[str, Any], ...] | None = None
    whole_roi_effect: float | None = None
    summed_effect: float | None = None
    outside: tuple[Mapping[str, Any], ...] = ()
    organs_unknown: tuple[str, ...] = ()
    fill_agreement: float | None = None
    summary: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    below_noise: bool = False
    opacity: float = 0.7

    @property
    def floor(self) -> float:
        """The least effect that may be shown without saying so."""
        if self.noise_floor is None:
            return _DEFAULT_HIDDEN_SHARE * self.limit
        return min(max(self.noise_floor, 0.0), self.limit)

    @property
    def shown_from(self) -> float:
        """Smaller effects are transparent now."""
        threshold = self.floor if self.threshold is None else self.threshold
        least = 0.0 if self.below_noise else self.floor
        return min(max(threshold, least), self.limit)

    def changed(self, **values: Any) -> "Explanation":
        """The same with other values."""
        return replace(self, **values)


def explanation_of_result(result: Mapping[str, Any], inputs: Mapping[str, Any] | None = None) -> Explanation:
    """From what a job hands out: the part "heatmap" of a result, with its label and log-risk."""
    told = dict(result.get("heatmap") or {})
    found = _known(told)
    limit = found.get("limit")
    found["limit"] = float(limit) if isinstance(limit, int | float) and limit > 0 else 1.0
    if "noise_floor" not in told:  # a scoring run of an older library has no hotspots above noise either
        found["hotspots"] = None
    log_risk = result.get("log_risk")
    found |= {"label": str(result.get("label") or ""), "inputs": dict(inputs or {})}
    found["log_risk"] = float(log_risk) if isinstance(log_risk, int | float) else None
    return Explanation(**found)


def attach(node: slicer.vtkMRMLScalarVolumeNode, explanation: Explanation) -> None:
    """Write an explanation to a heatmap's node; nothing happens where it says so already."""
    text = json.dumps(asdict(explanation))
    if node.GetAttribute(ATTRIBUTE) != text:
        node.SetAttribute(ATTRIBUTE, text)
    if node.GetAttribute(LABEL_ATTRIBUTE) != explanation.label:
        node.SetAttribute(LABEL_ATTRIBUTE, explanation.label)


def read_explanation(node: slicer.vtkMRMLNode | None) -> Explanation | None:
    """What a node says; None where it is no heatmap. A heatmap of an older scene says less."""
    if node is None:
        return None
    text = node.GetAttribute(ATTRIBUTE)
    if text is None:
        return _older_heatmap(node) if node.GetAttribute(LABEL_ATTRIBUTE) is not None else None
    try:
        found = _known(json.loads(text))
        return Explanation(**found) if found["limit"] > 0 else None
    except (ValueError, TypeError, AttributeError, KeyError):  # edited by hand
        return _older_heatmap(node)


def link_ct(node: slicer.vtkMRMLNode, ct: slicer.vtkMRMLNode) -> None:
    """Remember the CT that a heatmap lies on."""
    if ct.GetScene() is not None:
        node.SetNodeReferenceID(CT_ROLE, ct.GetID())


def link_sisters(nodes: Mapping[str, slicer.vtkMRMLNode]) -> None:
    """Have the maps of one explanation ("fused", "PET", ...) know each other."""
    for node in nodes.values():
        for name, other in nodes.items():
            node.SetNodeReferenceID(_sister_role(name), other.GetID())


def sisters(node: slicer.vtkMRMLNode | None) -> dict[str, slicer.vtkMRMLNode]:
    """The maps of the same explanation that are still in the scene, the node itself among them."""
    if node is None:
        return {}
    found = {name: node.GetNodeReference(_sister_role(name)) for name in MAP_FILES}
    there = {name: each for name, each in found.items() if each is not None}
    return there or {FUSED: node}


def _sister_role(name: str) -> str:
    return f"MemorySurvival.Map.{name}"


def _older_heatmap(node: slicer.vtkMRMLNode) -> Explanation | None:
    display = node.GetDisplayNode() if node.IsA("vtkMRMLScalarVolumeNode") else None
    limit = display.GetWindowLevelMax() if display is not None else 0
    return Explanation(limit=limit, label=node.GetAttribute(LABEL_ATTRIBUTE) or "") if limit > 0 else None


def _known(told: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version knows; lists become tuples, so that two explanations can be compared."""
    names = Explanation.__dataclass_fields__
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in told.items()
        if name in names and not (value is None and name != "noise_floor")
    }
