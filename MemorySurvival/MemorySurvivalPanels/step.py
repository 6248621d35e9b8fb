"""Where a step of the work stands, and the header that says so."""

import enum
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _


class StepState(enum.Enum):
    """The five states that a step can be in."""

    TO_DO = "to do"
    BUSY = "busy"
    DONE = "done"
    ATTENTION = "needs attention"
    STALE = "stale"

    def label(self) -> str:
        """The word beside the step's title, with a sign for those who do not see the colours."""
        return {
            StepState.TO_DO: _("○ to do"),
            StepState.BUSY: _("… under way"),
            StepState.DONE: _("✓ done"),
            StepState.ATTENTION: _("⚠ needs attention"),
            StepState.STALE: _("↻ stale"),
        }[self]


@dataclass(frozen=True)
class Step:
    """A state and one sentence: what is the matter, or what this step will do next."""

    state: StepState
    sentence: str = ""


class StepHeader:
    """Shows a step in the title of its section and in the line below it."""

    def __init__(self, section: Any, label: Any) -> None:
        self._section = section
        self._label = label
        self._title = section.text

    def show(self, step: Step | None) -> None:
        """Show where the step stands; None shows the title alone."""
        title = self._title if step is None else f"{self._title}   {step.state.label()}"
        sentence = "" if step is None else step.sentence
        if self._section.text != title:
            self._section.text = title
        if self._label.text != sentence:
            self._label.text = sentence
        self._label.visible = bool(sentence)
