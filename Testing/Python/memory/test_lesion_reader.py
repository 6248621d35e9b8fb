"""The lesion reader: what it gives of a slice, that it travels whole, and that it learns where lesions lie."""

from __future__ import annotations

import pytest
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.memory.lesion_reader import KINDS, LesionReader, build_reader, reader_sha256
from MemorySurvivalLib.training.lesion_reader import ReaderRecipe, ReaderSlices, judge_reader, train_reader

CHANNELS = 6


def make_reader(seed: int = 0) -> LesionReader:
    torch.manual_seed(seed)
    return LesionReader(CHANNELS, widths=(8, 8)).eval().requires_grad_(False)


def test_it_reads_each_slice_alone_and_only_cells_that_count() -> None:
    reader = make_reader()
    memories = torch.randn(5, CHANNELS, 4, 4).to(torch.bfloat16)
    cells = (torch.rand(5, 1, 4, 4) > 0.4).float()
    together = reader.pool(memories, cells, "PET")
    alone = torch.cat([reader.pool(memories[k : k + 1], cells[k : k + 1], "PET") for k in range(5)])
    assert torch.equal(together, alone) and together.shape == (5, 2 * len(KINDS), 1, 1)
    shares = reader.shares(memories, "PET")
    assert shares.shape == (5, 2, 4, 4) and shares.min() >= 0 and shares.max() <= 1
    kind, slice_number = 1, 3
    there = shares[slice_number, kind][cells[slice_number, 0] > 0]
    assert together[slice_number, kind, 0, 0] == there.max()
    torch.testing.assert_close(together[slice_number, 2 + kind, 0, 0], torch.log1p(there.sum()))
    assert not torch.allclose(together, reader.pool(memories, cells, "CT")), "each modality has a network of its own"
    assert not reader.pool(memories, torch.zeros_like(cells), "PET").any()


def test_a_cell_is_read_with_its_neighbours_and_no_further() -> None:
    reader = make_reader()
    memory = torch.randn(1, CHANNELS, 6, 6)
    other = memory.clone()
    other[0, :, 2, 3] += 1.0
    changed = (reader.shares(memory, "CT") != reader.shares(other, "CT")).any(dim=1)[0]
    rows, columns = changed.nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 3, 2, 4)


def test_it_travels_by_its_tensors_and_its_hash_tells_it_apart() -> None:
    reader, other = make_reader(), make_reader(1)
    again = build_reader(reader.kinds, reader.state_dict())
    assert reader_sha256(again) == reader_sha256(reader) != reader_sha256(other)
    assert (again.channels, again.widths) == (CHANNELS, (8, 8))
    renamed = build_reader(("bone", "mass"), reader.state_dict())
    assert reader_sha256(renamed) != reader_sha256(reader)


def test_tensors_of_something_else_are_refused() -> None:
    state = make_reader().state_dict()
    with pytest.raises(ValueError, match="no lesion reader's"):
        build_reader(KINDS, {"weight": torch.zeros(3)})
    with pytest.raises(ValueError, match="CT_sd does not fit"):
        build_reader(KINDS, {**state, "CT_sd": torch.ones(CHANNELS + 1)})
    with pytest.raises(ValueError, match="surplus does not fit"):
        build_reader(KINDS, {**state, "surplus": torch.ones(1)})
    with pytest.raises(ValueError, match="does not fit"):
        build_reader(("focal",), state)
    with pytest.raises(ValueError, match="finite"):
        build_reader(KINDS, {**state, "PET_mean": torch.full((CHANNELS,), float("nan"))})


def make_slices(patients: int, seed: int, noise: float = 0.3) -> ReaderSlices:
    """Lesions raise channel 1 of the PET, masses channel 2 of the CT; the rest is noise."""
    draws = torch.Generator().manual_seed(seed)
    n = 6 * patients
    shares = torch.zeros(n, 2, 8, 8)
    for number in range(0, n, 3):
        y, x = (int(k) for k in torch.randint(0, 8, (2,), generator=draws))
        shares[number, (number // 3) % 2, y, x] = 0.8
    memories = {m: noise * torch.randn(n, CHANNELS, 8, 8, generator=draws) for m in ("PET", "CT")}
    memories["PET"][:, 1] += 3 * shares[:, 0]
    memories["CT"][:, 2] += 3 * shares[:, 1]
    stored = {m: one.to(torch.bfloat16) for m, one in memories.items()}
    owners = torch.arange(patients).repeat_interleave(6)
    return ReaderSlices(stored, torch.ones(n, 1, 8, 8, dtype=torch.bool), shares, owners)  # type: ignore[arg-type]


def test_it_learns_where_lesions_lie_in_the_images_that_show_them() -> None:
    recipe = ReaderRecipe(steps=300, slices=24)
    reader = train_reader(make_slices(40, 0), recipe)
    found = judge_reader(reader, make_slices(20, 1))
    assert found["PET"].patients == {"focal": 20, "paramedullary": 20}
    assert found["PET"].average_precision["focal"] > 0.8 > 0.2 > found["PET"].average_precision["paramedullary"]
    assert found["CT"].average_precision["paramedullary"] > 0.8 > 0.2 > found["CT"].average_precision["focal"]
    assert found["PET"].surest_at_lesion["focal"] > 0.8 > 0.5 > found["CT"].surest_at_lesion["focal"]
    assert found["PET"].prevalence["focal"] == pytest.approx(1 / 6 / 64, abs=1e-5)
    untrained = judge_reader(make_reader(), make_slices(20, 1))
    assert untrained["PET"].average_precision["focal"] < 0.3
    again = train_reader(make_slices(40, 0), recipe)
    assert reader_sha256(again) == reader_sha256(reader), "same phantoms, same seed, same reader"


def test_without_lesions_there_is_nothing_to_learn() -> None:
    slices = make_slices(4, 0)
    empty = ReaderSlices(slices.memories, slices.counted, torch.zeros_like(slices.shares), slices.owners)
    with pytest.raises(InputError, match="No slice shows a lesion"):
        train_reader(empty, ReaderRecipe(steps=2))
