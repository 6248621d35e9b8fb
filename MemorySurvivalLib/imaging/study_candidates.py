"""What speaks for and against each series as the CT or the PET of a case, in plain words and in order of weight."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from MemorySurvivalLib.imaging.dicom_series import DicomSeries

Role = Literal["CT", "PET"]

ROLES: dict[str, Role] = {"CT": "CT", "PT": "PET"}

_FLAGS = re.IGNORECASE
_NOT_CORRECTED = re.compile(
    r"(?<![a-z])(nac|non?[-_ ]?ac|non?[-_ ]?att\w*|no[-_ ]?corr\w*|un[-_ ]?corr\w*|not[-_ ]corr\w*"
    r"|(w/?o|without|ohne|sans)[-_ ](ac|att\w*|corr\w*|schw\w*))(?![a-z])",
    _FLAGS,
)
_CORRECTED = re.compile(r"(?<![a-z])(ac|ctac|att\w*[-_ ]corr\w*|corrected|corr)(?![a-z])", _FLAGS)
_PROJECTION = re.compile(r"(?<![a-z])(mip|minip|projection|reprojection|3d[-_ ]?rotat\w*)(?![a-z])", _FLAGS)
_LOCALISER = re.compile(r"(?<![a-z])(locali[sz]er|scout|topogram\w*|surview|scanogram)(?![a-z])", _FLAGS)
_REFORMAT = re.compile(r"(?<![a-z])(cor|coronal|sag|sagittal|mpr|reformat\w*|obl\w*)(?![a-z])", _FLAGS)
_SHARP = re.compile(r"(?<![a-z])(lung\w*|lng|pulmo\w*|bone\w*|knochen|ossa?|hrct|sharp|edge)(?![a-z])", _FLAGS)
_SHARP_KERNEL = re.compile(r"^[a-z]{1,3}(5[5-9]|[6-9]\d)|lung|bone|edge|sharp|^(fc5|fc8|yb|yc|yd|yf)", _FLAGS)
_WITH_PET = re.compile(
    r"(?<![a-z])(ac|ctac|acct|pet|wb|whole[-_ ]?body|low[-_ ]?dose|ldct|ld|ganzk\w*)(?![a-z])", _FLAGS
)
_MOVING = ("DYNAMIC", "GATED")
_KNOWN_UNITS = ("BQML", "CNTS", "GML", "CM2ML")


@dataclass(frozen=True, eq=False)
class Candidate:
    """One series with what was found for and against it.

    `role` is None for what is neither CT nor PET. `unusable` is a sentence when the series can never be used,
    `doubt` one when it is used only if the user names it; "" otherwise. Of two candidates the one with the greater
    `rank` (compared item by item) is better.
    """

    series: DicomSeries
    role: Role | None
    unusable: str = ""
    doubt: str = ""
    reasons_for: tuple[str, ...] = ()
    reasons_against: tuple[str, ...] = ()
    rank: tuple[float, ...] = ()
    chosen: bool = False

    @property
    def usable(self) -> bool:
        """Whether it may be chosen without being asked for."""
        return self.role is not None and not self.unusable and not self.doubt


class _Weighing:
    """Collects reasons and rank items in order of weight."""

    def __init__(self) -> None:
        self.good: list[str] = []
        self.bad: list[str] = []
        self.rank: list[float] = []

    def weigh(self, holds: bool, good: str, bad: str) -> None:
        """One criterion: a reason for or against ("" says nothing), and one item of the rank."""
        self.rank.append(float(holds))
        sentence = good if holds else bad
        if sentence:
            (self.good if holds else self.bad).append(sentence)


def assess(series: DicomSeries, longest_mm: float = 0.0) -> Candidate:
    """What one series looks like by itself; `longest_mm` is the length of the longest series of its kind beside it."""
    role = ROLES.get(series.modality)
    if role is None:
        return Candidate(series, None, reasons_against=(f"{series.modality or 'Unknown'} is neither CT nor PET",))
    if series.problems:
        return Candidate(series, role, unusable=" ".join(series.problems))
    return _assess_ct(series) if role == "CT" else _assess_pet(series, longest_mm)


def length_mm(series: DicomSeries) -> float:
    """Extent from head to feet; 0 without geometry."""
    extent = body_extent_mm(series)
    return extent[1] - extent[0] if extent else 0.0


def body_extent_mm(series: DicomSeries) -> tuple[float, float] | None:
    """Lowest and highest point from feet to head (LPS z), voxel edges included; None without geometry."""
    if series.affine is None:
        return None
    z, y, x = series.shape_zyx
    corners = np.array([(i, j, k) for i in (-0.5, x - 0.5) for j in (-0.5, y - 0.5) for k in (-0.5, z - 0.5)])
    heights = series.affine.points_mm(corners)[:, 2]
    return float(heights.min()), float(heights.max())


def is_axial(series: DicomSeries) -> bool:
    """Whether the slices lie across the body."""
    return series.affine is not None and int(np.abs(series.affine.direction[:, 2]).argmax()) == 2


def _assess_ct(series: DicomSeries) -> Candidate:
    facts, w = series.facts, _Weighing()
    doubt = ""
    if "LOCALIZER" in facts.image_type or _LOCALISER.search(facts.description):
        doubt = "It is a localiser (scout), not the CT itself."
    elif _is_projection(series):
        doubt = "It is a projection (MIP), not slices of measured values."
    w.weigh("DERIVED" not in facts.image_type, "original images", "derived images (Image Type DERIVED)")
    w.weigh(
        is_axial(series) and not _REFORMAT.search(facts.description), "axial slices", "reformatted, not axial slices"
    )
    kernel = facts.kernel.split("\\")[0]
    sharp = bool(_SHARP.search(facts.description) or _SHARP_KERNEL.search(kernel))
    w.weigh(
        not sharp,
        f"kernel {kernel}, not a sharp one" if kernel else "",
        "lung or bone reconstruction (sharp and noisy)",
    )
    w.weigh(bool(_WITH_PET.search(facts.description)), "described as the CT of a PET/CT", "")
    return Candidate(series, "CT", "", doubt, tuple(w.good), tuple(w.bad), tuple(w.rank))


def _assess_pet(series: DicomSeries, longest_mm: float) -> Candidate:
    facts, w = series.facts, _Weighing()
    corrected, words = _attenuation(series)
    unusable = doubt = ""
    if corrected is False:
        unusable = words
    elif _NOT_CORRECTED.search(facts.description):
        doubt = "Its description says that it is not attenuation-corrected, its tags do not."
    elif _is_projection(series):
        doubt = "It is a projection (MIP), not slices of measured values."
    w.weigh(corrected is True, words, words)
    w.weigh(
        not set(_MOVING) & set(facts.series_type), "", f"{' '.join(facts.series_type).lower()} series, not a static one"
    )
    w.weigh(facts.units in _KNOWN_UNITS, f"units {facts.units}", f"units {facts.units or 'not stated'}")
    w.weigh(is_axial(series) and not _REFORMAT.search(facts.description), "", "reformatted, not axial slices")
    length = length_mm(series)
    w.weigh(length >= 0.8 * longest_mm, "", f"covers only {length:.0f} of {longest_mm:.0f} mm of the body")
    w.weigh("DERIVED" not in facts.image_type, "original images", "derived images (Image Type DERIVED)")
    w.weigh(bool(_CORRECTED.search(facts.description)), "described as corrected", "")
    if facts.corrected_image is not None and "DECY" not in facts.corrected_image:
        w.bad.append("Corrected Image does not list decay correction (DECY)")
    return Candidate(series, "PET", unusable, doubt, tuple(w.good), tuple(w.bad), tuple(w.rank))


def _attenuation(series: DicomSeries) -> tuple[bool | None, str]:
    """Whether a PET is attenuation-corrected (None: not said), and the words for it."""
    facts = series.facts
    if facts.corrected_image is not None and "ATTN" in facts.corrected_image:
        return True, "attenuation-corrected (Corrected Image lists ATTN)"
    if facts.corrected_image:
        return False, "It is not attenuation-corrected (Corrected Image lists no ATTN)."
    method = facts.attenuation_method
    if method and method.upper() not in ("NONE", "NO"):
        return True, f"attenuation-corrected (by its method: {method})"
    if method:
        return False, "It is not attenuation-corrected (its Attenuation Correction Method is NONE)."
    if _NOT_CORRECTED.search(facts.description):
        return False, "It is not attenuation-corrected, by its description."
    return None, "does not say whether it is attenuation-corrected (no Corrected Image tag)"


def _is_projection(series: DicomSeries) -> bool:
    facts = series.facts
    words = (*facts.image_type, *facts.series_type)
    return any(_PROJECTION.search(word) for word in (*words, facts.description))
