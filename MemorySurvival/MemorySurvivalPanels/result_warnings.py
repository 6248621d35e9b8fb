"""What speaks against trusting a result at first sight: flags of the PET, alignment, an edited mask, stray voxels."""

from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _


def list_warnings(result: Mapping[str, Any]) -> list[str]:
    """One sentence each, the gravest first; empty where nothing was found."""
    acquisition, roi = result.get("acquisition") or {}, result.get("roi") or {}
    flags: Sequence[Mapping[str, Any]] = acquisition.get("flags") or []
    # A confirmed identity is a warning; that something could not be compared is a note.
    said = [str(each) for each in result.get("shown") or []]
    said += [each for each in acquisition.get("identity") or [] if each.startswith("Confirmed by the user")]
    said += [each["sentence"] for each in flags if each.get("severity") == "warning"]
    said += _alignment(acquisition.get("alignment") or {})
    said += _mask(roi)
    return list(dict.fromkeys(said))


def without_warnings(notes: Sequence[str], warnings: Sequence[str]) -> list[str]:
    """The notes that the warnings do not say already, each once."""
    return [note for note in dict.fromkeys(notes) if note not in warnings]


def _alignment(alignment: Mapping[str, Any]) -> list[str]:
    correction = alignment.get("correction")
    if correction:
        moved = str(correction.get("sentence") or _("The PET was moved onto the CT."))
        return [moved, _("The PET in the scene is where it was: only the scored copy was moved.")]
    return [alignment["warning"]] if alignment.get("warning") else []


def _mask(roi: Mapping[str, Any]) -> list[str]:
    said = []
    if roi.get("edited"):
        boxes, edit = roi.get("boxes"), roi.get("edit")
        text = _("The mask was corrected by hand")
        if edit:
            text += _(" ({n} voxels)").format(n=edit["voxels_added"] + edit["voxels_removed"])
        if boxes:
            moved = sum(len(boxes[name]) for name in ("slices_moved", "slices_added", "slices_removed"))
            text += _("; that changes the prompts of {n} slices").format(n=moved) if moved else _("; no prompt changed")
        said.append(f"{text}.")
    stray = roi.get("stray") or []
    if stray:
        said.append(
            _("The mask has {n} stray pieces far from the rest, which prompt slices or stretch a box.").format(
                n=len(stray)
            )
            if len(stray) > 1
            else _("The mask has one stray piece far from the rest, which prompts slices or stretches a box.")
        )
    return said
