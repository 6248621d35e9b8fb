"""The trained part: the shapes of the paper, the gate's size, and a score that depends on its case alone."""

from __future__ import annotations

import pytest
import torch
from made_up import SCHEMA, make_head
from torch import nn

from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.risk.downsamplers import EMBEDDING_SIZE, AverageDownsampler
from MemorySurvivalLib.risk.fusion import Concatenation, GatedFusion, build_fusion
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead

Maps = dict[Modality, torch.Tensor]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_maps(count: int) -> Maps:
    return {"PET": random(count, 1, 64, 64, seed=1) / 50, "CT": random(count, 1, 64, 64, seed=2) / 50}


def test_shapes_at_each_step_are_the_papers() -> None:
    """(1,64,64) -> two max-pools to (64,16,16) -> (128,16,16) -> 128 (paper section 2.3.1)."""
    downsampler = AverageDownsampler()
    shapes = []
    value = random(3, 1, 64, 64)
    for layer in downsampler.layers:
        value = layer(value)
        shapes.append((type(layer).__name__, tuple(value.shape[1:])))
    assert shapes == [
        ("Conv2d", (32, 64, 64)),
        ("ReLU", (32, 64, 64)),
        ("MaxPool2d", (32, 32, 32)),
        ("Conv2d", (64, 32, 32)),
        ("ReLU", (64, 32, 32)),
        ("MaxPool2d", (64, 16, 16)),
        ("Conv2d", (128, 16, 16)),
        ("ReLU", (128, 16, 16)),
        ("AdaptiveAvgPool2d", (128, 1, 1)),
        ("Flatten", (128,)),
    ]
    assert downsampler(random(3, 1, 64, 64)).shape == (3, EMBEDDING_SIZE) == (3, 128)
    assert all(layer.kernel_size == (3, 3) for layer in downsampler.layers if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize("grid", [4, 16, 32, 64])
def test_memory_states_of_any_grid_are_averaged_to_one_map(grid: int) -> None:
    state = random(2, 2, 32, grid, grid)
    maps = AverageDownsampler.average(state)
    assert maps.shape == (2, 1, 64, 64)
    torch.testing.assert_close(maps.mean(), state.mean(), atol=1e-3, rtol=0)
    if grid == 64:
        torch.testing.assert_close(maps[:, 0], state.mean(dim=(1, 2)))


def test_half_precision_states_are_averaged_in_full() -> None:
    state = random(1, 2, 64, 8, 8).to(torch.bfloat16)
    torch.testing.assert_close(AverageDownsampler.average(state), AverageDownsampler.average(state.float()))


def test_the_gate_has_2d_plus_1_parameters() -> None:
    gate = build_fusion("gated", 128, 2)
    assert isinstance(gate, GatedFusion)
    assert sum(parameter.numel() for parameter in gate.parameters()) == 2 * 128 + 1


def test_the_gate_mixes_as_stated() -> None:
    """alpha = sigmoid(w . [z_PET; z_CT] + b), z = alpha z_PET + (1 - alpha) z_CT (paper section 2.3.2)."""
    gate = GatedFusion(5)
    pet, ct = random(3, 5, seed=1), random(3, 5, seed=2)
    mixed, alpha = gate([pet, ct])
    weight, bias = gate.gate.weight[0], gate.gate.bias
    expected = torch.sigmoid(pet @ weight[:5] + ct @ weight[5:] + bias)
    assert alpha is not None
    torch.testing.assert_close(alpha, expected)
    torch.testing.assert_close(mixed, expected[:, None] * pet + (1 - expected[:, None]) * ct)
    gate.gate.bias.data.fill_(100)
    torch.testing.assert_close(gate([pet, ct])[0], pet)


def test_concatenation_keeps_all() -> None:
    joined = build_fusion("concatenation", 128, 2)
    assert isinstance(joined, Concatenation)
    assert joined.out_size == 256
    assert list(joined.parameters()) == []
    pet, ct = random(3, 128, seed=1), random(3, 128, seed=2)
    value, gate = joined([pet, ct])
    torch.testing.assert_close(value, torch.cat([pet, ct], dim=1))
    assert gate is None


def test_a_gate_needs_two_modalities() -> None:
    with pytest.raises(ValueError, match=r"^gated fusion mixes two modalities, got 1$"):
        build_fusion("gated", 128, 1)


@pytest.mark.parametrize(
    ("spec", "width"),
    [
        (HeadSpec(("PET",), "concatenation", 0), 128),
        (HeadSpec(("PET", "CT"), "concatenation", 3), 259),
        (HeadSpec(("PET", "CT"), "gated", 3), 131),
    ],
)
def test_covariates_follow_the_fused_embedding(spec: HeadSpec, width: int) -> None:
    head = RiskHead(spec)
    kinds = [type(layer).__name__ for layer in head.deepsurv]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    first, last = head.deepsurv[0], head.deepsurv[-1]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    assert (first.in_features, last.out_features) == (width, 1)
    output = head(random_maps(4), torch.zeros(4, spec.covariate_width))
    assert output.log_risk.shape == (4,)
    assert (output.gate_pet is None) == (spec.fusion == "concatenation")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ()}, "a head needs one or both modalities once each"),
        ({"modalities": ("CT", "CT")}, "a head needs one or both modalities once each"),
        ({"modalities": ("CT",), "fusion": "gated"}, "gated fusion mixes two modalities"),
        ({"hidden": (0,)}, "layers must be 1 to 4096 wide"),
        ({"downsampler_width": 5000}, "layers must be 1 to 4096 wide"),
        ({"dropout": 1.0}, "a head cannot have 0 covariates with dropout 1.0"),
        ({"covariate_width": -1}, "a head cannot have -1 covariates with dropout 0.3"),
    ],
)
def test_a_head_that_cannot_be(changes: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {"modalities": ("PET", "CT"), "fusion": "concatenation", "covariate_width": 0}
    with pytest.raises(ValueError, match=message):
        HeadSpec(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_score_is_the_same_every_time() -> None:
    states: Maps = {"PET": random(2, 32, 8, 8, seed=1), "CT": random(2, 32, 8, 8, seed=2)}
    risks = [make_head("image", None, 1)[0].score(states, ()).log_risk.item() for _ in range(2)]
    head, _ = make_head("image", None, 1)
    torch.manual_seed(99)
    risks += [head.score(states, ()).log_risk.item() for _ in range(2)]
    assert len(set(risks)) == 1
    assert not torch.isclose(make_head("image", None, 2)[0].score(states, ()).log_risk, torch.tensor(risks[0]))


def test_a_log_risk_does_not_depend_on_its_batch_mates() -> None:
    head, _ = make_head("image+clinical", SCHEMA, 2)
    maps, covariates = random_maps(6), random(6, SCHEMA.width, seed=3)
    together = head(maps, covariates).log_risk
    alone = torch.cat(
        [head({m: value[i : i + 1] for m, value in maps.items()}, covariates[i : i + 1]).log_risk for i in range(6)]
    )
    assert together.std() > 0.1
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_scoring_a_state_equals_scoring_its_map() -> None:
    head, _ = make_head("image+clinical", SCHEMA, 2)
    states: Maps = {"PET": random(2, 32, 8, 8, seed=1), "CT": random(2, 32, 8, 8, seed=2)}
    vector = (0.5, 1.0, 0.0)
    scored = head.score(states, vector)
    with torch.inference_mode():
        maps = {modality: AverageDownsampler.average(state[None]) for modality, state in states.items()}
        direct = head(maps, torch.tensor([vector]))
    torch.testing.assert_close(scored.log_risk, direct.log_risk)
    assert scored.gate_pet is not None and 0 < float(scored.gate_pet) < 1
    assert not torch.isclose(scored.log_risk, head.score(states, (3.0, 0.0, 1.0)).log_risk)


def test_the_offset_moves_the_log_risk_to_the_cohorts_mean() -> None:
    head, _ = make_head("image", None, 1)
    states: Maps = {"PET": random(2, 32, 8, 8, seed=1), "CT": random(2, 32, 8, 8, seed=2)}
    before = head.score(states, ()).log_risk
    head.offset.fill_(0.25)
    torch.testing.assert_close(head.score(states, ()).log_risk, before - 0.25)


def test_standardising_takes_mean_and_sd_of_the_training_maps() -> None:
    head = RiskHead(HeadSpec(("PET", "CT"), "gated", 0))
    maps = 3 + 2 * random(40, 1, 64, 64)
    head.standardise("PET", maps)
    downsampler, other = head.downsamplers["PET"], head.downsamplers["CT"]
    assert isinstance(downsampler, AverageDownsampler) and isinstance(other, AverageDownsampler)
    torch.testing.assert_close(downsampler.mean, maps.mean(dim=0))
    torch.testing.assert_close(downsampler.sd, maps.std(dim=0).mean())
    assert not other.mean.any() and float(other.sd) == 1
    shifted = RiskHead(HeadSpec(("PET", "CT"), "gated", 0))
    shifted.load_state_dict(head.state_dict())
    assert torch.equal(shifted.downsamplers["PET"].mean, downsampler.mean)  # travels with the weights
