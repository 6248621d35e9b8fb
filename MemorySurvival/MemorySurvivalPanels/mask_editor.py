"""Slicer's own Segment Editor inside the panel, on the chosen mask and the chosen CT, while its group is unfolded."""

from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.mask_jobs import is_segmentation
from MemorySurvivalPanels.parameters import ScoreParameters

EDITOR_NODE_TAG = "MemorySurvivalMaskEditor"
"""Singleton tag of the node that keeps the editor's choices; Slicer's own editor module has another."""

MOST_UNDO_STATES = 5
"""Each keeps a copy of what was changed, which for a whole-body mask is tens of megabytes."""


class MaskEditor:
    """Made when the group is unfolded for the first time, because most cases need none and it takes a moment.

    Its keys (Z, 1, 2, Space, ...) and its hold on the views last only as long as the group is unfolded and the module
    is open.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: ScoreParameters | None = None
        self._editor: Any = None
        self._active = False
        ui.correctSection.contentsCollapsed.connect(self._on_folded)

    @property
    def widget(self) -> Any:
        """The editor, or None as long as nobody unfolded the group."""
        return self._editor

    def show(self, parameters: ScoreParameters | None) -> None:
        """Edit what is chosen there; None leaves the views and the keys alone until the next time."""
        self._parameters = parameters
        editable = parameters is not None and is_segmentation(parameters.roi)
        self._ui.correctHintLabel.visible = not editable and not self._ui.correctSection.collapsed
        self._ui.correctHintLabel.text = self._describe_hindrance()
        if editable and not self._ui.correctSection.collapsed:
            self._activate()
            return
        self._deactivate()
        if self._editor is not None:
            self._editor.visible = False
            if parameters is not None and not editable:
                self._editor.setSegmentationNode(None)

    def scene_closed(self) -> None:
        """The nodes go away."""
        self._parameters = None
        self._deactivate()
        if self._editor is not None:
            self._editor.setSegmentationNode(None)

    def _describe_hindrance(self) -> str:
        roi = self._parameters.roi if self._parameters is not None else None
        if roi is None:
            return _("Generate masks or choose a segmentation to correct it here.")
        return _("A label map cannot be corrected here; load it under Made by: Segmentation file.")

    def _on_folded(self, *_ignored: Any) -> None:
        self.show(self._parameters)

    def _activate(self) -> None:
        editor = self._editor or self._make_editor()
        node = _find_editor_node()
        if editor.mrmlSegmentEditorNode() is not node:
            editor.setMRMLSegmentEditorNode(node)
        parameters = self._parameters
        if editor.segmentationNode() is not parameters.roi:
            editor.setSegmentationNode(parameters.roi)
        if editor.sourceVolumeNode() is not parameters.ct:
            editor.setSourceVolumeNode(parameters.ct)
        if not self._active:
            # Segments overlap: the skeleton holds the dilated spine, and vertebrae lie in both. The editor's default,
            # to which closing a scene goes back, takes from all others what is painted into one.
            node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
            # Only now: choosing another segment to look at in the editor must not be undone by every update.
            if parameters.segment_id:
                editor.setCurrentSegmentID(parameters.segment_id)
            editor.visible = True
            editor.installKeyboardShortcuts()
            self._active = True

    def _deactivate(self) -> None:
        if self._editor is None or not self._active:
            return
        self._active = False
        self._editor.setActiveEffect(None)
        self._editor.uninstallKeyboardShortcuts()
        self._editor.removeViewObservations()

    def _make_editor(self) -> Any:
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMaximumNumberOfUndoStates(MOST_UNDO_STATES)
        editor.segmentationNodeSelectorVisible = False
        editor.sourceVolumeNodeSelectorVisible = False
        editor.switchToSegmentationsButtonVisible = False
        editor.autoShowSourceVolumeNode = False  # the reading layout shows the PET as well
        # Before the scene, so that what the editor chooses by itself is kept in it (upstream's advice).
        editor.setMRMLSegmentEditorNode(_find_editor_node())
        editor.setMRMLScene(slicer.mrmlScene)
        self._ui.correctLayout.addWidget(editor)
        self._editor = editor
        return editor


def _find_editor_node() -> slicer.vtkMRMLSegmentEditorNode:
    """Ours in this scene, made where it is missing."""
    node = slicer.mrmlScene.GetSingletonNode(EDITOR_NODE_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(EDITOR_NODE_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
