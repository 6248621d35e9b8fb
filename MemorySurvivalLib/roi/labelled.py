"""The built-in segmenter's masks as one label map of named structures, the type that every segmenter hands on."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from MemorySurvivalLib import __version__
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.segmentation import DEFAULT_CONFIG, BuiltinSegmentation, SegmenterConfig
from MemorySurvivalLib.roi.segments import Maker, Segmentation
from MemorySurvivalLib.roi.terminology import structure

METHOD = "built-in CT segmenter"
BONE, CANAL, FIRST_VERTEBRA = 1, 2, 3
"""Label values: bone outside the spine, spinal canal, and the vertebrae from the top."""


def as_segmentation(found: BuiltinSegmentation, config: SegmenterConfig = DEFAULT_CONFIG) -> Segmentation:
    """Bone, canal and vertebrae as labels (uint8, the CT's grid), with the body mask and the notes.

    `config` is what the segmentation was made with; settings that differ from the defaults are recorded.
    """
    labels = np.where(found.skeleton_bones.voxels != 0, np.uint8(BONE), np.uint8(0))
    vertebrae = found.vertebrae.voxels
    np.copyto(labels, vertebrae + np.uint8(FIRST_VERTEBRA - 1), where=vertebrae != 0)
    labels[found.canal.voxels != 0] = CANAL
    structures = {BONE: structure("bone"), CANAL: structure("spinal_canal")}
    structures |= {FIRST_VERTEBRA + n: structure(name) for n, name in enumerate(found.vertebra_names)}
    return Segmentation(
        labels=Volume(labels, found.vertebrae.affine),
        structures=structures,
        maker=Maker(METHOD, __version__, _describe(config)),
        body=found.body,
        notes=found.notes,
    )


def _describe(config: SegmenterConfig) -> str:
    """The settings that differ from the defaults, as "name=value" texts."""
    changed = [
        f"{field.name}={getattr(config, field.name):g}"
        for field in fields(config)
        if getattr(config, field.name) != getattr(DEFAULT_CONFIG, field.name)
    ]
    return ", ".join(changed) or "default settings"
