"""Segmentations that exist already, in any of the usual files, as structures on the CT's grid and as a ROI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.derive import DEFAULT_ROI, RoiConfig, derive_roi
from MemorySurvivalLib.roi.existing_labels import (
    labels_in,
    name_labels,
    place_on,
    read_embedded_names,
    read_label_map,
)
from MemorySurvivalLib.roi.existing_layers import ExistingSegmentation, LayerBuilder, Segment
from MemorySurvivalLib.roi.existing_nrrd import is_segmentation_nrrd, read_segmentation_nrrd
from MemorySurvivalLib.roi.existing_tables import ONE_MASK, TABLE_BESIDE, LabelNames, read_label_names
from MemorySurvivalLib.roi.provenance import ROI_ATTRIBUTE
from MemorySurvivalLib.roi.roi import ROI_TITLES, Roi, RoiKind
from MemorySurvivalLib.roi.segmenters.outline import with_body
from MemorySurvivalLib.roi.segments import Maker, Segmentation
from MemorySurvivalLib.roi.terminology import recognise

_DICOM_MAGIC_AT, _DICOM_MAGIC = 128, b"DICM"
_SEGMENTATIONS = ("SEG", "RTSTRUCT")
_MASK_ENDINGS = (".nii.gz", ".nii")


def read_existing(path: Path, ct: Volume, labels: str | Path | None = None) -> ExistingSegmentation:
    """Read a segmentation file onto the CT's grid, with the segments as the file holds them.

    Knows Slicer's .seg.nrrd, DICOM SEG and RTSTRUCT (a file, or a folder that holds exactly one), a folder with one
    NIfTI mask for each structure (TotalSegmentator's usual output), and label maps (NIfTI, NRRD, MHA). What the labels
    of a label map mean is said by `labels` (see `read_label_names`, or "mask": all of it is one mask); without it by
    the names inside the file or in a structures.json beside it, and a single label is one mask. Raises InputError with
    one sentence for whatever cannot be used.
    """
    if path.is_dir() and (masks := [each for each in sorted(path.iterdir()) if each.name.endswith(_MASK_ENDINGS)]):
        return _read_mask_folder(path, masks, ct)
    path = _find_file(path)
    modality = _dicom_modality(path)
    if modality == "SEG":
        from MemorySurvivalLib.roi.dicom_seg import read_dicom_seg  # highdicom takes a second to import

        return read_dicom_seg(path, ct)
    if modality == "RTSTRUCT":
        from MemorySurvivalLib.roi.rtstruct import read_rtstruct

        return read_rtstruct(path, ct)
    if modality is not None:
        raise InputError(
            f"The DICOM file {path} is {modality or 'of no stated modality'}, not a segmentation (SEG, RTSTRUCT)."
        )
    if labels is None and is_segmentation_nrrd(path):
        return read_segmentation_nrrd(path, ct)
    return _read_label_file(path, ct, labels)


def read_segmentation(path: Path, ct: Volume, labels: str | Path | None = None) -> Segmentation:
    """Read a segmentation file as one label map on the CT's grid; see `read_existing` and `PRECEDENCE`."""
    return read_existing(path, ct, labels).flatten()


def choose_roi(
    existing: ExistingSegmentation,
    kind: RoiKind,
    config: RoiConfig = DEFAULT_ROI,
    segment: str | None = None,
    ct: Volume | None = None,
) -> Roi:
    """The region `kind` from an existing segmentation, along LPS axes.

    A segment that `segment` names is taken as it stands; else one that is coded or named as this region; else the only
    segment there is, unless it is something that cannot be this region; else the region is derived from bones and
    vertebrae, inside the body's outline where `ct` (HU, on the grid that the file was read onto) is given. Raises
    InputError when nothing fits.
    """
    if segment is not None:
        chosen = existing.find(segment)
        if chosen is None:
            known = ", ".join(each.name for each in existing.segments[:20])
            raise InputError(f'The segmentation has no segment "{segment}"; choose one of {known}.')
        return _take(existing, chosen, kind, f'The segment "{chosen.name}" was chosen as {ROI_TITLES[kind]}.')
    same = [each for each in existing.segments if each.structure.group == "roi" and each.structure.name == kind]
    if same:
        return _take(existing, same[-1], kind, f'The segment "{same[-1].name}" was taken as it stands.')
    if len(existing.segments) == 1:
        (only,) = existing.segments
        if only.structure.group in ("roi", "organ"):
            raise InputError(
                f'The only segment is "{only.name}" ({only.structure.code.meaning}), not the {ROI_TITLES[kind]}; '
                "choose another file."
            )
        return _take(existing, only, kind, f'The only segment, "{only.name}", was taken as {ROI_TITLES[kind]}.')
    if kind == "other":
        known = ", ".join(each.name for each in existing.segments[:20])
        raise InputError(f"The segmentation holds several segments; say which one to use ({known}).")
    flat = existing.flatten()
    if not flat.of("vertebra", "canal").any() and not (kind == "skeleton" and flat.of("bone", "sacrum").any()):
        known = ", ".join(each.name for each in existing.segments[:20])
        raise InputError(
            f"The segmentation holds neither the {ROI_TITLES[kind]} nor what it is derived from; it holds {known}."
        )
    return derive_roi(flat if ct is None else with_body(flat, ct), kind, config)


def _take(existing: ExistingSegmentation, segment: Segment, kind: RoiKind, note: str) -> Roi:
    grid = existing.layers[segment.layer]
    stamp = {ROI_ATTRIBUTE: segment.stamp} if segment.stamp else {}
    mask = Volume(existing.mask(segment).astype(np.uint8), grid.affine, stamp).reoriented()
    return Roi(mask.with_voxels(mask.voxels != 0), kind, str(existing.maker), (note, *existing.notes))


def _read_label_file(path: Path, ct: Volume, labels: str | Path | None) -> ExistingSegmentation:
    read = read_label_map(path, "segmentation")
    placed, notes = place_on(Volume(read.voxels, read.affine), ct, f"segmentation {path.name}")
    present = labels_in(placed.voxels)
    maker = Maker("segmentation file", "", path.name)
    if str(labels) == ONE_MASK:
        placed, present = placed.with_voxels((placed.voxels != 0).astype(np.uint8)), [1] if present else []
        known = LabelNames({1: ONE_MASK})
    elif labels is not None:
        known = read_label_names(labels)
    else:
        known = LabelNames(read_embedded_names(path))
        if not known.names and len(present) > 1 and (beside := path.with_name(TABLE_BESIDE)).is_file():
            known = read_label_names(beside)
        if not known.names and len(present) == 1:
            known = LabelNames({present[0]: ONE_MASK})
    if not known.names and present:
        raise InputError(
            f"The segmentation {path} holds {len(present)} labels without names; say what they are (totalsegmentator, "
            'moose:MODEL, or a .csv or .json table), or "mask" to take all of them as one mask.'
        )
    unnamed = [label for label in present if label not in known.names]
    if unnamed:
        notes = (*notes, f"Labels without a name in the table count as nothing in particular: {unnamed[:10]}.")
    structures = name_labels(present, known.names, known.meanings)
    segments = tuple(
        Segment(structures[label], known.names.get(label, structures[label].name), 0, label) for label in present
    )
    return ExistingSegmentation((placed,), segments, maker, notes)


def _read_mask_folder(folder: Path, masks: list[Path], ct: Volume) -> ExistingSegmentation:
    """One mask a file, named by the file; names that mean nothing to us are left out, and said."""
    builder = LayerBuilder(ct)
    notes: list[str] = []
    strangers = []
    for path in masks:
        name = path.name.partition(".nii")[0]
        meaning = recognise(name)
        if meaning is None:
            strangers.append(name)
            continue
        mask = read_label_map(path, "mask")
        placed, said = place_on(Volume(mask.voxels, mask.affine), ct, f"masks in {folder.name}")
        notes += [each for each in said if each not in notes]
        (box, *_) = ndimage.find_objects((placed.voxels != 0).view(np.uint8)) or [None]
        if box is not None:
            builder.add(meaning, name, box, placed.voxels[box] != 0)
    if strangers:
        notes.append(f"Files whose names mean no structure were left out: {', '.join(strangers[:5])}.")
    if len(strangers) == len(masks):
        raise InputError(f"No mask in the folder {folder} is named like a structure; give the segmentation's own file.")
    return ExistingSegmentation(
        builder.layers, tuple(builder.segments), Maker("folder of masks", "", folder.name), tuple(notes)
    )


def _find_file(path: Path) -> Path:
    """The file itself, or the one segmentation that a folder holds."""
    if not path.is_dir():
        if not path.exists():
            raise InputError(f"The segmentation {path} does not exist; check the path.")
        return path
    found = [each for each in sorted(path.iterdir()) if each.is_file() and _dicom_modality(each) in _SEGMENTATIONS]
    if len(found) != 1:
        what = "no DICOM segmentation" if not found else f"{len(found)} DICOM segmentations"
        raise InputError(f"The folder {path} holds {what}; give the segmentation's own file.")
    return found[0]


def _dicom_modality(path: Path) -> str | None:
    """The modality of a DICOM file ("" where it states none); None for other files."""
    try:
        with path.open("rb") as file:
            file.seek(_DICOM_MAGIC_AT)
            if file.read(4) != _DICOM_MAGIC:
                return None
        return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality", ""))
    except OSError as error:
        raise InputError(
            f"The segmentation {path} cannot be opened ({error.strerror}); check its permissions."
        ) from error
    except InvalidDicomError:
        return None
