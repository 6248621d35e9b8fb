"""A person who clicks everything in any order: a seeded crawler over the panel."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from crawl_worker import CrawlWorker

TEXTS = ("", "70", "1,82", "1.82", "abc", "12:30", "-5", "1e99", "nan", "2024-02-30", "6586,2", "ä ß", " ")
RELOADS = 2
"""More would be a test of importing."""

UNTOUCHED = ("saveButton", "reviewFolderButton")  # these only open a dialog of Qt's for a folder


class Crawler:
    """Does `steps` things in an order that the seed decides, and writes each down in `trace`."""

    def __init__(self, panel: Any, seed: int, folder: Path, slot_errors: list[BaseException]) -> None:
        self.dice = random.Random(seed)
        self._slot_errors = slot_errors
        self.panel = panel
        self.worker = CrawlWorker(self.dice)
        self.trace: list[str] = []
        self._folder = folder
        self._saved = self._reloads = 0
        self._actions: list[tuple[Callable[[], str], int]] = [
            (self._work, 30),
            (self._press_button, 30),
            (self._choose, 10),
            (self._choose_node, 12),
            (self._type, 4),
            (self._turn, 3),
            (self._fold, 3),
            (self._pick_row, 4),
            (self._press_key, 5),
            # Also while another module is open:
            (self._delete_node, 4),
            (self._add_case, 3),
            (self._edit_node, 5),
            (self._transform, 2),
            (self._go_elsewhere, 3),
            (self._close_scene, 1),
            (self._save_and_open, 1),
            (self._reload, 1),
        ]
        self._elsewhere = {action for action, _weight in self._actions[9:]}
        """What goes on while another module is open."""
        self._take_over()
        panel.representation.select()
        self._add_case()

    @property
    def widget(self) -> Any:
        """The panel as it is now: a reload makes another."""
        import slicer

        return slicer.modules.MemorySurvivalWidget

    def crawl(self, steps: int) -> None:
        """Do so many things; AssertionError where the panel says that it runs while nobody works."""
        actions, weights = zip(*self._actions, strict=True)
        for number in range(steps):
            action = self.dice.choices(actions, weights)[0]
            if not self.panel.representation.isEntered and action not in self._elsewhere:
                action = self._go_elsewhere if self.dice.random() < 0.1 else self._work
            self.trace.append(f"{number} {action.__name__[1:]}: ")
            told = action()
            self.trace[-1] += told
            self._let_events_happen()
            assert not self._slot_errors, "an exception in a slot"
            parts = self.widget.parts
            assert not parts.run_panel.running or self.worker.busy, "running, but nobody works"
            assert not parts.explain.running or self._explaining(), "explaining, but nobody works"

    def _let_events_happen(self) -> None:
        self.panel.application.processEvents()
        importlib.import_module("slicer_host.loading").delete_now()

    def _explaining(self) -> bool:
        jobs = [*self.worker.waiting, *self.worker.background, *([self.worker.running] if self.worker.running else [])]
        return any(job.kind == "explain" for job in jobs)

    def calm_down(self) -> None:
        """Cancel what runs and let the worker come to rest; the module is open then."""
        self.panel.representation.select()
        self.worker.cancel()
        self.worker.cancel_background()
        self.worker.mood = "success"
        for _turn in range(200):
            if self.worker.work() == "nothing to do":
                break
            self.panel.application.processEvents()
        self.worker.mood = "any"

    def _take_over(self) -> None:
        self.widget.logic.worker.close()
        self.widget.logic.worker = self.worker
        for part in (self.widget.parts.masks.checker,):
            part._timer.setInterval(0)

    # What a person does

    def _work(self) -> str:
        return self.worker.work()

    def _widgets(self, *kinds: str) -> list[Any]:
        found = [each for each in vars(self.widget.ui).values() if any(each.inherits(kind) for kind in kinds)]
        return [each for each in found if each.isEnabled() and each.isVisible() and each.name not in UNTOUCHED]

    def _press_button(self) -> str:
        buttons = self._widgets("QAbstractButton")
        if not buttons:
            return "none"
        button = self.dice.choice(buttons)
        self.trace[-1] += f"{button.name} "
        button.click()
        return ""

    def _choose(self) -> str:
        combos = [each for each in self._widgets("QComboBox") if each.count]
        if not combos:
            return "none"
        combo = self.dice.choice(combos)
        index = self.dice.randrange(combo.count)
        self.trace[-1] += f"{combo.name} {index} "
        combo.setCurrentIndex(index)
        combo.activated.emit(index)
        return ""

    def _choose_node(self) -> str:
        import slicer

        selectors = self._widgets("qMRMLNodeComboBox")
        if not selectors:
            return "none"
        selector = self.dice.choice(selectors)
        kinds = selector.nodeTypes
        nodes = [node for kind in kinds for node in slicer.util.getNodesByClass(kind) if not node.GetHideFromEditors()]
        node = self.dice.choice([*nodes, *nodes, None])
        self.trace[-1] += f"{selector.name} {node.GetName() if node is not None else None} "
        selector.setCurrentNode(node)
        return ""

    def _type(self) -> str:
        lines = self._widgets("QLineEdit")
        spins = self._widgets("QDoubleSpinBox", "QSpinBox")
        line = self.dice.choice([*lines, *spins]) if lines or spins else None
        if line is None:
            return "none"
        if line in spins:
            line.setValue(self.dice.uniform(line.minimum, line.maximum))
        else:
            line.setText(self.dice.choice(TEXTS))
            line.editingFinished.emit()
        return f"{line.name}"

    def _turn(self) -> str:
        sliders = self._widgets("QSlider")
        if not sliders:
            return "none"
        slider = self.dice.choice(sliders)
        slider.setValue(self.dice.randint(slider.minimum, slider.maximum))
        return f"{slider.name}"

    def _fold(self) -> str:
        section = self.dice.choice(self._widgets("ctkCollapsibleButton"))
        self.trace[-1] += f"{section.name} "
        section.collapsed = self.dice.random() < 0.2
        return ""

    def _pick_row(self) -> str:
        tables = [each for each in self._widgets("QTableWidget") if each.rowCount]
        if not tables:
            return "none"
        table = self.dice.choice(tables)
        row = self.dice.randrange(table.rowCount)
        self.trace[-1] += f"{table.name} {row} "
        table.setCurrentCell(row, 0)
        self.dice.choice((table.cellClicked, table.cellDoubleClicked)).emit(row, 0)
        return ""

    def _press_key(self) -> str:
        shortcuts = self.widget.parts.shortcuts
        shortcut = self.dice.choice(shortcuts.listed)
        self.trace[-1] += f"{shortcut.key} "
        shortcuts.press(shortcut)
        return ""

    def _nodes(self, kind: str) -> list[Any]:
        import slicer

        return [node for node in slicer.util.getNodesByClass(kind) if not node.GetHideFromEditors()]

    def _delete_node(self) -> str:
        import slicer

        kinds = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode", "vtkMRMLTextNode")
        nodes = [node for kind in (*kinds, "vtkMRMLTransformNode") for node in self._nodes(kind)]
        if not nodes:
            return "none"
        node = self.dice.choice(nodes)
        self.trace[-1] += f"{node.GetName()} "
        slicer.mrmlScene.RemoveNode(node)
        return ""

    def _add_case(self) -> str:
        import slicer
        from scenes import add_small_case

        if len(self._nodes("vtkMRMLScalarVolumeNode")) > 12:
            return "enough"
        ct, pet, roi = add_small_case()
        if self.widget._parameters is not None and self.dice.random() < 0.7:
            parameters = self.widget._parameters
            with slicer.util.NodeModify(parameters.parameterNode):
                parameters.ct, parameters.pet, parameters.roi = ct, pet, roi
            return "chosen"
        return ""

    def _edit_node(self) -> str:
        import slicer

        nodes = [*self._nodes("vtkMRMLScalarVolumeNode"), *self._nodes("vtkMRMLSegmentationNode")]
        if not nodes:
            return "none"
        node = self.dice.choice(nodes)
        self.trace[-1] += f"{node.GetName()} "
        if not node.IsA("vtkMRMLSegmentationNode"):
            if node.GetImageData() is not None:
                slicer.util.arrayFromVolume(node).flat[0] += 1
                slicer.util.arrayFromVolumeModified(node)
            return ""
        segments = list(node.GetSegmentation().GetSegmentIDs())
        change = self.dice.choice(("paint", "empty", "remove", "add"))
        self.trace[-1] += change
        volumes = self._nodes("vtkMRMLScalarVolumeNode")
        if change == "add" or not segments:
            node.GetSegmentation().AddEmptySegment()
        elif change == "remove":
            node.GetSegmentation().RemoveSegment(self.dice.choice(segments))
        elif volumes:
            reference = self.dice.choice(volumes)
            if reference.GetImageData() is None:
                return ""
            voxels = np.zeros(slicer.util.arrayFromVolume(reference).shape, np.uint8)
            if change == "paint":
                voxels[2:5, 3:6, 4:8] = 1
            slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, self.dice.choice(segments), reference)
        return ""

    def _transform(self) -> str:
        import slicer
        import vtk

        nodes = [*self._nodes("vtkMRMLScalarVolumeNode"), *self._nodes("vtkMRMLSegmentationNode")]
        if not nodes:
            return "none"
        node, kind = self.dice.choice(nodes), self.dice.choice(("none", "linear", "bending"))
        self.trace[-1] += f"{node.GetName()} {kind}"
        if kind == "none":
            node.SetAndObserveTransformNodeID(None)
            return ""
        if kind == "linear":
            transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
            matrix = vtk.vtkMatrix4x4()
            matrix.SetElement(0, 3, 7.0)
            transform.SetMatrixTransformToParent(matrix)
        else:
            transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
            bending = vtk.vtkThinPlateSplineTransform()
            bending.SetBasisToR()
            transform.SetAndObserveTransformToParent(bending)
        node.SetAndObserveTransformNodeID(transform.GetID())
        return ""

    def _go_elsewhere(self) -> str:
        representation = self.panel.representation
        if representation.isEntered:
            representation.leave()
            return "another module"
        representation.select()
        return "back"

    def _close_scene(self) -> str:
        import slicer

        slicer.mrmlScene.Clear()
        return ""

    def _save_and_open(self) -> str:
        from mrml_bundles import open_bundle, save_bundle

        self._saved += 1
        folder = self._folder / f"saved-{self._saved}"
        folder.mkdir()
        save_bundle(folder / "scene.mrb")
        open_bundle(folder / "scene.mrb")
        return ""

    def _reload(self) -> str:
        if self._reloads == RELOADS:
            return "enough"
        self._reloads += 1
        self.widget.onReload()
        self._take_over()
        if self.panel.representation.isEntered:
            self.panel.representation.select()
        return ""


@contextmanager
def answered_dialogs(crawler: Crawler, folder: Path) -> Iterator[None]:
    """Dialogs are answered by the dice, and the worker goes on while they are open, as it does in Slicer."""
    import qt

    def answer_box(box: Any) -> int:
        crawler.worker.work()
        button = crawler.dice.choice(box.buttons())
        crawler.trace[-1] += f"[{button.text}] "
        button.click()
        return 0

    def choose_folder(*_ignored: Any) -> str:
        return crawler.dice.choice(("", str(folder)))

    originals = {name: getattr(qt.QMessageBox, name) for name in ("exec_", "exec")}
    chooser, file_chooser = qt.QFileDialog.getExistingDirectory, qt.QFileDialog.getOpenFileName
    opener = qt.QDesktopServices.openUrl
    for name in originals:
        setattr(qt.QMessageBox, name, answer_box)
    qt.QFileDialog.getExistingDirectory = choose_folder
    qt.QFileDialog.getOpenFileName = lambda *_ignored: crawler.dice.choice(("", str(folder / "no-such-file.pt")))
    qt.QDesktopServices.openUrl = lambda *_ignored: True
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(qt.QMessageBox, name, original)
        qt.QFileDialog.getExistingDirectory, qt.QFileDialog.getOpenFileName = chooser, file_chooser
        qt.QDesktopServices.openUrl = opener
