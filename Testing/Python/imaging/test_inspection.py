"""What is said of a CT and a PET before they are scored, along any axes, from headers and from voxels."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import write_series
from made_up import Patient

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.inspection import (
    Finding,
    Geometry,
    ImageFacts,
    Inspection,
    body_spacing_mm,
    inspect_images,
    oblique_degrees,
)
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.volume import Affine, Volume


def geometry(affine: Affine, size: tuple[int, int, int] = (40, 50, 60)) -> Geometry:
    return Geometry(tuple(tuple(float(each) for each in row) for row in affine.matrix), size)


def turned(degrees: float, permutation: tuple[int, int, int] = (0, 1, 2), flips: tuple[int, ...] = ()) -> Affine:
    """Spacing 1, 2, 3 mm along x, y, z of the patient, turned about x, with the axes stored in another order."""
    angle = np.radians(degrees)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:3, :3] = (rotation * [1.0, 2.0, 3.0])[:, permutation]
    for axis in flips:
        matrix[:3, axis] *= -1
    return Affine(matrix)


def topics(found: Inspection, severity: str = "warning") -> list[str]:
    return [each.topic for each in found.findings if each.severity == severity]


def sentences(found: Inspection) -> str:
    return " ".join(each.sentence for each in found.findings)


@pytest.mark.parametrize("permutation", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(), (0,), (1, 2)])
def test_tilt_and_slice_distance_along_any_axes(permutation: tuple[int, int, int], flips: tuple[int, ...]) -> None:
    straight, tilted = turned(0, permutation, flips), turned(12, permutation, flips)
    assert oblique_degrees(straight) == pytest.approx(0)
    assert oblique_degrees(tilted) == pytest.approx(12)
    assert body_spacing_mm(straight) == body_spacing_mm(tilted) == pytest.approx(3)


def test_a_tilted_image_is_said() -> None:
    found = inspect_images(ImageFacts(geometry(turned(12))), None)
    assert topics(found) == ["geometry"]
    assert "The CT is tilted by 12 degrees" in sentences(found)


def test_coarse_slices_are_said() -> None:
    found = inspect_images(None, ImageFacts(geometry(Affine.from_parts((4, 4, 12), np.eye(3), (0, 0, 0)))))
    assert "The PET's slices are 12 mm apart" in sentences(found)


def test_nothing_chosen_is_nothing_to_say() -> None:
    assert inspect_images(None, None) == Inspection(())


@pytest.mark.parametrize(("shift_mm", "severity"), [(0.0, None), (60.0, "note"), (150.0, "warning")])
def test_how_much_of_the_ct_the_pet_covers(shift_mm: float, severity: str | None) -> None:
    ct = geometry(turned(0))
    pet = geometry(turned(0).shifted((0, 0, shift_mm / 3)))
    found = [each for each in inspect_images(ImageFacts(ct), ImageFacts(pet)).findings if each.topic == "overlap"]
    assert [each.severity for each in found] == ([severity] if severity else [])


def test_images_beside_each_other_are_said() -> None:
    pet = geometry(turned(0).shifted((500, 0, 0)))
    found = inspect_images(ImageFacts(geometry(turned(0))), ImageFacts(pet))
    assert "do not overlap in space" in sentences(found)
    assert found.findings[0].severity == "warning", "warnings come first"


@pytest.mark.parametrize("size", [(0, 5, 5), (5, -1, 5)])
def test_an_image_without_voxels_is_refused(size: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="one voxel or more"):
        geometry(turned(0), size)


@pytest.fixture
def study(tmp_path: Path) -> tuple[ImageFacts, ImageFacts]:
    """A made-up study of one patient on disk."""
    affine = Affine.from_parts((4, 4, 6), np.eye(3), (-20, -28, -36))
    generator = np.random.default_rng(3)
    ct = Volume(generator.normal(0, 200, (12, 14, 10)).round().astype(np.int16), affine)
    pet = Volume((generator.random((12, 14, 10)) * 20000).astype(np.float32), affine)
    files = write_series(tmp_path / "ct", ct, "CT")[0], write_series(tmp_path / "pet", pet, "PT", slopes=0.75)[0]
    place = geometry(affine, (10, 14, 12))
    return ImageFacts(place, files[0]), ImageFacts(place, files[1])


def test_headers_tell_suv_tracer_and_uptake(study: tuple[ImageFacts, ImageFacts]) -> None:
    found = inspect_images(*study)
    assert found.uptake_min == pytest.approx(60, abs=15)
    assert "SUV: activity concentration (BQML)" in sentences(found)
    assert any(each.topic == "tracer" and "min after the injection" in each.sentence for each in found.findings)
    assert found.missing == ()


def test_missing_tags_are_named_and_can_be_supplied(tmp_path: Path, study: tuple[ImageFacts, ImageFacts]) -> None:
    import pydicom

    ct, pet = study
    assert pet.file is not None
    for path in pet.file.parent.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        del dataset.PatientWeight
        dataset.save_as(path)
    assert inspect_images(ct, pet).missing == ("weight_kg",)
    assert inspect_images(ct, pet, Supplied(weight_kg=70)).missing == ()


def test_another_patient_is_said_but_never_named(study: tuple[ImageFacts, ImageFacts]) -> None:
    import pydicom

    ct, pet = study
    assert pet.file is not None
    for path in pet.file.parent.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientID = "SECRET-9"
        dataset.FrameOfReferenceUID = "1.2.3"
        dataset.save_as(path)
    found = inspect_images(ct, pet)
    assert {"identity", "frame"} <= set(topics(found))
    assert "SECRET" not in sentences(found)


def test_alignment_needs_files_and_is_silent_without(patient: Patient) -> None:
    place = geometry(patient.ct.affine, (48, 40, 18))
    pet_place = geometry(patient.pet.affine, (24, 20, 18))
    alone = inspect_images(ImageFacts(place), ImageFacts(pet_place), align=True)
    assert "alignment" not in topics(alone, "note") + topics(alone)
    both = inspect_images(ImageFacts(place, patient.ct_path), ImageFacts(pet_place, patient.pet_path), align=True)
    assert "alignment" in topics(both, "note") + topics(both)
    assert all(isinstance(each, Finding) for each in both.findings)
