"""What explaining simulated cases found, one file that any machine continues."""

from __future__ import annotations

from pathlib import Path

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.hotspot_places import Place


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one model's map says of one case: the top hotspot that raised the risk (LPS, mm), how far from the nearest
    lesion it lies (mm, 0 inside), and how much of the risk-raising effect lies in lesions. The first two are None where
    nothing raised the risk, the last for the hottest voxel, which has no map. `place` is where the top lies."""

    top_lps_mm: tuple[float, float, float] | None
    distance_mm: float | None
    energy_in_lesions: float | None
    place: Place | None = None


class ExplainedCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case. `lesion_share` is the part of the region that is lesion, `place_shares` the part that is at each place:
    what an effect and a point spread by chance would find. `lesion_suv_max` is the highest SUVbw (g/mL) of lesions in
    the region: disease may be planted without uptake."""

    number: int
    lesions: int
    lesion_share: float
    place_shares: dict[Place, float]
    lesion_suv_max: float
    patches: int
    encoded: int
    seconds: float
    findings: dict[str, Finding]


class HotspotResults(msgspec.Struct, forbid_unknown_fields=True):
    """All explained cases, and what was fitted to explain them."""

    notice: str
    key: str
    scenario: str
    cohort: str
    learned_from: int
    cases: dict[str, ExplainedCase] = {}
    passed_over: list[int] = []


def hotspot_path(configuration: StudyConfiguration, results: Path) -> Path:
    """The file of explained cases."""
    return results / f"embedding-{configuration.embedding.sha256[:12]}" / "explained" / "hotspots.json"


def read_hotspots(path: Path) -> HotspotResults | None:
    """What was explained, None where nothing was. Raises InputError where the file is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=HotspotResults)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it and explain again.") from error
