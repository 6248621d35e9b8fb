"""The dialog "Export": who is named, which files and DICOM objects, and where they go."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import locations
from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.report_choices import (
    IDENTIFIED,
    NONE,
    PSEUDONYM,
    ExportChoices,
    ExportFacts,
    describe_export,
    describe_identity,
    describe_objects,
)
from MemorySurvivalPanels.report_nodes import NodesDialog

WIDE = 100
"""Letters in a line of the window."""
NEEDS_DICOM = ("seg", "sr", "pm")


def ask_to_replace(folder: str) -> bool:
    """Ask whether an earlier export may be replaced; no is the default and what closing means."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(_("Replace the folder?"))
    box.setText(_("{folder} holds something already.").format(folder=folder))
    box.setInformativeText(_("An earlier export in it is replaced as a whole; anything else is left alone."))
    yes = box.addButton(_("Replace"), qt.QMessageBox.AcceptRole)
    no = box.addButton(_("Keep"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(no)
    box.setEscapeButton(no)
    box.exec_()
    return box.clickedButton() == yes


class ExportDialog:
    """Asks everything in one window. `start` is given the choices and whether an earlier export may be replaced."""

    def __init__(
        self,
        desk: Desk,
        facts: ExportFacts,
        choices: ExportChoices,
        start: Callable[[ExportChoices, bool], None],
    ) -> None:
        self._desk = desk
        self._facts = facts
        self._start = start
        self._nodes: list[dict[str, Any]] = []
        self._wanted_node = choices.node
        self._closed = False
        self.ask_to_replace = ask_to_replace
        self.nodes_dialog: NodesDialog | None = None
        form = slicer.util.loadUI(str(locations.locate_resource("UI/Export.ui")))
        self.ui = ui = slicer.util.childWidgetVariables(form)
        self.window = qt.QDialog(desk.ui.exportButton.window())
        self.window.setWindowTitle(_("Export"))
        self._layout = qt.QVBoxLayout(self.window)
        self._layout.addWidget(form)
        self.window.resize(WIDE * form.fontMetrics().averageCharWidth(), 0)
        self._radios = {
            NONE: ui.exportNoneRadio,
            PSEUDONYM: ui.exportPseudonymRadio,
            IDENTIFIED: ui.exportIdentifiedRadio,
        }
        self._formats = {
            "html": ui.exportHtmlCheck,
            "pdf": ui.exportPdfCheck,
            "json": ui.exportJsonCheck,
            "csv": ui.exportCsvCheck,
        }
        self._objects = {
            "seg": ui.exportSegCheck,
            "sr": ui.exportSrCheck,
            "pm": ui.exportPmCheck,
            "pdf": ui.exportPdfObjectCheck,
            "sc": ui.exportScCheck,
        }
        for title, name in ((_("A4"), "a4"), (_("Letter"), "letter")):
            ui.exportPaperCombo.addItem(title, name)
        ui.exportResearchLabel.text = _("Research use only, not a medical device")
        self._fill(choices)
        self._connect()
        self._show_nodes()
        self._ask_for_nodes()

    def show(self) -> None:
        """Show the window; it blocks the panel below it, not the program."""
        self.window.open()

    def close(self) -> None:
        """Take the window away."""
        self._closed = True
        if self.nodes_dialog is not None:
            self.nodes_dialog.close()
        self.window.close()

    def choices(self) -> ExportChoices:
        """What is chosen now."""
        ui = self.ui
        return ExportChoices(
            identity=next((name for name, radio in self._radios.items() if radio.checked), NONE),
            pseudonym=ui.exportPseudonymEdit.text.strip() if ui.exportPseudonymRadio.checked else "",
            formats=tuple(name for name, box in self._formats.items() if box.checked),
            objects=tuple(name for name, box in self._objects.items() if box.checked and box.enabled),
            paper=str(ui.exportPaperCombo.itemData(ui.exportPaperCombo.currentIndex)),
            volumes=ui.exportVolumesCheck.checked,
            tables=ui.exportTablesCheck.checked and ui.exportTablesCheck.enabled,
            record=ui.exportRecordCheck.checked,
            scene=ui.exportSceneCheck.checked and ui.exportFolderCheck.checked,
            leave_head_out=ui.exportHeadCheck.checked,
            parent=str(Path(ui.exportFolderEdit.text).parent) if ui.exportFolderEdit.text.strip() else "",
            to_folder=ui.exportFolderCheck.checked,
            folder=ui.exportFolderEdit.text.strip(),
            node=str(ui.exportNodeCombo.itemData(ui.exportNodeCombo.currentIndex) or ""),
            token=ui.exportTokenEdit.text.strip(),
        )

    def _fill(self, choices: ExportChoices) -> None:
        ui, facts = self.ui, self._facts
        identity = NONE if choices.identity == IDENTIFIED and not facts.dicom else choices.identity
        for name, radio in self._radios.items():
            radio.checked = name == identity
        ui.exportIdentifiedRadio.enabled = facts.dicom
        for name, box in self._formats.items():
            box.checked = name in choices.formats
        for name, box in self._objects.items():
            box.checked = name in choices.objects
            box.enabled = (facts.dicom or name not in NEEDS_DICOM) and (facts.heatmap or name != "pm")
        ui.exportObjectsLabel.text = describe_objects(facts)
        ui.exportObjectsLabel.visible = bool(ui.exportObjectsLabel.text)
        ui.exportPaperCombo.currentIndex = max(ui.exportPaperCombo.findData(choices.paper), 0)
        ui.exportVolumesCheck.checked = choices.volumes
        ui.exportTablesCheck.checked = choices.tables
        ui.exportTablesCheck.enabled = facts.measured
        ui.exportRecordCheck.checked = choices.record
        ui.exportSceneCheck.checked = choices.scene
        ui.exportHeadCheck.checked = choices.leave_head_out
        ui.exportFolderCheck.checked = choices.to_folder
        parent = choices.parent or str(Path.home())
        ui.exportFolderEdit.text = str(Path(parent) / time.strftime("MemorySurvival-export-%Y%m%d-%H%M%S"))

    def _connect(self) -> None:
        ui = self.ui
        for button in (*self._radios.values(), *self._formats.values(), *self._objects.values()):
            button.toggled.connect(self._update)
        data = (ui.exportVolumesCheck, ui.exportTablesCheck, ui.exportRecordCheck, ui.exportSceneCheck)
        for button in (*data, ui.exportHeadCheck, ui.exportFolderCheck):
            button.toggled.connect(self._update)
        for edit in (ui.exportFolderEdit, ui.exportPseudonymEdit):
            edit.textChanged.connect(self._update)
        for combo in (ui.exportNodeCombo, ui.exportPaperCombo):
            combo.activated.connect(self._update)
        ui.exportBrowseButton.clicked.connect(self._on_browse)
        ui.exportNodesButton.clicked.connect(self._on_nodes)
        ui.exportCancelButton.clicked.connect(lambda *_ignored: self.close())
        ui.exportStartButton.clicked.connect(self._on_start)

    def _update(self, *_ignored: Any) -> None:
        """Show what the choices mean, and whether they can be exported."""
        ui, choices = self.ui, self.choices()
        ui.exportPseudonymEdit.enabled = choices.identity == PSEUDONYM
        ui.exportIdentityLabel.text = describe_identity(choices.identity, self._facts)
        ui.exportPaperCombo.enabled = bool({"pdf"} & {*choices.formats, *choices.objects})
        for widget in (ui.exportFolderEdit, ui.exportBrowseButton):
            widget.enabled = choices.to_folder
        node = self._node(choices.node)
        web = node is not None and node["kind"] == "dicomweb"
        ui.exportTokenCaption.visible = ui.exportTokenEdit.visible = web
        title = choices.node if node is None else f"{node['name']} ({node['address']})"
        ui.exportSummaryLabel.text = describe_export(choices, self._facts, title)
        problem = choices.problem(self._facts)
        if not problem and self._desk.run_panel.running:
            problem = _("Wait until the job that is under way has ended.")
        ui.exportProblemLabel.text = problem
        ui.exportProblemLabel.visible = bool(problem)
        ui.exportStartButton.enabled = not problem
        self._fit()
        qt.QTimer.singleShot(0, self._fit)  # texts that wrap anew have their height only then

    def _fit(self) -> None:
        """Make the window high enough for its texts; never lower than the user made it."""
        if self._closed:
            return
        self._layout.activate()
        needed = self._layout.totalHeightForWidth(self.window.width)
        if needed > self.window.height:
            self.window.resize(self.window.width, needed)

    def _node(self, name: str) -> Mapping[str, Any] | None:
        return next((each for each in self._nodes if each["name"] == name), None)

    def _ask_for_nodes(self) -> None:
        ask = BackgroundAsk(
            lambda result: self.take_nodes(result.get("nodes") or []), lambda sentence: self._say(sentence)
        )
        self._desk.worker().submit("nodes", {}, ask, background=True)

    def take_nodes(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """These are the nodes that there are."""
        if self._closed:
            return
        self._nodes = [dict(each) for each in nodes]
        self._show_nodes()

    def _show_nodes(self) -> None:
        combo = self.ui.exportNodeCombo
        wanted = str(combo.itemData(combo.currentIndex) or "") or self._wanted_node
        combo.clear()
        combo.addItem(_("nowhere"), "")
        for node in self._nodes:
            combo.addItem(f"{node['name']} ({node['address']})", node["name"])
        combo.currentIndex = max(combo.findData(wanted), 0)
        self._update()

    def _say(self, sentence: str) -> None:
        if not self._closed:
            self.ui.exportProblemLabel.text = sentence
            self.ui.exportProblemLabel.visible = True

    def _on_browse(self, *_ignored: Any) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(self.window, _("Make the folder in"))
        if chosen:
            name = Path(self.ui.exportFolderEdit.text.strip() or "MemorySurvival-export").name
            self.ui.exportFolderEdit.text = str(Path(str(chosen)) / name)

    def _on_nodes(self, *_ignored: Any) -> None:
        self.nodes_dialog = NodesDialog(self._desk, self.window, self._nodes, self.take_nodes)
        self.nodes_dialog.show()

    def _on_start(self, *_ignored: Any) -> None:
        choices = self.choices()
        if choices.problem(self._facts) or self._desk.run_panel.running:
            self._update()
            return
        overwrite = False
        if choices.to_folder and _is_occupied(Path(choices.folder)):
            if not self.ask_to_replace(choices.folder):
                return
            overwrite = True
        self.close()
        self._start(choices, overwrite)


def forget_patient(choices: ExportChoices) -> ExportChoices:
    """The choices without what belongs to one patient or one moment."""
    return replace(choices, pseudonym="", token="", folder="")


def _is_occupied(path: Path) -> bool:
    try:
        return path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError:
        return False  # whoever writes there will say what is wrong
