"""What a bundle is, in plain sentences: what it learned from, what it needs, and what it may show of a case."""

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

_HASH_DIGITS = 12


def describe_status(status: str) -> str:
    """A bundle's status in a few words."""
    return {
        "demonstration": _("demonstration"),
        "local-research": _("local research"),
        "validated": _("validated"),
    }.get(status, status)


def describe_bundle(bundle: Mapping[str, Any]) -> list[str]:
    """One line a fact, beside what it may show; a damaged bundle is its sentence alone."""
    if bundle.get("damaged"):
        return [str(bundle["damaged"])]
    made = bundle["provenance"]
    heads = bundle["heads"]
    return [
        _("{title}, version {version} ({status}).").format(
            title=bundle["title"], version=bundle["version"], status=describe_status(bundle["status"])
        ),
        _("Learned from {cases} cases, {events} of which progressed: {population}.").format(
            cases=made["cases"], events=made["events"], population=made["population"]
        ),
        _("Looks at {images} in the {region}{clinical}.").format(
            images=_(" and ").join(_images(heads)),
            region=_region(bundle["roi"]),
            clinical=_(", with or without clinical values") if len(heads) > 1 else _clinical(heads[0]),
        ),
        *_measured(heads),
        _("Licence {licence}; made {created}.").format(licence=bundle["licence"], created=made["created"]),
        _(
            "Complete: every part matches its checksum. It carries no signature; its SHA-256 begins with {digits}."
        ).format(digits=bundle["sha256"][:_HASH_DIGITS]),
    ]


def describe_rights(bundle: Mapping[str, Any]) -> list[str]:
    """What may be shown of a patient, by the library's rights; and of a simulated case where that is more."""
    head = bundle["heads"][0]
    lines = [_("Of a patient it shows {what}.").format(what=_shown(head, head["real"]))]
    if head["simulated"] != head["real"] and bundle["status"] == "demonstration":
        lines.append(_("Of a simulated case it shows {what}.").format(what=_shown(head, head["simulated"])))
    if head["real"]["labels"]:
        lines.append(_("Beside every number stands: {labels}.").format(labels=", ".join(head["real"]["labels"])))
    return lines


def _shown(head: Mapping[str, Any], rights: Mapping[str, Any]) -> str:
    shown, withheld = [_("the log-risk"), _("the effect map")], []
    position = _("the place among {reference}").format(reference=head["reference"] or _("reference cases"))
    horizon = head.get("horizon_months")
    survival = _("a survival curve")
    if rights["survival"] and horizon:
        survival = _("a survival curve up to {n} months").format(n=f"{horizon:g}")
    for allowed, words, without in (
        (rights["position"], position, _("no place among others")),
        (rights["group"], _("the risk group"), _("no risk group")),
        (rights["survival"], survival, _("no survival curve")),
    ):
        (shown if allowed else withheld).append(words if allowed else without)
    text = ", ".join(shown)
    return f"{text}; {', '.join(withheld)}" if withheld else text


def _images(heads: list[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(modality for head in heads for modality in head["modalities"]))


def _clinical(head: Mapping[str, Any]) -> str:
    return _(", and at clinical values") if head["covariates"] else ""


def _measured(heads: list[Mapping[str, Any]]) -> list[str]:
    """The numbers that it reads of the region; no line where it reads none."""
    titles = list(dict.fromkeys(title for head in heads for title in head.get("statistics") or ()))
    return [_("Also reads of the region: {values}.").format(values=", ".join(titles))] if titles else []


def _region(kind: str) -> str:
    return {"spine_dilated": _("dilated spine"), "skeleton": _("skeleton")}.get(kind, kind.replace("_", " "))
