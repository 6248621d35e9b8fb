"""Numbers as the user's locale writes them; on the screen only, never in files."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

NOTHING = "–"


def show_number(value: Any, digits: int, *, sign: bool = False) -> str:
    """Such as "1,25"; a dash where there is no number."""
    if not isinstance(value, int | float):
        return NOTHING
    # QLocale.toString wants a character, which PythonQt takes only as an integer; this needs no overload.
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace(".", _decimal_point())


def show_effect(value: Any) -> str:
    """A change of log-risk, signed, with digits enough to tell small ones apart, such as "+0.004"."""
    if not isinstance(value, int | float):
        return NOTHING
    return show_number(value, 3 if abs(value) >= 0.001 or value == 0 else 5, sign=True)


def show_percent(share: Any) -> str:
    """Such as "31 %"."""
    if isinstance(share, int | float) and 0 < share < 0.005:
        return _("< 1 %")
    return _("{n} %").format(n=show_number(100 * share, 0)) if isinstance(share, int | float) else NOTHING


class DecimalKeys(qt.QObject):
    """Lets a person type point or comma as the decimal sign of a spin box; whoever makes it has to keep it.

    Qt takes the other one for a separator of thousands and drops it: a typed "32.5" would be 325 in Germany.
    """

    def __init__(self, spin_box: Any) -> None:
        qt.QObject.__init__(self)
        self._line = slicer.util.findChildren(spin_box, className="QLineEdit")[0]
        spin_box.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Called by Qt before the spin box gets a key; True where it need not have it."""
        if event.type() != qt.QEvent.KeyPress or event.text() not in (".", ",") or event.text() == _decimal_point():
            return False
        self._line.insert(_decimal_point())
        return True


def _decimal_point() -> str:
    point = qt.QLocale().decimalPoint()  # under Qt 5 PythonQt hands a character out as its number
    return point if isinstance(point, str) else chr(point)
