"""What every part of the panel is to the widget that holds them together."""

from typing import Any

from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.step import Step


class Part:
    """One section of the panel. The widget binds all of them to a parameter node and has them show what it says.

    `bind` is called with None when there is no scene to work on; `update` after every change of a parameter or of a
    chosen image, and when a part says that things changed; it has to be cheap. `close` is called once, at the very end.
    """

    parameters: ScoreParameters | None = None

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and change these parameters from now on."""
        self.parameters = parameters
        self.update()

    def update(self) -> None:
        """Show what is so now."""

    def enter(self) -> None:
        """The user opens the module; the part is bound."""

    def leave(self) -> None:
        """The user opens another module; the part is about to be unbound."""

    def step(self) -> Step | None:
        """Where this part of the work stands; None where it is not a step."""
        return None

    def close(self) -> None:
        """Let go of observers, shortcuts, timers and views."""

    def scene_closed(self) -> None:
        """The nodes are gone; forget what was about them."""

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section and the label in which the step is shown; None where it is not a step."""
        return None
