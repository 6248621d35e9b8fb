"""The score of a case: which head, which notes, and only what the bundle may say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from made_up import SCHEMA, SMALL, make_head, make_manifest

from MemorySurvivalLib.bundle.bundle import ModelBundle, save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry, BaselineHazard, Calibration, HeadEntry, RiskGroups
from MemorySurvivalLib.errors import BundleError, MemorySurvivalError
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.scoring import RiskResult, choose_covariates, predict_survival, score_states

BOTH = ("image", "image+clinical")
FULL = {"age_years": "72.2", "sex": "female"}
BundleOf = Callable[..., ModelBundle]


@pytest.fixture(scope="module")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> BundleOf:
    """Writes a bundle with an external backbone and the named heads; `change` edits each head's entry."""

    def make(
        *names: str,
        change: Callable[[HeadEntry], HeadEntry] = lambda entry: entry,
        weaken: Callable[[RiskHead], object] = lambda head: None,
        status: str = "demonstration",
    ) -> ModelBundle:
        made = [make_head(name, SCHEMA if "clinical" in name else None, seed) for seed, name in enumerate(names)]
        for head, _ in made:
            weaken(head)
        backbone = BackboneEntry(SMALL.architecture, SMALL.image_size, "external", "0" * 64, "elsewhere")
        manifest = make_manifest(tuple(change(entry) for _, entry in made), backbone, status=status)
        provenance = msgspec.structs.replace(manifest.provenance, simulated=status == "demonstration")
        path: Path = tmp_path_factory.mktemp("bundle") / "a.msbundle"
        heads = {entry.name: head for head, entry in made}
        return save_bundle(path, msgspec.structs.replace(manifest, provenance=provenance), heads, "# Card\n", None)

    return make


@pytest.fixture(scope="module")
def bundle(bundle_of: BundleOf) -> ModelBundle:
    return bundle_of(*BOTH)


@pytest.fixture(scope="module")
def states() -> dict[Modality, torch.Tensor]:
    torch.manual_seed(0)
    return {"PET": torch.randn(2, 32, 8, 8) / 50, "CT": torch.randn(2, 32, 8, 8) / 50}


def score(
    bundle: ModelBundle,
    states: dict[Modality, torch.Tensor],
    values: dict[str, str] | None = None,
    *,
    simulated: bool = False,
    other: bool = False,
) -> RiskResult:
    return score_states(bundle, states, values, simulated_case=simulated, other_roi=other)


def test_without_covariates_the_image_only_head(bundle: ModelBundle) -> None:
    encoded, name, notes = choose_covariates(bundle, None)
    assert (encoded, name) == (None, "image")
    assert notes == ["No covariates were given; the image-only head was used."]


def test_with_covariates_the_clinical_head(bundle: ModelBundle) -> None:
    encoded, name, notes = choose_covariates(bundle, FULL)
    assert name == "image+clinical"
    assert encoded is not None and encoded.vector == pytest.approx((1.0, 0.0, 1.0))
    assert notes == []


def test_a_missing_and_an_unknown_column_are_told(bundle: ModelBundle) -> None:
    _, name, notes = choose_covariates(bundle, {"age_years": "70", "LDH": "1", "name": "x"})
    assert name == "image+clinical"
    assert notes == [
        "Columns the model does not know were ignored: LDH, name.",
        "Missing covariates took the training cohort's average: Sex.",
    ]


def test_what_a_staging_score_reads_is_not_called_ignored(bundle: ModelBundle) -> None:
    encoded, _, notes = choose_covariates(bundle, {**FULL, "LDH upper limit U_L": "250", "remark": "x"})
    assert encoded is not None and encoded.ignored == ("LDH upper limit U_L", "remark")
    assert notes == ["Columns the model does not know were ignored: remark."]


@pytest.mark.parametrize("values", [{}, {"age_years": "", "sex": "NA"}, {"LDH": "1"}])
def test_missing_everything_is_image_only_never_an_average_patient(
    bundle: ModelBundle, states: dict[Modality, torch.Tensor], values: dict[str, str]
) -> None:
    encoded, name, notes = choose_covariates(bundle, values)
    assert (encoded, name) == (None, "image")
    assert notes[-1] == "Every covariate is missing; the image-only head was used."
    assert score(bundle, states, values).log_risk == score(bundle, states).log_risk


def test_a_bundle_without_covariates_says_that_it_uses_none(bundle_of: BundleOf) -> None:
    encoded, name, notes = choose_covariates(bundle_of("image"), FULL)
    assert (encoded, name) == (None, "image")
    assert notes == ["This bundle takes no covariates; those given were not used."]
    assert choose_covariates(bundle_of("image"), None)[2] == []


@pytest.mark.parametrize("values", [None, {}, {"sex": ""}])
def test_a_bundle_that_needs_covariates_says_which(bundle_of: BundleOf, values: dict[str, str] | None) -> None:
    with pytest.raises(BundleError) as caught:
        choose_covariates(bundle_of("image+clinical"), values)
    assert str(caught.value) == "The model bundle test has no image-only head; give covariates (age_years, sex)."


def test_a_real_case_and_a_demonstration_bundle(bundle: ModelBundle, states: dict[Modality, torch.Tensor]) -> None:
    result = score(bundle, states, FULL)
    reference = np.asarray(bundle.manifest.heads[1].reference.log_risks)  # type: ignore[union-attr]
    assert result.head == "image+clinical"
    assert result.labels == ("SIMULATED MODEL",)
    assert result.position == pytest.approx(np.count_nonzero(reference < result.log_risk) / reference.size)
    assert result.reference == "41 made-up patients"
    assert result.reference_log_risks == tuple(reference)
    assert (result.risk_group, result.survival) == (None, None)
    assert result.gate_pet is not None and 0 < result.gate_pet < 1


def test_a_simulated_case_sees_everything(bundle: ModelBundle, states: dict[Modality, torch.Tensor]) -> None:
    result = score(bundle, states, simulated=True)
    assert result.labels == ("SIMULATED MODEL", "SIMULATED CASE")
    assert result.risk_group in ("low", "intermediate", "high")
    assert result.survival is not None and result.survival.times_months == (12, 24, 36)


def test_another_roi_gets_the_log_risk_only(bundle: ModelBundle, states: dict[Modality, torch.Tensor]) -> None:
    result = score(bundle, states, simulated=True, other=True)
    assert math.isfinite(result.log_risk)
    assert (result.position, result.reference, result.risk_group, result.survival) == (None,) * 4
    assert result.reference_log_risks == ()
    assert result.labels[-1] == "ENGINEERING USE: ROI NOT OF THE MODEL'S KIND"


@pytest.mark.parametrize(
    ("below", "group"),
    [(-0.001, "high"), (0.0, "high"), (0.001, "intermediate"), (0.999, "intermediate"), (1.001, "low")],
)
def test_groups_are_cut_at_their_thresholds(
    bundle: ModelBundle, states: dict[Modality, torch.Tensor], below: float, group: str
) -> None:
    """`below` is how far the log-risk lies under the upper threshold; one that lies on it belongs above."""
    log_risk = score(bundle, states).log_risk
    groups = RiskGroups((log_risk + below - 1, log_risk + below), ("low", "intermediate", "high"), "training")
    heads = tuple(msgspec.structs.replace(entry, groups=groups) for entry in bundle.manifest.heads)
    archive = replace(bundle.archive, manifest=msgspec.structs.replace(bundle.manifest, heads=heads))
    assert score(replace(bundle, archive=archive), states, simulated=True).risk_group == group


def test_a_research_bundle_shows_survival_to_its_calibrated_horizon(
    bundle_of: BundleOf, states: dict[Modality, torch.Tensor]
) -> None:
    calibration = Calibration(24, True, 1.0, (0.8, 1.2))
    calibrated = bundle_of(
        *BOTH, change=lambda entry: msgspec.structs.replace(entry, calibration=calibration), status="local-research"
    )
    result = score(calibrated, states)
    assert result.labels == ()
    assert result.survival is not None
    assert result.survival.times_months == (12, 24)
    assert result.survival.horizon_months == 24
    assert result.survival.slope_interval == calibration.slope_interval
    assert score(bundle_of(*BOTH, status="local-research"), states).survival is None


def test_survival_is_that_of_proportional_hazards() -> None:
    curve = predict_survival(BaselineHazard((12.0, 24.0, 36.0), (0.1, 0.3, 0.6)), math.log(2), 30)
    assert curve.times_months == (12, 24, 30), "the last step reaches to the horizon"
    assert curve.probability == pytest.approx((math.exp(-0.2), math.exp(-0.6), math.exp(-0.6)))


def test_the_interval_of_a_curve_is_that_of_its_calibration_slope() -> None:
    baseline = BaselineHazard((12.0, 24.0), (0.1, 0.3))
    curve = predict_survival(baseline, math.log(2), 24, (0.5, 1.5))
    assert curve.lower == pytest.approx((math.exp(-0.1 * 2**1.5), math.exp(-0.3 * 2**1.5)))
    assert curve.upper == pytest.approx((math.exp(-0.1 * 2**0.5), math.exp(-0.3 * 2**0.5)))
    low_risk = predict_survival(baseline, -math.log(2), 24, (0.5, 1.5))
    assert all(
        low < mid < high for low, mid, high in zip(low_risk.lower, low_risk.probability, low_risk.upper, strict=True)
    )
    off = predict_survival(baseline, math.log(2), 24, (0.2, 0.8))  # a slope of 1 lies outside: the curve is its end
    assert off.lower == off.probability
    bare = predict_survival(baseline, math.log(2), 24)
    assert (bare.lower, bare.upper, bare.slope_interval) == ((), (), ())


def test_a_log_risk_that_is_no_number_is_refused(bundle_of: BundleOf, states: dict[Modality, torch.Tensor]) -> None:
    broken = bundle_of("image", weaken=lambda head: head.offset.fill_(float("nan")))
    with pytest.raises(MemorySurvivalError) as caught:
        score(broken, states)
    assert str(caught.value) == (
        "The model gave no finite log-risk for this case; check the images, or report the case with its result."
    )
