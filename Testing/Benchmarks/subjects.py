"""What the figures on maps explain: the image-only head of a bundle on a case, with the statistics that it takes."""

from __future__ import annotations

from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.explain.statistics import OccludedStatistics
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.preparing import embed_case
from MemorySurvivalLib.roi.roi import Roi


def embed_subject(engine: MemoryEngine, bundle: ModelBundle, case: Case, roi: Roi) -> Subject:
    """The case embedded as scoring does it, occluded in the images that the bundle says. The head `image` takes no
    covariates, but may take statistics."""
    head = bundle.heads["image"]
    names = head.spec.statistics
    return Subject(
        engine,
        case,
        embed_case(engine, bundle, case, roi),
        head,
        (),
        modalities=bundle.manifest.explain.modalities,
        direction=bundle.manifest.propagation.direction,
        statistics=OccludedStatistics(case, roi, names) if names else None,
    )
