"""Fixed windows."""

from __future__ import annotations

import pytest

from MemorySurvivalLib.imaging.window import MODALITIES, UNITS, Window


def test_a_window_needs_room() -> None:
    with pytest.raises(ValueError, match=r"^a window needs low < high, got 10 and 10$"):
        Window(10, 10)
    with pytest.raises(ValueError, match=r"^a window needs low < high, got 0 and nan$"):
        Window(0, float("nan"))


def test_every_modality_has_a_unit() -> None:
    assert set(UNITS) == set(MODALITIES) == {"PET", "CT"}
