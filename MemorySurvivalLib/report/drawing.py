"""All pictures of one report, drawn from the images once; every format takes the files that are left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.explain.heatmap import Heatmap
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.report.charts import draw_reference, draw_survival
from MemorySurvivalLib.report.model import PictureEntry, PictureRole
from MemorySurvivalLib.report.pictures import Scene, draw_close_ups, draw_overview, say_where
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.sheet import Picture
from MemorySurvivalLib.roi.roi import Roi

FOLDER = "pictures"
MOST_CLOSE_UPS = 10
"""Hotspots that are marked and shown; the record holds all of them."""


@dataclass(frozen=True, eq=False)
class ReportPictures:
    """All pictures of one report; the charts are None where the bundle may not show them.

    `where` says in words which place the slices of the overview go through.
    """

    where: str
    overview: tuple[Picture, ...]
    close_ups: tuple[Picture, ...]
    reference: Picture | None
    survival: Picture | None

    @property
    def by_role(self) -> tuple[tuple[PictureRole, Picture], ...]:
        """In the order of the page."""
        charts: list[tuple[PictureRole, Picture]] = []
        if self.reference is not None:
            charts.append(("reference", self.reference))
        if self.survival is not None:
            charts.append(("survival", self.survival))
        whole: list[tuple[PictureRole, Picture]] = [("overview", picture) for picture in self.overview]
        near: list[tuple[PictureRole, Picture]] = [("hotspot", picture) for picture in self.close_ups]
        return (*charts, *whole, *near)


def draw_pictures(record: CaseRecord, case: Case, roi: Roi, heatmap: Heatmap | None) -> ReportPictures:
    """All pictures that this record may show. Raises ValueError when record and heatmap do not belong together."""
    scene = Scene.of(record, case, roi, heatmap)
    scene = replace(scene, hotspots=scene.hotspots[:MOST_CLOSE_UPS])
    risk = record.risk
    return ReportPictures(
        where=say_where(scene),
        overview=draw_overview(scene),
        close_ups=draw_close_ups(scene),
        reference=draw_reference(risk) if risk.position is not None and risk.reference_log_risks else None,
        survival=draw_survival(risk.survival, risk.labels) if risk.survival is not None else None,
    )


def write_pictures(pictures: ReportPictures, folder: Path) -> tuple[PictureEntry, ...]:
    """Write the pictures as PNG files into `folder`/pictures. Raises OutputError where that cannot be done."""
    entries: list[PictureEntry] = []
    for role, picture in pictures.by_role:
        number = 1 + sum(entry.role == "hotspot" for entry in entries) if role == "hotspot" else None
        file = f"{FOLDER}/{picture.name}.png"
        with atomic_file(folder / file) as temporary:
            temporary.write_bytes(picture.png)
        alt = f"{picture.alt} {RESEARCH_USE}."
        size = (picture.width_mm, picture.height_mm)
        entries.append(PictureEntry(picture.name, file, *size, picture.title, alt, role, number))
    return tuple(entries)
