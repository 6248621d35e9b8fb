"""The host itself: it speaks PythonQt's dialect and does not hide a typo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


def test_properties_are_values(panel: Any) -> None:
    panel.ui.bundleLabel.text = "other"
    assert panel.ui.bundleLabel.text == "other"
    panel.ui.cancelButton.enabled = True
    assert panel.ui.cancelButton.isEnabled()


def test_connects_by_signature(panel: Any) -> None:
    heard = []
    panel.ui.cancelButton.enabled = True
    panel.ui.cancelButton.connect("clicked(bool)", lambda checked: heard.append(checked))
    panel.ui.cancelButton.click()
    assert heard == [False]
    with pytest.raises(AttributeError, match="no signal"):
        panel.ui.cancelButton.connect("cliked(bool)", heard.append)


def test_unknown_attributes_fail(panel: Any) -> None:
    with pytest.raises(AttributeError, match="enabeld"):
        panel.ui.cancelButton.enabeld = True
    with pytest.raises(AttributeError, match="setText"):
        panel.ui.cancelButton.setText = "a method"
    with pytest.raises(AttributeError, match="noneEnabeld"):
        panel.ui.ctSelector.noneEnabeld = True
    if not os.environ.get("MEMORYSURVIVAL_SLICER_SOURCE"):  # Slicer's own wrapper takes any attribute
        with pytest.raises(AttributeError, match="explian"):
            panel.widget._parameters.explian = True


def test_unknown_widget_properties_and_classes_fail(application: Any, tmp_path: Any) -> None:
    import slicer

    template = (
        '<ui version="4.0"><class>W</class><widget class="{cls}" name="W">'
        '<property name="{name}"><bool>true</bool></property></widget></ui>'
    )
    file = tmp_path / "w.ui"
    file.write_text(template.format(cls="QWidget", name="enabeld"), encoding="utf-8")
    with pytest.raises(AttributeError, match="enabeld"):
        slicer.util.loadUI(str(file))
    file.write_text(template.format(cls="qMRMLFancyWidget", name="enabled"), encoding="utf-8")
    with pytest.raises(LookupError, match="qMRMLFancyWidget"):
        slicer.util.loadUI(str(file))


def test_parameters_are_saved_with_the_scene(panel: Any) -> None:
    import slicer

    panel.ui.explainCheckBox.checked = False
    panel.ui.deviceCombo.currentIndex = 1
    node = slicer.mrmlScene.GetSingletonNode("MemorySurvival", "vtkMRMLScriptedModuleNode")
    assert node.GetParameter("explain") == "False"
    assert node.GetParameter("device") == "CPU"
    panel.widget._parameters.explain = True
    assert panel.ui.explainCheckBox.checked


def test_a_checkout_that_is_none(application: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from slicer_host import real_checkout

    monkeypatch.setenv(real_checkout.VARIABLE, " ")
    assert real_checkout.chosen_checkout() is None
    monkeypatch.setenv(real_checkout.VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"has no Base/Python/slicer/ScriptedLoadableModule\.py"):
        real_checkout.chosen_checkout()


def test_the_checkout_is_what_runs(application: Any) -> None:
    """With a checkout every one of Slicer's Python files that the module imports is upstream's own."""
    from slicer import ScriptedLoadableModule, i18n, parameterNodeWrapper
    from slicer_host import real_checkout

    checkout = real_checkout.chosen_checkout()
    home = real_checkout.python_files(checkout) if checkout else Path(real_checkout.__file__).parent / "stand_ins"
    for module in (ScriptedLoadableModule, i18n, parameterNodeWrapper):
        assert Path(module.__file__).resolve().is_relative_to(home.resolve())


def test_the_size_of_a_stand_in_does_not_ask_itself(application: Any) -> None:
    """sizeHint is a property for Python and a virtual function for Qt: neither may lead to the other and back."""
    import slicer

    asked: list[str] = []

    class Watched(slicer.qMRMLNodeComboBox):
        def property(self, name: str) -> Any:
            asked.append(name)
            return super().property(name)

    widget = Watched()
    widget.adjustSize()
    assert widget.sizeHint.width() > 0
    assert len(asked) < 10
