"""The report as PDF: self-contained, tagged, on A4 or Letter; it draws the document and computes nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.report.document import Document

Paper = Literal["a4", "letter"]


def write_pdf(
    document: Document, pictures: Path, target: Path, paper: Paper = "a4", *, created: datetime | None = None
) -> None:
    """Write the document as one PDF with everything inside. Equal input gives equal bytes.

    `pictures` is the folder with the PNG files that the figures name; a picture that is missing or damaged is said in
    its place. `created` becomes the date in the file's properties; without it they have none.
    Raises InputError for an unknown paper and where reportlab is not installed, OutputError when `target` cannot be
    written.
    """
    data = make_pdf(document, pictures, paper, created=created)
    with atomic_file(target) as temporary:
        temporary.write_bytes(data)


def make_pdf(document: Document, pictures: Path, paper: Paper = "a4", *, created: datetime | None = None) -> bytes:
    """The same as bytes, for a DICOM object."""
    if paper not in get_args(Paper):
        raise InputError(f"The PDF has no paper {paper!r}; choose one of {', '.join(get_args(Paper))}.")
    try:
        import reportlab  # noqa: F401  (optional: asked for here, used by the files below)
    except ModuleNotFoundError:
        raise InputError(
            "The PDF needs the package reportlab, which is not installed; install memory-survival[export], or use the "
            "HTML report."
        ) from None
    from MemorySurvivalLib.report.pdf_build import build_pdf

    return build_pdf(document, pictures, paper, created)
