"""The page of a training: the cohort's tables, and how each head was judged beside what it has to beat."""

from __future__ import annotations

import tempfile
from pathlib import Path

from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.report.document import Block, Bullets, Document, Paragraph, Section
from MemorySurvivalLib.report.html import write_html
from MemorySurvivalLib.report.sheet import Picture
from MemorySurvivalLib.training.evidence_picture import draw_evidence
from MemorySurvivalLib.training.judged_head import FLAT_LABEL, judged_blocks, rival_table
from MemorySurvivalLib.training.own_cohort import OwnCohort
from MemorySurvivalLib.training.packing import TrainedBundle, TrainedHead
from MemorySurvivalLib.training.tables import SIMULATED_PATIENTS, cohort_document


def write_training_page(cohort: OwnCohort, trained: TrainedBundle, target: Path) -> None:
    """Write flow, tables and every head's figures as one HTML file. Nothing in it names a patient."""
    labels = ((SIMULATED_PATIENTS,) if cohort.data.simulated else ()) + ((FLAT_LABEL,) if trained.flat else ())
    pictures = {head.entry.name: _draw(head, labels) for head in trained.heads}
    sections = tuple(_section(head, pictures[head.entry.name], trained.design) for head in trained.heads)
    page = cohort_document(cohort.intake, cohort.patients, cohort.flow, labels, sections)
    write_page(page, tuple(pictures.values()), target)


def write_page(page: Document, pictures: tuple[Picture, ...], target: Path) -> None:
    """Write a page with these pictures inside it."""
    with tempfile.TemporaryDirectory() as folder:
        for picture in pictures:
            with atomic_file(Path(folder) / f"{picture.name}.png") as temporary:
                temporary.write_bytes(picture.png)
        write_html(page, Path(folder), target)


def _draw(head: TrainedHead, labels: tuple[str, ...]) -> Picture:
    judged = head.evaluation
    return draw_evidence(
        head.entry.name, "out of fold", judged.quartiles, judged.calibrations, judged.net_benefits, labels
    )


def _section(head: TrainedHead, picture: Picture, design: tuple[str, ...]) -> Section:
    blocks: list[Block] = []
    if head.validated.warning:
        blocks.append(Paragraph(head.validated.warning, tone="warning"))
    blocks += [Bullets(design), *judged_blocks(head.evaluation, head.subgroups, picture)]
    if head.rivals:
        blocks.append(rival_table([(one.name, one.evaluation, one.difference) for one in head.rivals]))
    if head.notes:
        blocks.append(Bullets(head.notes))
    kind = "flat" if head.validated.flat else "nested"
    return Section(f"Head {head.entry.name}, cross-validated ({kind})", tuple(blocks))
