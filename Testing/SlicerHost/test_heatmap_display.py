"""What a heatmap looks like in a real slice: colour where it is above the noise floor, grey CT everywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

LIMIT, FLOOR = 0.5, 0.05
EFFECTS = (-2.0, -0.4, -1.2 * FLOOR, -0.95 * FLOOR, 0.0, 0.95 * FLOOR, 1.2 * FLOOR, 0.4, 2.0)
"""One block of voxels each, along i."""


@pytest.fixture
def shown(panel: Any, tmp_path: Path) -> Any:
    """A heatmap with known effects laid over an even CT; asks for the colour of the block of an effect."""
    import qt
    from MemorySurvivalPanels.display import add_map, show_over_ct
    from MemorySurvivalPanels.explanation import Explanation
    from MemorySurvivalPanels.volumes import write_image
    from scenes import add_volume, rotation
    from slicer_host.slice_view import SliceView

    matrix = rotation(2, 20) @ rotation(0, 15) @ np.diag([-2.0, -2.0, 4.0, 1.0])  # oblique, with uneven voxels
    ct = add_volume(np.full((6, 8, 4 * len(EFFECTS)), 40, np.int16), matrix, "CT")
    ct.CreateDefaultDisplayNodes()
    ct.GetDisplayNode().SetAutoWindowLevel(False)
    ct.GetDisplayNode().SetWindowLevel(400, 40)
    effect = np.broadcast_to(np.repeat(np.array(EFFECTS, np.float32), 4), (6, 8, 4 * len(EFFECTS))).copy()
    view = SliceView("Red", "Axial", 300, 200)
    heatmap = add_map(
        write_image(effect, matrix, tmp_path), ct, Explanation(limit=LIMIT, noise_floor=FLOOR, label="SIMULATED MODEL")
    )
    show_over_ct(heatmap, opacity=1.0)

    def colour_of(value: float) -> tuple[int, int, int]:
        ras = matrix @ [4 * EFFECTS.index(value) + 1.5, 4, 3, 1]
        view.show(tuple(ras[:3]))
        view.node.JumpSliceByCentering(*ras[:3])
        view.save(tmp_path / "slice.png")
        pixel = qt.QImage(str(tmp_path / "slice.png")).pixelColor(150, 100)
        return pixel.red(), pixel.green(), pixel.blue()

    return heatmap, colour_of


def is_grey(colour: tuple[int, int, int]) -> bool:
    return max(colour) - min(colour) <= 2


def test_noise_is_transparent_and_the_voxels_are_kept(shown: Any) -> None:
    import slicer

    heatmap, colour_of = shown
    assert [is_grey(colour_of(value)) for value in EFFECTS] == [
        False, False, False, True, True, True, False, False, False
    ]  # fmt: skip
    red, blue = colour_of(0.4), colour_of(-0.4)
    assert red[0] > red[2] + 50 and blue[2] > blue[0] + 50
    assert colour_of(2.0)[0] > colour_of(2.0)[2]  # beyond the scale: the deepest colour
    assert slicer.util.arrayFromVolume(heatmap)[0, 0, 13] == pytest.approx(-0.95 * FLOOR)


def test_one_scale_for_every_patient(panel: Any, tmp_path: Path) -> None:
    """Whatever the strongest effect of a case, the same effect has the same colour."""
    from MemorySurvivalPanels.display import add_map
    from MemorySurvivalPanels.explanation import Explanation
    from MemorySurvivalPanels.volumes import write_image
    from scenes import CT_IJK_TO_RAS, add_small_case

    ct = add_small_case()[0]
    colours = []
    for number, strongest in enumerate((0.1, 3.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = write_image(np.full((4, 4, 4), strongest, np.float32), CT_IJK_TO_RAS, folder)
        node = add_map(path, ct, Explanation(limit=LIMIT, noise_floor=0.01 * (number + 1)))
        table, colour = node.GetDisplayNode().GetColorNode(), [0.0] * 4
        table.GetColor(200, colour)
        colours.append((colour, node.GetDisplayNode().GetWindowLevelMin(), node.GetDisplayNode().GetWindowLevelMax()))
    assert colours[0] == colours[1]


@pytest.mark.parametrize("shown_from", [0.0, 0.001, 0.04, 0.5, 0.97, 1.0])
def test_nothing_below_the_threshold_has_a_colour(panel: Any, shown_from: float) -> None:
    import slicer
    from MemorySurvivalPanels.display import _COLOURS, _paint

    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    _paint(table, shown_from)
    colour, visible = [0.0] * 4, []
    for index in range(_COLOURS):
        table.GetColor(index, colour)
        visible.append(colour[3] > 0)
    edge = [abs(2 * index / (_COLOURS - 1) - 1) - 1 / _COLOURS for index in range(_COLOURS)]
    inner = range(1, _COLOURS - 1)  # the ends also stand for what is beyond the scale
    assert not visible[_COLOURS // 2]
    assert all(edge[index] >= shown_from or not visible[index] for index in inner if shown_from > 0)
    assert visible[0] == visible[-1] == (shown_from < 1)
    assert visible == visible[::-1]


def test_the_gradient_map_has_a_scale_of_its_own(panel: Any, tmp_path: Path) -> None:
    from MemorySurvivalPanels.display import add_map
    from MemorySurvivalPanels.explanation import GRADIENT, Explanation
    from MemorySurvivalPanels.volumes import write_image
    from scenes import CT_IJK_TO_RAS, add_small_case

    path = write_image(np.full((4, 4, 4), -7.0, np.float32), CT_IJK_TO_RAS, tmp_path)
    node = add_map(path, add_small_case()[0], Explanation(limit=LIMIT, noise_floor=FLOOR), GRADIENT)
    assert node.GetDisplayNode().GetWindowLevelMax() == 7.0
    assert node.GetName().startswith("Gradient map (coarse)")


def test_a_file_that_cannot_be_read_leaves_no_node(panel: Any, tmp_path: Path) -> None:
    import slicer
    from MemorySurvivalPanels.display import add_map
    from MemorySurvivalPanels.explanation import Explanation
    from scenes import add_small_case

    ct = add_small_case()[0]
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises((OSError, RuntimeError)):
        add_map(tmp_path / "gone.nrrd", ct, Explanation(limit=LIMIT))
    assert slicer.mrmlScene.GetNumberOfNodes() == before


@pytest.mark.parametrize("text", ["", "[]", "{", '{"limit": "x"}', '{"limit": 0}', '{"limit": null}', '{"new": 1}'])
def test_a_record_that_somebody_broke_is_no_explanation_but_no_error(panel: Any, text: str) -> None:
    import slicer
    from MemorySurvivalPanels.explanation import read_explanation

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "odd")
    node.SetAttribute("MemorySurvival.Explanation", text)
    assert read_explanation(node) is None
    panel.widget._parameters.heatmap = node
    assert panel.ui.explanationFrame.isHidden()


def test_numbers_are_in_the_users_locale(panel: Any) -> None:
    import qt
    from MemorySurvivalPanels.localised import show_effect, show_number, show_percent

    before = qt.QLocale()
    try:
        qt.QLocale.setDefault(qt.QLocale(qt.QLocale.German, qt.QLocale.Germany))
        assert [show_number(1.25, 2), show_effect(-0.0421), show_percent(0.314)] == ["1,25", "-0,042", "31 %"]
        assert [show_number(None, 1), show_effect("x"), show_percent(0.001)] == ["–", "–", "< 1 %"]
    finally:
        qt.QLocale.setDefault(before)
