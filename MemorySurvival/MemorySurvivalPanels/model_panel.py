"""The step "Model": which bundle scores the case, what it may show, its weights, the device, and the time it takes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels import locations
from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.bundle_card import describe_bundle, describe_rights, describe_status
from MemorySurvivalPanels.bundle_catalog import bundle_problem, find_bundle, replace_catalog
from MemorySurvivalPanels.covariate_values import describe_use
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.device_list import DeviceList
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.rebuild_panel import RebuildPanel
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.time_estimate import TimeEstimate
from MemorySurvivalPanels.weights_panel import WeightsPanel, choose_file


class ModelPanel(Part):
    """Offers the bundles that the library finds; until it has said so, and where that fails, the shipped ones."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._updating = False
        self._entered = False
        self._asked = False
        self._asked_file = ""
        self.choose: Callable[[Any, str, str], str] = choose_file
        replace_catalog([])
        self.devices = DeviceList(desk.ui.deviceCombo)
        self.weights = WeightsPanel(desk, self._weights_came)
        self.rebuild = RebuildPanel(desk, self.choose_new, self._weights_came)
        self.time = TimeEstimate(desk, desk.ui.modelTimeLabel)
        self.set_bundles([{"name": name} for name in locations.shipped_bundles()])
        desk.ui.bundleCombo.currentIndexChanged.connect(self._choose_bundle)
        desk.ui.bundleImportButton.clicked.connect(self._on_import)
        desk.run_panel.watch(self._show_idle)

    def enter(self) -> None:
        """Ask the library once which bundles and devices there are, which also warms the worker up."""
        self._entered = True
        self._ask()
        self.update()

    def leave(self) -> None:
        """Nobody looks: ask nothing."""
        self._entered = False

    def _ask(self) -> None:
        """Ask what is not known and was not asked."""
        if not self._asked:
            self._asked = True
            self.ask_for_bundles()
            listener = BackgroundAsk(self._take_devices)
            self._desk.worker().submit("devices", {}, listener, background=True)

    def ask_again(self) -> None:
        """What could not be asked before, for want of packages, is asked now."""
        self._asked = False
        if self._entered:
            self._ask()

    def close(self) -> None:
        """Ask nothing any more."""
        self.time.stop()

    def scene_closed(self) -> None:
        """The worker was ended with its questions, so they are asked again."""
        self._asked = False
        self.rebuild.scene_closed()
        self.time.stop()

    def update(self) -> None:
        """Show the chosen bundle, its weights, the devices and the time."""
        if self._updating:
            return
        self._updating = True
        try:
            self._ask_for_file()
            self._show_bundle()
            self._show_card()
            self.weights.show(self._chosen)
            self.rebuild.show(self.parameters)
            self.devices.update()
            self._show_device()
        finally:
            self._updating = False
        if self._entered:
            self.time.follow(self.parameters)

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and change `parameters` from now on."""
        if parameters is None:
            self.time.stop()
        elif self._entered:
            self._ask()
        super().bind(parameters)

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Model"."""
        return ui.modelSection, ui.modelNextLabel

    def step(self) -> Step | None:
        """Whether the bundle and the device can be used, and which head will score."""
        if self.parameters is None:
            return None
        if not self.parameters.bundle:
            return Step(StepState.TO_DO, _("Choose a model bundle."))
        problem = bundle_problem(self.parameters.bundle) or self.devices.problem(self.parameters.device)
        if problem is not None:
            return Step(StepState.ATTENTION, problem)
        return Step(StepState.DONE, describe_use(self.parameters))

    def ask_for_bundles(self) -> None:
        """Have the library list its bundles anew."""
        file = self._asked_file
        listener = BackgroundAsk(lambda result: self.take_bundles(result.get("bundles") or []))
        self._desk.worker().submit("bundles", {"file": file} if file else {}, listener)

    def take_bundles(self, bundles: Sequence[Mapping[str, Any]]) -> None:
        """Offer what the library's registry found."""
        found = [each for each in bundles if each.get("name")]
        if found:
            self.set_bundles(found)
            self._desk.changed()

    def set_bundles(self, bundles: Sequence[Mapping[str, Any]]) -> None:
        """Offer these; each shows its status where that is known."""
        combo = self._ui.bundleCombo
        was_updating, self._updating = self._updating, True
        try:
            replace_catalog([each for each in bundles if "damaged" in each])
            combo.clear()
            for each in bundles:
                combo.addItem(_title(each), str(each["name"]))
            self._show_bundle()
        finally:
            self._updating = was_updating

    def choose_new(self, name: str, bundles: Sequence[Mapping[str, Any]]) -> None:
        """Offer these bundles, and choose the one that has just come in."""
        self.take_bundles(bundles)
        if self.parameters is not None and name:
            self.parameters.bundle = name

    @property
    def _chosen(self) -> str:
        return self.parameters.bundle if self.parameters is not None else ""

    def _weights_came(self) -> None:
        """Weights are on this computer now."""
        self.ask_for_bundles()
        self.rebuild.ask()

    def _take_devices(self, result: Mapping[str, Any]) -> None:
        self.devices.set_devices(str(result.get("automatic") or ""), result.get("devices") or [])
        self._desk.changed()

    def _ask_for_file(self) -> None:
        """A scene or a script may name a bundle file elsewhere: have it looked at too."""
        chosen = self._chosen
        if self._entered and chosen != self._asked_file and find_bundle(chosen) is None and Path(chosen).is_file():
            self._asked_file = chosen
            self.ask_for_bundles()

    def _show_bundle(self) -> None:
        """Select the chosen bundle; a saved scene or a script may name one that is not in the list."""
        combo, chosen = self._ui.bundleCombo, self._chosen
        if chosen and combo.findData(chosen) < 0:
            there = Path(chosen).is_file()
            combo.addItem(Path(chosen).name if there else _("{name} (not installed)").format(name=chosen), chosen)
        combo.currentIndex = combo.findData(chosen)

    def _show_card(self) -> None:
        bundle = find_bundle(self._chosen)
        sound = bundle is not None and not bundle["damaged"]
        rights = "\n".join(describe_rights(bundle)) if sound else ""
        self._ui.bundleRightsLabel.text = rights
        self._ui.bundleRightsLabel.visible = bool(rights)
        self._ui.bundleCardSection.visible = sound
        if sound:
            about = "\n".join(describe_bundle(bundle))
            if self._ui.bundleAboutLabel.text != about:
                self._ui.bundleAboutLabel.text = about
                self._ui.bundleCard.markdown = bundle["card"]

    def _show_device(self) -> None:
        text = self.devices.describe_chosen(self.parameters.device) if self.parameters is not None else ""
        self._ui.deviceStateLabel.text = text
        self._ui.deviceStateLabel.visible = bool(text)

    def _show_idle(self) -> None:
        """Another job begins or ends."""
        self._ui.bundleImportButton.enabled = not self._desk.run_panel.running
        self.weights.show(self._chosen)
        self.rebuild.show(self.parameters)

    def _choose_bundle(self, *_ignored: Any) -> None:
        chosen = self._ui.bundleCombo.itemData(self._ui.bundleCombo.currentIndex) or ""
        if self.parameters is not None and not self._updating:
            self.parameters.bundle = chosen

    def _on_import(self, *_ignored: Any) -> None:
        kinds = _("Model bundles ({kinds})").format(kinds="*.msbundle")
        file = self.choose(self._ui.bundleImportButton, _("Import a model bundle"), kinds)
        if file and not self._desk.run_panel.running:
            ImportBundleJob(self._desk, self, file).start()


class ImportBundleJob(PanelJob):
    """Has a bundle file verified and copied, and chooses it."""

    kind = "import_bundle"

    def __init__(self, desk: Desk, panel: ModelPanel, file: str) -> None:
        super().__init__(desk)
        self._panel = panel
        self._file = file

    def describe(self, folder: Path) -> dict[str, Any]:
        """The file."""
        self.names = {self._file: Path(self._file).name}
        return {"file": self._file}

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Offer and choose it."""
        name = str(result.get("name") or "")
        self._panel.choose_new(name, result.get("bundles") or [])
        return _('The model bundle "{name}" was verified and taken in.').format(name=name)


def _title(bundle: Mapping[str, Any]) -> str:
    """The name, with the status where it adds something."""
    name, status = str(bundle["name"]), str(bundle.get("status") or "")
    shown = Path(name).name if Path(name).suffix == ".msbundle" else name
    if bundle.get("damaged"):
        return _("{name} (damaged)").format(name=shown)
    return f"{shown} ({describe_status(status)})" if status and status != name else shown
