"""The group "PET values": opens when the tags lack something, marks what, and never carries a value to another PET."""

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_source import pet_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import ScoreParameters, Sex
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.pet_values import PET_VALUES, PetValue, read_value, typed

_MISSING = "border: 1px solid #c0392b; border-radius: 3px; padding: 1px 4px; font-weight: 600;"
_WRONG = "border: 1px solid #c0392b;"


class PetValuesPanel(Part):
    """Shows the seven fields, which SlicerParameterName binds; nothing is ever filled in here."""

    def __init__(self, desk: Desk) -> None:
        self._ui = desk.ui
        self._run_panel = desk.run_panel
        self._missing: frozenset[str] = frozenset()
        self._clearing = False

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and use `parameters` from now on."""
        self.parameters = parameters
        self._missing = frozenset()
        self._mark()

    def update(self) -> None:
        """Follow the chosen PET, and say so where values were cleared because they were typed for another."""
        if self.parameters is None or self._clearing:
            return
        cleared = self._keep_to_one_pet()
        try:
            usable = pet_file(self.parameters.pet) is not None
        except UserError:
            usable = False
        for value in PET_VALUES:
            self._field(value).enabled = usable
        self._mark()
        if cleared is not None:
            self._run_panel.show_note(cleared)

    def show_missing(self, fields: Sequence[str]) -> None:
        """Open the group and mark what the tags lack, until it is filled in or another PET is chosen."""
        self._missing = frozenset(fields)
        self._ui.petValuesSection.collapsed = False
        self._mark()
        for value in PET_VALUES:
            if value.field in self._missing:
                self._field(value).setFocus()
                return

    def _keep_to_one_pet(self) -> str | None:
        parameters = self.parameters
        pet = parameters.pet.GetID() if parameters.pet is not None else ""
        if pet == parameters.pet_values_of:
            return None
        filled = [value for value in PET_VALUES if typed(parameters, value) is not None]
        self._missing = frozenset()
        self._clearing = True
        try:
            with slicer.util.NodeModify(parameters.parameterNode):
                for value in filled:
                    setattr(parameters, value.parameter, Sex.TAGS if value.field == "sex" else "")
                parameters.pet_values_of = pet
        finally:
            self._clearing = False
        return _("The PET values were cleared, because they were given for another PET.") if filled else None

    def _mark(self) -> None:
        for value in PET_VALUES:
            missing = value.field in self._missing
            wrong = False
            if self.parameters is not None:
                try:
                    missing = read_value(self.parameters, value) is None and missing
                except UserError:
                    wrong = True
            getattr(self._ui, f"{value.widget}Label").styleSheet = _MISSING if missing else ""
            self._field(value).styleSheet = _WRONG if wrong else ""

    def _field(self, value: PetValue) -> Any:
        return getattr(self._ui, f"{value.widget}{'Combo' if value.field == 'sex' else 'Edit'}")
