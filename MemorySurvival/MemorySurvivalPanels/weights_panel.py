"""The weights that a bundle needs: whether they are there, and two ways to get them with consent to the licence."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.bundle_catalog import find_bundle, missing_weights
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.device_list import describe_bytes
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.worker_protocol import Failure, Progress

_MEGABYTE = 1_000_000
WEIGHTS_FILTER = "*.pt *.pth *.safetensors"


def ask_about_licence(need: Mapping[str, Any], fetch: bool) -> bool:
    """Show licence, address, size and restriction; no is the default and what closing the dialog means."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(_("Licence of the weights"))
    box.setTextFormat(qt.Qt.PlainText)
    box.setText(describe_licence(need))
    box.setInformativeText(_("Your consent, with the date, is recorded beside the weights on this computer."))
    accept = box.addButton(_("Accept and fetch") if fetch else _("Accept and import"), qt.QMessageBox.AcceptRole)
    refuse = box.addButton(_("Cancel"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(refuse)
    box.setEscapeButton(refuse)
    box.exec_()
    return box.clickedButton() == accept


def describe_licence(need: Mapping[str, Any]) -> str:
    """Everything that a person should know before agreeing."""
    lines = [
        _("{name}, {size}").format(name=need["name"], size=describe_bytes(need.get("size_bytes"))),
        _("From: {url}").format(url=need.get("url")),
        _("Licence: {licence} ({text})").format(licence=need.get("licence"), text=need.get("licence_url")),
        _("Use: {restriction}").format(restriction=need.get("restriction")),
    ]
    return "\n".join(lines)


def choose_file(parent: Any, title: str, kinds: str) -> str:
    """Ask for a file; empty where none was chosen."""
    return str(qt.QFileDialog.getOpenFileName(parent, title, "", kinds) or "")


class WeightsPanel:
    """A line and two buttons; `ask_licence` and `choose` may be exchanged. `done` is called when weights came in."""

    def __init__(self, desk: Desk, done: Callable[[], None]) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._done = done
        self._bundle = ""
        self.ask_licence: Callable[[Mapping[str, Any], bool], bool] = ask_about_licence
        self.choose: Callable[[Any, str, str], str] = choose_file
        desk.ui.weightsFetchButton.clicked.connect(self._on_fetch)
        desk.ui.weightsImportButton.clicked.connect(self._on_import)

    def show(self, bundle: str) -> None:
        """Show what `bundle` needs."""
        self._bundle = bundle
        need, missing = (find_bundle(bundle) or {}).get("weights"), missing_weights(bundle)
        idle = not self._desk.run_panel.running
        self._ui.weightsLabel.text = describe_need(need) if need else ""
        self._ui.weightsLabel.visible = bool(self._ui.weightsLabel.text)
        self._ui.weightsFetchButton.visible = missing is not None and bool(missing.get("url"))
        self._ui.weightsImportButton.visible = missing is not None
        self._ui.weightsFetchButton.enabled = self._ui.weightsImportButton.enabled = idle

    def _on_fetch(self, *_ignored: Any) -> None:
        need = missing_weights(self._bundle)
        if need is None or not need.get("url") or self._desk.run_panel.running or not self.ask_licence(need, True):
            return
        if missing_weights(self._bundle) == need and not self._desk.run_panel.running:
            FetchJob(self._desk, need, self._done).start()

    def _on_import(self, *_ignored: Any) -> None:
        need = missing_weights(self._bundle)
        if need is None or self._desk.run_panel.running:
            return
        title = _("Import the weights {name}").format(name=need["name"])
        file = self.choose(self._ui.weightsImportButton, title, _("Weights ({kinds})").format(kinds=WEIGHTS_FILTER))
        if not file or (need.get("licence") and not self.ask_licence(need, False)):
            return
        if missing_weights(self._bundle) == need and not self._desk.run_panel.running:
            ImportJob(self._desk, need, file, self._done).start()


def describe_need(need: Mapping[str, Any]) -> str:
    """One line: which weights, and whether they are there."""
    if need["state"] == "bundled":
        return _("Weights: inside the bundle ({name}).").format(name=need["name"])
    size = describe_bytes(need.get("size_bytes"))
    state = {
        "present": _("on this computer"),
        "absent": _("not on this computer ({size})").format(size=size) if size else _("not on this computer"),
        "damaged": _("damaged; get them again"),
    }[need["state"]]
    return _("Weights: {name}, {state}.").format(name=need["name"], state=state)


class FetchJob(PanelJob):
    """Downloads the weights; cancelled or interrupted, the next time goes on where it stopped."""

    kind = "weights_fetch"

    def __init__(self, desk: Desk, need: Mapping[str, Any], done: Callable[[], None]) -> None:
        super().__init__(desk)
        self._need = need
        self._done = done

    def describe(self, folder: Path) -> dict[str, Any]:
        """The release and the licence that was accepted."""
        return {"name": self._need["name"], "licence": self._need["licence"]}

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """The bundle can be used."""
        self._done()
        return _("The weights {name} are ready.").format(name=self._need["name"])

    def start(self) -> None:
        """Hand the job to the worker; the first answer of a network may take a while."""
        super().start()
        if self.desk.run_panel.running:
            self.desk.run_panel.show_progress(Progress(_("Connecting"), 0, 0, None))

    def job_progressed(self, progress: Progress) -> None:
        """Bytes are shown as megabytes."""
        if progress.stage.startswith("download"):
            title = _("Fetching {name}, MB").format(name=self._need["name"])
            megabytes = (progress.done // _MEGABYTE, max(progress.total // _MEGABYTE, 1))
            progress = Progress(title, *megabytes, progress.eta_s)
        super().job_progressed(progress)

    def job_failed(self, failure: Failure) -> None:
        """Name the way without a network in the place of the command line's options."""
        hint = _("Check the network, or get the file on another computer and take it with Import a file.")
        said, _semicolon, advice = failure.sentence.rpartition(";")
        sentence = f"{said}." if "memory-survival" in advice and said else failure.sentence
        super().job_failed(Failure(f"{sentence} {hint}", failure.kind, failure.details, failure.log))


class ImportJob(FetchJob):
    """Takes the weights from a file whose hash is the bundle's."""

    kind = "weights_import"

    def __init__(self, desk: Desk, need: Mapping[str, Any], file: str, done: Callable[[], None]) -> None:
        super().__init__(desk, need, done)
        self._file = file

    def describe(self, folder: Path) -> dict[str, Any]:
        """The file and what it has to be."""
        need = self._need
        return {"file": self._file, "sha256": need["sha256"], "name": need["name"], "licence": need.get("licence")}

    def job_failed(self, failure: Failure) -> None:
        """The library's sentence says it all."""
        PanelJob.job_failed(self, failure)
