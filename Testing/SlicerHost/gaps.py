"""How long the viewer's event loop stands still while a case is scored: `python Testing/SlicerHost/gaps.py OUT.json`.

The case is the phantom, its CT brought to 512 x 512 x 600 voxels and its PET to 200 x 200 x 600, scored by the real
worker with the demonstration bundle and explained. The nodes are of the scene and not of files, so that all of them are
handed over. Then masks on the CT's grid are read back, looked through for corrections, and handed over, and the same
job is begun once more and cancelled.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ROOT = Path(__file__).resolve().parents[2]
TICK_MS = 5
LIMIT_S = 900.0


@dataclass
class Gaps:
    """What was measured of one job; seconds. `gaps_s` are the times between ticks while the worker had the job."""

    clicked_to_sent_s: float = 0.0
    sent_to_ready_s: float = 0.0
    ready_to_shown_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)
    phases: list[tuple[str, float]] = field(default_factory=list)
    message: str = ""
    finished: bool = False

    @property
    def longest_ms(self) -> float:
        """The longest time for which the event loop stood still."""
        return 1000 * max(self.gaps_s, default=float("inf"))


def measure(widget: Any, application: Any) -> Gaps:
    """Click Score with what is chosen, and tick every 5 ms until the job has ended."""
    import qt
    from MemorySurvivalPanels.busy import past_phases

    score, found = widget.parts.score, Gaps()
    ticks: list[float] = []
    times: dict[str, float] = {}
    finish, fail = score.job_finished, score.job_failed

    def ready(*arguments: Any) -> None:
        times["ready"] = time.perf_counter()
        finish(*arguments)
        times["shown"] = time.perf_counter()
        found.finished = True

    def failed(*arguments: Any) -> None:
        times["ready"] = times["shown"] = time.perf_counter()
        fail(*arguments)

    score.job_finished, score.job_failed = ready, failed
    timer = qt.QTimer()
    timer.setTimerType(qt.Qt.PreciseTimer)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(TICK_MS)
    before = past_phases()
    clicked = time.perf_counter()
    widget.ui.scoreButton.click()
    sent = time.perf_counter()
    if not widget.parts.run_panel.running:
        raise RuntimeError(f"nothing was scored: {widget.ui.messageLabel.text}")
    while "shown" not in times and time.perf_counter() - sent < LIMIT_S and widget.parts.run_panel.running:
        application.processEvents(qt.QEventLoop.WaitForMoreEvents)
    timer.stop()
    del score.job_finished, score.job_failed
    found.message = widget.ui.messageLabel.text
    found.phases = _since(before, past_phases())
    found.clicked_to_sent_s = sent - clicked
    if "ready" in times:
        found.sent_to_ready_s = times["ready"] - sent
        found.ready_to_shown_s = times["shown"] - times["ready"]
        moments = [sent, *(tick for tick in ticks if sent < tick < times["ready"]), times["ready"]]
        found.gaps_s = [later - earlier for earlier, later in pairwise(moments)]
    return found


def _since(before: list[Any], after: list[Any]) -> list[tuple[str, float]]:
    """The phases that came since; only the last hundred are remembered, so that counting them tells nothing."""
    return [(phase.name, phase.seconds) for phase in after if not any(phase is known for known in before)]


def add_phantom(ct_size: tuple[int, int, int] | None, pet_size: tuple[int, int, int] | None) -> tuple[Any, Any, Any]:
    """CT, PET and a segmentation with a short piece of the spine, brought to these sizes (x, y, z) or as they are."""
    import numpy as np
    from scenes import add_segmentation, add_volume

    from MemorySurvivalLib.simulation.case import simulate_case

    case = simulate_case(2, spacing_mm=(4.0, 4.0, 5.0))
    ct, ct_matrix = _resize(case.ct, ct_size)
    pet, pet_matrix = _resize(case.pet, pet_size)
    spine, _matrix = _resize(case.spine_dilated, ct_size, nearest=True)
    slices = np.flatnonzero(spine.any(axis=(1, 2)))
    spine[: slices[len(slices) // 2]] = 0
    spine[slices[len(slices) // 2] + 24 :] = 0
    node = add_volume(ct, ct_matrix, "CT")
    return node, add_volume(pet, pet_matrix, "PET"), add_segmentation(spine, node, "Regions", "spine")


def _resize(volume: Any, size: tuple[int, int, int] | None, nearest: bool = False) -> tuple[Any, Any]:
    """Voxels (k, j, i) and their 4 x 4 matrix to RAS, resampled to `size` over the same body."""
    import numpy as np
    import SimpleITK as sitk
    from MemorySurvivalPanels.volumes import file_ijk_to_ras

    image = volume.to_sitk()
    if size is not None:
        spacing = [mm * old / new for mm, old, new in zip(image.GetSpacing(), image.GetSize(), size, strict=True)]
        grid = sitk.Image(1, 1, 1, image.GetPixelID())
        how = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
        image = sitk.Resample(
            image, size, sitk.Transform(), how, image.GetOrigin(), spacing, image.GetDirection(), 0, grid.GetPixelID()
        )
    return np.array(sitk.GetArrayViewFromImage(image)), file_ijk_to_ras(image)


def choose(widget: Any, nodes: tuple[Any, Any, Any], explain: bool) -> None:
    """Choose the nodes in the panel."""
    parameters = widget._parameters
    parameters.ct, parameters.pet, parameters.roi = nodes
    parameters.explain, parameters.measure, parameters.allow_other_roi = explain, False, True
    parameters.score_without_accepting = True


def cancel(widget: Any, application: Any) -> float:
    """Score with another fill, so that there is work to do, wait for it to begin, click Cancel: seconds until it ended.

    RuntimeError where the job ends before anything could be cancelled.
    """
    from MemorySurvivalPanels.parameters import Fill

    widget._parameters.explain_fill = Fill.VOLUME_MEAN
    widget.ui.scoreButton.click()
    begin = time.perf_counter()
    while widget.ui.progressBar.value < 1 and time.perf_counter() - begin < LIMIT_S:
        application.processEvents()
        if not widget.parts.run_panel.running:
            raise RuntimeError(f"the job ended before it could be cancelled: {widget.ui.messageLabel.text}")
    clicked = time.perf_counter()
    widget.ui.cancelButton.click()
    while widget.parts.run_panel.running:
        application.processEvents()
    return time.perf_counter() - clicked


def exchange_masks(ct: Any, folder: Path) -> list[tuple[str, float]]:
    """Read masks on the CT's grid into the scene as after a segment job, and hand one over: the phases."""
    import numpy as np
    import slicer
    from MemorySurvivalPanels import segmentations
    from MemorySurvivalPanels.busy import past_phases
    from MemorySurvivalPanels.volumes import ijk_to_world

    from MemorySurvivalLib.imaging.reading import write_volume
    from MemorySurvivalLib.imaging.volume import Affine, Volume
    from MemorySurvivalLib.roi.roi import Roi
    from MemorySurvivalLib.roi.segments import Maker, Segmentation
    from MemorySurvivalLib.roi.terminology import structure
    from MemorySurvivalLib.segmenting import SegmentRequest, segment_to_folder

    affine = Affine(np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_world(ct, "CT"))
    hu = slicer.util.arrayFromVolume(ct)
    write_volume(Volume(hu, affine), folder / "ct.nrrd")
    bone = hu > 150
    slices = np.flatnonzero(bone.any(axis=(1, 2)))
    names = [f"T{number}" for number in range(1, 13)] + [f"L{number}" for number in range(1, 6)]
    labels = np.zeros(hu.shape, np.uint8)
    for number, part in enumerate(np.array_split(slices, len(names)), start=1):
        labels[part] = bone[part] * np.uint8(number)
    found = Segmentation(
        Volume(labels, affine), {n: structure(name) for n, name in enumerate(names, 1)}, Maker("threshold", "1")
    )
    output = segment_to_folder(
        SegmentRequest(folder / "ct.nrrd", folder / "masks"),
        segmenter=lambda volume, progress: found,
        deriver=lambda segmentation, kind: Roi(Volume(bone, affine), kind, "threshold"),
    )
    before = past_phases()
    node = segmentations.show_segmentation(output.files["structures"], ct, "Masks")
    segmentations.edited_segments(node)
    for export in (segmentations.export_mask, segmentations.export_generated):
        export(node, "skeleton", folder, ct)
    return _since(before, past_phases())


def main(out: Path) -> None:
    """Measure the large case and write what was found."""
    sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]
    from slicer_host.application import start
    from slicer_host.loading import load_module, unload_module

    application = start()
    _python, widget, panel = load_module(ROOT / "MemorySurvival" / "MemorySurvival.py")
    panel.setAttribute(sys.modules["qt"].Qt.WA_DontShowOnScreen)
    panel.resize(460, 900)
    panel.show()
    nodes = add_phantom((512, 512, 600), (200, 200, 600))
    choose(widget, nodes, explain=True)
    found = measure(widget, application)
    with tempfile.TemporaryDirectory() as folder:
        masks = exchange_masks(nodes[0], Path(folder))
    cancelled_s = cancel(widget, application)
    unload_module("MemorySurvival")
    content = {
        "clicked_to_sent_s": found.clicked_to_sent_s,
        "sent_to_ready_s": found.sent_to_ready_s,
        "ready_to_shown_s": found.ready_to_shown_s,
        "gaps_ms": sorted((round(1000 * gap, 2) for gap in found.gaps_s), reverse=True)[:20],
        "ticks": len(found.gaps_s),
        "phases": [*found.phases, *masks],
        "cancelled_s": cancelled_s,
        "finished": found.finished,
        "message": found.message,
    }
    out.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
