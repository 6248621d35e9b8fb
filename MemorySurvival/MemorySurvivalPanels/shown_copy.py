"""Hidden volumes that show another's voxels with a look of their own, so that the user's display stays as it is."""

import slicer

_EXCLUDED = "SubjectHierarchy.ExcludeFromTree"


class ShownCopy:
    """Shares the image of a volume (nothing is copied) and lies where it lies; not saved, not offered in any list.

    A volume has one look in all views. PET alone and PET over CT need two, so each of them shows a node of its own.
    """

    def __init__(self, source: slicer.vtkMRMLScalarVolumeNode, purpose: str, colours: slicer.vtkMRMLColorNode) -> None:
        self.source = source
        self.node = add_hidden_volume(f"{source.GetName()} ({purpose})", colours)
        self.follow()

    def follow(self) -> None:
        """Take over what changed of the source: its image, its place, its transform."""
        node, source = self.node, self.source
        if node.GetScene() is None or source.GetScene() is None:
            return
        if node.GetImageData() is not source.GetImageData():
            node.SetAndObserveImageData(source.GetImageData())
        node.CopyOrientation(source)
        if node.GetTransformNodeID() != source.GetTransformNodeID():
            node.SetAndObserveTransformNodeID(source.GetTransformNodeID())

    def show_range(self, low: float, high: float) -> None:
        """Map the values from `low` to `high` to the colours."""
        display = self.node.GetDisplayNode()
        if display is not None:
            display.SetAutoWindowLevel(False)
            display.SetWindowLevelMinMax(low, high)

    def remove(self) -> None:
        """Take the node out of the scene; the source stays as it was."""
        remove_hidden_volume(self.node)


def add_hidden_volume(name: str, colours: slicer.vtkMRMLColorNode) -> slicer.vtkMRMLScalarVolumeNode:
    """An empty volume with a display, which no list offers and no scene file keeps."""
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(name)
    node.SetAttribute(_EXCLUDED, "1")
    for each in (display, node):
        each.SetHideFromEditors(True)
        each.SetSaveWithScene(False)
        each.SetUndoEnabled(False)
        slicer.mrmlScene.AddNode(each)
    display.SetAndObserveColorNodeID(colours.GetID())
    display.SetAutoWindowLevel(False)
    node.SetAndObserveDisplayNodeID(display.GetID())
    return node


def remove_hidden_volume(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Take a hidden volume and its display out of the scene, where they still are."""
    if node.GetScene() is None:
        return
    display = node.GetDisplayNode()
    slicer.mrmlScene.RemoveNode(node)
    if display is not None and display.GetScene() is not None:
        slicer.mrmlScene.RemoveNode(display)
