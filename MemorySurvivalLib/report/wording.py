"""How the report says things: numbers as text, plain words for parameters, file names without their folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from MemorySurvivalLib.imaging.acquisition import AlignmentRecord
from MemorySurvivalLib.measure.statistics import STATISTICS
from MemorySurvivalLib.report.language import later, say_local, tr
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.risk.covariate_fields import field_of, list_titles, say_missing
from MemorySurvivalLib.roi.provenance import RoiPart
from MemorySurvivalLib.roi.roi import ROI_TITLES
from MemorySurvivalLib.scoring import StatisticUsed

MINUS = "−"
COMPLETE_COVERAGE = 0.995
"""From this share on the PET covers the CT for all practical purposes."""

STATUS_WORDS = {
    "demonstration": later(
        "It learned from simulated patients only and shows how the method works; "
        "its numbers say nothing about a real patient."
    ),
    "local-research": later("It was trained on a local cohort and has not been validated elsewhere."),
    "validated": later("Its evidence is stated in its manifest; it is still for research use only."),
}

HEADS_SIMULATED = later(
    "Its heads learned from simulated patients only and show how the method works; "
    "its numbers say nothing about a real patient."
)
"""Instead of the demonstration's status words, where the backbone has seen more than phantoms."""

READOUT_WORDS = {
    "last": later("the memory after the last slices of the pass (it hardly depends on the slices before them)"),
    "mean": later("the mean of the memories over all slices used"),
    "max": later("the maximum of the memories over all slices used"),
    "bank": later("the memories of the last slices of the pass, one beside the other"),
    "stations": later("the means of the memories over equal parts of the pass, one beside the other"),
    "tops": later("the maxima of the memories over equal parts of the pass, one beside the other"),
}

FILL_WORDS = {
    "roi_median": later("the median inside the region of interest, air left as it is"),
    "volume_mean": later("the mean of the whole volume"),
    "blur": later("the image itself, blurred by a Gaussian of half the cube's edge"),
}


def say_signed(value: float, digits: int = 3) -> str:
    """A number with its sign and so many significant digits: "+0.0123"."""
    return "0" if value == 0 else say_local(f"{value:+.{digits}g}").replace("-", MINUS)


def say_fixed(value: float, places: int = 2) -> str:
    """A number with its sign and so many decimals: "+0.53"."""
    return say_local(f"{round(value, places) + 0.0:+.{places}f}").replace("-", MINUS)


def say_plain(value: float, digits: int = 6) -> str:
    """A number without needless zeros; minus as a real minus sign."""
    return say_local(f"{value:.{digits}g}").replace("-", MINUS)


def say_whole(value: float) -> str:
    """A number without decimals; minus as a real minus sign."""
    return f"{round(value) + 0:d}".replace("-", MINUS)


def say_decimals(value: float | None, places: int) -> str:
    """A number with so many decimals, without a sign before a positive one; a dash where there is none."""
    if value is None:
        return "–"
    return (
        say_whole(value) if places == 0 else say_local(f"{round(value, places) + 0.0:.{places}f}").replace("-", MINUS)
    )


def say_side(value: float, positive: str, negative: str) -> str:
    """A coordinate with the side it lies on: "L 12" for 12 mm towards L."""
    return f"{positive if value >= 0 else negative} {abs(value):.0f}"


def say_place(position_lps_mm: tuple[float, float, float]) -> str:
    """A place in LPS millimetres: "L 12 · P 72 · S 320 mm"."""
    x, y, z = position_lps_mm
    return f"{say_side(x, 'L', 'R')} · {say_side(y, 'P', 'A')} · {say_side(z, 'S', 'I')} mm"


def say_percent(share: float) -> str:
    """A share 0 to 1 as whole percent."""
    return f"{100 * share:.0f} %"


def say_share(share: float) -> str:
    """A share 0 to 1 in percent, with one decimal where it is small."""
    return say_local(f"{100 * share:.1f} %") if share < 0.095 else say_percent(share)


def say_millilitres(volume_ml: float) -> str:
    """A volume without more digits than it has."""
    return say_local(f"{volume_ml:.1f}") if volume_ml < 9.95 else f"{volume_ml:.0f}"


def file_name(path: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1] or path


def shorten(name: str, most: int = 56) -> str:
    """A long name with its middle left out; its ends tell the most."""
    keep = (most - 1) // 2
    return name if len(name) <= most else f"{name[:keep]}…{name[-keep:]}"


def known_paths(record: CaseRecord) -> tuple[str, ...]:
    """Every path the record holds, longest first; the folders in them may name a patient or a hospital."""
    texts = [source.path for source in record.inputs.values()]
    texts.append(record.roi.made_by)
    texts += [value for value in record.request.values() if isinstance(value, str)]
    return tuple(sorted({text for text in texts if _is_path(text)}, key=lambda text: (-len(text), text)))


def hide_folders(text: str, paths: tuple[str, ...]) -> str:
    """Replace each known path in a sentence by its file name."""
    for path in paths:
        text = text.replace(path, file_name(path))
    return text


def _is_path(text: str) -> bool:
    if "\n" in text:
        return False
    absolute = re.match(r"(~|\.{0,2})[\\/]|[A-Za-z]:[\\/]|\\\\", text) is not None
    return absolute or re.search(r"[\\/].*\.\w+$", text) is not None


def say_status(record: CaseRecord) -> str:
    """What a bundle's status means; a demonstration's backbone may have seen more than phantoms."""
    bundle = record.bundle
    if bundle.status == "demonstration" and not bundle.backbone.simulated_only:
        return tr(HEADS_SIMULATED)
    return tr(STATUS_WORDS.get(bundle.status, ""))


def say_position(record: CaseRecord) -> str | None:
    """The place among the reference cases in words, or None when it may not be shown."""
    if record.risk.position is None:
        return None
    share, count = say_percent(record.risk.position), len(record.risk.reference_log_risks)
    return tr("Higher than {share} of {count} reference cases").format(share=share, count=count)


def say_acquisition(record: CaseRecord) -> tuple[tuple[str, str], ...]:
    """How the images came to be what the model saw, as pairs of a heading and a text."""
    way = record.acquisition
    rows = [(tr("{name} read from").format(name=name), origin) for name, origin in sorted(way.origin.items())]
    if way.suv is not None:
        text = way.suv.method
        if way.suv.uptake_min is not None:
            minutes = say_whole(way.suv.uptake_min)
            text += "; " + tr("{minutes} min from injection to scan").format(minutes=minutes)
        rows.append(("SUVbw", text))
        if way.suv.supplied:
            rows.append((tr("Supplied by the user"), say_value(way.suv.supplied)))
    rows += [(tr("PET flag") if flag.severity == "warning" else tr("PET note"), flag.sentence) for flag in way.flags]
    if way.cropped_mm:
        cut = ", ".join(
            tr("{mm} mm at the {end}").format(mm=say_whole(mm), end=end) for end, mm in way.cropped_mm.items()
        )
        rows.append((tr("CT without PET"), tr("left out: {cut}").format(cut=cut)))
    if way.pet_coverage < COMPLETE_COVERAGE:
        rows.append((tr("PET covers"), tr("{share} of the rest").format(share=say_percent(way.pet_coverage))))
    if way.alignment is not None:
        rows.append((tr("PET against CT"), _say_alignment(way.alignment)))
    return (*rows, *((tr("Whose images"), sentence) for sentence in way.identity))


def _say_alignment(alignment: AlignmentRecord) -> str:
    if alignment.correction is not None:
        return str(alignment.correction["sentence"])
    if alignment.magnitude_mm is None or not alignment.reliable:
        return " ".join((tr("Not told reliably."), *alignment.reasons))
    if alignment.warning:
        return alignment.warning
    apart = say_decimals(alignment.magnitude_mm, 1)
    return tr("{apart} mm apart by an estimate from the images; not corrected.").format(apart=apart)


def say_edited(part: RoiPart) -> str:
    """Whether a person changed a part of the mask, and by how much."""
    if part.edited is None:
        return tr("not known whether edited")
    if not part.edited:
        return tr("not edited")
    count = part.voxels_changed
    return tr("edited") if count is None else tr("edited, voxels changed: {count}").format(count=count)


def roi_title(record: CaseRecord) -> str:
    """The kind of region in words."""
    return next((tr(title) for kind, title in ROI_TITLES.items() if kind == record.roi.kind), record.roi.kind)


def collect_notes(record: CaseRecord) -> tuple[str, ...]:
    """Everything the user should know about this run, once each, with file names instead of paths."""
    paths = known_paths(record)
    covariates = record.risk.covariates
    # Results of earlier versions say columns' names there; the flag says it in words, and it is said once.
    words = {} if covariates is None else {say_missing(", ".join(covariates.missing)): list_titles(covariates.missing)}
    notes = [say_missing(words[note]) if note in words else note for note in (*record.notes, *record.risk.notes)]
    return tuple(dict.fromkeys(hide_folders(note, paths) for note in notes))


def is_given(value: Any) -> bool:
    """Whether a parameter says anything: None, a plain no, and groups of nothing do not."""
    if isinstance(value, Mapping):
        return any(map(is_given, value.values()))
    return value is not None and value is not False and value != () and value != []


def say_covariate(name: str) -> str:
    """A covariate's column name in words, without its unit: "r_iss" is "R-ISS stage"."""
    return field_of(name).title


def say_measured(name: str, value: str) -> str:
    """A covariate's value with the unit that its column's name ends with: "3.27 mg/dL"."""
    return f"{say_local(value)} {field_of(name).unit.replace('^9', '⁹')}".rstrip()


FLAT_FIGURES = "flat cross-validation: too good, settings were chosen on the folds that judge them"
"""Stands beside metrics whose names begin with "flat_"."""


def say_metrics(metrics: Mapping[str, float]) -> str:
    """A head's metrics, each with its interval where "name_low" and "name_high" stand beside "name".

    Those of flat cross-validation say so, in English.
    """
    said = {name: f"{name.replace('_', ' ')} {say_plain(value, 3)}" for name, value in metrics.items()}
    for name in metrics:
        low, high = f"{name}_low", f"{name}_high"
        if low in metrics and high in metrics:
            said[name] += f" ({say_plain(metrics[low], 3)} {tr('to')} {say_plain(metrics[high], 3)})"
            del said[low], said[high]
    flat = f" ({FLAT_FIGURES})" if any(name.startswith("flat_") for name in metrics) else ""
    return ", ".join(said.values()) + flat


def say_statistic(used: StatisticUsed) -> tuple[str, str, str]:
    """A number that the head read of the region: its title, its value with unit, its definition in English.

    The title is the name where this program no longer knows the statistic.
    """
    known = STATISTICS.get(used.name)
    title, definition = (known.title, known.definition) if known else (used.name, "")
    if used.value is None:
        return title, tr("not measurable: the training cohort's average was taken"), definition
    places = {"g/mL": 2, "HU": 0}.get(used.unit, 1)
    return title, f"{say_decimals(used.value, places)} {used.unit}".rstrip(), definition


def say_value(value: Any) -> str:
    """A parameter of any plain type as text."""
    if value is None:
        return tr("not given")
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, float):
        return say_plain(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {say_value(item)}" for key, item in value.items() if is_given(item)) or tr("none")
    if isinstance(value, list | tuple):
        return ", ".join(say_value(item) for item in value) or tr("none")
    return str(value)
