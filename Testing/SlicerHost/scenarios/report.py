"""The step "Report" of a scored case: the dialog "Export", the nodes, and what an export wrote and sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Wait = Callable[[Callable[[], bool]], None]
Save = Callable[[str, Any], None]


def fill_dialog(widget: Any, folder: Path, node: str = "") -> Any:
    """Open the dialog of a scored case and choose page, PDF, masks and key images; its widgets."""
    widget.ui.exportButton.click()
    ui = widget.parts.report.dialog.ui
    for box in (ui.exportPdfCheck, ui.exportSegCheck, ui.exportSrCheck, ui.exportScCheck):
        box.checked = box.enabled
    ui.exportFolderEdit.text = str(folder)
    if node:
        ui.exportNodeCombo.currentIndex = ui.exportNodeCombo.findData(node)
        ui.exportNodeCombo.activated.emit(ui.exportNodeCombo.currentIndex)
    return ui


def photograph_report(
    widget: Any, wait: Wait, save: Save, folder: Path, nodes: list[Mapping[str, Any]] | None = None
) -> None:
    """Pictures of the dialog, of the nodes, and of the section afterwards; the real worker exports into `folder`.

    `save` takes a name and the widget to picture; `nodes` are shown as if they were defined.
    """
    widget.ui.reportSection.collapsed = False
    ui = fill_dialog(widget, folder)
    report = widget.parts.report
    if nodes:
        report.dialog.take_nodes(nodes)
    save("export-dialog", report.dialog.window)
    ui.exportNodesButton.click()
    report.dialog.nodes_dialog.ui.nodesList.setCurrentRow(0)
    save("export-nodes", report.dialog.nodes_dialog.window)
    report.dialog.nodes_dialog.close()
    ui.exportStartButton.click()
    wait(lambda: not widget.parts.run_panel.running)
    save("export-done", widget.ui.reportSection)
