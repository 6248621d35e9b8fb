"""A segmentation that was written earlier: a label map and the structures.json beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.roi.existing_labels import labels_in, read_label_map
from MemorySurvivalLib.roi.segments import Maker, Segmentation, Structure

STRUCTURES_FILE = "structures.json"


@dataclass(frozen=True)
class _Label:
    structure: Structure


@dataclass(frozen=True)
class _Structures:
    """The part of structures.json that is needed here; other fields are ignored."""

    labels: dict[int, _Label]
    maker: Maker


def read_segmentation(labels: Path, structures: Path | None = None) -> Segmentation:
    """Read a label map and what its labels are (structures.json beside it unless given).

    Raises InputError for files that are missing, damaged, or do not fit each other.
    """
    structures = structures or labels.with_name(STRUCTURES_FILE)
    volume = read_label_map(labels, "label map")
    try:
        record = msgspec.json.decode(structures.read_bytes(), type=_Structures)
    except OSError as error:
        raise InputError(
            f"The label map {labels} needs {STRUCTURES_FILE} beside it, which names its labels; {structures} cannot be "
            f"read ({error.strerror})."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{structures} does not name the labels of a label map; make it again with segment."
        ) from error
    named = {label: entry.structure for label, entry in record.labels.items()}
    unknown = [label for label in labels_in(volume.voxels) if label not in named]
    if unknown:
        raise InputError(f"{structures} has no names for the labels {unknown} of {labels}; give the files of one run.")
    return Segmentation(volume, named, record.maker)
