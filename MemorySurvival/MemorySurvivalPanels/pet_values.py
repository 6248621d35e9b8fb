"""What the user states about a PET whose tags do not: read from the fields, checked, and kept with that PET alone."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.dicom_source import pet_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import ScoreParameters, Sex

_BQ_PER_MBQ = 1e6


@dataclass(frozen=True)
class PetValue:
    """A value that can be supplied: the library's name for it, the parameter, the widgets' name, and how it is read."""

    field: str
    parameter: str
    widget: str
    read: Callable[[Any], Any]


def _number(factor: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if re.search(r",\d{3}$", text):  # 1,071: a thousand and more, or one and little? Not guessed at.
            raise ValueError(text)
        return float(text.replace(",", ".")) * factor

    return read


def _time(text: str) -> str:
    return text


def _sex(chosen: Sex) -> str:
    return chosen.value


PET_VALUES = (
    PetValue("dose_bq", "pet_dose_mbq", "petDose", _number(_BQ_PER_MBQ)),
    PetValue("injection_time", "pet_injected", "petInjected", _time),
    PetValue("scan_time", "pet_scanned", "petScanned", _time),
    PetValue("half_life_s", "pet_half_life_s", "petHalfLife", _number(1.0)),
    PetValue("weight_kg", "pet_weight_kg", "petWeight", _number(1.0)),
    PetValue("height_m", "pet_height_m", "petHeight", _number(1.0)),
    PetValue("sex", "pet_sex", "petSex", _sex),
)


def typed(parameters: ScoreParameters, value: PetValue) -> Any:
    """What the user typed or chose; None for nothing."""
    content = getattr(parameters, value.parameter)
    if isinstance(content, Sex):
        return None if content is Sex.TAGS else content
    return content.strip() or None


def read_value(parameters: ScoreParameters, value: PetValue) -> Any:
    """One value in the library's units; None for nothing. Raises UserError with one sentence."""
    from MemorySurvivalLib.errors import InputError
    from MemorySurvivalLib.imaging.suv_supplied import QUESTIONS, Supplied

    content = typed(parameters, value)
    if content is None:
        return None
    try:
        read = value.read(content)
        Supplied(**{value.field: read})
    except (ValueError, InputError) as error:
        question = QUESTIONS[value.field]
        raise UserError(
            _('PET values: "{content}" cannot be the {what}; write it as in {example}.').format(
                content=content, what=question.words, example=question.example.strip('"')
            )
        ) from error
    return read


def supplied_values(parameters: ScoreParameters) -> dict[str, Any]:
    """The values that the user stated, in the library's names and units; empty where the tags speak alone.

    A PET that is taken from its volume is in SUV already, so nothing is stated about it. Raises UserError.
    """
    if not any(typed(parameters, value) is not None for value in PET_VALUES) or pet_file(parameters.pet) is None:
        return {}
    values = {value.field: read_value(parameters, value) for value in PET_VALUES}
    return {field: value for field, value in values.items() if value is not None}
