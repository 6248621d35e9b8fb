"""What the headers of a PT series say that bears on SUV, as plain values: nothing is judged or filled in here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, time

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
)
from pydicom.valuerep import DA, DT, TM

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_header import DAMAGE, items, number, text, texts

MG_DL_PER_MMOL_L = 18.016
"""Glucose has a molar mass of 180.16 g/mol."""

LONGEST_MS = 1e9
"""Eleven days: longer than any frame, or than any frame is after its scan's start."""

YEARS = range(1900, 2200)
"""Dates outside are typing errors, and arithmetic on them would leave the calendar."""

NO_DATE = "19000101"
"""Stands for the date where a file tells times but no date at all; only differences of times are used."""

ISOTOPE_HALF_LIVES_S = {
    "F-18": 6586.2,
    "Ga-68": 4057.7,
    "C-11": 1223.4,
    "N-13": 597.9,
    "O-15": 122.24,
    "Rb-82": 76.38,
    "Cu-64": 45723.0,
    "Zr-89": 282276.0,
    "I-124": 360806.0,
}
"""Half-lives of PET radionuclides."""

_ISOTOPE_CODES = {
    **dict.fromkeys(("C-111A1", "77004003"), "F-18"),
    **dict.fromkeys(("C-131A3", "35337001"), "Ga-68"),
    **dict.fromkeys(("C-105A1", "40565003"), "C-11"),
    **dict.fromkeys(("C-107A1", "21576001"), "N-13"),
    **dict.fromkeys(("C-B1038", "129504001"), "O-15"),
    **dict.fromkeys(("C-159A2", "79197006"), "Rb-82"),
    **dict.fromkeys(("C-127A2", "3932008"), "Cu-64"),
    **dict.fromkeys(("C-168A4", "63360001"), "Zr-89"),
    **dict.fromkeys(("C-114A5", "40937006"), "I-124"),
}
"""DICOM CID 4020 in SRT and SNOMED CT; used where the code's meaning does not name nuclide and mass."""

_ISOTOPE_NAMES = {"FLUOR": "F", "GALLIUM": "Ga", "CARBON": "C", "NITROGEN": "N", "OXYGEN": "O", "RUBIDIUM": "Rb"}
_ISOTOPE_NAMES |= {"COPPER": "Cu", "ZIRCONIUM": "Zr", "IODINE": "I"}
_GLUCOSE_WORD = r"(?<![A-Za-z])(?:glucose|gluc|glyc[a-z]*|blood\s*sugar|BGL|BSL)\b"
_NUMBER = r"(\d+(?:[.,]\d+)?)"
_GLUCOSE = (
    re.compile(rf"{_GLUCOSE_WORD}[^\n;]{{0,40}}?{_NUMBER}\s*(mg\s*/\s*dl|mg%|mmol\s*/\s*l)", re.IGNORECASE),
    re.compile(rf"{_GLUCOSE_WORD}[^\d\n;]{{0,30}}?{_NUMBER}()", re.IGNORECASE),
)
"""With a unit, looked for first, and without."""


@dataclass(frozen=True)
class SliceTags:
    """What one slice says: when its frame was acquired and for how long (seconds), and the vendors' scale factors."""

    acquired: datetime | None
    frame_reference_s: float | None
    duration_s: float | None
    decay_factor: float | None
    philips_suv_factor: float | None
    philips_activity_factor: float | None
    rescale_intercept: float


@dataclass(frozen=True)
class PetTags:
    """A PT series as its headers describe it; None or "" where they are silent or not readable.

    Times are wall-clock times of the scanner without zone. `injected` comes from (0018,1078), `injected_at` (a time of
    day) from (0018,1072). `decayed_to` are explicit statements of the time that values are decay-corrected to, each
    with the words that name its tag. `dose` and `weight_kg` stand as written, whatever their unit may be. Of several
    `injections` only what they agree on is told.
    """

    slices: tuple[SliceTags, ...]
    manufacturer: str
    units: str
    suv_type: str
    decay_correction: str
    corrected: tuple[str, ...]
    attenuation_method: str
    series_type: tuple[str, ...]
    series_at: datetime | None
    dated: bool
    injected: datetime | None
    injected_at: time | None
    decayed_to: tuple[tuple[str, datetime], ...]
    ge_injected: datetime | None
    dose: float | None
    half_life_s: float | None
    weight_kg: float | None
    height_m: float | None
    sex: str
    tracer: str
    isotope: str
    injections: int
    glucose_mmol_l: float | None
    glucose_text: str


def read_pet_tags(headers: Sequence[Dataset]) -> PetTags:
    """Read the headers of one PT series (one Dataset per slice, pixels not needed).

    Raises InputError for no headers, another modality, enhanced multi-frame objects, and slices that contradict each
    other about units, decay correction, dose, injection or patient.
    """
    if not headers:
        raise InputError("The PET series has no slices; choose the folder that holds it.")
    with config.disable_value_validation():
        for header in headers:
            _check_kind(header)
        for words, read in _ONE_FOR_ALL.items():
            if len({read(header) for header in headers}) > 1:
                raise InputError(
                    f"The slices of the PET series do not agree on the {words}; "
                    "choose one series, or export it again without mixing."
                )
        return _read(headers)


def _read(headers: Sequence[Dataset]) -> PetTags:
    first, drug = headers[0], _drug(headers[0])
    zone = text(first, "TimezoneOffsetFromUTC")
    injected = _date_time(text(drug, "RadiopharmaceuticalStartDateTime"), zone)
    glucose_mmol_l, glucose_text = _read_glucose(first)
    codes = items(drug, "RadiopharmaceuticalCodeSequence")
    tracer = text(drug, "Radiopharmaceutical") or (text(codes[0], "CodeMeaning") if codes else "")
    dated = any(text(first, f"{name}Date") for name in ("Series", "Acquisition", "Study"))
    return PetTags(
        slices=tuple(_read_slice(header, zone) for header in headers),
        manufacturer=text(first, "Manufacturer"),
        units=text(first, "Units").upper(),
        suv_type=text(first, "SUVType").upper(),
        decay_correction=text(first, "DecayCorrection").upper(),
        corrected=tuple(flag.upper() for flag in texts(first, "CorrectedImage")),
        attenuation_method=text(first, "AttenuationCorrectionMethod"),
        series_type=tuple(part.upper() for part in texts(first, "SeriesType")),
        series_at=_joined(_date(first, "Series"), text(first, "SeriesTime")),
        dated=dated or injected is not None,
        injected=injected,
        injected_at=_time(text(drug, "RadiopharmaceuticalStartTime")),
        decayed_to=_read_decayed_to(first, zone),
        ge_injected=_date_time(_private_text(first, 0x0009, "GEMS_PETD_01", 0x3B), zone),
        dose=number(drug, "RadionuclideTotalDose"),
        half_life_s=number(drug, "RadionuclideHalfLife"),
        weight_kg=number(first, "PatientWeight"),
        height_m=number(first, "PatientSize"),
        sex=text(first, "PatientSex").upper(),
        tracer=tracer,
        isotope=_read_isotope(drug),
        injections=len(items(first, "RadiopharmaceuticalInformationSequence")),
        glucose_mmol_l=glucose_mmol_l,
        glucose_text=glucose_text,
    )


def _check_kind(header: Dataset) -> None:
    modality, kind = text(header, "Modality"), text(header, "SOPClassUID")
    frames = number(header, "NumberOfFrames") or 1
    if kind in (EnhancedPETImageStorage, LegacyConvertedEnhancedPETImageStorage) or (modality == "PT" and frames > 1):
        raise InputError(
            "The PET is an enhanced multi-frame DICOM object, whose SUV is not computed here; "
            "export it as single slices (Positron Emission Tomography Image Storage) or give a PET in SUVbw."
        )
    if modality != "PT" and kind != PositronEmissionTomographyImageStorage:
        raise InputError(f"The series is {modality or 'of no stated modality'}, not PT; choose the PET series.")


def _drug(header: Dataset) -> Dataset:
    """What is said of the injection; of several only what they agree on."""
    found = items(header, "RadiopharmaceuticalInformationSequence")
    agreed = Dataset()
    for element in found[0] if found else ():
        if all(other.get(element.tag) == element for other in found[1:]):
            agreed.add(element)
    return agreed


_ONE_FOR_ALL: dict[str, Callable[[Dataset], Hashable]] = {
    "series (0020,000E)": lambda ds: text(ds, "SeriesInstanceUID"),
    "units (0054,1001)": lambda ds: text(ds, "Units"),
    "SUV type (0054,1006)": lambda ds: text(ds, "SUVType"),
    "decay correction (0054,1102)": lambda ds: text(ds, "DecayCorrection"),
    "corrections (0028,0051)": lambda ds: frozenset(texts(ds, "CorrectedImage")),
    "patient's weight (0010,1030)": lambda ds: number(ds, "PatientWeight"),
    "dose (0018,1074)": lambda ds: number(_drug(ds), "RadionuclideTotalDose"),
    "half-life (0018,1075)": lambda ds: number(_drug(ds), "RadionuclideHalfLife"),
    "injection time (0018,1072)": lambda ds: text(_drug(ds), "RadiopharmaceuticalStartTime"),
    "injection time (0018,1078)": lambda ds: text(_drug(ds), "RadiopharmaceuticalStartDateTime"),
}


def _read_slice(header: Dataset, zone: str) -> SliceTags:
    acquired = _date_time(text(header, "AcquisitionDateTime"), zone)
    if text(header, "AcquisitionTime"):
        acquired = _joined(_date(header, "Acquisition"), text(header, "AcquisitionTime")) or acquired
    return SliceTags(
        acquired=acquired,
        frame_reference_s=_seconds(number(header, "FrameReferenceTime")),
        duration_s=_seconds(number(header, "ActualFrameDuration")),
        decay_factor=number(header, "DecayFactor"),
        philips_suv_factor=_private_number(header, 0x7053, "Philips PET Private Group", 0x00),
        philips_activity_factor=_private_number(header, 0x7053, "Philips PET Private Group", 0x09),
        rescale_intercept=number(header, "RescaleIntercept") or 0.0,
    )


def _read_decayed_to(header: Dataset, zone: str) -> tuple[tuple[str, datetime], ...]:
    stated = {
        "Decay Correction DateTime (0018,9701)": text(header, "DecayCorrectionDateTime"),
        "GE's scan time (0009,100D)": _private_text(header, 0x0009, "GEMS_PETD_01", 0x0D),
        "Siemens' decay correction time (0071,1022)": _private_text(header, 0x0071, "SIEMENS MED PT", 0x22),
    }
    times = {words: _date_time(value, zone) for words, value in stated.items()}
    return tuple((words, when) for words, when in times.items() if when)


def _read_isotope(drug: Dataset) -> str:
    """The radionuclide as "F-18", "" where it is not coded or not known here."""
    for code in items(drug, "RadionuclideCodeSequence"):
        meaning = text(code, "CodeMeaning").upper()
        mass = re.search(r"\d+", meaning)
        words = re.sub(r"[^A-Z]", "", meaning)
        symbols = {name.split("-")[0].upper(): name.split("-")[0] for name in ISOTOPE_HALF_LIVES_S}
        symbol = symbols.get(words) or next((s for part, s in _ISOTOPE_NAMES.items() if part in words), "")
        if symbol and mass:
            return f"{symbol}-{mass.group()}"
        by_code = _ISOTOPE_CODES.get(text(code, "CodeValue"))
        if by_code:
            return by_code
    return ""


def _read_glucose(header: Dataset) -> tuple[float | None, str]:
    """Blood glucose in mmol/L and as written, from the acquisition context or from what was typed as free text."""
    for item in items(header, "AcquisitionContextSequence"):
        names, units = items(item, "ConceptNameCodeSequence"), items(item, "MeasurementUnitsCodeSequence")
        value = number(item, "NumericValue")
        if names and value is not None and "glucose" in text(names[0], "CodeMeaning").lower():
            return _glucose(value, text(units[0], "CodeValue") if units else "")
    for keyword in ("AdditionalPatientHistory", "PatientComments", "ImageComments", "AcquisitionComments"):
        for pattern in _GLUCOSE:
            found = pattern.search(text(header, keyword))
            if found:
                return _glucose(float(found.group(1).replace(",", ".")), found.group(2))
    return None, ""


def _glucose(value: float, unit: str) -> tuple[float | None, str]:
    plain = unit.lower().replace(" ", "")
    if plain in ("mg/dl", "mg%"):
        return value / MG_DL_PER_MMOL_L, f"{value:g} mg/dL"
    if plain == "mmol/l":
        return value, f"{value:g} mmol/L"
    return None, f"{value:g}"


def _private_text(header: Dataset, group: int, creator: str, element: int) -> str:
    """A private value by its creator's block; the usual place is taken only where no creator is named at all."""
    try:
        tag = header.private_block(group, creator).get_tag(element)
    except KeyError:
        if Tag(group, 0x0010) in header:
            return ""  # the group belongs to somebody else
        tag = Tag(group, 0x1000 | element)
    try:
        value = header[tag].value if tag in header else None
    except DAMAGE:
        return ""
    if isinstance(value, bytes):  # implicit VR or UN: nothing says what it is, so it comes as it stands in the file
        value = value.decode("ascii", "replace")
    return "" if value is None else str(value).strip("\0 ")


def _private_number(header: Dataset, group: int, creator: str, element: int) -> float | None:
    try:
        value = float(_private_text(header, group, creator, element))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _seconds(milliseconds: float | None) -> float | None:
    """From milliseconds; what no frame can last is taken as not told."""
    return milliseconds / 1000 if milliseconds is not None and 0 <= milliseconds <= LONGEST_MS else None


def _date(header: Dataset, event: str) -> str:
    """The date of an event, else the nearest one that the file tells, else `NO_DATE`."""
    for name in (event, "Series", "Acquisition", "Study"):
        value = text(header, f"{name}Date").replace(".", "")
        if value:
            return value
    return NO_DATE


def _joined(date: str, clock: str) -> datetime | None:
    at = _time(clock)
    try:
        day = DA(date)
    except DAMAGE:
        return None
    return datetime.combine(day, at) if at and day and day.year in YEARS else None


def _time(value: str) -> time | None:
    try:
        at = TM(value.replace(":", "")) if len(value) >= 4 else None
    except DAMAGE:
        return None
    return time(at.hour, at.minute, at.second, at.microsecond) if at else None


def _date_time(value: str, zone: str) -> datetime | None:
    """A DICOM date and time without zone; one that names a zone is moved to the file's own where that is told."""
    if len(re.split(r"[.+-]", value)[0]) < 12:
        return None  # a date alone, or a year, is no time
    try:
        found = datetime.fromisoformat(DT(value).isoformat())
        if found.tzinfo and zone:
            found = found.astimezone(datetime.strptime(zone, "%z").tzinfo)
    except DAMAGE:
        return None
    return found.replace(tzinfo=None) if found.year in YEARS else None
