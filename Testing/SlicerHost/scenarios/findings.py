"""The step "Findings" brought into the states that are worth a picture; the case has to be scored and measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WaitCallback = Callable[[Callable[[], bool]], None]
"""Lets the event loop run until something is so."""

LABORATORY = {
    "beta2_microglobulin_mg_l": "4.2",
    "albumin_g_l": "36",
    "ldh_u_l": "210",
    "ldh_upper_limit_u_l": "250",
}
FISH = {"del_17p": "no", "t_4_14": "no", "t_14_16": "no", "gain_1q": "yes"}
OWN_ANSWERS = {"lytic_group": "1-3", "extramedullary_deauville": "none"}
OWN_PLACES = {"fractures": "none", "paramedullary": "none", "extramedullary": "none"}


def type_values(widget: Any, values: dict[str, str]) -> None:
    """Give staging values as a person does."""
    editors = widget.parts.findings.staging.editors
    for name, text in values.items():
        if hasattr(editors[name], "findData"):
            editors[name].currentIndex = editors[name].findData(text)
        else:
            editors[name].text = text


def answer_open_items(widget: Any) -> None:
    """Answer what the measurements cannot tell, and what they did not tell here."""
    form = widget.parts.findings.form
    for key, answer in OWN_ANSWERS.items():
        combo = form.row(key).combo
        combo.currentIndex = next(index for index in range(combo.count) if combo.itemText(index) == answer)
    for key, place in OWN_PLACES.items():
        form.row(key).boxes[place].checked = True


def tick_all(widget: Any) -> None:
    """Confirm every item that has an answer, one by one."""
    from MemorySurvivalLib.clinical.impetus import KEYS

    for key in KEYS:
        widget.parts.findings.form.row(key).tick.checked = True


def photograph_findings(widget: Any, wait: WaitCallback, photograph: Callable[[str], None]) -> None:
    """Pictures of the suggestions, of answers half confirmed, and of the signed reading with its staging scores.

    `photograph` takes the panel under a name.
    """
    import qt

    ui = widget.ui
    ui.findingsSection.collapsed = False
    wait(lambda: ui.findingsFrame.visible)
    photograph("findings-suggested")
    type_values(widget, LABORATORY)
    answer_open_items(widget)
    widget.parts.findings.form.row("lytic_group").tick.checked = True
    photograph("findings-answered")
    type_values(widget, FISH)
    tick_all(widget)
    table = ui.findingsLesionTable
    for row in range(table.rowCount):
        table.item(row, 0).setCheckState(qt.Qt.Checked)
    ui.findingsReaderEdit.text = "Dr A. Example"
    ui.findingsSignButton.click()
    ui.stagingGroup.collapsed = False
    photograph("findings-signed")
