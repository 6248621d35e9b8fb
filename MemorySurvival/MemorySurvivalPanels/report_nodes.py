"""The dialog "Nodes": DICOM nodes are defined, checked and forgotten."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import locations
from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.desk import Desk

_DIMSE, _WEB = "dimse", "dicomweb"
_OUR_AET = "MEMSURV"


def ask_to_replace_node(name: str) -> bool:
    """Ask whether a node of the same name may be replaced; no is the default and what closing means."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(_("Replace the node?"))
    box.setText(_('There is a node "{name}" already.').format(name=name))
    yes = box.addButton(_("Replace"), qt.QMessageBox.AcceptRole)
    no = box.addButton(_("Keep"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(no)
    box.setEscapeButton(no)
    box.exec_()
    return box.clickedButton() == yes


class NodesDialog:
    """Shows the nodes; `changed` is given them whenever they are others. The worker keeps and checks them."""

    def __init__(
        self,
        desk: Desk,
        parent: Any,
        nodes: Sequence[Mapping[str, Any]],
        changed: Callable[[Sequence[Mapping[str, Any]]], None],
    ) -> None:
        self._desk = desk
        self._changed = changed
        self._nodes = [dict(each) for each in nodes]
        self._closed = False
        self.ask_to_replace = ask_to_replace_node
        form = slicer.util.loadUI(str(locations.locate_resource("UI/Nodes.ui")))
        self.ui = ui = slicer.util.childWidgetVariables(form)
        self.window = qt.QDialog(parent)
        self.window.setWindowTitle(_("DICOM nodes"))
        qt.QVBoxLayout(self.window).addWidget(form)
        self.window.resize(80 * form.fontMetrics().averageCharWidth(), 0)
        ui.nodesKindCombo.addItem(_("DICOM (C-STORE)"), _DIMSE)
        ui.nodesKindCombo.addItem(_("DICOMweb (STOW-RS)"), _WEB)
        ui.nodesPortEdit.setValidator(qt.QIntValidator(1, 65535, ui.nodesPortEdit))
        ui.nodesCallingEdit.text = _OUR_AET
        ui.nodesKindCombo.activated.connect(self._show_kind)
        ui.nodesList.currentRowChanged.connect(self._show_node)
        ui.nodesSaveButton.clicked.connect(self._on_save)
        ui.nodesRemoveButton.clicked.connect(self._on_remove)
        ui.nodesCheckButton.clicked.connect(self._on_check)
        ui.nodesCloseButton.clicked.connect(lambda *_ignored: self.close())
        self._list()
        self._show_kind()
        self._say("")

    def show(self) -> None:
        """Show the window."""
        self.window.open()

    def close(self) -> None:
        """Take the window away."""
        self._closed = True
        self.window.close()

    def _kind(self) -> str:
        return str(self.ui.nodesKindCombo.itemData(self.ui.nodesKindCombo.currentIndex))

    def _list(self, name: str = "") -> None:
        self.ui.nodesList.clear()
        for node in self._nodes:
            self.ui.nodesList.addItem(f"{node['name']}: {node['address']}")
        rows = [row for row, node in enumerate(self._nodes) if node["name"] == name]
        if rows:
            self.ui.nodesList.setCurrentRow(rows[0])
        self._show_buttons()

    def _chosen(self) -> Mapping[str, Any] | None:
        row = self.ui.nodesList.currentRow
        return self._nodes[row] if 0 <= row < len(self._nodes) else None

    def _show_buttons(self) -> None:
        for button in (self.ui.nodesCheckButton, self.ui.nodesRemoveButton):
            button.enabled = self._chosen() is not None

    def _show_kind(self, *_ignored: Any) -> None:
        ui, web = self.ui, self._kind() == _WEB
        for widget in (ui.nodesUrlCaption, ui.nodesUrlEdit):
            widget.visible = web
        for name in ("Host", "Port", "Called", "Calling"):
            for part in ("Caption", "Edit"):
                getattr(ui, f"nodes{name}{part}").visible = not web
        ui.nodesTlsCheck.visible = not web

    def _show_node(self, *_ignored: Any) -> None:
        """Put the chosen node into the fields."""
        self._show_buttons()
        ui, node = self.ui, self._chosen()
        if node is None:
            return
        ui.nodesNameEdit.text = node["name"]
        ui.nodesKindCombo.currentIndex = ui.nodesKindCombo.findData(node["kind"])
        ui.nodesHostEdit.text = str(node.get("host") or "")
        ui.nodesPortEdit.text = str(node.get("port") or "")
        ui.nodesCalledEdit.text = str(node.get("called_aet") or "")
        ui.nodesCallingEdit.text = str(node.get("calling_aet") or _OUR_AET)
        ui.nodesUrlEdit.text = str(node.get("url") or "")
        tls = node.get("tls") or {}
        ui.nodesCaEdit.text = str(tls.get("ca_file") or "")
        ui.nodesTlsCheck.checked = node.get("tls") is not None
        self._show_kind()

    def _described(self) -> dict[str, Any]:
        """The node in the fields, as the library has it."""
        ui = self.ui
        name, authority = ui.nodesNameEdit.text.strip(), ui.nodesCaEdit.text.strip()
        tls = {"ca_file": authority or None} if authority or ui.nodesTlsCheck.checked else None
        if self._kind() == _WEB:
            tls = {"ca_file": authority} if authority else None
            return {"kind": _WEB, "name": name, "url": ui.nodesUrlEdit.text.strip(), "tls": tls}
        port = ui.nodesPortEdit.text.strip()
        return {
            "kind": _DIMSE,
            "name": name,
            "host": ui.nodesHostEdit.text.strip(),
            "port": int(port) if port.isdigit() else 0,
            "called_aet": ui.nodesCalledEdit.text.strip(),
            "calling_aet": ui.nodesCallingEdit.text.strip(),
            "tls": tls,
        }

    def _on_save(self, *_ignored: Any) -> None:
        node = self._described()
        known = any(each["name"].casefold() == node["name"].casefold() for each in self._nodes)
        if known and not self.ask_to_replace(node["name"]):
            return
        self._ask("save_node", {"node": node, "replace": known}, lambda result: self._take(result, node["name"]))

    def _on_remove(self, *_ignored: Any) -> None:
        node = self._chosen()
        if node is not None:
            self._ask("remove_node", {"name": node["name"]}, lambda result: self._take(result, ""))

    def _on_check(self, *_ignored: Any) -> None:
        node = self._chosen()
        if node is not None:
            self._say(_("Asking {node}…").format(node=node["name"]))
            answers = _("{node} answers.").format(node=node["name"])
            self._ask("check_node", {"name": node["name"]}, lambda result: self._say(answers))

    def _ask(self, job: str, parameters: dict[str, Any], done: Callable[[Mapping[str, Any]], None]) -> None:
        def answered(result: Mapping[str, Any]) -> None:
            if not self._closed:
                done(result)

        self._desk.worker().submit(job, parameters, BackgroundAsk(answered, self._say), background=True)

    def _take(self, result: Mapping[str, Any], name: str) -> None:
        self._nodes = [dict(each) for each in result["nodes"]]
        self._list(name)
        self._say("")
        self._changed(self._nodes)

    def _say(self, sentence: str) -> None:
        if not self._closed:
            self.ui.nodesMessageLabel.text = sentence
            self.ui.nodesMessageLabel.visible = bool(sentence)
