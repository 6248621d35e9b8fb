"""What speaks against trusting a result at first sight: flags of the PET, alignment, an edited mask, stray voxels."""

import html
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
    said += _reference(result.get("risk") or {})
    return list(dict.fromkeys(said))


def list_flags(result: Mapping[str, Any]) -> list[str]:
    """The same, and what else limits the result, in a word or two each; empty where there is nothing."""
    acquisition, roi, risk = (result.get(name) or {} for name in ("acquisition", "roi", "risk"))
    alignment, covariates = acquisition.get("alignment") or {}, risk.get("covariates")
    missing = len((covariates or {}).get("missing") or ())
    flags = {
        _("other region"): any("ROI NOT OF" in str(label) for label in risk.get("labels") or ()),
        _("identity confirmed by hand"): any(
            str(each).startswith("Confirmed by the user") for each in acquisition.get("identity") or ()
        ),
        _("PET check"): any(each.get("severity") == "warning" for each in acquisition.get("flags") or ()),
        _("misregistration"): bool(alignment.get("warning")) and not alignment.get("correction"),
        _("PET moved onto the CT"): bool(alignment.get("correction")),
        _("taken as shown"): bool(result.get("shown")),
        _("mask edited"): bool(roi.get("edited")),
        _("stray mask pieces"): bool(roi.get("stray")),
        _("out of distribution"): bool(_reference(risk)),
        _("{n} covariates missing").format(n=missing): missing > 0,
        _("images only, no covariates"): any("image-only head" in str(note) for note in risk.get("notes") or ()),
    }
    return [word for word, so in flags.items() if so]


def show_flags(label: Any, flags: Sequence[str]) -> None:
    """Put the flags side by side as chips, each with a background of its own, so that any theme can have them."""
    words = [html.escape(f" ⚑ {flag} ").replace(" ", "&nbsp;") for flag in flags]  # a chip is not broken over lines
    chips = [f'<span style="background-color: #fdf3d8; color: #6b4e00;">{each}</span>' for each in words]
    label.text = " &nbsp; ".join(chips)
    label.visible = bool(chips)


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


def _reference(risk: Mapping[str, Any]) -> list[str]:
    """A log-risk beyond all reference cases: nothing is known about how well the model does there."""
    risks, log_risk = risk.get("reference_log_risks") or (), risk.get("log_risk")
    if not risks or not isinstance(log_risk, int | float) or min(risks) <= log_risk <= max(risks):
        return []
    return [
        _("The log-risk lies outside those of all {n} reference cases; the model was not tried on such a case.").format(
            n=len(risks)
        )
    ]
