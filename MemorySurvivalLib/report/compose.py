"""From the report model to pages of plain blocks, in the language that is asked for."""

from __future__ import annotations

from pathlib import Path

from MemorySurvivalLib.report.document import Document
from MemorySurvivalLib.report.language import ENGLISH, say_date, speaking, tr
from MemorySurvivalLib.report.model import Report
from MemorySurvivalLib.report.page_answer import compose_answer, say_subject
from MemorySurvivalLib.report.page_beside import compose_beside
from MemorySurvivalLib.report.page_effects import compose_effects
from MemorySurvivalLib.report.page_measured import compose_measured
from MemorySurvivalLib.report.page_method import compose_method
from MemorySurvivalLib.report.wording import say_fixed


def compose_document(report: Report, language: str = ENGLISH, catalogues: Path | None = None) -> Document:
    """All pages of a report. Every format that is printed draws these.

    `catalogues` is a folder of translations (default: those that ship). Raises InputError for a language without one.
    """
    with speaking(language, catalogues):
        pages = (
            compose_answer(report),
            compose_method(report),
            compose_beside(report),
            compose_effects(report),
            compose_measured(report),
        )
        record = report.record
        labels = record.risk.labels
        title = tr("MemorySurvival report: log-risk {number}").format(number=say_fixed(record.risk.log_risk))
        software = record.software.get("memory-survival", "")
        made = f"{record.bundle.name} {record.bundle.version} · {say_date(record.created)}"
        return Document(
            title=f"{title} ({', '.join(labels)})" if labels else title,
            pages=tuple(page for page in pages if page is not None),
            labels=labels,
            research_use=report.research_use,
            foot=f"MemorySurvival {software} · {made}",
            language=language,
            subject_line=", ".join(say_subject(report.subject)[: 2 if report.subject.choice == "identified" else 1]),
            keywords=("FDG-PET/CT", "multiple myeloma", report.research_use, *labels),
        )
