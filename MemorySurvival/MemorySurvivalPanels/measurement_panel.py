"""What was measured: the references, the lesions as a table whose rows lead to their places, and their outlines."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.lesion_segmentation import show_lesions
from MemorySurvivalPanels.localised import NOTHING, show_number
from MemorySurvivalPanels.views import jump_views

_KIND = 2
_FIRST_NUMBER = 3
_MOST_ROWS = 8
"""The columns of the kind and where the numbers begin; how many rows are seen without scrolling."""


class MeasurementPanel:
    """The measurements of the result that is shown, or nothing. Positions are LPS in the record and RAS in Slicer."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._lesions: list[Mapping[str, Any]] = []
        table = ui.lesionTable
        table.setColumnCount(len(_titles()))
        table.setHorizontalHeaderLabels(_titles())
        table.verticalHeader().hide()
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.verticalHeader().setDefaultSectionSize(round(1.5 * table.fontMetrics().height()))
        # The keyboard moves the current cell; a click on the current row goes there once more.
        table.currentCellChanged.connect(self._go_to_row)
        table.cellClicked.connect(self._go_to_row)
        self.clear()

    @property
    def lesions(self) -> Sequence[Mapping[str, Any]]:
        """The rows of the table, as the record has them."""
        return self._lesions

    def clear(self) -> None:
        """There is nothing measured."""
        self._lesions = []
        self._ui.lesionTable.setRowCount(0)
        self._ui.measurementFrame.visible = False

    def show(self, measurements: Mapping[str, Any] | None, outlined: bool) -> None:
        """Show the measurements of a result.json; `outlined` says whether the lesions' outlines can be had."""
        self.clear()
        if not measurements:
            return
        self._ui.measurementFrame.visible = True
        self._ui.measurementLabel.text = "\n".join(describe_measurements(measurements))
        self._fill_table(measurements.get("lesions") or [])
        self._ui.lesionsButton.enabled = outlined

    def show_segmentation(
        self,
        loaded: slicer.vtkMRMLSegmentationNode | None,
        files: Callable[[], Mapping[str, str | None]],
        ct: slicer.vtkMRMLScalarVolumeNode | None,
    ) -> slicer.vtkMRMLSegmentationNode:
        """Show the outlines that were `loaded`, or load them from the files. UserError where they are not there."""
        if loaded is not None:
            loaded.CreateDefaultDisplayNodes()
            loaded.GetDisplayNode().SetVisibility(True)
            return loaded
        paths = [Path(each) if each else None for each in map(files().get, ("lesion_labels", "references"))]
        if paths[0] is None:
            raise UserError(_("The outlines are not there; score the case again."))
        try:
            return show_lesions(paths[0], paths[1], [row["lesion"] for row in self._lesions], ct)
        except (OSError, RuntimeError) as error:
            raise UserError(_("The outlines are no longer there; score the case again.")) from error

    def _fill_table(self, rows: Sequence[Mapping[str, Any]]) -> None:
        table = self._ui.lesionTable
        table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            for column, text in enumerate(describe_lesion(row)):
                cell = qt.QTableWidgetItem(text)
                if column == _KIND:
                    cell.setToolTip(describe_source(row["lesion"]))
                if column >= _FIRST_NUMBER:
                    cell.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(index, column, cell)
        table.visible = bool(rows)
        height = table.verticalHeader().defaultSectionSize
        lines = min(max(len(rows), 1), _MOST_ROWS) + 1.5  # and the header
        table.setMinimumHeight(round(lines * height))
        table.setMaximumHeight(round(lines * height))
        table.setCurrentCell(-1, -1)
        self._lesions = list(rows)  # from now on a row leads somewhere

    def _go_to_row(self, row: int, *_ignored: Any) -> None:
        if 0 <= row < len(self._lesions):
            x, y, z = self._lesions[row]["lesion"]["suv_max_lps_mm"]
            jump_views((-x, -y, z))


def _titles() -> list[str]:
    return [_("No."), _("Bone"), _("Kind"), _("SUVmax"), _("SUVpeak"), _("MTV ml"), _("× liver")]


def describe_lesion(row: Mapping[str, Any]) -> list[str]:
    """The cells of one lesion; the last one is its SUVpeak relative to the liver's mean."""
    lesion, relative = row["lesion"], row.get("relative") or {}
    return [
        str(lesion["number"]),
        describe_site(lesion),
        describe_kind(lesion),
        _number(lesion["suv_max"], 1),
        _number(lesion["suv_peak"], 1),
        _number(lesion.get("mtv_ml"), 1),
        _number(relative.get("peak_to_liver"), 2),
    ]


def describe_site(lesion: Mapping[str, Any]) -> str:
    """Such as "L4", or "near rib left 7" where the maximum lies beside the bone."""
    site = str(lesion.get("site") or "").replace("_", " ")
    if site and (lesion.get("site_distance_mm") or 0) > 0:
        return _("near {bone}").format(bone=site)
    return site or NOTHING


def describe_kind(lesion: Mapping[str, Any]) -> str:
    """Such as "focal"."""
    kinds = {"focal": _("focal"), "diffuse": _("diffuse"), "spill-in": _("spill-in")}
    return kinds.get(str(lesion.get("kind")), str(lesion.get("kind")))


def describe_source(lesion: Mapping[str, Any]) -> str:
    """What spills in, such as "bladder"; empty for other kinds."""
    return str(lesion.get("spill_in") or "").replace("_", " ")


def describe_measurements(measurements: Mapping[str, Any]) -> list[str]:
    """References and totals in a few short lines."""
    references, totals = measurements.get("references") or {}, measurements.get("totals") or {}
    spheres = ((_("liver"), references.get("liver")), (_("blood pool"), references.get("blood_pool")))
    counts = [
        _("{n} focal").format(n=totals.get("focal", 0)),
        _("{n} diffuse").format(n=totals["diffuse"]) if totals.get("diffuse") else "",
        _("{n} spill-in").format(n=totals["spill_in"]) if totals.get("spill_in") else "",
    ]
    volumes = _("Focal: MTV {mtv} ml, TLG {tlg} g").format(
        mtv=_number(totals.get("mtv_ml"), 1), tlg=_number(totals.get("tlg_g"), 1)
    )
    if totals.get("without_volume"):
        volumes += _(" ({n} without a volume)").format(n=totals["without_volume"])
    return [
        _("SUV mean: {spheres}").format(spheres=", ".join(_describe_reference(*each) for each in spheres)),
        _("Lesions above SUV {threshold}: {counts}").format(
            threshold=_number(measurements.get("threshold_suv"), 1), counts=", ".join(filter(None, counts))
        ),
        volumes,
    ]


def measurement_notes(measurements: Mapping[str, Any] | None) -> list[str]:
    """What to keep in mind about the measurements, a sentence each."""
    if not measurements:
        return []
    references = measurements.get("references") or {}
    spheres = [references.get(name) or {} for name in ("liver", "blood_pool")]
    doubts = [str(doubt) for sphere in spheres for doubt in sphere.get("quality") or []]
    return [*doubts, *(str(note) for note in measurements.get("notes") or [])]


def _describe_reference(organ: str, sphere: Mapping[str, Any] | None) -> str:
    if not sphere:
        return _("no {organ}").format(organ=organ)
    values = _number(sphere["suv_mean"], 2), _number(sphere["suv_sd"], 2)
    return _("{organ} {mean} ± {sd}").format(organ=organ, mean=values[0], sd=values[1])


def _number(value: Any, digits: int) -> str:
    return show_number(value, digits)
