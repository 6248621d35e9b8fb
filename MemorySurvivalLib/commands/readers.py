"""`memory-survival readers`: make a reader study, see how far it is, check and analyse it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand with its own subcommands."""
    parser = subparsers.add_parser(
        "readers",
        help="a study of readers who estimate before they see the score",
        description=f"Readers estimate the risk before they see the score. {RESEARCH_USE}.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    make = actions.add_parser("make", help="make a study of scored cases; their results are sealed into it")
    make.add_argument("study", type=Path, metavar="STUDY", help="the study's folder")
    make.add_argument("--results", type=Path, required=True, help="folder with a result folder for each case")
    make.add_argument("--title", required=True, help="what the study is called")
    make.add_argument(
        "--question", choices=("group", "percentile"), default="group", help="what is asked (%(default)s)"
    )
    make.add_argument("--seed", type=int, default=0, help="of the order of cases (%(default)s)")
    make.add_argument("--sessions", type=int, default=1, help="how often each case is read (%(default)s)")
    make.add_argument("--washout-days", type=float, default=0.0, help="between two sessions (%(default)s)")
    make.add_argument("--no-second", action="store_true", help="do not ask again after the score was seen")
    make.set_defaults(run=run_make)
    status = actions.add_parser("status", help="how far each reader is; nothing of the scores is shown")
    status.add_argument("study", type=Path, metavar="STUDY")
    status.set_defaults(run=run_status)
    analyse = actions.add_parser("analyse", help="weighted kappa, times, a table for statisticians")
    analyse.add_argument("study", type=Path, metavar="STUDY")
    analyse.add_argument(
        "--out", type=Path, required=True, help="folder for analysis.html, analysis.json, readings.csv"
    )
    analyse.add_argument("--overwrite", action="store_true", help="replace an earlier analysis")
    analyse.set_defaults(run=run_analyse)


def run_make(options: argparse.Namespace) -> int:
    """Make a study and seal the results."""
    from MemorySurvivalLib.reader_study.making import make_from_results
    from MemorySurvivalLib.reader_study.study import ReaderStudy

    def study_of(cases: tuple[str, ...]) -> ReaderStudy:
        return ReaderStudy(
            title=options.title,
            question=options.question,
            cases=cases,
            seed=options.seed,
            sessions=options.sessions,
            washout_days=options.washout_days,
            ask_again=not options.no_second,
        )

    study = make_from_results(options.study, options.results, study_of)
    sys.stdout.write(
        f"{len(study.cases)} cases sealed into {options.study}. Keep {options.results} where the readers do not look.\n"
    )
    return 0


def run_status(options: argparse.Namespace) -> int:
    """Say how far each reader is."""
    from MemorySurvivalLib.reader_study.events import READERS, find_reading, read_events
    from MemorySurvivalLib.reader_study.study import read_study

    study = read_study(options.study)
    sys.stdout.write(f"{study.title}: {len(study.cases)} cases, {study.sessions} sessions\n")
    for file in sorted((options.study / READERS).glob("*.jsonl")):
        events = read_events(file)
        for session in range(1, study.sessions + 1):
            readings = [find_reading(events, session, case, file.stem) for case in study.cases]
            given, left = sum(each.counts for each in readings), sum(each.left for each in readings)
            sys.stdout.write(f"  {file.stem}, session {session}: {given} estimates, {left} uncovered before\n")
    return 0


def run_analyse(options: argparse.Namespace) -> int:
    """Analyse and write the files."""
    from MemorySurvivalLib.reader_study.analysis import analyse
    from MemorySurvivalLib.reader_study.making import write_analysis

    analysis = analyse(options.study)
    write_analysis(analysis, options.out, overwrite=options.overwrite)
    for one in analysis.comparisons:
        value = "not defined" if one.kappa.value is None else f"{one.kappa.value:.2f}"
        sys.stdout.write(f"{one.kind}: {one.one}, {one.other}, {one.when}: kappa {value} ({one.kappa.cases} cases)\n")
    sys.stdout.write(f"analysis    {options.out}\n{RESEARCH_USE}.\n")
    return 0
