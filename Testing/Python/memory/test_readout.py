"""Readouts: their definitions, and exchanging memories against reading out again."""

from __future__ import annotations

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.memory.backbone import BackboneSpec
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.memory.readout import READOUTS, MaxReadout, check_readout, read_out

SHAPE = (3, 2, 4)


def memories_of(count: int, seed: int = 0, *, levels: int = 0) -> torch.Tensor:
    """Random memories; with `levels` of only so many different values, so that cells tie."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, *SHAPE, generator=generator)
    if levels:
        values = torch.randint(levels, values.shape, generator=generator).float() - levels // 2
    return values.to(torch.bfloat16)


@pytest.mark.parametrize(
    "name", [*READOUTS, "bank:1", "bank:9", "stations:1", "stations:9", "stations:64", "tops:9", "tops:64"]
)
@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 12), seed=st.integers(0, 1000), levels=st.sampled_from([0, 2]), data=st.data())
def test_exchanging_equals_reading_out_again(
    name: str, count: int, seed: int, levels: int, data: st.DataObject
) -> None:
    memories = memories_of(count, seed, levels=levels)
    others = memories_of(count, seed + 1, levels=levels)
    exchanged = data.draw(st.sets(st.integers(0, count - 1)))
    again = memories.clone()
    for position in exchanged:
        again[position] = others[position]
    readout, expected = read_out(name, memories), read_out(name, again)
    state = readout.state_with({position: others[position] for position in exchanged})
    assert state.dtype == torch.float32
    assert state.shape == (check_readout(name)[1], *SHAPE)
    if name.startswith(("mean", "stations")):  # sums in float64: the last bit may differ
        assert torch.allclose(state, expected.state(), rtol=1e-6, atol=1e-7)
    else:
        assert torch.equal(state, expected.state())
    assert torch.equal(readout.state(), read_out(name, memories).state()), "asking must not change the readout"


@pytest.mark.parametrize("name", [*READOUTS, "bank:9", "stations:9", "tops:9"])
def test_what_is_not_seen_changes_nothing_and_what_is_seen_can(name: str) -> None:
    memories = memories_of(7)
    readout = read_out(name, memories)
    for position in range(7):
        changed = readout.state_with({position: torch.full(SHAPE, 9.0, dtype=torch.bfloat16)})
        assert readout.sees(position) != torch.equal(changed, readout.state())


def test_last_and_bank_keep_the_end_of_the_pass_newest_last() -> None:
    memories = memories_of(5)
    assert torch.equal(read_out("last", memories).state(), memories[4:].float())
    assert torch.equal(read_out("bank:3", memories).state(), memories[2:].float())
    assert torch.equal(read_out("bank:1", memories).state(), read_out("last", memories).state())


def test_a_bank_longer_than_the_pass_begins_with_zeros() -> None:
    memories = memories_of(2)
    state = read_out("bank:5", memories).state()
    assert not state[:3].any()
    assert torch.equal(state[3:], memories.float())


def test_mean_and_max_are_over_all_slices() -> None:
    memories = memories_of(11)
    assert torch.allclose(read_out("mean", memories).state()[0], memories.float().mean(dim=0), atol=1e-6)
    assert torch.equal(read_out("max", memories).state()[0], memories.float().amax(dim=0))


@pytest.mark.parametrize(
    ("count", "layers", "spans"),
    [
        (8, 4, [(0, 2), (2, 4), (4, 6), (6, 8)]),
        (7, 3, [(0, 2), (2, 4), (4, 7)]),
        (2, 4, [(0, 1), (0, 1), (1, 2), (1, 2)]),
        (1, 2, [(0, 1), (0, 1)]),
    ],
)
def test_stations_are_means_of_equal_parts(count: int, layers: int, spans: list[tuple[int, int]]) -> None:
    memories = memories_of(count)
    state = read_out(f"stations:{layers}", memories).state()
    assert state.shape[0] == layers
    for layer, (start, stop) in zip(state, spans, strict=True):
        assert torch.allclose(layer, memories[start:stop].float().mean(dim=0), atol=1e-6)


def test_max_survives_losing_every_value_it_keeps() -> None:
    """More slices exchanged than runners-up are kept, the largest among them: the others are looked at again."""
    memories = memories_of(20)
    memories[4:14] += 10
    low = torch.full(SHAPE, -50.0, dtype=torch.bfloat16)
    state = MaxReadout(memories).state_with(dict.fromkeys(range(4, 14), low))
    assert torch.equal(state[0], torch.cat([memories[:4], memories[14:]]).float().amax(dim=0))


def test_an_exchange_of_max_reads_few_memories_again() -> None:
    """A patch of three slices is answered from the runners-up alone: the memories may be gone."""
    memories = memories_of(20)
    readout, expected = MaxReadout(memories), memories.clone()
    low = torch.full(SHAPE, -50.0, dtype=torch.bfloat16)
    expected[5:8] = low
    readout._cells = torch.full_like(readout._cells, float("nan"))
    assert torch.equal(readout.state_with(dict.fromkeys((5, 6, 7), low))[0], expected.float().amax(dim=0))


@pytest.mark.parametrize("name", ["", "first", "bank", "bank:0", "bank:65", "stations:-1", "stations:02", "mean:2"])
def test_other_names_are_refused_in_code_and_in_manifests(name: str) -> None:
    with pytest.raises(InputError, match="Unknown readout"):
        read_out(name, memories_of(2))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(PropagationConfig(name)), type=PropagationConfig)


def test_a_configuration_from_before_there_were_modes_still_loads() -> None:
    text = b'{"readout":"mean","slice_step":2,"mode":"boxed","batch_size":1}'
    config = msgspec.json.decode(text, type=PropagationConfig)
    assert config == PropagationConfig("mean")
    assert (config.direction, config.prompt.kind, config.prompt.padding_mm, config.prompt.jitter) == (
        "head_to_feet",
        "box",
        0,
        0,
    )
    assert config.most_slices is None


def test_what_was_kept_before_there_was_a_limit_of_slices_is_found() -> None:
    """Cohorts that took hours lie under this."""
    before = b'{"readout":"mean","slice_step":2,"mode":"boxed","batch_size":1,"direction":"head_to_feet","prompt":'
    before += b'{"kind":"box","padding_mm":0.0,"jitter":0.0,"points":1,"seed":0},"inside":false}'
    assert msgspec.json.encode(PropagationConfig("mean").key()) == before
    limited = msgspec.json.encode(PropagationConfig("mean", most_slices=48).key())
    assert limited == before[:-1] + b',"most_slices":48}'


def test_the_papers_size() -> None:
    """One layer at 1024 pixels is (1, 64, 64, 64): as many numbers as the paper's 2 x 32 x 64 x 64."""
    grid = BackboneSpec("sam2.1-hiera-tiny", 1024).memory_grid
    state = read_out("last", torch.zeros(1, 64, grid, grid, dtype=torch.bfloat16)).state()
    assert state.shape == (1, 64, 64, 64)
    assert state.numel() == 2 * 32 * 64 * 64 == 262_144
