"""The report as one HTML file: self-contained, without scripts, made to be printed on A4."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from MemorySurvivalLib.explain.heatmap import Heatmap
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.memory.readout import check_readout
from MemorySurvivalLib.report import wording
from MemorySurvivalLib.report.charts import draw_reference, draw_survival
from MemorySurvivalLib.report.explained import list_effects
from MemorySurvivalLib.report.measured import choose_rows
from MemorySurvivalLib.report.pictures import Scene, draw_close_ups, draw_overview, say_where
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.sheet import Picture
from MemorySurvivalLib.resources import locate_resource
from MemorySurvivalLib.roi.roi import Roi

NOTE_LINES_ON_PAGE_ONE = 3
LINES_OF_A_BAND = 2
"""What the sentence about the survival curve's band takes of them."""
CHARACTERS_IN_A_LINE = 120
CLOSE_UPS_ON_PAGE_ONE = 2


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
    def all(self) -> tuple[Picture, ...]:
        """In the order of the page."""
        charts = tuple(picture for picture in (self.reference, self.survival) if picture is not None)
        return (*charts, *self.overview, *self.close_ups)


def write_report(record: CaseRecord, case: Case, roi: Roi, heatmap: Heatmap | None, folder: Path) -> Path:
    """Write `folder`/report.html and the same pictures as PNG files in `folder`/pictures; return the page's path.

    Every number on the page comes from `record`; the volumes only give the pictures. Equal input gives equal bytes.
    Raises OutputError when the folder cannot be written and ValueError when record and heatmap do not belong
    together.
    """
    pictures = draw_pictures(record, case, roi, heatmap)
    page = render_page(record, pictures)
    for picture in pictures.all:
        with atomic_file(folder / "pictures" / f"{picture.name}.png") as temporary:
            temporary.write_bytes(picture.png)
    target = folder / "report.html"
    with atomic_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return target


def draw_pictures(record: CaseRecord, case: Case, roi: Roi, heatmap: Heatmap | None) -> ReportPictures:
    """All pictures that this record may show."""
    scene = Scene.of(record, case, roi, heatmap)
    risk = record.risk
    return ReportPictures(
        where=say_where(scene),
        overview=draw_overview(scene),
        close_ups=draw_close_ups(scene),
        reference=draw_reference(risk) if risk.position is not None and risk.reference_log_risks else None,
        survival=draw_survival(risk.survival, risk.labels) if risk.survival is not None else None,
    )


def render_page(record: CaseRecord, pictures: ReportPictures) -> str:
    """The HTML text."""
    template_folder = locate_resource("Report")
    environment = Environment(
        loader=FileSystemLoader(template_folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        signed=wording.say_signed,
        fixed=wording.say_fixed,
        plain=wording.say_plain,
        percent=wording.say_percent,
        share=wording.say_share,
        millilitres=wording.say_millilitres,
        say=wording.say_value,
        side=wording.say_side,
        shorten=wording.shorten,
        file_name=wording.file_name,
        edited=wording.say_edited,
        maybe=_maybe,
        whole=wording.say_whole,
        data_uri=_data_uri,
    )
    style = Markup((template_folder / "report.css").read_text(encoding="utf-8"))  # a shipped file
    return environment.get_template("report.html.j2").render(style=style, **_context(record, pictures))


def _context(record: CaseRecord, pictures: ReportPictures) -> dict[str, Any]:
    paths = wording.known_paths(record)
    notes = wording.collect_notes(record)
    banded = record.risk.survival is not None and bool(record.risk.survival.lower)
    room = _notes_that_fit(notes, NOTE_LINES_ON_PAGE_ONE - LINES_OF_A_BAND * banded)
    return {
        "record": record,
        "risk": record.risk,
        "pictures": pictures,
        "request": {key: _hide(value, paths) for key, value in record.request.items() if wording.is_given(value)},
        "position": wording.say_position(record),
        "measured": choose_rows(record.measurements) if record.measurements else None,
        "way": wording.say_acquisition(record),
        "roi_title": wording.roi_title(record),
        "roi_made_by": wording.hide_folders(record.roi.made_by, paths),
        "status_words": wording.STATUS_WORDS.get(record.bundle.status, ""),
        "readout_words": wording.READOUT_WORDS[check_readout(record.bundle.propagation.readout)[0]],
        "fill_words": wording.FILL_WORDS.get(record.heatmap.fill, record.heatmap.fill) if record.heatmap else "",
        "heatmap_is_zero": record.heatmap is not None and record.heatmap.minimum == 0 == record.heatmap.maximum,
        "effects": list_effects(record.heatmap) if record.heatmap else (),
        "notes": notes[:room],
        "more_notes": notes[room:],
        "close_ups_on_page_one": CLOSE_UPS_ON_PAGE_ONE,
    }


def _notes_that_fit(notes: tuple[str, ...], room: int) -> int:
    """How many of the notes fit into so many lines."""
    lines = accumulate(ceil(len(note) / CHARACTERS_IN_A_LINE) for note in notes)
    return sum(total <= room for total in lines)


def _hide(value: Any, paths: tuple[str, ...]) -> Any:
    return wording.hide_folders(value, paths) if isinstance(value, str) else value


def _maybe(value: float | None, places: int) -> Markup:
    """A marked number, or a dash where there is none."""
    if value is None:
        return Markup("&ndash;")
    text = wording.say_whole(value) if places == 0 else f"{value:.{places}f}"
    return Markup('<data value="{}">{}</data>').format(value, text)


def _data_uri(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")
