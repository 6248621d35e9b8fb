"""One patient's values out of a table: a header and one row, a row chosen by patient ID, or names beside values."""

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError

_NAME_AND_VALUE = 2
_PATIENT_COLUMNS = ("patient_id", "patientid", "patient id")


def read_table(node: slicer.vtkMRMLTableNode, patient_ids: list[str]) -> tuple[dict[str, str], str]:
    """The values by their names in the table, and the patient ID that it states ("" for none).

    A table of several patients gives the row whose patient ID is one of `patient_ids`, those of the images. Raises
    UserError where no single row can be meant.
    """
    columns = [node.GetColumnName(index) for index in range(node.GetNumberOfColumns())]
    rows = [
        [node.GetCellText(row, column).strip() for column in range(len(columns))]
        for row in range(node.GetNumberOfRows())
    ]
    rows = [row for row in rows if any(row)]
    name = node.GetName()
    if not columns or not rows:
        raise UserError(_('The table "{name}" is empty; choose another.').format(name=name))
    at = next((index for index, title in enumerate(columns) if title.strip().lower() in _PATIENT_COLUMNS), None)
    if at is None and len(columns) == _NAME_AND_VALUE and len(rows) > 1:
        values = dict([columns, *rows] if _is_value(columns[1]) else rows)
        whose = next((text for title, text in values.items() if title.strip().lower() in _PATIENT_COLUMNS), "")
        return {title: text for title, text in values.items() if title.lower() not in _PATIENT_COLUMNS}, whose
    if len(rows) > 1:
        rows = _rows_of(rows, at, patient_ids, name)
    row = rows[0]
    return dict(zip(columns, row, strict=True)), row[at] if at is not None else ""


def _rows_of(rows: list[list[str]], at: int | None, patient_ids: list[str], name: str) -> list[list[str]]:
    wanted = {identifier.strip().casefold() for identifier in patient_ids if identifier.strip()}
    found = [row for row in rows if at is not None and row[at].casefold() in wanted]
    if len(found) == 1:
        return found
    if at is not None and wanted:
        why = _("no row is of the images' patient ID") if not found else _("several rows are of one patient ID")
    else:
        why = _("which one is meant cannot be told without a column patient_id and images that state their patient")
    raise UserError(
        _('The table "{name}" has {n} rows, and {why}; keep the row of this patient.').format(
            name=name, n=len(rows), why=why
        )
    )


def _is_value(text: str) -> bool:
    """Whether the header of a table's second column is a value itself, because the table has no header."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
