"""How much work an explanation would be: asked in the background when the controls have rested for a moment."""

from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.explain_job import EstimateJob, HandedCase
from MemorySurvivalPanels.explain_settings import explanation_settings
from MemorySurvivalPanels.explain_texts import describe_estimate
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.scored_inputs import read_inputs

DELAY_MS = 700
"""How long the controls must rest before an estimate is asked for."""


class Estimates:
    """Shows the estimate for what is chosen, and on the button how much of it an earlier run has finished.

    `wanted` hands out the parameters, or None while there is nothing to estimate.
    """

    def __init__(self, desk: Desk, handed: HandedCase, wanted: Callable[[], ScoreParameters | None]) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._handed = handed
        self._wanted = wanted
        self._asked_for: Any = None
        self._job: EstimateJob | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._ask)

    def want(self) -> None:
        """Ask soon, unless the estimate that is shown or under way is of what is chosen; cheap."""
        key = self._key()
        if key is None:
            self._timer.stop()
        elif key != self._asked_for:
            self._job = None
            self._show(None)
            self._timer.start(DELAY_MS)

    def forget(self) -> None:
        """What was known may not hold any more: ask anew when there is something to estimate."""
        self._asked_for = self._job = None
        self._show(None)

    def stop(self) -> None:
        """Ask no more for now."""
        self._timer.stop()

    def _key(self) -> Any:
        parameters = self._wanted()
        if parameters is None:
            return None
        chosen = parameters.device.value, parameters.allow_other_roi
        return read_inputs(parameters).as_json(), explanation_settings(parameters), chosen

    def _ask(self) -> None:
        key, parameters = self._key(), self._wanted()
        if key is None or key == self._asked_for:
            return
        self._asked_for = key
        try:
            job = self._handed.job(parameters)
        except UserError:
            return  # a click on Explain says it
        self._job = EstimateJob(self._take)
        self._ui.estimateLabel.text = _("Estimating…")
        self._ui.estimateLabel.visible = True
        self._desk.worker().submit(EstimateJob.kind, job, self._job, background=True)

    def _take(self, job: EstimateJob, estimate: Mapping[str, Any] | None) -> None:
        if job is self._job:  # else something else is chosen by now
            self._job = None
            self._show(estimate)

    def _show(self, estimate: Mapping[str, Any] | None) -> None:
        estimate = estimate or {}
        patches, done = estimate.get("patches") or 0, estimate.get("resumable") or 0
        self._ui.estimateLabel.text = describe_estimate(estimate)
        self._ui.estimateLabel.toolTip = str(estimate.get("how") or _("How much work this explanation would be"))
        self._ui.estimateLabel.visible = bool(self._ui.estimateLabel.text)
        self._ui.explainButton.text = (
            _("Resume ({n} of {m} patches done)").format(n=done, m=patches) if 0 < done < patches else _("Explain")
        )
