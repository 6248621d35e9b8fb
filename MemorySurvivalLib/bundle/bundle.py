"""A loaded model bundle: the backbone and heads ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch

from MemorySurvivalLib.bundle.archive import (
    BACKBONE,
    CARD,
    HEADS,
    READER,
    TRAINING,
    Archive,
    read_archive,
    write_archive,
)
from MemorySurvivalLib.bundle.card import say_held_back
from MemorySurvivalLib.bundle.manifest import HeadEntry, Manifest
from MemorySurvivalLib.errors import BundleError
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone, load_weights, weights_sha256
from MemorySurvivalLib.memory.lesion_reader import LesionReader, build_reader, reader_sha256
from MemorySurvivalLib.memory.weights import find_weights, load_state_dict
from MemorySurvivalLib.risk.head import RiskHead

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """A verified bundle with its heads built; the backbone is built on demand, because it is large."""

    archive: Archive
    heads: Mapping[str, RiskHead]
    reader: LesionReader | None = None
    """The lesion reader of its backbone, where it has one."""

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.archive.manifest

    @property
    def card(self) -> str:
        """The model card as Markdown."""
        return self.archive.members[CARD].decode()

    @property
    def backbone_training(self) -> dict[str, bytes]:
        """Card and log of the backbone's training as they lie in the archive; empty where none travel with it."""
        return {name: self.archive.members[name] for name in TRAINING if name in self.archive.members}

    def backbone(self) -> SAM2Base:
        """Build the backbone with the weights that the manifest names, loaded strictly and verified by hash.

        Raises WeightsError when external weights are not in the store, BundleError when bundled ones do not match.
        """
        entry = self.manifest.backbone
        model = build_backbone(BackboneSpec(entry.architecture, entry.image_size))
        if entry.weights == "external":
            load_weights(model, load_state_dict(find_weights(entry.sha256)))
            return model
        load_weights(model, _tensors(self.archive, BACKBONE))
        found = weights_sha256(model)
        if found != entry.sha256:
            raise BundleError(
                f"The model bundle {self.archive.path} was made for another backbone (its heads name "
                f"{entry.sha256[:12]}, its weights are {found[:12]}); use a bundle that belongs together."
            )
        return model

    def head_entry(self, with_covariates: bool) -> HeadEntry:
        """The head for a case with or without covariates; falls back to the only kind the bundle has.

        Raises BundleError when covariates are needed and there are none.
        """
        entries = self.manifest.heads
        for entry in entries:
            if (entry.covariates is not None) == with_covariates:
                return entry
        if not with_covariates:
            names = entries[0].covariates.names if entries[0].covariates else ()
            raise BundleError(
                f"The model bundle {self.manifest.name} has no image-only head; give covariates ({', '.join(names)})."
            )
        return entries[0]


def load_bundle(path: Path) -> ModelBundle:
    """Read, verify and build a bundle. Raises BundleError with one sentence for anything wrong in it."""
    archive = read_archive(path)
    try:
        card = archive.members[CARD].decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"The model bundle {path} is damaged: {CARD} is not UTF-8 text.") from error
    held_back = say_held_back(card) if archive.manifest.status == "validated" else None
    if held_back:
        raise BundleError(f"The model bundle {path} cannot be validated: {held_back}.")
    tensors = _tensors(archive, HEADS)
    heads = {}
    used: set[str] = set()
    for entry in archive.manifest.heads:
        prefix = f"{entry.name}."
        state = {key.removeprefix(prefix): t.float() for key, t in tensors.items() if key.startswith(prefix)}
        used |= {key for key in tensors if key.startswith(prefix)}
        head = RiskHead(entry.spec)
        expected = head.state_dict()
        wrong = sorted(
            key
            for key in expected.keys() | state.keys()
            if key not in state or key not in expected or state[key].shape != expected[key].shape
        )
        if wrong:
            raise BundleError(f"The model bundle {path} does not fit its own head {entry.name!r}: {wrong[0]}.")
        head.load_state_dict({key: state[key].to(expected[key].dtype) for key in expected})
        heads[entry.name] = head.eval().requires_grad_(False)
    if set(tensors) - used:
        raise BundleError(f"The model bundle {path} holds weights of no head: {min(set(tensors) - used)}.")
    return ModelBundle(archive, heads, _reader(archive))


def save_bundle(
    path: Path,
    manifest: Manifest,
    heads: Mapping[str, RiskHead],
    card: str,
    backbone: SAM2Base | None,
    backbone_training: Mapping[str, bytes] | None = None,
    reader: LesionReader | None = None,
) -> ModelBundle:
    """Write a bundle and load it back; `backbone` None where the manifest names external weights.

    `backbone_training` are the members with the card and log of the backbone's training, by name; the manifest's
    backbone entry must say the same (`learned_from`), or BundleError is raised; so for its lesion reader.

    Weights become float16, but for heads whose spec says that they keep float32.

    Pass models whose weights already went through `as_float16`, so that the manifest's hash and risks are theirs.
    """
    tensors = {
        f"{name}.{key}": t.detach().cpu().contiguous() if head.spec.keeps_float32 else _half(t)
        for name, head in heads.items()
        for key, t in head.state_dict().items()
    }
    members = {HEADS: safetensors.torch.save(tensors), CARD: card.encode()}
    if backbone is not None:
        members[BACKBONE] = safetensors.torch.save({k: _half(t) for k, t in backbone.state_dict().items()})
    if reader is not None:
        members[READER] = safetensors.torch.save({k: _half(t) for k, t in reader.state_dict().items()})
    write_archive(path, manifest, {**members, **(backbone_training or {})})
    return load_bundle(path)


def _reader(archive: Archive) -> LesionReader | None:
    entry = archive.manifest.backbone.reader
    if entry is None:
        return None
    try:
        reader = build_reader(entry.kinds, _tensors(archive, READER))
    except ValueError as error:
        raise BundleError(
            f"The model bundle {archive.path} is damaged: {READER} is no lesion reader: {error}."
        ) from error
    found = reader_sha256(reader)
    if found != entry.sha256:
        raise BundleError(
            f"The model bundle {archive.path} names the lesion reader {entry.sha256[:12]}, but holds {found[:12]}; use "
            "a bundle that belongs together."
        )
    return reader


def as_float16(model: torch.nn.Module) -> torch.nn.Module:
    """Round all floating parameters and buffers to what float16 can hold, in place; they stay float32."""
    model.load_state_dict({key: _half(t).to(t.dtype) for key, t in model.state_dict().items()})
    return model


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().half().contiguous() if tensor.is_floating_point() else tensor.detach().cpu()


def _tensors(archive: Archive, member: str) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(archive.members[member])
    except safetensors.SafetensorError as error:
        raise BundleError(f"The model bundle {archive.path} is damaged: {member} is not readable ({error}).") from error
