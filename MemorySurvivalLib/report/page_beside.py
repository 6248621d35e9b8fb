"""What stands beside the score: its stability, staging scores, similar cases, literature, the physician's reading."""

from __future__ import annotations

from dataclasses import replace

from MemorySurvivalLib.clinical.record import ReadingValue, VisualReading
from MemorySurvivalLib.compare.twins import twins_section
from MemorySurvivalLib.report.document import Block, Bullets, Cell, Page, Paragraph, Section, Table
from MemorySurvivalLib.report.language import say_date, say_local, tr
from MemorySurvivalLib.report.model import Report
from MemorySurvivalLib.report.page_answer import say_stability
from MemorySurvivalLib.report.wording import say_fixed, say_plain, say_signed, say_value


def compose_beside(report: Report) -> Page:
    """Everything that a reader lays beside the score before believing it."""
    sections = [_stability(report), _scores(report), _twins(report), _literature(report), _reading(report)]
    return Page(tr("Beside the score"), tuple(section for section in sections if section is not None))


def _stability(report: Report) -> Section | None:
    badge = report.record.stability
    if badge is None:
        return None
    columns = (tr("what was changed"), tr("log-risk"), tr("moved"), tr("in SD"), tr("percentile points"))
    rows = tuple(
        (
            Cell(trial.change),
            Cell(say_fixed(trial.log_risk), trial.log_risk),
            Cell(say_signed(trial.moved, 2), trial.moved),
            _maybe(trial.moved_sd, 2),
            _maybe(trial.moved_points, 0),
        )
        for trial in badge.trials
    )
    blocks: list[Block] = [say_stability(report), Paragraph(badge.sentence), Paragraph(f"{badge.rule} {badge.meaning}")]
    if rows:
        blocks.append(Table(columns, rows, numeric=(1, 2, 3, 4), wide=(4, 1, 1, 1, 1)))
    if badge.left_out:
        blocks.append(Bullets(badge.left_out))
    return Section(tr("Stability"), tuple(blocks))


def _scores(report: Report) -> Section:
    title = tr("Staging scores")
    scores = report.findings.scores
    if not scores:
        return Section(title, (Paragraph(tr("None was computed: no clinical values were given for them.")),))
    columns = (tr("score"), tr("result"), tr("from"))
    rows = tuple(
        (
            Cell(score.name),
            Cell(_score_result(score.value, score.points) if score.value is not None else score.sentence),
            Cell("; ".join(f"{name} {say_local(text)}" for name, text in score.inputs.items()) or "–"),
        )
        for score in scores
    )
    sources = tuple(dict.fromkeys(f"{score.name}: {score.citation}" for score in scores if score.citation))
    note = tr("A score is computed only when every input is there; what is unknown is never taken as normal.")
    return Section(title, (Table(columns, rows, wide=(1, 3, 4)), Paragraph(note, "quiet"), Bullets(sources, "quiet")))


def _score_result(value: str, points: float | None) -> str:
    return value if points is None else tr("{value} ({points} points)").format(value=value, points=say_plain(points))


def _twins(report: Report) -> Section | None:
    if report.twins is None:
        return None
    return replace(twins_section(report.twins), title=tr("Reference cases with a similar measured burden"))


def _reading(report: Report) -> Section:
    reading = report.findings.reading
    title = tr("Visual reading (IMPeTUs)")
    if reading is None:
        return Section(title, (Paragraph(tr("Not filled in.")),))
    columns = (tr("item"), tr("answer"), tr("suggested by the measurements"), tr("state"))
    rows = tuple(
        (
            Cell(item.title),
            Cell(_answer(item.answer) if item.confirmed else "–"),
            Cell(f"{_answer(item.suggested)}{f' ({item.basis})' if item.basis else ''}"),
            Cell(tr("confirmed") if item.confirmed else tr("not confirmed")),
        )
        for item in reading.items
    )
    blocks: list[Block] = [_state(reading), Table(columns, rows, wide=(3, 2, 4, 1.4))]
    if reading.notes or reading.citations:
        blocks.append(Bullets((*reading.notes, *reading.citations), "quiet"))
    return Section(title, tuple(blocks))


def _state(reading: VisualReading) -> Paragraph:
    if reading.final:
        by = tr("confirmed by {reader}, {date}").format(reader=reading.reader, date=say_date(reading.confirmed_at))
        return Paragraph(by, lead=tr("Final:"))
    done = sum(item.confirmed for item in reading.items)
    text = tr("{done} of {all} items confirmed; suggestions are no findings").format(done=done, all=len(reading.items))
    return Paragraph(f"{text}.", "warning", lead=tr("Not final:"))


def _answer(value: ReadingValue) -> str:
    return "–" if value is None else say_value(value)


def _literature(report: Report) -> Section:
    numbers = {citation.key: number for number, citation in enumerate(report.citations, start=1)}
    notes = tuple(f"{tr(note.sentence)} [{numbers[note.citation]}]" for note in report.literature)
    sources = tuple(
        f"[{numbers[one.key]}] {one.text}{f' doi:{one.doi}' if one.doi else ''}" for one in report.citations
    )
    meaning = tr(
        "The c-index says how often, of two patients, the one with the higher score progresses first: 0.5 is chance."
    )
    return Section(tr("In the literature"), (Bullets((*notes, meaning)), Bullets(sources, "quiet")))


def _maybe(value: float | None, places: int) -> Cell:
    return Cell("–") if value is None else Cell(say_fixed(value, places), value)
