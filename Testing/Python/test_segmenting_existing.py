"""Masks from files that exist already: regions taken or derived, stamps kept, and segments left for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.mask_files import write_roi
from MemorySurvivalLib.roi.provenance import RoiPart, read_roi_provenance
from MemorySurvivalLib.roi.segments import Maker
from MemorySurvivalLib.segmenter_list import describe_segmenters
from MemorySurvivalLib.segmenting import SegmentOutput, SegmentRequest, segment_to_folder


@pytest.fixture
def ct(tmp_path: Path) -> Volume:
    affine = Affine.from_parts((2, 3, 4), np.eye(3), (1, 2, 3))
    hu = np.full((9, 10, 11), -1000, np.int16)
    hu[:, 1:9, 1:10] = 40
    volume = Volume(hu, affine).reoriented("RAS")
    write_volume(volume, tmp_path / "ct.nrrd")
    return volume


def column(ct: Volume, below: int = 0) -> Volume:
    """A block labelled 1, and another label below it."""
    voxels = np.zeros(ct.shape, np.uint8)
    voxels[3:7, 3:6, 3:6] = 1
    voxels[1:3, 3:6, 3:6] = below
    return ct.with_voxels(voxels)


def load(folder: Path, name: str, **choice: Any) -> SegmentOutput:
    request = SegmentRequest(folder / "ct.nrrd", folder / "masks", existing=folder / name, **choice)
    return segment_to_folder(request)


@pytest.mark.parametrize("name", ["mine.nii.gz", "mine.nrrd"])
def test_a_mask_without_a_name_is_the_region_that_the_model_needs(ct: Volume, tmp_path: Path, name: str) -> None:
    write_volume(column(ct), tmp_path / name)
    output = load(tmp_path, name, bundle="demonstration")
    (kind,) = output.record.regions
    mask = read_volume(output.files[kind], "mask")
    assert (mask.voxels == column(ct).voxels).all()
    assert mask.same_grid(ct)
    assert read_roi_provenance(mask).edited is False
    assert output.record.maker.method == "segmentation file"
    assert any("only segment" in note for note in output.record.notes)


def test_a_mask_of_ours_that_was_edited_stays_known_as_edited(ct: Volume, tmp_path: Path) -> None:
    from MemorySurvivalLib.roi.terminology import structure

    mask = column(ct)
    write_roi(tmp_path / "generated.nrrd", mask, "skeleton", (RoiPart("skeleton", Maker("built-in", "1")),))
    stamp = read_volume(tmp_path / "generated.nrrd", "mask").attributes["memory_survival_roi"]
    edited = mask.voxels.copy()
    edited[3, 3, 3] = 0
    fields = {
        "Segment0_ID": "skeleton",
        "Segment0_Name": structure("skeleton").name,
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Tags": f"memory_survival_roi:{stamp}",
    }
    write_volume(Volume(edited, mask.affine, fields), tmp_path / "mine.seg.nrrd")
    output = load(tmp_path, "mine.seg.nrrd")
    assert list(output.record.regions) == ["skeleton"]
    read = read_volume(output.files["skeleton"], "mask")
    assert (read.voxels == edited).all()
    assert read_roi_provenance(read).edited is True


def test_labels_with_names_give_derived_regions(ct: Volume, tmp_path: Path) -> None:
    write_volume(column(ct, below=2), tmp_path / "labels.nrrd")
    (tmp_path / "names.json").write_text('{"1": "L4", "2": "femur_left"}', encoding="utf-8")
    output = load(tmp_path, "labels.nrrd", labels=str(tmp_path / "names.json"))
    assert set(output.record.regions) == {"spine_dilated", "skeleton"}
    assert output.record.labels[1].structure.name == "L4"


def test_segments_that_mean_no_region_are_left_for_the_person(ct: Volume, tmp_path: Path) -> None:
    write_volume(column(ct, below=2), tmp_path / "labels.nrrd")
    (tmp_path / "names.json").write_text('{"1": "my region", "2": "something"}', encoding="utf-8")
    output = load(tmp_path, "labels.nrrd", labels=str(tmp_path / "names.json"))
    assert output.record.regions == {}
    assert len(output.record.labels) == 2
    assert output.record.notes[-1].endswith("choose the one to score.")


def test_what_cannot_be_read_is_one_sentence_and_no_folder(ct: Volume, tmp_path: Path) -> None:
    write_volume(column(ct, below=2), tmp_path / "labels.nrrd")
    with pytest.raises(InputError, match="say what they are"):
        load(tmp_path, "labels.nrrd")
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path, "nothing.nrrd")
    far = Volume(column(ct).voxels, Affine.from_parts((2, 3, 4), np.eye(3), (5000, 0, 0)))
    write_volume(far, tmp_path / "far.nrrd")
    with pytest.raises(InputError):
        load(tmp_path, "far.nrrd")
    assert not (tmp_path / "masks").exists()


def test_a_segmenter_that_is_not_here_is_refused_with_the_reason(ct: Volume, tmp_path: Path) -> None:
    missing = [each for each in describe_segmenters() if not each.found]
    for each in missing:
        request = SegmentRequest(tmp_path / "ct.nrrd", tmp_path / "masks", segmenter=each.name)
        with pytest.raises(InputError) as caught:
            segment_to_folder(request)
        assert str(caught.value) == each.reason
    with pytest.raises(InputError, match="There is no segmenter"):
        segment_to_folder(SegmentRequest(tmp_path / "ct.nrrd", tmp_path / "masks", segmenter="magic"))


def test_every_segmenter_says_on_what_terms() -> None:
    described = {each.name: each for each in describe_segmenters()}
    assert list(described) == ["built-in", "totalsegmentator", "moose"]
    assert described["built-in"].found
    assert all(each.reason and each.terms for each in described.values())
