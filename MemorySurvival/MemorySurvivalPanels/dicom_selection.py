"""The studies that are selected in Slicer's DICOM browser, as a worklist."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.dicom_source import database
from MemorySurvivalPanels.errors import UserError

_STUDY, _MODALITY = "0020,000D", "0008,0060"


def selected_series() -> list[list[str]]:
    """The files of each series that is selected in the DICOM browser; of each in the database where none is."""
    known = database()
    if known is None:
        raise UserError(_("This Slicer has no DICOM database; give a folder or a CSV file instead."))
    browser = getattr(getattr(slicer.modules, "DICOMInstance", None), "browserWidget", None)
    selected = [list(files) for files in getattr(browser, "fileLists", None) or [] if files]
    if selected:
        return selected
    return [
        list(known.filesForSeries(series))
        for patient in known.patients()
        for study in known.studiesForPatient(patient)
        for series in known.seriesForStudy(study)
    ]


def write_worklist(series: list[list[str]], table: Path) -> int:
    """A CSV worklist with a row for every study that has a CT and a PET; how many there are.

    Cases are numbered, because a name from the tags would put the patient's into folders. Of several CT or PET series
    the one with the most images is taken.
    """
    studies: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for files in series:
        study, modality = (_tag(files[0], tag) for tag in (_STUDY, _MODALITY))
        role = {"CT": "ct", "PT": "pet"}.get(modality)
        if role is not None and len(files) > len(studies[study].get(role, [])):
            studies[study][role] = files
    complete = [study for study in studies.values() if set(study) == {"ct", "pet"}]
    if not complete:
        raise UserError(_("No study with a CT and a PET is selected in the DICOM browser."))
    try:
        with table.open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            rows.writerow(("case", "ct", "pet"))
            for number, study in enumerate(complete, start=1):
                rows.writerow((f"case-{number:03d}", study["ct"][0], study["pet"][0]))
    except OSError as error:
        raise UserError(_("{table} cannot be written; choose another folder.").format(table=table)) from error
    return len(complete)


def _tag(file: str, tag: str) -> Any:
    return str(database().fileValue(file, tag) or "").strip()
