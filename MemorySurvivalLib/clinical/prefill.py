"""Suggestions for the IMPeTUs form from the measurements, each with the sentence it rests on; nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec

from MemorySurvivalLib.clinical.impetus import NONE, SITES, blank_form, suggest
from MemorySurvivalLib.clinical.record import VisualReading
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.measure.lesion import LYTIC_HU
from MemorySurvivalLib.measure.tables import ABOVE_LIVER, FAR_ABOVE_LIVER, LesionRow, MeasurementRecord, categorise

WHOLE_SKELETON = "skeleton"
"""The kind of region in which all bones were searched."""

LEAST_VERTEBRAE = 3
"""Fewer vertebrae in view say nothing about the marrow."""

_SKULL = ("skull", "mandible")
_SPINE_BONES = ("coccyx",)
_LIMITS = f"4 is from {ABOVE_LIVER:g}, 5 from {FAR_ABOVE_LIVER:g} times the liver, our choice"


def prefill(record: MeasurementRecord | None) -> VisualReading:
    """The form with what the measurements can tell suggested, and why there is no suggestion where they cannot.

    Nothing is confirmed. Without measurements the form is blank.
    """
    form = blank_form()
    if record is None:
        return form
    form = suggest(form, "marrow_deauville", *_marrow(record))
    form = suggest(form, "focal_group", *_focal_group(record))
    form = suggest(form, "focal_sites", *_focal_sites(record))
    form = suggest(form, "focal_deauville", *_focal_deauville(record))
    form = suggest(form, "lytic_group", None, _lytic(record))
    form = suggest(form, "fractures", None, "Fractures are not measured; look at the CT.")
    form = suggest(form, "paramedullary", None, _paramedullary(record))
    form = suggest(form, "extramedullary", None, _extramedullary(record))
    return suggest(
        form, "extramedullary_deauville", None, "Soft tissue outside the region is not measured; look at the images."
    )


class _Measured(msgspec.Struct):
    schema: str
    measurements: MeasurementRecord | None = None


def read_measurements(result: Path) -> MeasurementRecord | None:
    """The measurements in the result.json of a scored case's folder; None where it was not measured.

    Raises InputError, one sentence, where there is no such record.
    """
    path = result / "result.json" if result.is_dir() else result
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"There is no readable result.json in {result}; give the folder of a scored case.") from error
    try:
        return msgspec.json.decode(text, type=_Measured).measurements
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not the record of a scored case ({error}); choose another folder.") from error


def _marrow(record: MeasurementRecord) -> tuple[str | None, str]:
    means = [row.measure.suv_mean for row in record.segments if row.group == "vertebra"]
    if len(means) < LEAST_VERTEBRAE:
        return None, f"Only {len(means)} vertebrae are segmented, too few to tell the marrow's uptake."
    suv = median(means)
    told = f"The median over {len(means)} vertebrae of their mean SUV is {suv:.2f}"
    category, why = _category(record, suv)
    return category, f"{told}; {why}"


def _focal(record: MeasurementRecord) -> list[LesionRow]:
    return [row for row in record.lesions if row.lesion.kind == "focal"]


def _searched(record: MeasurementRecord) -> str:
    where = "the skeleton" if record.roi.name == WHOLE_SKELETON else "the spine's region"
    least = f"{record.lesion_config.least_volume_ml:g} ml"
    return f"in {where} at SUV {record.threshold_suv:.1f} or more; fainter ones and those below {least} are not listed"


def _group(count: int) -> str:
    if count == 0:
        return "0"
    if count <= 3:
        return "1-3"
    return "4-10" if count <= 10 else ">10"


def _focal_group(record: MeasurementRecord) -> tuple[str | None, str]:
    count = len(_focal(record))
    told = f"{count} focal {_lesions(count)} listed {_searched(record)}"
    if record.roi.name != WHOLE_SKELETON and count <= 10:
        return None, f"{told}. The other bones were not searched."
    return _group(count), f"{told}."


def _focal_sites(record: MeasurementRecord) -> tuple[tuple[str, ...] | None, str]:
    focal = _focal(record)
    if record.roi.name != WHOLE_SKELETON:
        return None, f"Only the spine's region was searched; {len(focal)} focal {_lesions(len(focal))} listed there."
    if not focal:
        return (NONE,), f"No focal lesion is listed {_searched(record)}."
    found: dict[str, list[str]] = {}
    for row in focal:
        found.setdefault(_site_of(record, row.lesion.site), []).append(_name(row))
    if "" in found:
        return None, f"The bone is not known of {', '.join(found[''])}."
    told = "; ".join(f"{site}: {', '.join(found[site])}" for site in SITES if site in found)
    return tuple(site for site in SITES if site in found), f"By the nearest bone: {told}."


def _focal_deauville(record: MeasurementRecord) -> tuple[str | None, str]:
    focal = _focal(record)
    if not focal:
        if record.roi.name != WHOLE_SKELETON:
            return None, "No focal lesion is listed in the spine's region; the other bones were not searched."
        return NONE, f"No focal lesion is listed {_searched(record)}."
    hottest = max(focal, key=lambda row: row.lesion.suv_peak)
    told = f"The hottest is {_name(hottest)} with SUVpeak {hottest.lesion.suv_peak:.1f}"
    if record.roi.name != WHOLE_SKELETON:
        return None, f"{told}; the other bones were not searched."
    category, why = _category(record, hottest.lesion.suv_peak)
    return category, f"{told}; {why}"


def _category(record: MeasurementRecord, suv: float) -> tuple[str | None, str]:
    """The category of an uptake and the rest of its sentence."""
    liver, pool = record.references.liver, record.references.blood_pool
    if liver is None:
        return None, "there is no liver reference to compare it with."
    ratio = suv / liver.suv_mean if liver.suv_mean > 0 else 0.0
    told = f"that is {ratio:.2f} times the liver ({_LIMITS})"
    category = categorise(suv, record.references)
    if category is None and pool is None:
        if ratio <= ABOVE_LIVER:
            return None, f"{told}; without a blood-pool reference 2 and 3 cannot be told apart."
        return ("4" if ratio <= FAR_ABOVE_LIVER else "5"), f"{told}."
    if category == 2:
        return "2", "that is not above the blood pool; numbers cannot tell 1 from 2."
    return str(category), f"{told}, and above the blood pool."


def _lytic(record: MeasurementRecord) -> str:
    focal = _focal(record)
    count = sum(row.lesion.low_density for row in focal)
    return (
        f"{count} of {len(focal)} focal {_lesions(len(focal))} have a median below {LYTIC_HU:g} HU, a hint at lysis; "
        "lytic lesions without uptake are not measured. Look at the CT."
    )


def _paramedullary(record: MeasurementRecord) -> str:
    beside = [_name(row) for row in _focal(record) if row.lesion.site_distance_mm > 0]
    told = f" The maximum lies beside the bone in {', '.join(beside)}." if beside else ""
    return f"Soft tissue beside bone is not told from bone by the measurements.{told} Look at the images."


def _extramedullary(record: MeasurementRecord) -> str:
    beyond = [
        f"{_name(row)}{f' ({_words(row.lesion.spill_in)})' if row.lesion.spill_in else ''}"
        for row in record.lesions
        if row.lesion.kind == "spill-in"
    ]
    told = f" Uptake from outside the region was listed as spill-in: {', '.join(beyond)}." if beyond else ""
    return f"Soft tissue outside the region is not measured.{told} Look at the images."


def _site_of(record: MeasurementRecord, bone: str) -> str:
    """skull, spine or extraspinal; empty where the bone is not known."""
    groups = {row.name: row.group for row in record.segments}
    if bone in _SKULL:
        return "skull"
    if bone in _SPINE_BONES or groups.get(bone) in ("vertebra", "sacrum"):
        return "spine"
    return "extraspinal" if groups.get(bone) == "bone" else ""


def _name(row: LesionRow) -> str:
    site = _words(row.lesion.site)
    return f"lesion {row.lesion.number}{f' at {site}' if site else ''}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _lesions(count: int) -> str:
    return "lesion" if count == 1 else "lesions"
