"""The official sam2 video predictor on prepared slices, run as the oracle and as the reference for speed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
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


Given = dict[str, Any]
"""The prompt of one slice as the predictor's own methods take it: `box`, `points` with `labels`, or `mask`."""


@torch.inference_mode()
def official_memories(
    predictor: Any,
    pictures: torch.Tensor,
    prompts: torch.Tensor | Sequence[Given],
    mode: str = "boxed",
    *,
    reverse: bool = False,
) -> torch.Tensor:
    """Memories (slices, channels, h, w), in the order of `pictures`, as the predictor keeps them.

    `prompts` are boxes (slices, 4) or one prompt a slice. `boxed`: every slice gets its prompt, then
    `propagate_in_video`. `tracked`: only the first one in the direction of the pass does. `streamed`: the first as in
    `tracked`, then `_run_single_frame_inference` with the prompt on each further one, not as an initial frame.
    """
    given = [{"box": box.tolist()} for box in prompts] if isinstance(prompts, torch.Tensor) else list(prompts)
    state = new_state(predictor, pictures)
    order = list(range(len(pictures)))[:: -1 if reverse else 1]
    for index in order if mode == "boxed" else order[:1]:
        add_prompt(predictor, state, index, given[index])
    if mode == "streamed":
        predictor.propagate_in_video_preflight(state)
        for index in order[1:]:
            _stream(predictor, state, index, given[index], reverse)
    else:
        for _ in predictor.propagate_in_video(state, start_frame_idx=order[0], reverse=reverse):
            pass
    kept = state["output_dict_per_obj"][0]
    outputs = {**kept["cond_frame_outputs"], **kept["non_cond_frame_outputs"]}
    return torch.cat([outputs[index]["maskmem_features"] for index in range(len(pictures))])


def add_prompt(predictor: Any, state: dict[str, Any], index: int, given: Given) -> None:
    """Give the predictor one slice's prompt in the way its users do."""
    add = predictor.add_new_mask if "mask" in given else predictor.add_new_points_or_box
    add(state, index, 1, **given)


def _stream(predictor: Any, state: dict[str, Any], index: int, given: Given, reverse: bool) -> None:
    """Exactly what `propagate_in_video` does for a slice without a prompt, but with one."""
    points, masks = None, None
    if "mask" in given:
        masks = given["mask"].float()[None, None]
    else:
        coordinates = given["box"] if "box" in given else given["points"]
        labels = [2, 3] if "box" in given else given["labels"]
        points = {
            "point_coords": torch.as_tensor(coordinates, dtype=torch.float32).reshape(1, -1, 2),
            "point_labels": torch.as_tensor(labels, dtype=torch.int32).reshape(1, -1),
        }
    outputs = state["output_dict_per_obj"][0]
    output, _ = predictor._run_single_frame_inference(
        inference_state=state,
        output_dict=outputs,
        frame_idx=index,
        batch_size=1,
        is_init_cond_frame=False,
        point_inputs=points,
        mask_inputs=masks,
        reverse=reverse,
        run_mem_encoder=True,
    )
    outputs["non_cond_frame_outputs"][index] = output


def new_state(predictor: Any, pictures: torch.Tensor) -> dict[str, Any]:
    """What `init_state` makes, for pictures that are in memory."""
    size = predictor.image_size
    return {
        "images": pictures,
        "num_frames": len(pictures),
        "offload_video_to_cpu": False,
        "offload_state_to_cpu": False,
        "video_height": size,
        "video_width": size,
        "device": predictor.device,
        "storage_device": predictor.device,
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
