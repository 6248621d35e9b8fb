"""Heads with the paper's average downsampler for other compact backbones: how they are fitted on simulated patients."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.bundle.bundle import as_float16
from MemorySurvivalLib.bundle.manifest import ExplainDefaults, HeadEntry, Manifest, Reference, RiskGroups, Windows
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.risk.covariates import CategoricalCovariate, ContinuousCovariate, CovariateSchema
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.training.embedded_cohort import EmbeddedCohort
from MemorySurvivalLib.training.fit import FitConfig, breslow, covariate_matrix, fit_covariates, fit_head, predict

SCHEMA = CovariateSchema(
    continuous=(
        ContinuousCovariate("age_years", "years", 18, 110, 0, 1),
        ContinuousCovariate("creatinine_mg_dl", "mg/dL", 0.1, 20, 0, 1, "log"),
        ContinuousCovariate("haemoglobin_g_dl", "g/dL", 3, 22, 0, 1),
        ContinuousCovariate("platelets_10e9_l", "10^9/L", 5, 1500, 0, 1),
        ContinuousCovariate("light_chain_ratio", "involved/uninvolved", 0.001, 100000, 0, 1, "log"),
        ContinuousCovariate("calcium_mg_dl", "mg/dL", 4, 20, 0, 1),
    ),
    categorical=(
        CategoricalCovariate("sex", ("male", "female"), ()),
        CategoricalCovariate("isotype", ("IgG", "IgA", "light_chain", "other"), ()),
        CategoricalCovariate("r_iss", ("I", "II", "III"), ()),
    ),
)

TRAINING_FROM, REFERENCE_FROM = 100_000, 500_000
"""Where the seeds of training and of reference patients begin, in bundles with `fit_heads`; they never meet."""

HEADS = ("image", "image+clinical")
"""An image-only head, and one with the covariates of `SCHEMA`."""


@dataclass(frozen=True)
class HeadRecipe:
    """How a bundle with `fit_heads` reads, explains and learns. The one that ships, and those that are rebuilt, are the
    study's (study/shipping.py)."""

    windows: Windows = field(default_factory=lambda: Windows(CT=Window(-200, 1000), PET=Window(0, 10)))
    propagation: PropagationConfig = field(default_factory=lambda: PropagationConfig(readout="mean"))
    explain: ExplainDefaults = field(
        default_factory=lambda: ExplainDefaults(patch_mm=40, stride_mm=20, fill="roi_median", display_limit=0.05)
    )
    fit: FitConfig = field(default_factory=FitConfig)

    def window_map(self) -> dict[Modality, Window]:
        """Windows by modality."""
        return {"PET": self.windows.PET, "CT": self.windows.CT}


def fit_heads(
    fit: FitConfig,
    training: EmbeddedCohort,
    reference: EmbeddedCohort,
    progress: ProgressCallback = ignore_progress,
) -> tuple[dict[str, RiskHead], tuple[HeadEntry, ...]]:
    """The heads by name, and their entries; reference risks and metrics come from cases no head saw."""
    heads: dict[str, RiskHead] = {}
    entries = []
    fitted = fit_covariates(SCHEMA, training)
    for name, schema in zip(HEADS, (None, fitted), strict=True):
        covariates = covariate_matrix(schema, training)
        head = fit_head(head_spec(schema), training, covariates, fit, progress, f"training {name}")
        as_float16(head)
        own = predict(head, training, covariates)
        held_out = predict(head, reference, covariate_matrix(schema, reference))
        heads[name] = head
        entries.append(
            HeadEntry(
                name=name,
                spec=head.spec,
                covariates=schema,
                reference=Reference(
                    "held-out", f"{len(held_out)} simulated patients", tuple(np.sort(held_out).round(5).tolist())
                ),
                groups=_thirds(own),
                baseline=breslow(training, own),
                calibration=None,
                metrics={
                    "training_c_index": round(_concordance(training, own), 4),
                    "held_out_c_index": round(_concordance(reference, held_out), 4),
                },
            )
        )
    return heads, tuple(entries)


def head_spec(schema: CovariateSchema | None) -> HeadSpec:
    """The network of a head: narrow and strongly regularised, because a hundred events carry no more."""
    width = schema.width if schema else 0
    return HeadSpec(("PET", "CT"), "gated", covariate_width=width, hidden=(16,), dropout=0.5)


def scale_display(explain: ExplainDefaults, head: HeadEntry) -> ExplainDefaults:
    """`explain` with a colour scale of a tenth of the SD of a head's reference risks, as in the bundle that ships.

    Backbones differ in how far they spread the risks, so one number would not do for all.
    """
    spread = float(np.std(head.reference.log_risks)) if head.reference else 0.0
    return msgspec.structs.replace(explain, display_limit=max(0.001, round(0.1 * spread, 3)))


def ordinal(step: int) -> str:
    """How slices are counted: 1 is "single", 2 "2nd"."""
    return {1: "single", 2: "2nd", 3: "3rd"}.get(step, f"{step}th")


def metrics_table(manifest: Manifest) -> str:
    """The c-indices of a demonstration bundle's heads as a table in Markdown."""
    rows = [
        f"| {head.name} | {head.metrics['training_c_index']:.3f} | {head.metrics['held_out_c_index']:.3f} |"
        for head in manifest.heads
    ]
    header = "| head | c-index on its own training cases (optimistic) | c-index on held-out simulated cases |"
    return "\n".join([header, "| --- | --- | --- |", *rows])


def _thirds(own: npt.NDArray[np.float32]) -> RiskGroups | None:
    """Groups by the thirds of the training risks; none where the risks do not differ."""
    low, high = np.quantile(own, (1 / 3, 2 / 3)).round(5).tolist()
    return RiskGroups((low, high), ("low", "intermediate", "high"), "training") if low < high else None


def _concordance(cohort: EmbeddedCohort, log_risks: npt.NDArray[np.float32]) -> float:
    return float(harrell_pairs(cohort.times_months, cohort.events).share(log_risks.astype(np.float64))[0])
