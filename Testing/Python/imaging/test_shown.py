"""What a viewer shows of DICOM: the DICOM is scored only where the viewer shows exactly that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import write_series

from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.shown import ShownImages, find_series, is_shown
from MemorySurvivalLib.imaging.study_identity import IdentityMismatch
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.jobs.score import choose_shown
from MemorySurvivalLib.progress import ignore_progress

STRAIGHT = Affine(np.array([[2.0, 0, 0, -30], [0, 2.5, 0, -40], [0, 0, 4, 10], [0, 0, 0, 1]]))


def oblique() -> Affine:
    """The same grid turned by 20 degrees about the body axis and tilted by 9."""
    a, b = np.radians(20), np.radians(9)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = STRAIGHT.matrix.copy()
    matrix[:3, :3] = about_z @ about_x @ matrix[:3, :3]
    return Affine(matrix)


def make(folder: Path, modality: Modality, affine: Affine = STRAIGHT, patient: str = "P1") -> tuple[Path, Volume]:
    """A series and what a viewer makes of it."""
    generator = np.random.default_rng(5)
    values = generator.normal(0, 200, (6, 9, 8)) if modality == "CT" else generator.random((6, 9, 8)) * 30000
    volume = Volume(values.round().astype(np.float32), affine)
    kind = "CT" if modality == "CT" else "PT"
    return write_series(folder / modality, volume, kind, patient=patient)[2], volume


def store(volume: Volume, folder: Path, name: str = "shown") -> Path:
    path = folder / f"{name}.nrrd"
    write_volume(volume, path)
    return path


@pytest.mark.parametrize("affine", [STRAIGHT, oblique()], ids=["straight", "oblique"])
@pytest.mark.parametrize("axes", ["LPS", "RAI", "SLP", "PIR"])
@pytest.mark.parametrize("modality", ["CT", "PET"])
def test_the_same_images_however_they_are_stored(tmp_path: Path, modality: Modality, axes: str, affine: Affine) -> None:
    dicom, volume = make(tmp_path, modality, affine)
    assert is_shown(find_series(dicom, modality), store(volume.reoriented(axes), tmp_path), modality)


@pytest.mark.parametrize("change", ["a voxel", "its place", "its scale", "a slice less"])
@pytest.mark.parametrize("modality", ["CT", "PET"])
def test_every_change_is_noticed(tmp_path: Path, modality: Modality, change: str) -> None:
    dicom, volume = make(tmp_path, modality)
    voxels, matrix = volume.voxels.copy(), volume.affine.matrix.copy()
    if change == "a voxel":
        voxels[3, 4, 5] += 100
    elif change == "its place":
        matrix[0, 3] += 0.1
    elif change == "its scale":
        voxels *= 70000 / 370e6
    else:
        voxels = voxels[1:]
        matrix[2, 3] += 4
    assert not is_shown(find_series(dicom, modality), store(Volume(voxels, Affine(matrix)), tmp_path), modality)


def test_a_changed_pet_is_taken_as_shown_and_that_is_said(tmp_path: Path) -> None:
    dicom, volume = make(tmp_path, "PET")
    shown = store(volume.with_voxels(volume.voxels * 0 + 1), tmp_path)
    chosen, notes = choose_shown(
        {"ct": "/ct.nrrd", "pet": str(dicom), "shown": {"pet": str(shown)}, "supplied": {"weight_kg": 70.0}},
        ignore_progress,
    )
    assert chosen == {"ct": "/ct.nrrd", "pet": str(shown), "supplied": {}}
    assert notes == (
        "The PET is shown otherwise than its DICOM says; it is taken as shown, as SUVbw.",
        "The values supplied for the PET were not used, because the PET was taken as SUVbw as it is shown.",
    )


def test_an_unchanged_pet_stays_dicom(tmp_path: Path) -> None:
    dicom, volume = make(tmp_path, "PET")
    given = {"ct": "/ct.nrrd", "pet": str(dicom), "supplied": {"weight_kg": 70.0}}
    shown = {"pet": str(store(volume, tmp_path))}
    assert choose_shown({**given, "shown": shown}, ignore_progress) == (given, ())


def test_dicom_that_cannot_be_used_is_shown_ct_but_no_shown_pet(tmp_path: Path) -> None:
    """A refused PET must not get in by the other door."""
    (_first, ct), (_second, pet) = make(tmp_path, "CT"), make(tmp_path, "PET")
    for name in ("CT", "PET"):
        sorted((tmp_path / name).iterdir())[3].unlink()  # a gap
    files: dict[Modality, Path] = {"CT": tmp_path / "CT" / "image00000.dcm", "PET": tmp_path / "PET" / "image00000.dcm"}
    shown: dict[Modality, Path] = {"CT": store(ct, tmp_path), "PET": store(pet, tmp_path)}
    chosen, notes = ShownImages(files, shown).choose()
    assert chosen == {"CT": shown["CT"], "PET": files["PET"]}
    assert len(notes) == 1
    assert notes[0].startswith("The CT is taken as it is shown, because its DICOM cannot be used: ")


def test_two_patients_are_told_apart_although_one_was_changed(tmp_path: Path) -> None:
    (ct_file, ct), (pet_file, pet) = make(tmp_path, "CT"), make(tmp_path, "PET", patient="P2")
    changed = store(pet.with_voxels(pet.voxels + 500), tmp_path, "changed")
    images = ShownImages({"CT": ct_file, "PET": pet_file}, {"CT": store(ct, tmp_path), "PET": changed})
    with pytest.raises(IdentityMismatch, match="different patients"):
        images.choose()
    chosen, notes = images.choose(confirmed=True)
    assert chosen == {"CT": ct_file, "PET": changed}
    assert any(note.startswith("Confirmed by the user although: The CT and the PET") for note in notes)
    with pytest.raises(IdentityMismatch):
        choose_shown(
            {"ct": str(ct_file), "pet": str(pet_file), "shown": {"pet": str(changed), "ct": str(store(ct, tmp_path))}},
            ignore_progress,
        )
