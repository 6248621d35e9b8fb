"""The pictures of figures: a map is drawn where it lies, also when it is cropped to its region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from MemorySurvivalLib.imaging.volume import Affine, Volume
from Testing.Benchmarks.drawings import draw_maps


@pytest.mark.parametrize("cropped", [False, True])
def test_a_map_is_drawn_where_it_lies(tmp_path: Path, cropped: bool) -> None:
    affine = Affine.from_parts((4.0, 4.0, 5.0), np.eye(3), (0.0, 0.0, 0.0))
    shape = (60, 30, 40)
    region = np.zeros(shape, dtype=bool)
    region[10:50, 10:20, 15:25] = True
    effects = np.zeros(shape, dtype=np.float32)
    effects[40:46, 12:16, 16:20] = 0.04  # towards the head, on the left of the picture
    ct = Volume(np.full(shape, -50, dtype=np.int16), affine)
    effects_volume = Volume(effects, affine)
    if cropped:
        effects_volume = effects_volume.cropped((10, 10, 15), (50, 20, 25))
    nothing = Volume(np.zeros(shape, dtype=np.float32), affine)
    draw_maps(ct, nothing, Volume(region, affine), nothing, {"map": effects_volume}, 0.05, tmp_path / "maps.png")
    picture = imread(tmp_path / "maps.png")[..., :3]
    panel = picture[:, picture.shape[1] // 3 : picture.shape[1] * 3 // 4]  # PET, map, colour bar
    red = np.argwhere((panel[..., 0] > 0.35) & (panel[..., 1] < 0.2) & (panel[..., 2] < 0.25))
    assert len(red) > 50
    assert red[:, 0].mean() < picture.shape[0] / 2
