"""What the library said of the model bundles, kept for every part of the panel to ask."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from MemorySurvivalLib.risk.covariate_fields import CovariateField

_KNOWN: dict[str, Mapping[str, Any]] = {}


def replace_catalog(bundles: Sequence[Mapping[str, Any]]) -> None:
    """Know these bundles (the library's `BundleSummary` and `DamagedBundle` in plain values) and no others."""
    _KNOWN.clear()
    _KNOWN.update({str(each["name"]): each for each in bundles if each.get("name")})


def find_bundle(name: str) -> Mapping[str, Any] | None:
    """What is known of a bundle; None before the library has said anything, and for a name that it does not know."""
    return _KNOWN.get(name)


def covariate_fields(name: str) -> "tuple[CovariateField, ...]":
    """The clinical values that a bundle takes; empty where it takes none or is not known."""
    from MemorySurvivalLib.risk.covariate_fields import CovariateField

    for head in (find_bundle(name) or {}).get("heads") or ():
        if head.get("covariates"):
            return tuple(
                CovariateField(each["name"], each["unit"], each["low"], each["high"], tuple(each["levels"]))
                for each in head["covariates"]
            )
    return ()


def has_image_head(name: str) -> bool:
    """Whether a bundle can score images alone; true for one that is not known, because Score will say so."""
    heads = (find_bundle(name) or {}).get("heads")
    return heads is None or any(not head.get("covariates") for head in heads)


def missing_weights(name: str) -> Mapping[str, Any] | None:
    """The weights that a bundle needs and that are not on this machine, or damaged; None where all is there."""
    need = (find_bundle(name) or {}).get("weights")
    return need if need and need["state"] in ("absent", "damaged") else None


def bundles_with(sha256: str) -> list[str]:
    """The sound bundles that need the weights with this hash."""
    return [name for name, each in _KNOWN.items() if (each.get("weights") or {}).get("sha256") == sha256]


def bundle_problem(name: str) -> str | None:
    """Why nothing can be scored with a bundle, as a sentence; None where nothing is known against it."""
    if not name:
        return _("Choose a model bundle.")
    damaged = (find_bundle(name) or {}).get("damaged")
    if damaged:
        return str(damaged)
    need = missing_weights(name)
    if need is not None:
        what = _("are damaged") if need["state"] == "damaged" else _("are not on this computer")
        return _('The weights {name} {what}, which "{bundle}" needs; fetch them or import a file under Model.').format(
            name=need["name"], what=what, bundle=name
        )
    return None
