"""How a head was judged, as blocks for a page and rows for its model card: out of fold, and beside plain models."""

from __future__ import annotations

from collections.abc import Sequence

from MemorySurvivalLib.evaluation.evaluation import Comparison, Evaluation, Figure
from MemorySurvivalLib.evaluation.risk_groups import RiskQuartiles
from MemorySurvivalLib.evaluation.subgroups import METHOD, Subgroup
from MemorySurvivalLib.evaluation.tables import (
    figure_rows,
    method_sentences,
    quartile_rows,
    say_p,
    subgroup_rows,
)
from MemorySurvivalLib.report.document import Block, Bullets, Cell, Paragraph, Table
from MemorySurvivalLib.report.document import Figure as PictureBlock
from MemorySurvivalLib.report.sheet import Picture
from MemorySurvivalLib.training.model_card import CardMetric

FLAT_LABEL = "FLAT CROSS-VALIDATION: TOO GOOD"
"""Stands on every page with figures of a flat cross-validation."""


def card_metrics(judged: Evaluation, flat: bool = False) -> tuple[CardMetric, ...]:
    """A row for each figure and way to have it; of fold means also the naive interval that papers report."""
    kind = "flat" if flat else "nested"
    metrics = []
    for figure in judged.figures:
        if figure.folds is not None:
            one = figure.folds
            naive = f"naive {one.naive_low:.3f} to {one.naive_high:.3f}"
            how = f"mean over folds ({kind}), Nadeau-Bengio; {naive}"
            metrics.append(CardMetric(figure.name, one.value, one.low, one.high, how))
        if figure.pooled is not None:
            pooled = figure.pooled
            metrics.append(
                CardMetric(figure.name, pooled.value, pooled.low, pooled.high, f"pooled out of fold ({kind})")
            )
    if judged.brier is not None:
        brier = judged.brier
        metrics.append(CardMetric(brier.name, brier.value, brier.low, brier.high, f"pooled out of fold ({kind})"))
    return tuple(metrics)


def difference_metrics(rivals: Sequence[tuple[str, Comparison]]) -> tuple[CardMetric, ...]:
    """The head minus each plain model, Harrell's c: a row for each."""
    metrics = []
    for name, compared in rivals:
        folds = compared.figures[0].folds
        if folds is not None:
            how = "paired, mean over folds, Nadeau-Bengio"
            metrics.append(CardMetric(f"Harrell's c minus that of {name}", folds.value, folds.low, folds.high, how))
    return tuple(metrics)


def say_rival(name: str, compared: Comparison) -> str:
    """Whether a head beats a plain model, in a sentence; empty where it was not judged."""
    folds = compared.figures[0].folds
    if folds is None:
        return ""
    found = f"{folds.value:+.3f} ({folds.low:.3f} to {folds.high:.3f})"
    if folds.low > 0:
        return f"It ranks patients better than {name} does: Harrell's c {found}."
    return f"It is not shown to rank patients better than {name} does: Harrell's c {found}."


def judged_blocks(judged: Evaluation, subgroups: Sequence[Subgroup], picture: Picture) -> tuple[Block, ...]:
    """The picture, the table of figures with corrected and naive p, quartiles, subgroups, and how each was made."""
    blocks: list[Block] = [
        PictureBlock(picture.name, picture.width_mm, picture.height_mm, picture.alt, lead=picture.title),
        table_of(figure_rows(judged)),
    ]
    if judged.brier is not None:
        blocks.append(Paragraph(f"{judged.brier} (0 is best). {judged.brier.method}", lead=judged.brier.name))
    if judged.quartiles is not None:
        blocks += quartile_blocks(judged.quartiles)
    if subgroups:
        blocks += subgroup_blocks(subgroups)
    blocks.append(Bullets(tuple(method_sentences(judged)), tone="quiet"))
    return tuple(blocks)


def quartile_blocks(quartiles: RiskQuartiles) -> list[Block]:
    """Patients by quartile of risk, with the log-rank test of the outer ones."""
    p_value, usual = say_p(quartiles.p_value), say_p(quartiles.p_value_chi_square)
    said = f"Log-rank of the outer quartiles: p {p_value} by permutation (chi-square {usual}). {quartiles.method}"
    return [table_of(quartile_rows(quartiles)), Paragraph(said, tone="quiet")]


def subgroup_blocks(subgroups: Sequence[Subgroup]) -> list[Block]:
    """A table for each variable, and how to read them."""
    names = dict.fromkeys(row.variable for row in subgroups)
    tables = [table_of(subgroup_rows([row for row in subgroups if row.variable == name])) for name in names]
    return [*tables, Paragraph(METHOD, tone="quiet")]


def rival_table(rivals: Sequence[tuple[str, Evaluation, Comparison]]) -> Table:
    """Plain models on the same folds: their own c, and what the head has over each."""
    rows = [
        (Cell(name), *map(_folds_cell, (judged.figures[0], compared.figures[0]))) for name, judged, compared in rivals
    ]
    caption = "Harrell's c as mean over the same folds with Nadeau and Bengio's interval."
    return Table(
        ("Plain model (ridge Cox)", "Its c", "The head minus it"), tuple(rows), numeric=(1, 2), caption=caption
    )


def table_of(rows: Sequence[dict[str, str | int]]) -> Table:
    """Rows of plain values as a table."""
    return Table(
        tuple(rows[0]),
        tuple(tuple(Cell(str(value)) for value in row.values()) for row in rows),
        numeric=tuple(range(1, len(rows[0]))),
    )


def _folds_cell(figure: Figure) -> Cell:
    return Cell("not judged" if figure.folds is None else str(figure.folds))
