"""A study from a folder of results, and the files of its analysis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.reader_study.analysis import Analysis, write_table
from MemorySurvivalLib.reader_study.page import compose_analysis
from MemorySurvivalLib.reader_study.sealing import seal_result
from MemorySurvivalLib.reader_study.study import ReaderStudy, make_study

ANALYSIS_FILE = "analysis.json"


def make_from_results(folder: Path, results: Path, study_of: Callable[[tuple[str, ...]], ReaderStudy]) -> ReaderStudy:
    """Make a study of every result folder in `results`, named after the folders, and seal the results into it.

    Raises InputError where there is no result, OutputError where the folder holds a study already. The results
    themselves stay where they are.
    """
    cases = tuple(sorted(path.parent.name for path in results.glob("*/result.json")))
    if not cases:
        raise InputError(f"There is no result in {results}; give the folder that holds a result folder for each case.")
    study = study_of(cases)
    with atomic_folder(folder) as made:
        for case in cases:
            seal_result(made, case, results / case)
        make_study(made, study)
    return study


def write_analysis(analysis: Analysis, out: Path, *, overwrite: bool = False) -> None:
    """Write analysis.html, analysis.json and readings.csv, all or nothing."""
    # Jinja loads only where a page is made.
    from MemorySurvivalLib.report.html import write_html

    with atomic_folder(out, overwrite=overwrite, ours=ANALYSIS_FILE) as folder:
        analysis.write(folder / ANALYSIS_FILE)
        write_table(analysis.readings, folder / "readings.csv")
        write_html(compose_analysis(analysis), folder, folder / "analysis.html")
