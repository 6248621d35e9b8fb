"""The official sam2 video predictor on prepared slices, run as the oracle and as the reference for speed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from MemorySurvivalLib.memory.backbone import BackboneSpec, overrides


def build_official(spec: BackboneSpec, state: dict[str, torch.Tensor]) -> Any:
    """SAM2VideoPredictor as its own builder makes it, with the weights of one of our backbones."""
    from sam2.build_sam import build_sam2_video_predictor

    predictor = build_sam2_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml", ckpt_path=None, device="cpu", hydra_overrides_extra=overrides(spec)
    )
    # Hole filling needs a CUDA extension that is not built; upstream warns and skips it, this only spares the warning.
    predictor.fill_hole_area = 0
    predictor.load_state_dict(state, strict=True)
    return predictor


def official_memories(predictor: Any, pictures: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """A box on every slice, then propagation: memories (slices, channels, h, w) as the predictor keeps them."""
    size = predictor.image_size
    state: dict[str, Any] = {
        "images": pictures,
        "num_frames": len(pictures),
        "offload_video_to_cpu": False,
        "offload_state_to_cpu": False,
        "video_height": size,
        "video_width": size,
        "device": torch.device("cpu"),
        "storage_device": torch.device("cpu"),
        "obj_id_to_idx": OrderedDict(),
        "obj_idx_to_id": OrderedDict(),
        "obj_ids": [],
        **{
            name: {}
            for name in (
                "point_inputs_per_obj",
                "mask_inputs_per_obj",
                "cached_features",
                "constants",
                "output_dict_per_obj",
                "temp_output_dict_per_obj",
                "frames_tracked_per_obj",
            )
        },
    }
    for index, box in enumerate(boxes):
        predictor.add_new_points_or_box(state, index, 1, box=box.tolist())
    for _ in predictor.propagate_in_video(state):
        pass
    kept = state["output_dict_per_obj"][0]["cond_frame_outputs"]
    return torch.cat([kept[index]["maskmem_features"] for index in range(len(pictures))])
