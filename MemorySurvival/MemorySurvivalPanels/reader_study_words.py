"""A reader study in words: estimates, the model's answer, where a case stands, and what is asked before leaving."""

from collections.abc import Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.localised import show_number, show_percent


def describe_answers(case: Mapping[str, Any]) -> str:
    """The own estimates, and the model's answer once it was shown."""
    lines = []
    for name, text in (("first", _("Your estimate: {it}")), ("final", _("Your second estimate: {it}"))):
        if case[name] is not None:
            lines.append(text.format(it=_describe_estimate(case[name])))
    model = case["model"] if case["first"] is not None else None
    if model is not None:
        parts = [_("log-risk {value}").format(value=show_number(model["log_risk"], 3, sign=True))]
        if model.get("risk_group"):
            parts.insert(0, str(model["risk_group"]))
        if model.get("position") is not None:
            parts.append(_("higher than {share} of the reference").format(share=show_percent(model["position"])))
        label = "; ".join(model.get("labels") or ())
        lines.append(_("The model: {it}").format(it=", ".join(parts)) + (f"  [{label}]" if label else ""))
    return "\n".join(lines)


def _describe_estimate(estimate: Mapping[str, Any]) -> str:
    words = {"low": _("low"), "intermediate": _("intermediate"), "high": _("high")}
    group = estimate.get("group")
    given = words.get(str(group), str(group))
    if group is None:
        given = _("percentile {n}").format(n=show_number(estimate["percentile"], 0))
    return _("{answer} ({confidence})").format(answer=given, confidence=confidences()[estimate["confidence"]])


def confidences() -> list[str]:
    """The words for 1 to 5, after an empty one."""
    return ["", _("1 guessed"), _("2 unsure"), _("3 fairly sure"), _("4 sure"), _("5 certain")]


def describe_state(state: str) -> str:
    """A state's word with its sign."""
    return {
        "to do": _("○ to do"),
        "opened": _("… begun"),
        "estimated": _("◑ estimated"),
        "revealed": _("◑ score seen"),
        "done": _("✓ done"),
        "uncovered": _("⚠ uncovered before"),
    }.get(state, state)


def ask_about_leaving() -> bool:
    """Whether the reader really wants to see the score without an estimate."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Warning)
    box.setWindowTitle(_("Leave the reader study"))
    box.setText(_("The score is shown without your estimate, and the open case no longer counts in the study."))
    leave = box.addButton(_("Show the score"), qt.QMessageBox.DestructiveRole)
    stay = box.addButton(_("Stay"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec_()
    return bool(box.clickedButton() == leave)
