"""The published head scores as its formula says, bit for bit; specs from before heads could do more still read."""

from __future__ import annotations

import msgspec
import pytest
import torch
from made_up import SCHEMA, make_head
from torch.nn.functional import conv2d, interpolate, linear, max_pool2d

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.risk.covariates import CovariateSchema, encode_covariates
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead


def test_published_heads_score_as_their_formula_says() -> None:
    draws = torch.Generator().manual_seed(3)
    for schema in (None, SCHEMA):
        head, entry = make_head("published", schema, 1)
        weights = head.state_dict()
        for _ in range(3):
            states = {modality: torch.randn(1, 64, 16, 16, generator=draws) for modality in entry.spec.modalities}
            covariates = tuple(torch.randn(entry.spec.covariate_width, generator=draws).tolist())
            output = head.score(states, covariates)
            log_risk, gate = _score_as_version_one(weights, states, covariates)
            assert output.gate_pet is not None
            assert torch.equal(output.log_risk, log_risk) and torch.equal(output.gate_pet, gate)


def _score_as_version_one(
    weights: dict[str, torch.Tensor], states: dict[Modality, torch.Tensor], covariates: tuple[float, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The published head written out: averaged map, three convolutions, gate, DeepSurv."""
    embedded = {}
    for modality, state in states.items():
        maps = interpolate(state.mean(dim=(0, 1))[None, None], (64, 64), mode="bilinear", align_corners=False)
        own = {k.partition(f"{modality}.")[2]: w for k, w in weights.items() if f"downsamplers.{modality}." in k}
        x = (maps - own["mean"]) / own["sd"]
        for number in (0, 3, 6):
            x = conv2d(x, own[f"layers.{number}.weight"], own[f"layers.{number}.bias"], padding=1).relu()
            x = max_pool2d(x, 2) if number < 6 else x
        embedded[modality] = torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
    pet, ct = embedded["PET"], embedded["CT"]
    both = torch.cat(list(embedded.values()), dim=1)
    alpha = torch.sigmoid(linear(both, weights["fusion.gate.weight"], weights["fusion.gate.bias"]))
    x = torch.cat([alpha * pet + (1 - alpha) * ct, torch.tensor([covariates]).reshape(1, -1)], dim=1)
    x = linear(x, weights["deepsurv.0.weight"], weights["deepsurv.0.bias"])
    mean, variance, scale, shift = (
        weights[f"deepsurv.1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    x = torch.nn.functional.batch_norm(x, mean, variance, scale, shift).relu()
    x = linear(x, weights["deepsurv.4.weight"], weights["deepsurv.4.bias"])[:, 0] - weights["offset"]
    return x, alpha[:, 0]


def test_earlier_specs_and_schemas_still_read_and_mean_the_same() -> None:
    spec = msgspec.json.decode(b'{"modalities":["PET"],"fusion":"concatenation","covariate_width":2}', type=HeadSpec)
    assert spec == HeadSpec(("PET",), "concatenation", 2)
    assert sorted(RiskHead(spec).state_dict()) == sorted(
        [
            *(f"downsamplers.PET.{name}" for name in ("mean", "sd")),
            *(f"downsamplers.PET.layers.{n}.{name}" for n in (0, 3, 6) for name in ("weight", "bias")),
            *(f"deepsurv.{n}.{name}" for n in (0, 1, 4) for name in ("weight", "bias")),
            *(f"deepsurv.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")),
            "offset",
        ]
    )
    text = b'{"continuous":[],"categorical":[{"name":"sex","levels":["m","f"],"shares":[0.6,0.4]}]}'
    schema = msgspec.json.decode(text, type=CovariateSchema)
    assert schema.width == 2 and encode_covariates(schema, {}).vector == (0.6, 0.4)


def test_an_indicator_says_what_was_missing() -> None:
    text = (
        b'{"continuous":[],"categorical":[{"name":"sex","levels":["m","f"],"shares":[0.6,0.4]}],"indicators":["sex"]}'
    )
    schema = msgspec.json.decode(text, type=CovariateSchema)
    assert schema.find_problem() is None and schema.width == 3
    assert encode_covariates(schema, {}).vector == (0.6, 0.4, 1.0)
    assert encode_covariates(schema, {"sex": "m"}).vector == (1.0, 0.0, 0.0)
    wrong = msgspec.structs.replace(schema, indicators=("age",))
    assert wrong.find_problem() == "its indicators of missing values need to name its covariates, each once"


def test_a_head_scores_without_an_image_it_may_miss() -> None:
    spec = HeadSpec(("PET", "CT"), "gated", 0, downsampler="channels", memory_shape=(8, 4, 4), missing_modality=True)
    torch.manual_seed(0)
    head = RiskHead(spec).eval()
    state = torch.randn(1, 8, 4, 4)
    alone = head.score({"PET": state}, ())
    assert torch.isfinite(alone.log_risk).all()
    assert not torch.equal(alone.log_risk, head.score({"PET": state, "CT": state}, ()).log_risk)
    strict = RiskHead(msgspec.structs.replace(spec, missing_modality=False)).eval()
    with pytest.raises(KeyError):
        strict.score({"PET": state}, ())


def test_statistics_that_are_missing_take_the_training_mean_and_say_so() -> None:
    spec = HeadSpec(("PET",), "concatenation", 0, downsampler="channels", memory_shape=(8, 4, 4), statistics=("tlg_g",))
    torch.manual_seed(0)
    head = RiskHead(spec).eval()
    head.statistics.standardise(torch.tensor([[1.0], [3.0], [float("nan")]]))
    state: dict[Modality, torch.Tensor] = {"PET": torch.randn(1, 8, 4, 4)}
    average = float(torch.sinh(head.statistics.mean[0]))
    risks = [float(head.score(state, (), s).log_risk) for s in ((average,), (5.0,), (float("nan"),))]
    assert len(set(risks)) == 3, "a missing value is told from an average one"
    with pytest.raises(InputError, match=r"^This head takes 1 statistics of the region \(tlg_g\), but 0 were given"):
        head.score(state, ())


@pytest.mark.parametrize(
    "text",
    [
        b'{"modalities":["PET"],"fusion":"concatenation","covariate_width":0,"memory_shape":[64,99999,99999]}',
        b'{"modalities":["PET"],"fusion":"concatenation","covariate_width":0,"memory_shape":[0,16,16]}',
        b'{"modalities":["PET"],"fusion":"concatenation","covariate_width":0,"statistics":["a","a"]}',
        b'{"modalities":["PET"],"fusion":"concatenation","covariate_width":0,"downsampler":"attention",'
        b'"memory_shape":[65,16,16]}',
        b'{"modalities":["PET"],"fusion":"concatenation","covariate_width":0,"downsampler":"flatten",'
        b'"memory_shape":[64,256,256]}',
        b'{"modalities":["PET"],"fusion":"concatenation","covariate_width":0,"downsampler":"volume",'
        b'"downsampler_width":4096}',
        b'{"modalities":["PET"],"fusion":"concatenation","covariate_width":0,"downsampler":"other"}',
    ],
)
def test_hostile_specs_are_refused(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=HeadSpec)
