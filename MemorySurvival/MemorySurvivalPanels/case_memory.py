"""Choices that belong to a case: they go when another CT and PET are chosen, and come back with them."""

import enum
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.scored_cases import CT, PET

CASE = "MemorySurvival.Case"
"""Attribute of the hidden node that holds one case's choices; its value is their version."""

OF_A_CASE = (
    "roi",
    "segment_id",
    "covariates",
    "covariate_values",
    "covariate_values_of",
    "staging_values",
    "mask_file",
    "score_without_accepting",
    "pet_dose_mbq",
    "pet_injected",
    "pet_scanned",
    "pet_half_life_s",
    "pet_weight_kg",
    "pet_height_m",
    "pet_sex",
    "pet_values_of",
    "heatmap",
)
"""Fields of the parameter node that say something about one patient; model, device and habits stay as they are."""


class CaseMemory(Part):
    """Keeps the choices of every case of the scene apart. It has to come before all parts that show choices.

    A choice that was changed together with the images, as a script does it, is kept.
    """

    def __init__(self) -> None:
        self._images: tuple[str, str] = ("", "")
        self._last: dict[str, Any] = {}
        self._switching = False

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Take what is chosen for the choices of the chosen case."""
        self._images, self._last = ("", ""), {}
        super().bind(parameters)

    def scene_closed(self) -> None:
        """No case is left."""
        self._images, self._last = ("", ""), {}

    def update(self) -> None:
        """Remember what is chosen, or bring the choices of another case back."""
        if self.parameters is None or self._switching:
            return
        images = chosen_images(self.parameters)
        before = self._images
        if images != before and all(images):
            self._images = images
            if all(before):
                self._switch(same_ct=images[0] == before[0])
        self._last = self._read()
        if all(images):
            remember(self.parameters, self._last)

    def _switch(self, *, same_ct: bool) -> None:
        """Another case is chosen: its choices come back; a new case has none, but another PET leaves the CT's."""
        parameters, known = self.parameters, find_case(self.parameters)
        if known is None and same_ct:
            return
        now, self._switching = self._read(), True
        try:
            with slicer.util.NodeModify(parameters.parameterNode):
                for name, value in now.items():
                    # Another value than at the last look was chosen in the same breath as the images.
                    if _same(value, self._last.get(name)):
                        self._write(name, recall(known, name, value))
        finally:
            self._switching = False

    def _read(self) -> dict[str, Any]:
        return {name: getattr(self.parameters, name) for name in fields_of_a_case(self.parameters)}

    def _write(self, name: str, value: Any) -> None:
        if not _same(getattr(self.parameters, name), value):
            setattr(self.parameters, name, value)


def fields_of_a_case(parameters: ScoreParameters) -> list[str]:
    """Those of OF_A_CASE that the parameter node has."""
    return [name for name in OF_A_CASE if name in parameters.allParameters]


def chosen_images(parameters: ScoreParameters) -> tuple[str, str]:
    """Identifiers of the chosen CT and PET, empty where there is none."""
    ct, pet = parameters.ct, parameters.pet
    return ("" if ct is None else ct.GetID(), "" if pet is None else pet.GetID())


def find_case(parameters: ScoreParameters) -> slicer.vtkMRMLScriptedModuleNode | None:
    """The node with the choices of the chosen CT and PET, if there is one."""
    images = chosen_images(parameters)
    for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
        if node.GetAttribute(CASE) is not None and _images_of(node) == images:
            return node
    return None


def remember(parameters: ScoreParameters, choices: dict[str, Any]) -> None:
    """Write the choices of the chosen case into its node, which is made when first needed."""
    node = find_case(parameters)
    if node is None:
        # Adding a node lets selectors of the scene choose anew, so the images are looked up before.
        ct, pet = parameters.ct, parameters.pet
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetName(_("Choices for {ct}").format(ct=ct.GetName()))
        node.SetAttribute(CASE, "1")
        node.SetHideFromEditors(True)
        node = slicer.mrmlScene.AddNode(node)
        node.SetUndoEnabled(ct.GetUndoEnabled() and pet.GetUndoEnabled())
        node.SetNodeReferenceID(CT, ct.GetID())
        node.SetNodeReferenceID(PET, pet.GetID())
    with slicer.util.NodeModify(node):
        for name, value in choices.items():
            if value is None or isinstance(value, slicer.vtkMRMLNode):
                wanted = None if value is None else value.GetID()
                if node.GetNodeReferenceID(name) != wanted:
                    node.SetNodeReferenceID(name, wanted)
            elif node.GetParameter(name) != _text(value):
                node.SetParameter(name, _text(value))


def recall(node: slicer.vtkMRMLScriptedModuleNode | None, name: str, like: Any) -> Any:
    """A remembered choice, of the type of `like`; what an empty case has where nothing is remembered."""
    if like is None or isinstance(like, slicer.vtkMRMLNode):
        return None if node is None else node.GetNodeReference(name)
    text = "" if node is None else node.GetParameter(name) or ""
    if isinstance(like, enum.Enum):
        choices = type(like)
        return choices[text] if text in choices.__members__ else next(iter(choices))
    return text == "True" if isinstance(like, bool) else text


def _images_of(node: slicer.vtkMRMLScriptedModuleNode) -> tuple[str, str]:
    found = [node.GetNodeReference(role) for role in (CT, PET)]
    return ("" if found[0] is None else found[0].GetID(), "" if found[1] is None else found[1].GetID())


def _text(value: Any) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, slicer.vtkMRMLNode) and isinstance(other, slicer.vtkMRMLNode):
        return one.GetID() == other.GetID()
    return one == other
