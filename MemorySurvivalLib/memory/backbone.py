"""The SAM 2.1 models that read slices: hiera-tiny as MedSAM2 uses it, and a compact one of the same classes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from MemorySurvivalLib.errors import WeightsError

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

Architecture = Literal["sam2.1-hiera-tiny", "sam2.1-compact"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

SAM2_MISSING = (
    "The package sam2 is not installed; run `SAM2_BUILD_CUDA=0 pip install --no-deps --no-build-isolation sam2==1.1.0` "
    "(torch must be installed before it)."
)

_CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"

# What SAM2VideoPredictor's builder adds to the model for interactive use, except filling holes, which needs a CUDA
# extension that the package is installed without (upstream then skips it too).
_POSTPROCESSING = (
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta=0.05",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.98",
    "++model.binarize_mask_from_pts_for_mem_enc=true",
)

_COMPACT = (
    "++model.image_encoder.trunk.embed_dim=24",
    "++model.image_encoder.trunk.stages=[1,2,3,1]",
    "++model.image_encoder.trunk.global_att_blocks=[4,5]",
    "++model.image_encoder.neck.backbone_channel_list=[192,96,48,24]",
    "++model.image_encoder.neck.d_model=128",
    "++model.image_encoder.neck.position_encoding.num_pos_feats=128",
    "++model.memory_attention.d_model=128",
    "++model.memory_attention.num_layers=2",
    "++model.memory_attention.layer.d_model=128",
    "++model.memory_attention.layer.dim_feedforward=512",
    "++model.memory_attention.layer.self_attention.embedding_dim=128",
    "++model.memory_attention.layer.cross_attention.embedding_dim=128",
    "++model.memory_encoder.in_dim=128",
    "++model.memory_encoder.mask_downsampler.embed_dim=128",
    "++model.memory_encoder.fuser.layer.dim=128",
)


@dataclass(frozen=True)
class BackboneSpec:
    """Which network, and the square input size in pixels that slices are brought to (a multiple of 32)."""

    architecture: Architecture
    image_size: int

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise WeightsError(
                f"Unknown backbone architecture {self.architecture!r}; known are {', '.join(ARCHITECTURES)}."
            )
        if self.image_size % 32 or not 64 <= self.image_size <= 2048:
            raise WeightsError(
                f"The backbone's image size must be a multiple of 32 from 64 to 2048, got {self.image_size}."
            )

    @property
    def memory_grid(self) -> int:
        """Height and width of a slice's memory map: one cell for 16 x 16 pixels."""
        return self.image_size // 16


MEDSAM2 = BackboneSpec("sam2.1-hiera-tiny", 512)
"""MedSAM2 as published: hiera-tiny at 512 pixels (arXiv 2504.03600)."""

COMPACT = BackboneSpec("sam2.1-compact", 256)
"""The small model that ships with the demonstration bundle: 3.6 million parameters, not MedSAM2."""


def overrides(spec: BackboneSpec) -> list[str]:
    """Hydra overrides that turn sam2's hiera-tiny configuration into `spec`, without post-processing switches."""
    grid = spec.memory_grid
    size = [
        f"++model.image_size={spec.image_size}",
        f"++model.memory_attention.layer.self_attention.feat_sizes=[{grid},{grid}]",
        f"++model.memory_attention.layer.cross_attention.feat_sizes=[{grid},{grid}]",
    ]
    return size + (list(_COMPACT) if spec.architecture == "sam2.1-compact" else [])


def build_backbone(spec: BackboneSpec, seed: int = 0) -> SAM2Base:
    """A model with seeded random weights, in evaluation mode on the CPU.

    The global random state is left as it was. Raises WeightsError when sam2 is not installed.
    """
    try:
        from hydra import compose
        from hydra.utils import instantiate
        from omegaconf import OmegaConf
        from sam2.modeling.sam2_base import SAM2Base
    except ImportError as error:
        raise WeightsError(SAM2_MISSING) from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = compose(config_name=_CONFIG, overrides=[*overrides(spec), *_POSTPROCESSING])
        OmegaConf.resolve(config)
        model = instantiate(config.model, _recursive_=True)
    if not isinstance(model, SAM2Base):
        raise WeightsError(f"sam2 built a {type(model).__name__} where a SAM2Base was expected; reinstall sam2 1.1.0.")
    model.requires_grad_(False)
    return model.eval()


def load_weights(model: SAM2Base, state: Mapping[str, torch.Tensor]) -> None:
    """Copy `state` into `model`; every key and shape must match. Raises WeightsError naming the first that does not."""
    expected: dict[str, Any] = model.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    if missing or unexpected:
        first = f"{missing[0]} is missing" if missing else f"{unexpected[0]} is not part of the model"
        raise WeightsError(
            f"The weights do not fit this backbone ({len(missing)} keys missing, {len(unexpected)} unexpected; "
            f"{first}); use the weights that the bundle names."
        )
    for key, tensor in expected.items():
        if tuple(tensor.shape) != tuple(state[key].shape):
            raise WeightsError(
                f"The weights do not fit this backbone: {key} has shape {tuple(state[key].shape)}, expected "
                f"{tuple(tensor.shape)}; use the weights that the bundle names."
            )
    model.load_state_dict({key: tensor.to(expected[key].dtype) for key, tensor in state.items()}, strict=True)


def weights_sha256(model: SAM2Base) -> str:
    """Hash of all parameters and buffers in float32, in the order of their names."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
