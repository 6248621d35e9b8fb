"""From a CT to a folder of masks that are stamped, complete, and never written over a person's corrections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands import segment as command
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.fingerprint import fingerprint_mask
from MemorySurvivalLib.roi.provenance import RoiStamp, read_roi_provenance
from MemorySurvivalLib.roi.roi import Roi, RoiKind
from MemorySurvivalLib.roi.segments import Maker, Segmentation
from MemorySurvivalLib.roi.terminology import structure
from MemorySurvivalLib.segmenting import SegmentOutput, SegmentRequest, segment_to_folder
from MemorySurvivalLib.simulation.case import simulate_case

MAKER = Maker("built-in CT segmenter", "0.1.0", "defaults")


def segmenter(ct: Volume, progress: ProgressCallback = ignore_progress) -> Segmentation:
    voxels = np.zeros(ct.shape, np.uint8)
    voxels[4:8, 3:6, 3:6] = 1
    voxels[1:3, 7:9, 2:4] = 2
    structures = {1: structure("L4"), 2: structure("femur_left"), 3: structure("skull")}
    return Segmentation(Volume(voxels, ct.affine), structures, MAKER, notes=("Check it.",))


def deriver(segmentation: Segmentation, kind: RoiKind) -> Roi:
    voxels = segmentation.labels.voxels == 1 if kind == "spine_dilated" else segmentation.labels.voxels > 0
    return Roi(Volume(voxels, segmentation.labels.affine).reoriented(), kind, str(MAKER), ("Check it.",))


@pytest.fixture(params=["LPS", "RAS", "SLP"])
def request_(request: pytest.FixtureRequest, tmp_path: Path) -> SegmentRequest:
    affine = Affine.from_parts((2, 3, 4), np.eye(3), (1, 2, 3))
    write_volume(Volume(np.zeros((9, 10, 11), np.int16), affine).reoriented(request.param), tmp_path / "ct.nrrd")
    return SegmentRequest(tmp_path / "ct.nrrd", tmp_path / "masks")


def run(request: SegmentRequest) -> SegmentOutput:
    return segment_to_folder(request, segmenter=segmenter, deriver=deriver)


def again(request: SegmentRequest, **changes: bool) -> SegmentRequest:
    return SegmentRequest(request.ct, request.out, **changes)


def correct(path: Path) -> bytes:
    """A person removes a voxel and saves; the header's keys stay."""
    mask = read_volume(path, "mask")
    voxels = mask.voxels.copy()
    voxels[tuple(np.argwhere(voxels)[0])] = 0
    write_volume(mask.with_voxels(voxels), path)
    return path.read_bytes()


def test_files_lie_on_the_cts_own_grid_and_say_who_made_them(request_: SegmentRequest) -> None:
    told: list[str] = []
    output = segment_to_folder(request_, tell=told.append, segmenter=segmenter, deriver=deriver)
    assert told == ["Check it."]
    assert set(output.files) == {"structures", "labels", "spine_dilated", "skeleton"}
    ct = read_volume(request_.ct, "CT")
    expected = {"labels": 9 * 4 + 8, "spine_dilated": 9 * 4, "skeleton": 9 * 4 + 8}
    for name, count in expected.items():
        volume = read_volume(output.files[name], name)
        assert volume.same_grid(ct)
        assert np.count_nonzero(volume.voxels) == count
        assert read_roi_provenance(volume).edited is False
    assert read_roi_provenance(read_volume(output.files["skeleton"], "mask")).kind == "skeleton"


def test_the_record_is_json_with_codes_and_stamps(request_: SegmentRequest) -> None:
    output = run(request_)
    record = msgspec.json.decode(output.files["structures"].read_bytes())
    assert record["research_use"] == RESEARCH_USE
    assert record["maker"] == {"method": MAKER.method, "version": "0.1.0", "settings": "defaults"}
    assert list(record["labels"]) == ["1", "2"]  # no skull was found
    femur = record["labels"]["2"]
    assert (femur["structure"]["code"]["value"], femur["structure"]["laterality"]["meaning"]) == ("71341001", "Left")
    assert femur["voxels"] == 8
    labels = read_volume(output.files["labels"], "labels")
    alone = labels.with_voxels((labels.voxels == 2).astype(np.uint8))
    stamp = msgspec.json.decode(femur["stamp"], type=RoiStamp)
    assert fingerprint_mask(alone).matches(stamp.generated)
    assert record["regions"]["skeleton"]["structure"]["name"] == "skeleton"
    assert record["regions"]["skeleton"]["volume_ml"] == pytest.approx(44 * 0.024)


def test_a_region_that_is_not_there_is_left_out_and_said(request_: SegmentRequest) -> None:
    def no_spine(segmentation: Segmentation, kind: RoiKind) -> Roi:
        if kind == "spine_dilated":
            raise InputError("No spine was found.")
        return deriver(segmentation, kind)

    output = segment_to_folder(request_, segmenter=segmenter, deriver=no_spine)
    assert "spine_dilated" not in output.files
    assert "No spine was found." in output.record.notes
    only = SegmentRequest(request_.ct, request_.out.with_name("spine"), ("spine_dilated",))
    with pytest.raises(InputError, match="No spine was found"):
        segment_to_folder(only, segmenter=segmenter, deriver=no_spine)
    assert not only.out.exists()


def test_untouched_masks_are_replaced_when_asked(request_: SegmentRequest) -> None:
    run(request_)
    with pytest.raises(OutputError, match="already holds something"):
        run(request_)
    run(again(request_, overwrite=True))


@pytest.mark.parametrize("name", ["spine_dilated.nrrd", "skeleton.nrrd", "labels.nrrd"])
def test_corrected_masks_survive_overwrite(request_: SegmentRequest, name: str) -> None:
    run(request_)
    corrected = correct(request_.out / name)
    with pytest.raises(OutputError, match=f"{name} was edited after it was made, so it was left as it is"):
        run(again(request_, overwrite=True))
    assert (request_.out / name).read_bytes() == corrected
    run(again(request_, overwrite=True, replace_edited=True))
    assert read_roi_provenance(read_volume(request_.out / name, "mask")).edited is False


def test_a_correction_saved_under_another_name_survives_everything(request_: SegmentRequest) -> None:
    run(request_)
    mine = request_.out / "my correction.seg.nrrd"
    mine.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"files that segment did not write \(my correction\.seg\.nrrd\)"):
        run(again(request_, overwrite=True, replace_edited=True))
    assert mine.read_bytes() == b"mine"


def test_a_correction_saved_while_the_segmenter_runs_survives(request_: SegmentRequest) -> None:
    run(request_)

    def slow(ct: Volume, progress: ProgressCallback) -> Segmentation:
        correct(request_.out / "skeleton.nrrd")
        return segmenter(ct)

    with pytest.raises(OutputError, match="was edited"):
        segment_to_folder(again(request_, overwrite=True), segmenter=slow, deriver=deriver)
    assert read_roi_provenance(read_volume(request_.out / "skeleton.nrrd", "mask")).edited is True


def test_other_regions_cannot_be_made(request_: SegmentRequest) -> None:
    with pytest.raises(InputError, match='"other" cannot be made from a CT; choose spine_dilated or skeleton'):
        run(SegmentRequest(request_.ct, request_.out, ("other",)))


def test_the_command_with_the_built_in_segmenter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way on a simulated patient's lower trunk, with nothing made up."""
    import argparse

    ct = simulate_case(5, spacing_mm=(5.0, 5.0, 6.0)).ct
    write_volume(ct.cropped((40, 0, 0), (90, *ct.shape[1:])), tmp_path / "ct.nrrd")
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    arguments = ["segment", "--ct", str(tmp_path / "ct.nrrd"), "--out", str(tmp_path / "masks")]
    options = parser.parse_args(arguments)
    assert options.run(options) == 0
    said = capsys.readouterr().out
    assert "built-in CT segmenter" in said and "spine_dilated" in said and said.endswith(f"{RESEARCH_USE}.\n")
    spine = read_volume(tmp_path / "masks" / "spine_dilated.nrrd", "mask")
    found = read_roi_provenance(spine)
    assert (found.kind, found.edited) == ("spine_dilated", False)
    assert spine.voxels.any()


@pytest.mark.parametrize("order", ["LPS", "RAS", "SLP"])
def test_regions_on_the_pets_grid(request_: SegmentRequest, order: str) -> None:
    """The paper's other direction: each region where the PET's own voxels are, whatever way the PET is stored."""
    affine = Affine.from_parts((4, 6, 4), np.eye(3), (2, 3.5, 3))
    pet = Volume(np.random.default_rng(0).random((9, 5, 6)).astype(np.float32), affine)
    path = request_.out.parent / "pet.nrrd"
    write_volume(pet.reoriented(order), path)
    output = run(replace(request_, pet=path))
    mask = read_volume(output.files["spine_dilated_on_pet"], "mask")
    assert mask.same_grid(pet.reoriented(order))
    own = read_volume(output.files["spine_dilated"], "mask")
    centres = [v.affine.points_mm(np.argwhere(v.voxels)[:, ::-1]).mean(axis=0) for v in (mask, own)]
    assert np.abs(centres[0] - centres[1]).max() <= 2.0
    assert read_roi_provenance(mask).edited is False
    assert run(replace(request_, pet=path, overwrite=True)).files["skeleton_on_pet"].is_file()
