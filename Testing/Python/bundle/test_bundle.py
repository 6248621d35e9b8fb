"""Heads, card and backbone that do not belong together are refused with one sentence."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import safetensors.torch
import torch
from made_up import SMALL
from spoilt_bundles import Members, edited, pack, refusal, set_in, with_member

from MemorySurvivalLib.bundle.archive import BACKBONE, CARD, HEADS, read_archive, write_archive
from MemorySurvivalLib.bundle.bundle import as_float16, load_bundle
from MemorySurvivalLib.errors import BundleError, WeightsError
from MemorySurvivalLib.memory.backbone import build_backbone, weights_sha256


def head_tensors(members: Members) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(members[HEADS])


def test_a_head_without_one_of_its_weights(tmp_path: Path, members: Members) -> None:
    tensors = head_tensors(members)
    del tensors["image.offset"]
    path = pack(tmp_path / "a.msbundle", with_member(members, HEADS, safetensors.torch.save(tensors)))
    assert refusal(path) == f"The model bundle {path} does not fit its own head 'image': offset."


def test_a_head_of_another_shape(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, set_in("heads", 0, "spec", "hidden", value=[32])))
    assert refusal(path) == f"The model bundle {path} does not fit its own head 'image': deepsurv.0.bias."


def test_weights_that_belong_to_no_head(tmp_path: Path, members: Members) -> None:
    tensors = {**head_tensors(members), "other.weight": torch.zeros(1)}
    path = pack(tmp_path / "a.msbundle", with_member(members, HEADS, safetensors.torch.save(tensors)))
    assert refusal(path) == f"The model bundle {path} holds weights of no head: other.weight."


def test_weights_that_are_not_safetensors(tmp_path: Path, members: Members) -> None:
    """A torch file, which is a pickle inside, is not opened."""
    buffer = io.BytesIO()
    torch.save({"image.offset": torch.zeros(())}, buffer)
    path = pack(tmp_path / "a.msbundle", with_member(members, HEADS, buffer.getvalue()))
    assert refusal(path).startswith(f"The model bundle {path} is damaged: heads.safetensors is not readable (")


def test_a_card_that_is_not_text(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", with_member(members, CARD, b"\xff\xfe"))
    assert refusal(path) == f"The model bundle {path} is damaged: model_card.md is not UTF-8 text."


def test_a_bundle_made_for_another_backbone(tmp_path: Path, small_bundle: Path) -> None:
    """Heads and backbone are each whole, but do not belong together."""
    archive = read_archive(small_bundle)
    other = as_float16(build_backbone(SMALL, seed=4))
    content = {**archive.members, BACKBONE: safetensors.torch.save(dict(other.state_dict()))}
    path = tmp_path / "a.msbundle"
    write_archive(path, archive.manifest, content)
    bundle = load_bundle(path)
    with pytest.raises(BundleError) as caught:
        bundle.backbone()
    assert str(caught.value) == (
        f"The model bundle {path} was made for another backbone (its heads name "
        f"{archive.manifest.backbone.sha256[:12]}, its weights are {weights_sha256(other)[:12]}); "
        "use a bundle that belongs together."
    )


def test_a_backbone_that_is_not_of_its_architecture(tmp_path: Path, small_bundle: Path) -> None:
    archive = read_archive(small_bundle)
    content = {**archive.members, BACKBONE: safetensors.torch.save({"a.weight": torch.zeros(1)})}
    write_archive(tmp_path / "a.msbundle", archive.manifest, content)
    with pytest.raises(WeightsError, match=r"^The weights do not fit this backbone \(\d+ keys missing, 1 unexpected; "):
        load_bundle(tmp_path / "a.msbundle").backbone()
