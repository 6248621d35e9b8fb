"""The host itself: it speaks PythonQt's dialect and does not hide a typo."""

from __future__ import annotations

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
