"""The stability of a score in words: the badge in one line, and what was tried to find it."""

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.localised import show_number, show_percent

BORDERS = {"stable": "#2f855a", "sensitive": "#b7791f"}
"""The colour around a badge; the sign before its words says the same."""


def read_stability(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The stability of a result; None where it was not measured or makes no sense."""
    found = result.get("stability")
    if not isinstance(found, Mapping):
        return None
    numbers = [found.get(name) for name in ("lowest", "highest")]
    if not all(isinstance(each, int | float) for each in numbers) or not isinstance(found.get("verdict"), str):
        return None
    return found


def describe_stability(stability: Mapping[str, Any]) -> str:
    """Such as "✓ Stable: log-risk +0.31 to +0.45 under 9 small changes"."""
    verdict = {
        "stable": _("✓ Stable"),
        "sensitive": _("⚠ Sensitive"),
    }.get(str(stability["verdict"]), _("○ Stability not judged"))
    count = len(stability.get("trials") or ())
    if not count:
        return _("{verdict}: nothing could be changed on this case").format(verdict=verdict)
    text = _("{verdict}: log-risk {low} to {high} under {n} small changes").format(
        verdict=verdict,
        low=show_number(stability["lowest"], 2, sign=True),
        high=show_number(stability["highest"], 2, sign=True),
        n=count,
    )
    positions = [each for each in stability.get("positions") or () if isinstance(each, int | float)]
    if positions:
        low, high = show_percent(min(positions)), show_percent(max(positions))
        span = low if low == high else _("{low} to {high}").format(low=low, high=high)
        text += _(", higher than {span} of the reference").format(span=span)
    return text


def explain_stability(stability: Mapping[str, Any]) -> str:
    """The rule, what it means, and every change with what it did, a line each."""
    lines = [str(stability.get(name) or "") for name in ("sentence", "rule", "meaning")]
    for trial in stability.get("trials") or ():
        moved = trial.get("moved")
        if isinstance(moved, int | float):
            lines.append(f"•  {trial.get('change')}: {show_number(moved, 3, sign=True)}")
    lines += [str(each) for each in stability.get("left_out") or ()]
    return "\n".join(line for line in lines if line)
