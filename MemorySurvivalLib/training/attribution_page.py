"""A cohort's mean attribution as files: a table (CSV), a page (HTML) and its pictures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.bundle.rights import SIMULATED_CASE
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.measure.tables import NOTICE_COLUMN
from MemorySurvivalLib.report.document import Block, Bullets, Cell, Document, Facts, Figure, Page, Section, Table
from MemorySurvivalLib.report.html import write_html
from MemorySurvivalLib.report.sheet import Picture
from MemorySurvivalLib.training.attributing import CohortAttribution
from MemorySurvivalLib.training.attribution import MeanAttribution, PatientMean, mean_attributions
from MemorySurvivalLib.training.attribution_picture import draw_attributions
from MemorySurvivalLib.training.exclusion import flow_section
from MemorySurvivalLib.training.tables import SIMULATED_PATIENTS

PAGE_FILE, TABLE_FILE, PICTURES = "attribution.html", "attribution.csv", "pictures"
TITLE = "Mean attribution over a cohort"

FEW_PATIENTS = 10
"""Below these the page says that an interval rests on hardly anything."""

_SPINE = ("cervical spine", "thoracic spine", "lumbar spine", "spine", "sacrum")
"""Whose bones are drawn; a skeleton has too many others, which the table lists."""


def write_attribution(found: CohortAttribution, out: Path) -> tuple[MeanAttribution, ...]:
    """Write table, pictures and page into `out`, each whole or not at all; the means by region.

    Equal results give equal bytes. Raises OutputError where something cannot be written.
    """
    regions, bones = mean_attributions([case.sites for case in found.cases])
    labels = page_labels(found)
    patients = len(found.cases)
    pictures = [draw_attributions("regions", "Regions", regions, patients, labels)]
    spine = [row for row in bones if row.region in _SPINE]
    if spine:
        pictures.append(draw_attributions("vertebrae", "Vertebrae", spine, patients, labels))
    for picture in pictures:
        with atomic_file(out / PICTURES / f"{picture.name}.png") as temporary:
            temporary.write_bytes(picture.png)
    write_table(found, regions, bones, out / TABLE_FILE)
    write_html(attribution_document(found, regions, bones, pictures), out / PICTURES, out / PAGE_FILE)
    return regions


def write_table(
    found: CohortAttribution, regions: Sequence[MeanAttribution], bones: Sequence[MeanAttribution], target: Path
) -> None:
    """A row for each region and each bone; an interval that one patient does not give is empty."""
    with atomic_file(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        numbers = [f"{what}_{name}" for what in ("log_risk_change", "absolute_change") for name in _COLUMNS]
        writer.writerow(
            ["level", "name", "region", "patients", *numbers, "head", "bundle_sha256", "labels", NOTICE_COLUMN]
        )
        ends = [found.head, found.bundle.archive.sha256, "; ".join(page_labels(found)), RESEARCH_USE]
        for level, rows in (("region", regions), ("bone", bones)):
            for row in rows:
                values = [*_numbers(row.signed), *_numbers(row.absolute)]
                writer.writerow([level, row.name, row.region, row.patients, *values, *ends])


def attribution_document(
    found: CohortAttribution,
    regions: Sequence[MeanAttribution],
    bones: Sequence[MeanAttribution],
    pictures: Sequence[Picture],
) -> Document:
    """The page: what it means, how the maps were made, pictures, tables, exclusion flow. No patient is named."""
    figures = tuple(
        Figure(one.name, one.width_mm, one.height_mm, f"{one.alt} {RESEARCH_USE}.", lead=one.title) for one in pictures
    )
    sections = (
        Section("What this is", (_cautions(found), _facts(found))),
        Section("By region", (figures[0], attribution_table(regions, "Region"))),
        Section("By bone", (*figures[1:], attribution_table(bones, "Bone"))),
        flow_section(found.flow),
    )
    return Document(
        title=TITLE,
        pages=(Page(TITLE, sections),),
        labels=page_labels(found),
        research_use=f"{RESEARCH_USE}.",
        foot=f"MemorySurvival {__version__}",
        keywords=("cohort", "attribution"),
    )


def attribution_table(rows: Sequence[MeanAttribution], title: str) -> Table:
    """Means with intervals as a table of a page."""
    return Table(
        (title, "Patients", "Mean change of log-risk", "95 % interval", "Mean size of the change", "95 % interval"),
        tuple(
            (
                Cell(row.name),
                Cell(str(row.patients), row.patients),
                Cell(f"{row.signed.value:+.3g}", row.signed.value),
                Cell(_interval(row.signed, "+")),
                Cell(f"{row.absolute.value:.3g}", row.absolute.value),
                Cell(_interval(row.absolute, "")),
            )
            for row in rows
        ),
        numeric=(1, 2, 3, 4, 5),
        caption="Positive: the tissue raised the risk. A dash: one patient gives no interval.",
    )


_COLUMNS = ("mean", "sd", "low", "high")


def _numbers(mean: PatientMean) -> list[str]:
    return ["" if one is None else f"{one:.6g}" for one in (mean.value, mean.sd, mean.low, mean.high)]


def _interval(mean: PatientMean, sign: str) -> str:
    if mean.low is None or mean.high is None:
        return "–"
    return f"{mean.low:{sign}.3g} to {mean.high:{sign}.3g}"


def page_labels(found: CohortAttribution) -> tuple[str, ...]:
    """What stands on page and pictures: that the patients are simulated, and what their scores' labels say."""
    others = [label for label in found.labels if label != SIMULATED_CASE]
    return ((SIMULATED_PATIENTS,) if found.simulated else ()) + tuple(others)


def _cautions(found: CohortAttribution) -> Block:
    n = len(found.cases)
    said = [
        "Each patient's tissue was replaced patch by patch, and the log-risk computed again. A bone's value is the "
        "mean over its voxels that were replaced; each patient weighs the same, whatever the size of their bones.",
        "It says what the model reacts to, not where disease is and not what causes progression.",
        "Signed effects of different patients may cancel; sizes (without sign) do not, and noise makes them larger.",
        f"Intervals are over {n} patients for this one model (Student's t). They do not say how another training would "
        "differ, and with many bones some lie off zero by chance.",
    ]
    if n < FEW_PATIENTS:
        said.append(f"{n} {'patients are' if n != 1 else 'patient is'} too few to speak of a cohort.")
    return Bullets(tuple(said), tone="warning" if n < FEW_PATIENTS else "text")


def _facts(found: CohortAttribution) -> Facts:
    config, manifest = found.config, found.bundle.manifest
    reads = next(head.spec.modalities for head in manifest.heads if head.name == found.head)
    occluded = [modality for modality in config.modalities if modality in reads]
    covered = [case.covered for case in found.cases]
    floors = [case.noise_floor for case in found.cases]
    rows = (
        ("Patients", (Cell(str(len(found.cases)), len(found.cases)),)),
        ("Bundle", (Cell(f"{manifest.title} {manifest.version} ({manifest.status})"),)),
        ("Bundle's SHA-256", (Cell(found.bundle.archive.sha256, code=True),)),
        ("Head", (Cell(found.head),)),
        ("Patches", (Cell(f"{config.patch_mm:g} mm every {config.stride_mm:g} mm in {' and '.join(occluded)}"),)),
        ("Fill", (Cell(config.fill),)),
        ("Region", (Cell(f"{manifest.roi}; patches held {np.mean(covered):.0%} of it in the mean"),)),
        ("Noise floor of one map", (Cell(f"{np.median(floors):.2g} in log-risk (median)", float(np.median(floors))),)),
    )
    return Facts(rows)
