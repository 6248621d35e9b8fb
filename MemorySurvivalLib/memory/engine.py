"""Running the backbone over prompted slices: one memory per slice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import interpolate

from MemorySurvivalLib.devices import describe_device, is_out_of_memory
from MemorySurvivalLib.memory.acceleration import Acceleration
from MemorySurvivalLib.memory.features import Features
from MemorySurvivalLib.memory.lesion_reader import LesionReader
from MemorySurvivalLib.memory.prompts import MaskPrompt, PointPrompt, Prompt, box_prompt, split_prompt

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


@dataclass(frozen=True, eq=False)
class Trace:
    """What n slices leave for slices after them, on the model's device.

    `memory` (n, channels, h, w) is bfloat16 as the official predictor stores it, `places` its position encoding,
    `pointer` (n, width) the object pointer.
    """

    memory: torch.Tensor
    places: tuple[torch.Tensor, ...]
    pointer: torch.Tensor


@dataclass(frozen=True, eq=False)
class History:
    """What a slice may attend to: traces by their position in a pass of `count` slices."""

    position: int
    count: int
    conditioning: dict[int, Trace]
    others: dict[int, Trace]


_NO_HISTORY = History(0, 1, {}, {})


class MemoryEngine:
    """Encodes slices, each once, and turns them with their prompts into memories.

    At batch size 1 and without acceleration every memory is bit-identical to that of the official predictor, which
    encodes slices with a prompt twice. docs/method.md says for every mode what a memory depends on.
    """

    def __init__(
        self,
        model: SAM2Base,
        device: torch.device,
        acceleration: Acceleration | None = None,
        reader: LesionReader | None = None,
    ) -> None:
        """`reader` reads lesions in the memories of this model, on the CPU; None where it has none."""
        self.model = model.to(device)
        self.reader = reader
        self.device = device
        self.acceleration = acceleration or Acceleration.of(device, int(model.image_size))
        self.encoded_slices = 0
        self._counting = threading.Lock()
        self._most = self.acceleration.together
        mode = self.acceleration.compiled
        self._encode = torch.compile(model.forward_image, mode=mode) if mode else model.forward_image

    def batch_size(self, wanted: int) -> int:
        """How many slices to hand over together where `wanted` were asked for: more on a GPU, as its memory allows."""
        return max(wanted, self._most)

    def describe(self) -> str:
        """The device and how it computes, for results and reports."""
        how = self.acceleration.describe()
        return f"{describe_device(self.device)}, {how}" if how else describe_device(self.device)

    @property
    def image_size(self) -> int:
        """Side of the square input picture in pixels."""
        return int(self.model.image_size)

    def memories(self, pictures: torch.Tensor, prompt: torch.Tensor | Prompt) -> torch.Tensor:
        """Memories (n, channels, h, w), bfloat16 on the CPU, of pictures (n, 3, size, size) that are each prompted.

        `prompt` is a `Prompt` or boxes (n, 4) in picture pixels. This is mode `boxed`: every slice is an initial
        conditioning frame, so its memory depends on that slice and its prompt alone. What a GPU has no room for
        together is done in halves, down to single slices.
        """
        given = box_prompt(prompt) if isinstance(prompt, torch.Tensor) else prompt
        try:
            return self.condition(self.encode(pictures), given).memory.cpu()
        except RuntimeError as error:
            self._check_room(error, len(pictures))
        return torch.cat([self.memories(pictures[half], split_prompt(given, half)) for half in _halves(pictures)])

    @torch.inference_mode()
    def encode(self, pictures: torch.Tensor) -> Features:
        """Feature maps of pictures (n, 3, size, size). This is what costs; `encoded_slices` counts it."""
        with self.acceleration.arithmetic(self.device):
            output = self._encode(pictures.to(self.device, non_blocking=True))
        with self._counting:
            self.encoded_slices += pictures.shape[0]
        return Features(tuple(output["backbone_fpn"]), tuple(output["vision_pos_enc"]))

    def encode_each(self, pictures: torch.Tensor) -> Iterator[Features]:
        """The same slice by slice; what a GPU has no room for together is encoded in halves."""
        try:
            features = self.encode(pictures)
        except RuntimeError as error:
            self._check_room(error, len(pictures))
        else:
            yield from features.split()
            return
        for half in _halves(pictures):
            yield from self.encode_each(pictures[half])

    def _check_room(self, error: RuntimeError, tried: int) -> None:
        """Make room and remember to take at most half of what was `tried` together; raise `error` where that is no
        help."""
        if tried == 1 or not is_out_of_memory(error):
            raise error
        self._most = max(1, min(self._most, tried // 2))
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def condition(self, features: Features, prompt: Prompt) -> Trace:
        """Prompted slices as initial conditioning frames: no memory is attended to.

        The mask, predicted or given, enters the memory hard-binarised and through its quarter-size logits, as in the
        official predictor (`propagate_in_video_preflight`).
        """
        output, vision, sizes = self._track(features, prompt, _NO_HISTORY, initial=True)
        side = (self.image_size, self.image_size)
        masks = interpolate(output["pred_masks"], size=side, mode="bilinear", align_corners=False)
        with self.acceleration.arithmetic(self.device):
            memory, places = self.model._encode_new_memory(
                current_vision_feats=vision,
                feat_sizes=sizes,
                pred_masks_high_res=masks,
                object_score_logits=output["object_score_logits"],
                is_mask_from_pts=True,
            )
        return Trace(memory.to(torch.bfloat16), tuple(places), output["obj_ptr"])

    @torch.inference_mode()
    def follow(self, features: Features, prompt: Prompt | None, history: History) -> Trace:
        """A slice after the first, which attends to `history`, with a prompt of its own or without.

        A mask prompt is taken for the answer: SAM 2 then attends to nothing.
        """
        output, _, _ = self._track(features, prompt, history, initial=False)
        return Trace(output["maskmem_features"].to(torch.bfloat16), tuple(output["maskmem_pos_enc"]), output["obj_ptr"])

    def _track(
        self, features: Features, prompt: Prompt | None, history: History, *, initial: bool
    ) -> tuple[dict[str, Any], list[torch.Tensor], list[tuple[int, int]]]:
        """SAM 2's `track_step`: its output, and the flattened features with their sizes for the memory encoder."""
        backbone_out = {"backbone_fpn": list(features.maps), "vision_pos_enc": list(features.positions)}
        _, vision, positions, sizes = self.model._prepare_backbone_features(backbone_out)
        points = masks = None
        if isinstance(prompt, PointPrompt):
            points = {
                "point_coords": prompt.points.to(self.device),
                "point_labels": prompt.labels.to(self.device),
            }
        elif isinstance(prompt, MaskPrompt):
            masks = prompt.masks.to(self.device)
        with self.acceleration.arithmetic(self.device):
            output: dict[str, Any] = self.model.track_step(
                frame_idx=history.position,
                is_init_cond_frame=initial,
                current_vision_feats=vision,
                current_vision_pos_embeds=positions,
                feat_sizes=sizes,
                point_inputs=points,
                mask_inputs=masks,
                output_dict={
                    "cond_frame_outputs": _as_outputs(history.conditioning),
                    "non_cond_frame_outputs": _as_outputs(history.others),
                },
                num_frames=history.count,
                run_mem_encoder=not initial,
            )
        return output, vision, sizes


def _halves(pictures: torch.Tensor) -> tuple[slice, slice]:
    half = len(pictures) // 2
    return slice(0, half), slice(half, len(pictures))


def _as_outputs(traces: dict[int, Trace]) -> dict[int, dict[str, Any]]:
    """Traces under the names by which SAM 2 looks them up."""
    return {
        position: {
            "maskmem_features": trace.memory,
            "maskmem_pos_enc": list(trace.places),
            "obj_ptr": trace.pointer,
        }
        for position, trace in traces.items()
    }
