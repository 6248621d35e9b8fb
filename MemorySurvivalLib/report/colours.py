"""Colours of the report's pictures: fixed display windows, and how HU, SUV and effects become RGB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap

from MemorySurvivalLib.imaging.window import Window

Pixels = npt.NDArray[np.float32]
"""RGB (rows, columns, 3) or RGBA (rows, columns, 4), 0 to 1."""

CT_DISPLAY = Window(-450.0, 1050.0)
"""Bone window (width 1500, level 300) that still tells fat from muscle."""

PET_DISPLAY = Window(0.0, 7.0)
"""The usual SUV range of myeloma reading: liver mid-grey, focal lesions dark."""

FUSED_FULL_SUV = 4.0
"""From here on the PET hides the CT as much as it ever does; below it fades out linearly."""

FUSED_OPACITY = 0.65
EFFECT_OPACITY = 0.85

# Red and blue stay apart for red-green and blue-yellow colour blindness, and their lightness falls equally.
_BLUE, _PALE_BLUE = (0.02, 0.22, 0.66), (0.36, 0.62, 0.98)
_RED, _PALE_RED = (0.72, 0.02, 0.08), (1.00, 0.50, 0.38)
_EFFECT = LinearSegmentedColormap.from_list(
    "effect",
    [(0.0, _BLUE), (0.4999, _PALE_BLUE), (0.5001, _PALE_RED), (1.0, _RED)],
    N=512,
)


def _scale(values: npt.NDArray[np.generic], window: Window) -> Pixels:
    clipped = np.clip(np.asarray(values, dtype=np.float32), window.low, window.high)
    scaled: Pixels = (clipped - np.float32(window.low)) / np.float32(window.high - window.low)
    return scaled


def shade_ct(hu: npt.NDArray[np.generic]) -> Pixels:
    """HU to grey RGB in the display window; bone is bright."""
    return np.repeat(_scale(hu, CT_DISPLAY)[..., None], 3, axis=-1)


def shade_pet(suv_bw: npt.NDArray[np.generic]) -> Pixels:
    """SUVbw to inverted grey RGB in the display window; uptake is dark."""
    inverted: Pixels = 1 - _scale(suv_bw, PET_DISPLAY)
    return np.repeat(inverted[..., None], 3, axis=-1)


def shade_fused(hu: npt.NDArray[np.generic], suv_bw: npt.NDArray[np.generic]) -> Pixels:
    """Grey CT under a hot PET whose opacity rises with uptake."""
    hot = colormaps["hot"](_scale(suv_bw, PET_DISPLAY))[..., :3].astype(np.float32)
    opacity = FUSED_OPACITY * _scale(suv_bw, Window(0.0, FUSED_FULL_SUV))[..., None]
    fused: Pixels = (1 - opacity) * shade_ct(hu) + opacity * hot
    return fused


def shade_effect(effect: npt.NDArray[np.generic], limit: float) -> Pixels:
    """Changes of log-risk to RGBA: red above zero, blue below, clear at zero, full at plus or minus `limit`."""
    scaled = _scale(effect, Window(-limit, limit))
    layer: Pixels = _EFFECT(scaled).astype(np.float32)
    # The square root keeps weak effects visible over bright bone.
    layer[..., 3] = EFFECT_OPACITY * np.sqrt(np.abs(2 * scaled - 1))
    return layer


def blend(base: Pixels, layer: Pixels) -> Pixels:
    """Lay RGBA over RGB."""
    blended: Pixels = base * (1 - layer[..., 3:]) + layer[..., :3] * layer[..., 3:]
    return blended
