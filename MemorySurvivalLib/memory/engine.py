"""Running the backbone over slices with boxes: one memory per slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

_BOX_LABELS = (2, 3)  # SAM's prompt encoder takes a box as two points with these labels: its corners


class MemoryEngine:
    """Encodes prompted slices into memories, each slice once.

    Mode `boxed`: a box on every slice. Every slice is then an initial conditioning frame of the SAM 2 video
    predictor, which runs no memory attention on such frames, so a slice's memory depends on that slice and its box
    alone. At batch size 1 the memories are bit-identical to those of the official predictor, which encodes every
    slice twice.
    """

    def __init__(self, model: SAM2Base, device: torch.device) -> None:
        self.model = model.to(device)
        self.device = device
        self.encoded_slices = 0

    @property
    def image_size(self) -> int:
        """Side of the square input picture in pixels."""
        return int(self.model.image_size)

    @torch.inference_mode()
    def memories(self, pictures: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Memories (n, channels, h, w) in bfloat16 on the CPU of pictures (n, 3, size, size) with boxes (n, 4).

        The predicted mask enters the memory hard-binarised and through its quarter-size logits, as in the official
        predictor (`propagate_in_video_preflight`).
        """
        model, count = self.model, pictures.shape[0]
        backbone_out = model.forward_image(pictures.to(self.device))
        self.encoded_slices += count
        _, features, positions, sizes = model._prepare_backbone_features(backbone_out)
        prompt = {
            "point_coords": boxes.reshape(count, 2, 2).to(self.device),
            "point_labels": torch.tensor(_BOX_LABELS, dtype=torch.int32, device=self.device).expand(count, 2),
        }
        no_history: dict[str, Any] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        output = model.track_step(
            frame_idx=0,
            is_init_cond_frame=True,
            current_vision_feats=features,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs=prompt,
            mask_inputs=None,
            output_dict=no_history,
            num_frames=1,
            run_mem_encoder=False,
        )
        side = (self.image_size, self.image_size)
        masks = interpolate(output["pred_masks"], size=side, mode="bilinear", align_corners=False)
        memory, _ = model._encode_new_memory(
            current_vision_feats=features,
            feat_sizes=sizes,
            pred_masks_high_res=masks,
            object_score_logits=output["object_score_logits"],
            is_mask_from_pts=True,
        )
        kept: torch.Tensor = memory.to(torch.bfloat16).cpu()
        return kept
