"""Pictures of the panel and of a slice with the heatmap: `python Testing/SlicerHost/screenshots.py OUT [PATIENT]`.

PATIENT is a folder with CT_image, PET_image and CT_mask (.nii.gz), or one that `memory-survival simulate case` wrote;
it is scored by the real worker with the demonstration bundle. Without it a made-up case and a fake worker show the same
panel. `slicer-panel.png` puts the panel beside both views. For a simulated patient lesions are measured and shown
(`slicer-lesions.png`), and masks are made, corrected and checked (`slicer-masks.png`). `slicer-pet-values.png` is a
made-up DICOM study whose PET lacks tags.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "Testing" / "Python")]


def main(out: Path, patient: Path | None) -> None:
    """Draw every picture into `out`."""
    from slicer_host.application import start
    from slicer_host.loading import load_module, unload_module

    out.mkdir(parents=True, exist_ok=True)
    application = start()
    _python, widget, panel = load_module(ROOT / "MemorySurvival" / "MemorySurvival.py")
    panel.setAttribute(sys.modules["qt"].Qt.WA_DontShowOnScreen)
    panel.resize(460, 860)
    panel.show()

    def wait(reached: Callable[[], bool]) -> None:
        end = time.monotonic() + 600
        while not reached() and time.monotonic() < end:
            application.processEvents()
            time.sleep(0.01)

    def photograph(name: str) -> None:
        for _round in range(5):  # sections that grow pass their new height on one event at a time
            application.processEvents()
            time.sleep(0.02)
            panel.resize(460, max(860, panel.layout().heightForWidth(460)))  # as Slicer's scroll area does
        panel.grab().save(str(out / name))

    photograph("panel-empty.png")
    _lack_tags(widget, wait)
    photograph("slicer-pet-values.png")
    sys.modules["slicer"].mrmlScene.Clear()
    widget.initializeParameterNode()
    widget.ui.petValuesSection.collapsed = True
    ct, pet, region = _real_case(patient) if patient else _made_up_case(widget)
    parameters = widget._parameters
    parameters.ct, parameters.pet, parameters.roi, parameters.explain = ct, pet, region, True
    parameters.score_without_accepting = True
    parameters.measure = patient is not None and _is_simulated(patient)
    parameters.allow_other_roi = patient is not None and not _is_simulated(patient)
    parameters.bundle = os.environ.get("MEMORYSURVIVAL_HOST_BUNDLE", parameters.bundle)
    widget.ui.scoreButton.click()
    wait(lambda: widget.ui.progressBar.maximum > 1 or not widget.parts.run_panel.running)
    photograph("panel-running.png")
    wait(lambda: not widget.parts.run_panel.running)
    photograph("panel-result.png")
    if parameters.heatmap is not None:
        _draw_slices(ct, pet, parameters.heatmap, out)
        _put_together(out, "panel-result", "slice", "slicer-panel.png")
    if patient and _is_simulated(patient):
        _show_lesion(widget, pet)
        photograph("panel-lesions.png")
        _draw_lesion(ct, pet, widget, out)
        _put_together(out, "panel-lesions", "lesion", "slicer-lesions.png")
        _correct_masks(widget, wait)
        photograph("panel-masks.png")
        _draw_masks(ct, parameters.roi, out)
        _put_together(out, "panel-masks", "masks", "slicer-masks.png")
    unload_module("MemorySurvival")


def _draw_slices(ct: Any, pet: Any, heatmap: Any, out: Path) -> None:
    import numpy as np
    import slicer
    from scenes import ijk_to_ras
    from slicer_host.slice_view import SliceView

    ct.GetDisplayNode().SetAutoWindowLevel(False)
    ct.GetDisplayNode().SetWindowLevel(400, 40)
    for region in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        region.GetDisplayNode().SetOpacity2DFill(0.0)  # the outline says enough; a fill would tint the heatmap
    effect = slicer.util.arrayFromVolume(heatmap)
    strongest = np.unravel_index(np.abs(effect).argmax(), effect.shape)
    point = ijk_to_ras(heatmap) @ [*strongest[::-1], 1.0]
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal")):
        view = SliceView(name, orientation, 640, 560)
        slicer.util.setSliceViewerLayers(background=ct, foreground=heatmap, foregroundOpacity=0.7)
        view.show(tuple(point[:3]))
        view.save(out / f"slice-{orientation.lower()}.png")


def _lack_tags(widget: Any, wait: Callable[[Callable[[], bool]], None]) -> None:
    """Try to score a made-up DICOM study whose PET's tags do not tell the dose and the weight."""
    import tempfile

    from dicom_nodes import load_study
    from MemorySurvivalPanels.worker_client import WorkerClient
    from MemorySurvivalPanels.worker_protocol import WorkerCommand

    real = widget.logic.worker
    command = WorkerCommand(sys.executable, (str(HERE / "fake_worker.py"), "tags"))
    widget.logic.worker = WorkerClient(lambda: command, "0.1.0")
    with tempfile.TemporaryDirectory() as folder:
        widget._parameters.ct, widget._parameters.pet = load_study(Path(folder))
        widget._parameters.score_without_accepting = True
        widget.ui.scoreButton.click()
        wait(lambda: not widget.parts.run_panel.running)
    widget.logic.worker.close()
    widget.logic.worker = real


def _show_lesion(widget: Any, pet: Any) -> None:
    """Go to the hottest lesion and load the outlines."""
    import slicer

    pet.GetDisplayNode().SetAutoWindowLevel(False)
    pet.GetDisplayNode().SetWindowLevelMinMax(0, 5)
    for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if each.GetDisplayNode() is not None:
            each.GetDisplayNode().SetVisibility(False)
    widget.ui.lesionsButton.click()
    for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if each.GetDisplayNode() is not None:  # the host draws a fill over black, Slicer over the CT
            each.GetDisplayNode().SetOpacity2DFill(0.0)
    widget.ui.lesionTable.setCurrentCell(0, 0)


def _draw_lesion(ct: Any, pet: Any, widget: Any, out: Path) -> None:
    import slicer
    from slicer_host.slice_view import SliceView

    x, y, z = widget.parts.result.measurements.lesions[0]["lesion"]["suv_max_lps_mm"]
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal")):
        view = SliceView(name, orientation, 640, 560)
        slicer.util.setSliceViewerLayers(background=ct, foreground=pet, foregroundOpacity=0.5)
        view.show((-x, -y, z))
        view.save(out / f"lesion-{orientation.lower()}.png")
    for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if each.GetName().startswith("Lesions"):
            slicer.mrmlScene.RemoveNode(each)
        elif each.GetDisplayNode() is not None:
            each.GetDisplayNode().SetVisibility(True)


def _correct_masks(widget: Any, wait: Callable[[Callable[[], bool]], None]) -> None:
    """Make masks, paint a block beside the spine and one stray voxel, and check the mask."""
    import slicer

    widget.ui.generateButton.click()
    wait(lambda: not widget.parts.run_panel.running)
    parameters = widget._parameters
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, parameters.segment_id, parameters.ct)
    z, y, x = (int(each.mean()) for each in voxels.nonzero())
    voxels[z - 2 : z + 3, y - 12 : y - 6, x + 6 : x + 22] = 1
    voxels[z + 12 : z + 14, y, x + 70] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, parameters.roi, parameters.segment_id, parameters.ct)
    widget.ui.checkButton.click()
    wait(lambda: not widget.parts.run_panel.running)


def _draw_masks(ct: Any, region: Any, out: Path) -> None:
    import numpy as np
    import slicer
    from scenes import ijk_to_ras
    from slicer_host.slice_view import SliceView

    for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if each.GetDisplayNode() is not None:
            each.GetDisplayNode().SetVisibility(each is region)
    display = region.GetDisplayNode()
    display.SetOpacity2DFill(1.0)
    for segment in region.GetSegmentation().GetSegmentIDs():  # vertebrae are on their own layer, hidden at first
        display.SetSegmentVisibility(segment, segment not in ("skeleton", "bone"))
    display.SetSegmentOpacity2DFill("spine_dilated", 0.0)  # the host draws a fill over black, Slicer over the CT
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(region, "spine_dilated", ct)
    middle = np.array([int(each.mean()) for each in voxels.nonzero()])[::-1]
    middle[1] -= 4  # from the canal into the vertebral bodies
    point = ijk_to_ras(ct) @ [*middle, 1.0]
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal")):
        view = SliceView(name, orientation, 640, 560)
        slicer.util.setSliceViewerLayers(background=ct, foreground=None)
        view.show(tuple(point[:3]))
        view.save(out / f"masks-{orientation.lower()}.png")


def _put_together(out: Path, panel_name: str, view_name: str, result: str) -> None:
    """The panel beside the axial and the coronal view, as a person sees them."""
    from PIL import Image

    names = (panel_name, f"{view_name}-axial", f"{view_name}-coronal")
    panel, axial, coronal = (Image.open(out / f"{name}.png") for name in names)
    height = max(panel.height, axial.height + coronal.height)
    sheet = Image.new("RGB", (panel.width + axial.width, height), "black")
    sheet.paste(Image.new("RGB", (panel.width, height), panel.getpixel((2, panel.height - 2))), (0, 0))
    sheet.paste(panel, (0, 0))
    sheet.paste(axial, (panel.width, 0))
    sheet.paste(coronal, (panel.width, axial.height))
    sheet.save(out / result, optimize=True)


def _is_simulated(patient: Path) -> bool:
    return (patient / "truth.json").is_file()


def _real_case(patient: Path) -> tuple[Any, Any, Any]:
    import numpy as np
    import slicer
    from scenes import add_segmentation, load_volume

    names = ("CT_image.nii.gz", "PET_image.nii.gz", "CT_mask.nii.gz")
    title, segment = patient.name, "tumour"
    if _is_simulated(patient):
        names, title, segment = ("ct.nrrd", "pet.nrrd", "spine_dilated.nrrd"), "Simulated", "dilated spine"
    ct = load_volume(patient / names[0], f"{title} CT")
    pet = load_volume(patient / names[1], f"{title} PET (SUVbw)")
    mask = load_volume(patient / names[2], "mask")
    voxels = (slicer.util.arrayFromVolume(mask) > 0).astype(np.uint8)
    region = add_segmentation(voxels, ct, f"{title} regions", segment)
    slicer.mrmlScene.RemoveNode(mask)
    return ct, pet, region


def _made_up_case(widget: Any) -> tuple[Any, Any, Any]:
    from MemorySurvivalPanels.worker_client import WorkerClient
    from MemorySurvivalPanels.worker_protocol import WorkerCommand
    from scenes import add_small_case

    command = WorkerCommand(sys.executable, (str(HERE / "fake_worker.py"), "success"))
    widget.logic.worker.close()
    widget.logic.worker = WorkerClient(lambda: command, "0.1.0")
    return add_small_case()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
