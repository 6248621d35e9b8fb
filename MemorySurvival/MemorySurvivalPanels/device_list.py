"""The list of devices: what "Automatic" takes, what is free, and why a device cannot be chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.covariate_values import decimal_sign
from MemorySurvivalPanels.parameters import Device

_FLAGS_ROLE = int(qt.Qt.UserRole) - 1
"""Where a combo box's own model keeps an item's flags."""

_SELECTABLE_AND_ENABLED = 1 | 32
_GIGABYTE = 1e9


class DeviceList:
    """Names and greys out the items of the combo box, whose choice SlicerParameterName binds."""

    def __init__(self, combo: Any) -> None:
        self._combo = combo
        self._states: dict[str, Mapping[str, Any]] = {}
        self._automatic = ""

    def set_devices(self, automatic: str, devices: Sequence[Mapping[str, Any]]) -> None:
        """Know what the worker's computer has (the job `devices`)."""
        self._automatic = automatic
        self._states = {str(each["name"]): each for each in devices}
        self.update()

    def update(self) -> None:
        """Name the items; binding the parameters makes them anew."""
        if not self._states:
            return
        for index, device in enumerate(Device):
            if index >= self._combo.count:
                return
            state = self._states.get(device.value)
            usable = state is None or bool(state["available"])
            self._combo.setItemText(index, self.describe(device))
            self._combo.setItemData(index, _SELECTABLE_AND_ENABLED if usable else 0, _FLAGS_ROLE)
            self._combo.setItemData(index, "" if state is None else str(state["reason"]), qt.Qt.ToolTipRole)

    def describe(self, device: Device) -> str:
        """Such as "Automatic: Processor (CPU)" or "NVIDIA graphics card (CUDA): 8.1 GB free"."""
        if device is Device.AUTO:
            taken = next((each for each in Device if each.value == self._automatic), None)
            return device.label() if taken is None else f"{device.label()}: {taken.label()}"
        state = self._states.get(device.value)
        if state is None:
            return device.label()
        if not state["available"]:
            return _("{device}: not here").format(device=device.label())
        free = describe_bytes(state["free_bytes"])
        return _("{device}: {free} free").format(device=device.label(), free=free) if free else device.label()

    def describe_chosen(self, device: Device) -> str:
        """The hardware behind the choice and its free memory, in a line; empty while nothing is known."""
        state = self._states.get(self._automatic if device is Device.AUTO else device.value)
        if state is None:
            return ""
        if not state["available"]:
            return str(state["reason"])
        free, total = describe_bytes(state["free_bytes"]), describe_bytes(state["total_bytes"])
        memory = _("{free} of {total} free").format(free=free, total=total) if free and total else total
        return ", ".join(each for each in (str(state["title"]), memory) if each)

    def problem(self, device: Device) -> str | None:
        """Why the chosen device cannot be used, as a sentence."""
        state = self._states.get(device.value)
        if state is None or state["available"]:
            return None
        return _("{reason} Choose another device under Model.").format(reason=state["reason"])


def describe_bytes(count: Any) -> str:
    """Such as "8.1 GB", with the user's decimal sign; empty where it is not known."""
    if not isinstance(count, int | float) or count <= 0:
        return ""
    return _("{n} GB").format(n=f"{count / _GIGABYTE:.1f}".replace(".", decimal_sign()))
