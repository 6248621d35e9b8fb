"""The pages of a report as one HTML file: self-contained, without scripts, made to be printed on A4 or Letter."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.report.document import Block, Document, Section
from MemorySurvivalLib.resources import locate_resource


def write_html(document: Document, pictures: Path, target: Path) -> None:
    """Write a document whole or not at all; equal input gives equal bytes.

    `pictures` is the folder with a PNG for every figure. Raises InputError for a picture that is missing and
    OutputError where the file cannot be written.
    """
    page = render_document(document, pictures)
    with atomic_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def render_document(document: Document, pictures: Path) -> str:
    """The HTML text, with the pictures inside."""
    folder = locate_resource("Report")
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(kind=_kind, shares=_shares, picture=lambda name: _data_uri(pictures / f"{name}.png"))
    style = Markup((folder / "report.css").read_text(encoding="utf-8") + _margins(document))  # shipped, and escaped
    return environment.get_template("report.html.j2").render(document=document, style=style)


def _kind(block: Block) -> str:
    """The name of a block's type: the template has a macro for each."""
    return type(block).__name__


def _shares(section: Section) -> str:
    """The widths of a section's stacks for CSS grid."""
    shares = section.shares or (1.0,) * (1 + len(section.columns))
    return " ".join(f"minmax(0, {share:g}fr)" for share in shares)


def _data_uri(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"The report's picture {file.name} cannot be read from {file.parent} ({error.strerror}); score the case "
            "again."
        ) from error
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _margins(document: Document) -> str:
    """What every printed sheet carries in its margins, whatever runs over from the sheet before."""
    labels = " · ".join(document.labels)
    return (
        f"@page {{ @bottom-left {{ content: {_css_string(document.research_use)}; }} "
        f"@top-center {{ content: {_css_string(labels)}; }} }}\n"
    )


def _css_string(text: str) -> str:
    """A CSS string that neither ends early nor closes the style element: all but plain characters by their code."""
    return '"' + re.sub(r"[^\w ,.:-]", lambda found: f"\\{ord(found[0]):06x} ", text) + '"'
