"""Reading whom a report may name: everything, a pseudonym, or nothing, as the user chose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.privacy.pseudonym import check_pseudonym, make_pseudonym
from MemorySurvivalLib.report.subject import IDENTITY_CHOICES, IdentityChoice, Subject

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OLDEST_YEARS = 90
"""Ages above this are told as this in a pseudonymous report: so few people are older that the age may name one."""

_IMAGES = ("CT", "PT")


def read_subject(
    choice: IdentityChoice,
    sources: Iterable[Path | Dataset] = (),
    pseudonym: str | None = None,
    *,
    key: bytes | None = None,
    confirmed: bool = False,
) -> Subject:
    """Whom a report of a case names.

    `sources` are the case's images: DICOM headers, files, or folders of CT and PET (image files of other kinds say
    nothing of a patient). "none" reads nothing and gives an empty subject. "pseudonym" gives the user's own code, else
    one made of patient ID and birth date with this user's key (see `make_pseudonym`), with sex and age. "identified"
    gives everything that the headers say; where there are none, an empty subject that is called identified. `key`
    replaces the user's key. Where the user has `confirmed` that images of seemingly different patients belong together,
    the first source's values count. Raises InputError for an unknown choice, sources of several patients, or a
    pseudonym that cannot be made.
    """
    if choice not in IDENTITY_CHOICES:
        raise InputError(f'"{choice}" is not a choice of identity; choose one of {", ".join(IDENTITY_CHOICES)}.')
    if choice == "none":
        return Subject()
    headers = [header for source in sources for header in read_headers(source)]
    if not confirmed:
        _check_one_patient(headers)
    if choice == "identified":
        return _identified(headers)
    own = check_pseudonym(pseudonym) if pseudonym is not None else ""
    return Subject(
        "pseudonym",
        patient_id=own
        or make_pseudonym(
            _first(headers, "PatientID"),
            _first(headers, "PatientBirthDate"),
            _first(headers, "PatientName").partition("=")[0],
            key=key,
        ),
        sex=_first(headers, "PatientSex").upper(),
        age_years=_capped(_age_years(headers)),
    )


def keep_subject(choice: IdentityChoice, saved: Subject, pseudonym: str | None = None) -> Subject | None:
    """Whom a result that was exported names already, where that is whom it is to name again; None where the images say.

    A copy that was exported holds no paths, so its images cannot be asked any more. A `pseudonym` given now takes the
    place of the saved code; sex and age stay. Raises InputError for a code that DICOM cannot hold.
    """
    if choice == "none" or choice != saved.choice:
        return None
    if choice == "identified" or pseudonym is None:
        return saved
    return replace(saved, patient_id=check_pseudonym(pseudonym))


def read_headers(source: Path | Dataset, *, few: bool = False) -> tuple[Dataset, ...]:
    """The headers (no pixels) of the CT and PET images of a source, one for each study and patient in it.

    A path may be a DICOM file or a folder, searched at any depth; anything else gives no headers. With `few` only the
    first and last file of each folder are read, which is enough where a folder is known to hold one series.
    """
    from pydicom.dataset import Dataset

    from MemorySurvivalLib.imaging.dicom_header import read_file_header

    if isinstance(source, Dataset):
        return (source,)
    files = sorted(source.rglob("*")) if source.is_dir() else [source] if source.is_file() else []
    files = [file for file in files if file.is_file()]
    if few:
        folders: dict[Path, list[Path]] = {}
        for file in files:
            folders.setdefault(file.parent, []).append(file)
        files = [file for inside in folders.values() for file in dict.fromkeys((inside[0], inside[-1]))]
    found: dict[tuple[str, ...], Dataset] = {}
    for file in files:
        marks = _marks(file)
        if marks is None or marks in found:
            continue
        try:
            header = read_file_header(file)
        except (InputError, OSError):  # a damaged file names nobody; reading the images has told the user about it
            continue
        if header is not None:
            found[marks] = header.dataset
    return tuple(found.values())


_MARKS = ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID")
_LAST_MARK = 0x0020000D


def _marks(file: Path) -> tuple[str, ...] | None:
    """Whose and of which study a CT or PET file is, read no further than that; None for any other file."""
    from pydicom.filereader import read_partial

    from MemorySurvivalLib.imaging.dicom_header import BROKEN_VALUE, reading_quietly, text
    from MemorySurvivalLib.imaging.dicom_magic import begins_as_dicom

    with reading_quietly():
        try:
            with file.open("rb") as stream:
                if not begins_as_dicom(stream):
                    return None
                begin = read_partial(stream, stop_when=lambda tag, vr, length: tag > _LAST_MARK, force=True)
        except BROKEN_VALUE:
            return None
        return tuple(text(begin, mark) for mark in _MARKS) if text(begin, "Modality").upper() in _IMAGES else None


def person_name(text: str) -> str:
    """A DICOM person name (PS3.5 section 6.2.1) as it is shown: family name first, in every script that is given.

    "Müller^Anna^Maria^Dr^" becomes "Müller, Anna Maria, Dr"; "Yamada^Tarou=山田^太郎" "Yamada, Tarou (山田 太郎)".
    """
    shown = []
    for number, group in enumerate(text.split("=")):
        family, given, middle, prefix, suffix = ([*group.split("^"), "", "", "", "", ""])[:5]
        first = " ".join(filter(None, (given.strip(), middle.strip())))
        between = ", " if number == 0 else " "
        name = between.join(filter(None, (family.strip(), first)))
        extra = ", ".join(filter(None, (prefix.strip(), suffix.strip())))
        if name or extra:
            shown.append(", ".join(filter(None, (name, extra))))
    return f"{shown[0]} ({', '.join(shown[1:])})" if len(shown) > 1 else "".join(shown)


def iso_date(text: str) -> str:
    """A DICOM date as ISO 8601; "" where it is none."""
    for form in ("%Y%m%d", "%Y.%m.%d"):
        try:
            return datetime.strptime(text.strip(), form).date().isoformat()
        except ValueError:
            continue
    return ""


def _identified(headers: Sequence[Dataset]) -> Subject:
    return Subject(
        "identified",
        name=person_name(_first(headers, "PatientName")),
        patient_id=_first(headers, "PatientID"),
        birth_date=iso_date(_first(headers, "PatientBirthDate")),
        sex=_first(headers, "PatientSex").upper(),
        age_years=_age_years(headers),
        study_date=iso_date(_first(headers, "StudyDate")),
        study_description=_first(headers, "StudyDescription"),
        accession_number=_first(headers, "AccessionNumber"),
        study_uid=_first(headers, "StudyInstanceUID"),
    )


def _first(headers: Sequence[Dataset], keyword: str) -> str:
    """What the first header says that says anything."""
    from MemorySurvivalLib.imaging.dicom_header import reading_quietly, text

    with reading_quietly():
        return next(filter(None, (text(header, keyword) for header in headers)), "")


def _age_years(headers: Sequence[Dataset]) -> int | None:
    """Whole years at the study: from both dates, else as stated."""
    try:
        born = datetime.strptime(_first(headers, "PatientBirthDate"), "%Y%m%d")
        studied = datetime.strptime(_first(headers, "StudyDate"), "%Y%m%d")
    except ValueError:
        stated = _first(headers, "PatientAge")
        return int(stated[:3]) if len(stated) == 4 and stated[:3].isdigit() and stated[3] == "Y" else None
    years = studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))
    return years if 0 <= years < 130 else None


def _capped(years: int | None) -> int | None:
    return None if years is None else min(years, OLDEST_YEARS)


def _check_one_patient(headers: Sequence[Dataset]) -> None:
    for keyword, what in (("PatientID", "patient IDs"), ("PatientBirthDate", "birth dates")):
        values = {_first([header], keyword).casefold() for header in headers} - {""}
        if len(values) > 1:
            raise InputError(
                f"The images have {len(values)} different {what}, so it is not clear whom the report is about; confirm "
                "that they belong together, or choose a report that names nobody."
            )
