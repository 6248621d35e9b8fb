"""Published numbers beside the score, each with its citation: how well such scores tell patients apart at all."""

from __future__ import annotations

from MemorySurvivalLib.report.language import later
from MemorySurvivalLib.report.model import Citation, LiteratureNote

CITATIONS = (
    Citation(
        "guinea-perez-2025",
        "Guinea-Perez J, Uribe S, Peluso S, Castellani G, Nanni C, Alvarez F. Mask-aware foundational-model embeddings "
        "for 18F-FDG-PET/CT prognosis in multiple myeloma. medRxiv 2025 (preprint).",
        "10.1101/2025.11.04.25339482",
    ),
    Citation(
        "palumbo-2015",
        "Palumbo A, Avet-Loiseau H, Oliva S, et al. Revised International Staging System for multiple myeloma: a "
        "report from International Myeloma Working Group. J Clin Oncol 2015;33(26):2863-2869.",
        "10.1200/JCO.2015.61.2267",
    ),
    Citation(
        "mosquera-orgueira-2025",
        "Mosquera Orgueira A, Gonzalez Perez MS, D'Agostino M, et al. Machine learning risk stratification strategy "
        "for multiple myeloma: insights from the EMN-HARMONY Alliance platform. HemaSphere 2025;9(10):e70228.",
        "10.1002/hem3.70228",
    ),
)

NOTES = (
    LiteratureNote(
        later(
            "The method of this score, on 227 newly diagnosed patients of one private cohort: c-index 0.66 from images "
            "alone and 0.71 with clinical values, five-fold cross-validated without nested tuning and without external "
            "validation. The model of this report is another one."
        ),
        "guinea-perez-2025",
    ),
    LiteratureNote(
        later(
            "Scores from clinical values and cytogenetics of 10,843 newly diagnosed patients reach a c-index of 0.63 "
            "for progression-free survival: what is much above that in a small cohort is probably optimistic."
        ),
        "mosquera-orgueira-2025",
    ),
    LiteratureNote(
        later("R-ISS is the established staging at diagnosis; an image score has to add to it before it matters."),
        "palumbo-2015",
    ),
)
"""0.5 is chance, 1 is perfect order. The c-index says how often the patient with the higher score progresses first."""
