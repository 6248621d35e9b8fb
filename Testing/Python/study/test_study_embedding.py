"""What the study keeps of a case equals what a bundle's pass would give, on whichever axes the images are stored."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from made_up import SMALL, make_patient

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.memory.backbone import build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.inside import cover_cells
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.study.configuration import Embedding, load_configuration
from MemorySurvivalLib.study.embed_cohorts import take_in
from MemorySurvivalLib.study.embedding import choose_boxes, embed_case, split_key
from MemorySurvivalLib.study.imagenet_network import ImagenetNetwork

COMMITTED = load_configuration().embedding
SETTINGS = msgspec.structs.replace(
    COMMITTED,
    batch_size=1,
    small_side=2,
    imagenet=msgspec.structs.replace(COMMITTED.imagenet, most_slices=2, image_size=64),
)


def block(start: int, stop: int, levels: int = 60, spacing: float = 5.0) -> Volume:
    """A mask whose pixels lie on the slices from `start` to `stop`."""
    voxels = np.zeros((levels, 12, 16), dtype=np.bool_)
    voxels[start:stop, 3:9, 4:11] = True
    return Volume(voxels, Affine.from_parts((4.0, 4.0, spacing), np.eye(3), (0, 0, 0)))


def volumes(folder: Path) -> tuple[Volume, Volume, dict[RoiKind, Volume]]:
    patient = make_patient(folder)
    bones = patient.spine.voxels.copy()
    bones[:, 10:36, 12:36] = 1
    return patient.ct, patient.pet, {"spine_dilated": patient.spine, "skeleton": patient.spine.with_voxels(bones)}


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return MemoryEngine(build_backbone(SMALL, seed=3), torch.device("cpu"))


@pytest.fixture(scope="module")
def network() -> ImagenetNetwork:
    """Without the package's weights: random ones see turned axes too."""
    torch.manual_seed(5)
    return ImagenetNetwork().eval()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, dict[RoiKind, Volume]]:
    return take_in(*volumes(tmp_path_factory.mktemp("scene")))


def test_the_ladder_of_the_spine_is_that_of_a_bundle() -> None:
    spine, bones = block(20, 50), block(2, 58)
    boxes, step = choose_boxes({"spine_dilated": spine, "skeleton": bones}, 3, 48)
    assert step == 3
    assert boxes["spine_dilated"] == prompt_boxes(spine, 3)
    levels = {kind: [box.z for box in found] for kind, found in boxes.items()}
    assert np.all(np.diff(levels["skeleton"]) == -6)
    assert set(levels["skeleton"]) & set(range(20, 50)) <= set(levels["spine_dilated"])
    assert levels["skeleton"][0] > 52, "the head is not left out"


@pytest.mark.parametrize("gaps", [(31,), (30, 31, 32), (24, 40, 41), tuple(range(25, 45))])
def test_slices_without_the_spine_do_not_count(gaps: tuple[int, ...]) -> None:
    whole, bones = block(20, 50), block(2, 58)
    voxels = whole.voxels.copy()
    voxels[list(gaps)] = False
    spine = whole.with_voxels(voxels)
    boxes, step = choose_boxes({"spine_dilated": spine, "skeleton": bones}, 3, 48)
    assert (step, boxes["spine_dilated"]) == (3, prompt_boxes(spine, 3))
    ladder, shared = ([box.z for box in boxes[kind]] for kind in ("spine_dilated", "skeleton"))
    assert set(ladder[::2]) <= set(shared), "most slices serve both"
    between = -np.diff(shared)
    assert between.min() >= 3 and between.max() <= 8, (
        "the skeleton is read in the spine's gaps, neither twice nor never"
    )


def test_the_spine_alone_raises_its_step() -> None:
    """As scoring, which does not know of the skeleton."""
    masks: dict[RoiKind, Volume] = {"spine_dilated": block(20, 50), "skeleton": block(0, 60)}
    boxes, step = choose_boxes(masks, 3, 7)
    assert step == 5
    assert boxes["spine_dilated"] == prompt_boxes(masks["spine_dilated"], 3, 7) and len(boxes["spine_dilated"]) == 6
    assert len(boxes["skeleton"]) == 6
    boxes, step = choose_boxes({"spine_dilated": block(20, 35), "skeleton": block(0, 60)}, 3, 6)
    assert (step, len(boxes["spine_dilated"])) == (3, 5)
    assert {-between for between in np.diff([box.z for box in boxes["skeleton"]])} == {9}


def test_a_region_beside_the_ladder_is_read_once() -> None:
    bones = block(20, 50)
    boxes, _ = choose_boxes({"spine_dilated": bones, "skeleton": block(44, 46)}, 3, 48)
    assert [box.z for box in boxes["skeleton"]] == [45]


def test_an_empty_region_is_named() -> None:
    with pytest.raises(InputError, match="skeleton has no voxels"):
        choose_boxes({"spine_dilated": block(3, 9), "skeleton": block(3, 3)}, 3, 48)


@pytest.mark.parametrize("spacing", [(4.0, 4.0), (2.0, 5.0)])
def test_cells_hold_the_share_that_the_region_covers(spacing: tuple[float, float]) -> None:
    voxels = np.zeros((1, 40, 40), dtype=np.bool_)
    voxels[0, 10:20, 10:40] = True
    image = Volume(voxels.astype(np.float32), Affine.from_parts((*spacing, 5.0), np.eye(3), (0, 0, 0)))
    frame = SliceFrame.of(image, 128)
    cells = cover_cells(frame, voxels)
    assert cells.shape == (1, 1, 8, 8)
    covered = float(cells.sum()) * 16 * 16
    assert covered == pytest.approx(voxels.sum() / 1600 * frame.height * frame.width, rel=0.02)
    rows = torch.nonzero(cells[0, 0].sum(dim=1) > 0.1).flatten()
    middle = frame.top + 15 / 40 * frame.height
    assert abs((float(rows.float().mean()) + 0.5) * 16 - middle) <= 8


def test_vectors_and_maps_are_those_of_a_bundles_pass(
    engine: MemoryEngine, scene: tuple[Case, dict[RoiKind, Volume]]
) -> None:
    case, masks = scene
    found = embed_case(engine, case, masks, msgspec.structs.replace(SETTINGS, first_step=4), small_maps=True)
    window = SETTINGS.window_map["PET"]
    for name in SETTINGS.grid_readouts:
        config = PropagationConfig(name, found.step)
        state = propagate(engine, case.pet, "PET", window, prompt_boxes(masks["spine_dilated"], found.step), config)
        expected = state.readout.state()
        grid = found.vectors[f"PET/spine_dilated/{name}/grid"]
        torch.testing.assert_close(grid.float(), expected.mean(dim=(0, 2, 3)), rtol=2e-3, atol=2e-3)
        if name in SETTINGS.average_maps["spine_dilated"]:
            averaged = found.maps[f"PET/spine_dilated/{name}/average"]
            torch.testing.assert_close(averaged.float(), expected.mean(dim=1), rtol=2e-3, atol=2e-3)
            small = found.small_maps[f"PET/spine_dilated/{name}/small"]
            assert small.shape == (64, 2, 2)
            torch.testing.assert_close(
                small.float().mean(dim=(1, 2)), expected.mean(dim=(0, 2, 3)), rtol=5e-3, atol=5e-3
            )
    assert {split_key(key)[1] for key in found.vectors} == {"spine_dilated", "skeleton"}
    stations = found.vectors["CT/skeleton/stations:4/region"]
    mean = found.vectors["CT/skeleton/mean/region"]
    assert stations.shape == (256,)
    assert torch.isfinite(stations).all()
    if found.slices["skeleton"] % 4 == 0:
        torch.testing.assert_close(stations.float().reshape(4, 64).mean(dim=0), mean.float(), rtol=5e-3, atol=5e-3)


def test_pooling_inside_the_region_looks_there(engine: MemoryEngine, scene: tuple[Case, dict[RoiKind, Volume]]) -> None:
    case, masks = scene
    found = embed_case(engine, case, masks, SETTINGS, small_maps=False)
    inside = found.vectors["CT/spine_dilated/mean/region"].float()
    everywhere = found.vectors["CT/spine_dilated/mean/grid"].float()
    assert float((inside - everywhere).norm() / everywhere.norm()) > 0.01
    assert not found.small_maps
    assert found.statistics["spine_dilated/suv_max_g_ml"] > 3
    assert 0 < found.statistics["spine_dilated/tlg_g"] <= 4.5 * 9 * found.statistics["spine_dilated/mtv_ml"]


@pytest.mark.parametrize("orientation", ["IPR", "PSL"])
def test_other_axes_give_the_same_numbers(
    engine: MemoryEngine, network: ImagenetNetwork, tmp_path: Path, orientation: str
) -> None:
    ct, pet, masks = volumes(tmp_path)
    settings: Embedding = msgspec.structs.replace(SETTINGS, first_step=7, average_maps={}, small_maps={})
    straight = embed_case(engine, *take_in(ct, pet, masks), settings, small_maps=False, imagenet=network)
    turned = {kind: mask.reoriented(orientation) for kind, mask in masks.items()}
    other = embed_case(
        engine,
        *take_in(ct.reoriented(orientation), pet.reoriented(), turned),
        settings,
        small_maps=False,
        imagenet=network,
    )
    assert "CT/spine_dilated/imagenet/grid" in straight.vectors
    assert other.statistics == pytest.approx(straight.statistics, rel=1e-6)
    for key, value in straight.vectors.items():
        torch.testing.assert_close(other.vectors[key], value)


def test_tilted_axes_are_kept(engine: MemoryEngine, network: ImagenetNetwork, tmp_path: Path) -> None:
    """An oblique scan is read on its own slices: turning the whole patient in space changes nothing."""
    ct, pet, masks = volumes(tmp_path)
    angle = np.deg2rad(12)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])

    def turned(volume: Volume) -> Volume:
        affine = volume.affine
        return Volume(
            volume.voxels,
            Affine.from_parts(affine.spacing_mm, turn @ affine.direction, turn @ affine.origin_mm),
            volume.attributes,
        )

    settings: Embedding = msgspec.structs.replace(SETTINGS, first_step=7, average_maps={}, small_maps={})
    straight = embed_case(engine, *take_in(ct, pet, masks), settings, small_maps=False, imagenet=network)
    tilted_masks = {kind: turned(mask) for kind, mask in masks.items()}
    tilted = embed_case(
        engine, *take_in(turned(ct), turned(pet), tilted_masks), settings, small_maps=False, imagenet=network
    )
    assert tilted.statistics == pytest.approx(straight.statistics, rel=1e-3)
    for key, value in straight.vectors.items():
        torch.testing.assert_close(tilted.vectors[key].float(), value.float(), rtol=0.02, atol=0.02)
