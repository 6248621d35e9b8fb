"""A simulated case as a whole: masks by definition, files that say what they are, and the command that writes them."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from MemorySurvivalLib.commands import simulate
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.dilation import dilate_mm
from MemorySurvivalLib.roi.provenance import read_roi_provenance
from MemorySurvivalLib.simulation.anatomy import ATTRIBUTE
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case, write_case
from MemorySurvivalLib.simulation.covariates import COLUMNS
from MemorySurvivalLib.simulation.disease import NO_DISEASE
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue

SPACING_MM = (4.0, 5.0, 7.0)
FILES = {
    "ct.nrrd",
    "pet.nrrd",
    "spine_dilated.nrrd",
    "skeleton.nrrd",
    "lesions.nrrd",
    "tissues.nrrd",
    "covariates.csv",
    "truth.json",
}


@pytest.fixture(scope="module")
def case() -> SimulatedCase:
    return simulate_case(2, spacing_mm=SPACING_MM)


@pytest.fixture(scope="module")
def folder(case: SimulatedCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("simulated") / "case"
    write_case(case, target)
    return target


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.0, 1.5, 5.0), (4.0, 4.0, 2.5)])
def test_dilation_is_a_ball_in_millimetres(spacing_mm: tuple[float, float, float]) -> None:
    mask = np.random.default_rng(0).random((20, 30, 30)) > 0.999
    volume = Volume(mask.astype(np.uint8), Affine.from_parts(spacing_mm, np.eye(3), (3, -4, 5)))
    expected = ndimage.distance_transform_edt(~mask, sampling=spacing_mm[::-1]) <= 10 + 1e-4
    np.testing.assert_array_equal(dilate_mm(volume, 10).voxels, expected)


def test_dilation_of_nothing_and_by_nothing() -> None:
    empty = Volume(np.zeros((4, 5, 6), dtype=np.uint8), Affine(np.eye(4)))
    assert not dilate_mm(empty, 10).voxels.any()
    one = np.zeros((4, 5, 6), dtype=np.uint8)
    one[1, 2, 3] = 1
    np.testing.assert_array_equal(dilate_mm(empty.with_voxels(one), 0).voxels, one)
    with pytest.raises(InputError, match=r"^A mask cannot be dilated by -1 mm; give a radius of zero or more\.$"):
        dilate_mm(empty, -1)


def test_the_spine_mask_is_vertebrae_and_canal_and_ten_millimetres_around(case: SimulatedCase) -> None:
    spine = np.isin(case.phantom.labels.voxels, [*VERTEBRAE, Tissue.SPINAL_CANAL])
    away = ndimage.distance_transform_edt(~spine, sampling=SPACING_MM[::-1])
    np.testing.assert_array_equal(case.spine_dilated.voxels > 0, away <= 10 + 1e-4)


def test_the_skeleton_is_every_bone_and_the_dilated_spine(case: SimulatedCase) -> None:
    expected = np.isin(case.phantom.labels.voxels, BONES) | (case.spine_dilated.voxels > 0)
    np.testing.assert_array_equal(case.skeleton.voxels > 0, expected)


def test_masks_and_lesions_lie_on_the_cts_grid(case: SimulatedCase) -> None:
    for mask in (case.spine_dilated, case.skeleton, case.lesions):
        assert mask.same_grid(case.ct)
        assert mask.voxels.dtype == np.uint8


def test_the_same_seed_is_the_same_patient_whatever_the_grid(case: SimulatedCase) -> None:
    coarse = simulate_case(2, spacing_mm=(8.0, 8.0, 8.0))
    assert coarse.truth.disease == case.truth.disease
    assert coarse.covariates == case.covariates
    assert (coarse.truth.time_months, coarse.truth.event) == (case.truth.time_months, case.truth.event)
    assert simulate_case(3, spacing_mm=(8.0, 8.0, 8.0)).truth.disease != case.truth.disease


def test_a_case_without_disease_has_no_lesions() -> None:
    healthy = simulate_case(2, spacing_mm=(8.0, 8.0, 8.0), disease=NO_DISEASE)
    assert not healthy.lesions.voxels.any()
    assert not healthy.truth.disease.foci


def test_files_hold_what_was_simulated_and_say_so(case: SimulatedCase, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    for name in ("ct", "pet", "spine_dilated", "skeleton", "lesions"):
        image = sitk.ReadImage(str(folder / f"{name}.nrrd"))
        written: Volume = getattr(case, name)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), written.voxels)
        np.testing.assert_allclose(image.GetSpacing(), written.spacing_mm)
        np.testing.assert_allclose(image.GetOrigin(), written.affine.origin_mm, atol=1e-6)
        assert image.GetMetaData(ATTRIBUTE) == "phantom 2 seed 2"


def test_every_tissue_label_is_written_and_named(case: SimulatedCase, folder: Path) -> None:
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "tissues.nrrd")))
    np.testing.assert_array_equal(labels, case.phantom.labels.voxels)
    names = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["tissues"]
    assert {str(label) for label in np.unique(labels)} <= set(names)
    for organ in ("liver", "spleen", "kidney", "bladder", "grey_matter", "myocardium", "sternum", "skull", "l4"):
        label = next(int(number) for number, name in names.items() if name == organ)
        assert (labels == label).any(), organ


@pytest.mark.parametrize("kind", ["spine_dilated", "skeleton"])
def test_regions_say_who_made_them(folder: Path, kind: str) -> None:
    found = read_roi_provenance(read_volume(folder / f"{kind}.nrrd", "mask"))
    assert (found.kind, found.edited) == (kind, False)
    assert found.sentence == "The mask is as the phantom's truth (generator version 2) made it."


def test_covariates_are_one_row(case: SimulatedCase, folder: Path) -> None:
    with (folder / "covariates.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    assert tuple(rows[0]) == COLUMNS
    assert rows[0] == case.covariates.row()


def test_the_truth_names_every_lesion_where_it_is(case: SimulatedCase, folder: Path) -> None:
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert truth["notice"] == "Simulated patient, not a person. Research use only, not a medical device."
    assert truth["event"] is case.truth.event and truth["time_months"] == case.truth.time_months
    assert len(truth["lesions"]) == len(case.phantom.foci) > 0
    for lesion in truth["lesions"]:
        where = np.argwhere(case.lesions.voxels == lesion["label"])
        if len(where):
            points = case.ct.affine.points_mm(where[:, ::-1])
            reach = max(lesion["radii_mm"]) + max(SPACING_MM)
            assert np.linalg.norm(points - np.asarray(lesion["centre_lps_mm"]), axis=1).max() <= reach


def test_a_folder_with_something_in_it_is_left_alone(case: SimulatedCase, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="already holds something"):
        write_case(case, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def run_command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    simulate.register(parser.add_subparsers())
    args = parser.parse_args(["simulate", *arguments])
    return int(args.run(args))


def test_the_command_writes_a_case_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "case"
    assert run_command("case", "--out", str(target), "--seed", "4", "--spacing-mm", "8") == 0
    assert {path.name for path in target.iterdir()} == FILES
    said = capsys.readouterr().out
    assert f"A simulated patient (seed 4) is in {target}. Research use only, not a medical device." in said
    assert all(name in said for name in FILES)
    np.testing.assert_allclose(sitk.ReadImage(str(target / "ct.nrrd")).GetSpacing(), (8, 8, 10))


def test_the_command_refuses_what_cannot_be_simulated(tmp_path: Path) -> None:
    target = tmp_path / "case"
    with pytest.raises(InputError, match=r"^The seed -1 is negative; give a whole number of zero or more\.$"):
        run_command("case", "--out", str(target), "--seed=-1")
    with pytest.raises(InputError, match=r"^The voxel spacing \(40\.0, 40\.0, 50\.0\) mm cannot be simulated;"):
        run_command("case", "--out", str(target), "--spacing-mm", "40")
    assert not target.exists()
