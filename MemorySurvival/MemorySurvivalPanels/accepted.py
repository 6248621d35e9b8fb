"""That a person accepted a mask: kept on its node with the scene, and void as soon as the mask is another."""

import enum
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.mask_jobs import is_segmentation
from MemorySurvivalPanels.mask_state import mask_fingerprint
from MemorySurvivalPanels.parameters import ScoreParameters

if TYPE_CHECKING:
    from MemorySurvivalLib.roi.fingerprint import Fingerprint

ACCEPTED = "MemorySurvival.accepted"
"""Node attribute: JSON, by segment identifier (empty for a label map)."""

DOUBT = "MemorySurvival.doubt"
"""Node attribute: a sentence on why the mask may not be this patient's; accepting the mask answers it."""


class Standing(enum.Enum):
    """How the chosen mask stands with the person who reads the case."""

    NEW = "new"
    ACCEPTED = "accepted"
    CHANGED = "changed"


@dataclass(frozen=True)
class Acceptance:
    """Which voxels at which place were accepted, when (ISO 8601, UTC) and by whom (empty where nobody said)."""

    fingerprint: "Fingerprint"
    when: str
    reviewer: str = ""


def accept_mask(parameters: ScoreParameters, reviewer: str = "") -> bool:
    """Note that the chosen mask is accepted as it is now; False where there is nothing to accept."""
    fingerprint = mask_fingerprint(parameters)
    if fingerprint is None:
        return False
    entries = _read_entries(parameters.roi)
    entries[_segment_key(parameters)] = {
        "sha256": fingerprint.sha256,
        "first_mm": list(fingerprint.first_mm),
        "last_mm": list(fingerprint.last_mm),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "reviewer": reviewer,
    }
    parameters.roi.SetAttribute(ACCEPTED, json.dumps(entries))
    parameters.roi.SetAttribute(DOUBT, None)
    return True


def read_acceptance(parameters: ScoreParameters) -> Acceptance | None:
    """The last acceptance of the chosen mask, whether it still holds or not; None where there is none."""
    entry = None if parameters.roi is None else _read_entries(parameters.roi).get(_segment_key(parameters))
    if entry is None:
        return None
    # Imported late, so that Reload reads it again and a panel without its library can still say so.
    from MemorySurvivalLib.roi.fingerprint import Fingerprint

    try:
        return Acceptance(
            Fingerprint(str(entry["sha256"]), _point(entry["first_mm"]), _point(entry["last_mm"])),
            str(entry["when"]),
            str(entry.get("reviewer") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError):  # not one of ours
        return None


def mask_standing(parameters: ScoreParameters) -> Standing:
    """Whether the chosen mask was accepted and is still the same."""
    accepted = read_acceptance(parameters)
    if accepted is None:
        return Standing.NEW
    now = mask_fingerprint(parameters)
    return Standing.ACCEPTED if now is not None and now.matches(accepted.fingerprint) else Standing.CHANGED


def mask_notes(parameters: ScoreParameters) -> list[str]:
    """What a result's record says of the acceptance, in the record's own language."""
    accepted = read_acceptance(parameters)
    if mask_standing(parameters) is not Standing.ACCEPTED or accepted is None:
        return ["No person accepted the mask before it was scored."]
    by = f" by {accepted.reviewer}" if accepted.reviewer else ""
    return [f"The mask was accepted{by} ({accepted.when})."]


def has_accepted(node: Any) -> bool:
    """Whether any mask of a node was ever accepted: a person's word that is not thrown away unasked."""
    return bool(_read_entries(node))


def mask_missing(parameters: ScoreParameters) -> str | None:
    """What the mask still needs before the case can be scored, as a sentence; None when nothing is missing."""
    roi = parameters.roi
    if roi is not None and roi.GetAttribute(DOUBT):
        return _("{doubt} Accept the mask if it is of this patient.").format(doubt=roi.GetAttribute(DOUBT))
    if parameters.score_without_accepting:
        return None
    if roi is None:
        return _('Generate masks and accept one, or tick "Score without accepting" under Masks.')
    standing = mask_standing(parameters)
    if standing is Standing.NEW:
        return _('Look at the mask and accept it, or tick "Score without accepting" under Masks.')
    if standing is Standing.CHANGED:
        return _(
            "The mask was changed since it was accepted; accept it again, "
            'or tick "Score without accepting" under Masks.'
        )
    return None


def _segment_key(parameters: ScoreParameters) -> str:
    return parameters.segment_id if is_segmentation(parameters.roi) else ""


def _read_entries(node: Any) -> dict[str, Any]:
    try:
        entries = json.loads(node.GetAttribute(ACCEPTED) or "{}")
    except ValueError:
        return {}
    return entries if isinstance(entries, dict) else {}


def _point(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
