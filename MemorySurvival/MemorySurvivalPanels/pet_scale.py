"""What the rotating view of a PET depends on, and what its unit is in SUV as far as the panel knows."""

from typing import Any

from MemorySurvivalPanels.dicom_source import pet_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.pet_values import supplied_values
from MemorySurvivalPanels.volumes import ijk_to_world


def describe_content(parameters: ScoreParameters) -> tuple[Any, ...]:
    """What the rotating view is made of: another PET, other voxels, or another place make another one."""
    pet = parameters.pet
    try:
        place = ijk_to_world(pet, "PET").round(6).tobytes()
    except UserError as error:
        place = str(error).encode()
    try:
        supplied = repr(supplied_values(parameters))
    except UserError as error:
        supplied = str(error)
    return pet.GetID(), pet.GetImageData().GetMTime(), place, stated_scale(parameters), supplied


def stated_scale(parameters: ScoreParameters) -> float | None:
    """What the PET's unit is in SUV as far as the panel itself knows: 1 for a PET that counts as SUV, else None."""
    if parameters.pet is None:
        return None
    try:
        return 1.0 if pet_file(parameters.pet) is None else None
    except UserError:
        return None


def look_scale(parameters: ScoreParameters | None) -> float:
    """A scale for looking only, until the worker has told the unit: the highest value is shown as SUV 20."""
    if parameters is None or parameters.pet is None or parameters.pet.GetImageData() is None:
        return 1.0
    highest = parameters.pet.GetImageData().GetScalarRange()[1]
    return stated_scale(parameters) or (20.0 / highest if highest > 0 else 1.0)
