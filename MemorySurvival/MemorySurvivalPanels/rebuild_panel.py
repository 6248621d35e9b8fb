"""A demonstration model for weights that the user has, such as MedSAM2's: got, timed, asked about, made, chosen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.bundle_catalog import bundles_with
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.rebuild_jobs import EstimateJob, RebuildJob
from MemorySurvivalPanels.run_panel import describe_duration
from MemorySurvivalPanels.weights_panel import (
    WEIGHTS_FILTER,
    FetchJob,
    ImportJob,
    ask_about_licence,
    choose_file,
    describe_need,
)

Chosen = Callable[[str, Sequence[Mapping[str, Any]]], None]
"""Is told the name of a new bundle and the list of bundles as it is then."""


def ask_to_start(sentence: str) -> bool:
    """Show how long it takes; no is the default and what closing the dialog means."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(_("Make a demonstration model"))
    box.setTextFormat(qt.Qt.PlainText)
    box.setText(sentence)
    box.setInformativeText(
        _("Cancel stops it at any time, such as to score; started again, it goes on where it was, also another day.")
    )
    start = box.addButton(_("Start"), qt.QMessageBox.AcceptRole)
    refuse = box.addButton(_("Not now"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(refuse)
    box.setEscapeButton(refuse)
    box.exec_()
    return box.clickedButton() == start


def describe_estimate(estimate: Mapping[str, Any]) -> str:
    """What a person should know before it starts."""
    lines = [
        _("{n} simulated patients, about {time} on {device}.").format(
            n=estimate["cases"], time=describe_duration(estimate["seconds"]), device=estimate["device"]
        )
    ]
    if estimate["done"]:
        lines.append(_("{n} of them are there from an earlier time.").format(n=estimate["done"]))
    lines.append(
        _("{n} MB stay on this computer, in {folder}").format(n=round(estimate["disk_mb"]), folder=estimate["folder"])
    )
    lines.append(_("The model's heads learn from simulated patients alone: SIMULATED MODEL stands beside its numbers."))
    return "\n".join(lines)


class RebuildPanel:
    """The group "A model for other weights", which asks nothing before it is unfolded.

    `ask_licence`, `ask_start` and `choose` may be exchanged. `chosen` is told when a model was made, `came` is called
    when weights have come in.
    """

    def __init__(self, desk: Desk, chosen: Chosen, came: Callable[[], None]) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._chosen = chosen
        self._came = came
        self._parameters: ScoreParameters | None = None
        self._needs: tuple[Mapping[str, Any], ...] = ()
        self._asked = False
        self.ask_licence: Callable[[Mapping[str, Any], bool], bool] = ask_about_licence
        self.ask_start: Callable[[str], bool] = ask_to_start
        self.choose: Callable[[Any, str, str], str] = choose_file
        ui.rebuildSection.contentsCollapsed.connect(self._on_folded)
        ui.rebuildWeightsCombo.currentIndexChanged.connect(self._on_chosen)
        ui.rebuildFetchButton.clicked.connect(self._on_fetch)
        ui.rebuildImportButton.clicked.connect(self._on_import)
        ui.rebuildButton.clicked.connect(self._on_rebuild)
        self._show()

    def show(self, parameters: ScoreParameters | None) -> None:
        """Show where the chosen weights stand."""
        self._parameters = parameters
        self._show()

    def scene_closed(self) -> None:
        """The worker was ended with its questions, so they are asked again."""
        self._asked = False
        self._ask()

    def ask(self) -> None:
        """Have the library list the weights anew."""
        self._asked = False
        self._ask()

    def take_weights(self, needs: Sequence[Mapping[str, Any]]) -> None:
        """Offer these, the chosen ones again where they are among them."""
        before = self._need
        self._needs = tuple(each for each in needs if each.get("sha256"))
        combo = self._ui.rebuildWeightsCombo
        combo.clear()
        for each in self._needs:
            combo.addItem(str(each["name"]), str(each["sha256"]))
        if before is not None and combo.findData(str(before["sha256"])) >= 0:
            combo.currentIndex = combo.findData(str(before["sha256"]))
        self._show()

    def start(self, sha256: str, cases: int) -> None:
        """Make the model, or go on with it."""
        RebuildJob(self._desk, sha256, cases, self._device, self._chosen).start()

    @property
    def _device(self) -> str:
        return self._parameters.device.value if self._parameters is not None else "auto"

    @property
    def _need(self) -> Mapping[str, Any] | None:
        sha256 = self._ui.rebuildWeightsCombo.itemData(self._ui.rebuildWeightsCombo.currentIndex)
        return next((each for each in self._needs if each["sha256"] == sha256), None)

    def _ask(self) -> None:
        if self._asked or self._ui.rebuildSection.collapsed:
            return
        self._asked = True
        listener = BackgroundAsk(lambda result: self.take_weights(result.get("weights") or []))
        self._desk.worker().submit("weights", {}, listener, background=True)

    def _show(self) -> None:
        need, ui = self._need, self._ui
        idle = not self._desk.run_panel.running
        present = need is not None and need["state"] == "present"
        ui.rebuildStateLabel.text = self._describe(need) if need is not None else ""
        ui.rebuildStateLabel.visible = bool(ui.rebuildStateLabel.text)
        ui.rebuildFetchButton.visible = need is not None and not present and bool(need.get("url"))
        ui.rebuildImportButton.visible = need is not None and not present
        ui.rebuildFetchButton.enabled = ui.rebuildImportButton.enabled = idle
        ui.rebuildCasesSpin.enabled = present and idle
        ui.rebuildButton.enabled = present and idle

    def _describe(self, need: Mapping[str, Any]) -> str:
        said = describe_need(need)
        made = bundles_with(str(need["sha256"]))
        if made:
            return said + " " + _("There is a model for them: {names}.").format(names=", ".join(made))
        return said

    def _on_folded(self, *_ignored: Any) -> None:
        self._ask()

    def _on_chosen(self, *_ignored: Any) -> None:
        self._show()

    def _on_fetch(self, *_ignored: Any) -> None:
        need = self._need
        if need is None or self._desk.run_panel.running or not self.ask_licence(need, True):
            return
        if self._need == need and not self._desk.run_panel.running:
            FetchJob(self._desk, need, self._came).start()

    def _on_import(self, *_ignored: Any) -> None:
        need = self._need
        if need is None or self._desk.run_panel.running:
            return
        title = _("Import the weights {name}").format(name=need["name"])
        file = self.choose(self._ui.rebuildImportButton, title, _("Weights ({kinds})").format(kinds=WEIGHTS_FILTER))
        if not file or (need.get("licence") and not self.ask_licence(need, False)):
            return
        if self._need == need and not self._desk.run_panel.running:
            ImportJob(self._desk, need, file, self._came).start()

    def _on_rebuild(self, *_ignored: Any) -> None:
        need = self._need
        if need is not None and not self._desk.run_panel.running:
            sha256, cases = str(need["sha256"]), int(self._ui.rebuildCasesSpin.value)
            EstimateJob(self._desk, sha256, cases, self._device, self._offer).start()

    def _offer(self, sha256: str, cases: int, estimate: Mapping[str, Any]) -> None:
        """The time is known: ask, and start. A model that is there already is only chosen."""
        agreed = estimate.get("made") or self.ask_start(describe_estimate(estimate))
        if agreed and not self._desk.run_panel.running:
            self.start(sha256, cases)
