"""The one call that compares two saved results and writes the page."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from MemorySurvivalLib.compare.differences import Comparison, compare_results
from MemorySurvivalLib.compare.page import compose_comparison, draw_comparison
from MemorySurvivalLib.compare.reading import read_side
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.followup.prior_study import PriorRecord
from MemorySurvivalLib.followup.spine_registration import SpineMatch
from MemorySurvivalLib.report.html import write_html
from MemorySurvivalLib.report.pdf import Paper, write_pdf

SUFFIXES = (".html", ".pdf", ".json")


@dataclass(frozen=True)
class CompareRequest:
    """Two results (folders or files in them), the earlier one first, and the file to write: HTML, PDF or JSON.

    `names` head the columns. `registration` is the record of a prior study laid beside the current one (prior.json):
    the second result is then of its current study and the first of its prior one.
    """

    first: Path
    second: Path
    out: Path | None = None
    names: tuple[str, str] = ("first", "second")
    registration: Path | None = None
    confirm_identity: bool = False
    overwrite: bool = False
    paper: Paper = "a4"

    def __post_init__(self) -> None:
        if not all(self.names) or self.names[0] == self.names[1]:
            raise InputError("The two results need two different names.")
        if self.out is not None and self.out.suffix.lower() not in SUFFIXES:
            raise InputError(f"{self.out} should end in {', '.join(SUFFIXES)}: that says what to write.")


def compare_to_file(request: CompareRequest) -> Comparison:
    """Compare and write the page where one is asked for; the file appears whole or not at all.

    Raises InputError for results that cannot be read, PatientMismatch for two patients, OutputError where the file
    exists already (without `overwrite`) or cannot be written.
    """
    out = request.out
    if out is not None and out.exists() and not request.overwrite:
        raise OutputError(f"{out} exists already; choose another name or allow overwriting with --overwrite.")
    first, second = (
        read_side(place, name) for place, name in zip((request.first, request.second), request.names, strict=True)
    )
    match = None if request.registration is None else read_registration(request.registration)
    comparison = compare_results(first, second, confirmed=request.confirm_identity, registration=match)
    if out is None:
        return comparison
    if out.suffix.lower() == ".json":
        with atomic_file(out) as temporary:
            temporary.write_bytes(comparison.as_json())
        return comparison
    pictures = draw_comparison(first, second, comparison)
    document = compose_comparison(comparison, pictures)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for picture in pictures:
            (folder / f"{picture.name}.png").write_bytes(picture.png)
        if out.suffix.lower() == ".pdf":
            write_pdf(document, folder, out, request.paper)
        else:
            write_html(document, folder, out)
    return comparison


def read_registration(path: Path) -> SpineMatch:
    """The move of a prior study's record. Raises InputError for a file that is none."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=PriorRecord)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} is no record of a prior study ({error}); give the prior.json of one.") from error
    return record.match
