"""The rotating projection shows every hot spot, and leads back to where it lies, however the PET's grid runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.projection import project_rotating, view_axes
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.jobs.mip import rotate

HOT_MM = np.array([37.0, -22.0, 61.0])


def turned(degrees: float, axis: int) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = np.eye(3)
    a, b = [each for each in range(3) if each != axis]
    matrix[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix


def make_pet(direction: np.ndarray, spacing: tuple[float, float, float]) -> Volume:
    """A warm body with one hot spot, sampled on a grid whose middle lies at the body's."""
    size = np.array([int(320 / each) for each in spacing])
    affine = Affine.from_parts(spacing, direction, [0, 0, 0])
    affine = Affine.from_parts(spacing, direction, -affine.points_mm((size - 1) / 2))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    points = affine.points_mm(index)
    body = ((points / [110, 70, 130]) ** 2).sum(axis=-1) < 1
    hot = np.exp(-((points - HOT_MM) ** 2).sum(axis=-1) / (2 * 6.0**2))
    return Volume((body * 1.0 + 9.0 * hot).astype(np.float32).transpose(2, 1, 0), affine)


DIRECTIONS = {
    "plain": np.eye(3),
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "permuted": np.eye(3)[[1, 2, 0]],
    "permuted and flipped": np.eye(3)[[2, 0, 1]] * [-1, 1, 1],
    "oblique": turned(25, 0) @ turned(-15, 2) @ turned(10, 1),
}


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (1.9, 4.5, 6.0)])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_frame_leads_back_to_the_hot_spot(name: str, spacing: tuple[float, float, float]) -> None:
    made = project_rotating(make_pet(DIRECTIONS[name], spacing), half_turn_frames=6)
    assert made.frames.shape == made.depth_mm.shape
    for frame in range(6):
        v, u = np.unravel_index(made.frames[frame].argmax(), made.frames[frame].shape)
        point = made.point_mm(frame, int(v), int(u))
        assert np.linalg.norm(point - HOT_MM) < 5.0, (name, frame)
        assert made.frames[frame].max() > 7.5


def test_the_front_view_has_the_left_on_the_right_and_the_head_up() -> None:
    made = project_rotating(make_pet(np.eye(3), (4.0, 4.0, 4.0)), half_turn_frames=4)
    _count, height, width = made.frames.shape
    v, u = np.unravel_index(made.frames[0].argmax(), (height, width))
    assert u > width / 2  # x = 37 mm is the patient's left
    assert v > height / 2  # z = 61 mm is above the middle
    assert made.depth_mm[0, v, u] == pytest.approx(22.0, abs=4.0)  # y = -22 mm is in front of the middle


def test_half_a_turn_is_enough() -> None:
    right, towards = view_axes(30.0)
    behind_right, behind_towards = view_axes(210.0)
    assert np.allclose(behind_right, -right)
    assert np.allclose(behind_towards, -towards)
    assert np.cross(right, [0, 0, 1.0]) == pytest.approx(towards)


def test_air_around_the_patient_is_cut_away() -> None:
    made = project_rotating(make_pet(np.eye(3), (4.0, 4.0, 4.0)), half_turn_frames=2)
    _count, height, width = made.frames.shape
    assert 220 <= width * made.spacing_mm <= 300
    assert 240 <= height * made.spacing_mm <= 290


def test_a_single_hot_voxel_of_a_fine_pet_is_not_missed() -> None:
    pet = make_pet(np.eye(3), (2.0, 2.0, 2.0))
    voxels = np.minimum(pet.voxels, 1.0)
    voxels[61, 83, 91] = 30.0
    made = project_rotating(pet.with_voxels(voxels), half_turn_frames=3)
    for frame in range(3):
        v, u = np.unravel_index(made.frames[frame].argmax(), made.frames[frame].shape)
        assert made.frames[frame, v, u] > 8.0
        assert np.linalg.norm(made.point_mm(frame, int(v), int(u)) - pet.affine.points_mm([91, 83, 61])) < 5.0


def test_an_empty_pet_is_refused() -> None:
    with pytest.raises(InputError, match="no signal"):
        project_rotating(Volume(np.zeros((8, 8, 8), np.float32), Affine(np.eye(4))))


@pytest.fixture
def told() -> JobContext:
    return JobContext(progress=lambda event: None, tell=lambda text: None)


def test_the_job_writes_what_it_made(tmp_path: Path, told: JobContext) -> None:
    pet = make_pet(DIRECTIONS["oblique"], (4.0, 4.0, 4.0))
    write_volume(pet, tmp_path / "pet.nrrd")
    done = rotate({"pet": str(tmp_path / "pet.nrrd"), "out": str(tmp_path), "spacing_mm": 8.0}, told)
    frames = np.load(str(done.files["frames"]), allow_pickle=False)
    depth = np.load(str(done.files["depth_mm"]), allow_pickle=False)
    assert frames.shape == depth.shape
    assert frames.dtype == np.float32
    assert done.result["suv_per_unit"] == 1.0
    assert done.result["spacing_mm"] == 8.0


def test_the_job_tells_the_unit_of_a_dicom_pet(tmp_path: Path, told: JobContext, monkeypatch: Any) -> None:
    from types import SimpleNamespace

    from MemorySurvivalLib.imaging import shown, suv

    write_volume(make_pet(np.eye(3), (8.0, 8.0, 8.0)), tmp_path / "pet.nrrd")
    job = {"pet": str(tmp_path / "pet.nrrd"), "out": str(tmp_path), "dicom": str(tmp_path), "spacing_mm": 8.0}
    monkeypatch.setattr(shown, "find_series", lambda path, modality: SimpleNamespace(headers=()))
    monkeypatch.setattr(suv, "convert_to_suv", lambda headers, supplied: SimpleNamespace(factors=(2e-4, 2e-4)))
    assert rotate(job, told).result["suv_per_unit"] == pytest.approx(2e-4)
    monkeypatch.setattr(suv, "convert_to_suv", lambda headers, supplied: SimpleNamespace(factors=(2e-4, 3e-4)))
    assert rotate(job, told).result["suv_per_unit"] is None

    def refuse(headers: Any, supplied: Any) -> Any:
        raise InputError("The dose is missing.")

    monkeypatch.setattr(suv, "convert_to_suv", refuse)
    assert rotate(job, told).result["why_no_suv"] == "The dose is missing."
