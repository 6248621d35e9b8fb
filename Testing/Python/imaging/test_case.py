"""One case from CT and PET, however they are stored; and what cannot be HU, SUV or the same patient."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from made_up import Patient, make_patient
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import SIMULATED_ATTRIBUTE, Case, load_case, make_case
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume

ORDERS = ("LPS", "RAS", "SLP", "IRA", "AIR", "PSL")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    return make_patient(tmp_path_factory.mktemp("patient"))


@pytest.fixture(scope="module")
def case(made: Patient) -> Case:
    return make_case(made.ct, made.pet)


def turned(volume: Volume, rotation: np.ndarray, shift_mm: tuple[float, float, float]) -> Volume:
    """The same voxels in a patient who lies rotated and shifted in the scanner."""
    rigid = np.eye(4)
    rigid[:3, :3], rigid[:3, 3] = rotation, shift_mm
    return Volume(volume.voxels, Affine(rigid @ volume.affine.matrix), volume.attributes)


def test_a_case_from_files(patient: Patient) -> None:
    case = load_case(patient.ct_path, patient.pet_path)
    assert case.ct.same_grid(patient.ct) and case.pet.same_grid(patient.ct)
    assert case.ct.voxels.dtype == case.pet.voxels.dtype == np.float32
    np.testing.assert_array_equal(case.ct.voxels, patient.ct.voxels)
    assert case.orientation == "LPS"
    assert case.notes == ()
    source = case.sources["PET"]
    assert source.path == str(patient.pet_path)
    assert source.sha256 == patient.pet.sha256()
    assert (source.shape_zyx, source.spacing_mm) == (patient.pet.shape, patient.pet.spacing_mm)
    assert case.image("PET") is case.pet and case.image("CT") is case.ct


def test_the_pet_lesion_lands_at_its_place_on_the_ct_grid(case: Case) -> None:
    z, y, x = np.unravel_index(int(case.pet.voxels.argmax()), case.pet.shape)
    np.testing.assert_allclose(case.pet.affine.points_mm((x, y, z)), (0, 32, -270), atol=6)


@pytest.mark.parametrize(("ct_order", "pet_order"), list(product(ORDERS, ("LPS", "RSA", "ILA"))))
def test_storage_order_changes_nothing(made: Patient, case: Case, ct_order: str, pet_order: str) -> None:
    other = make_case(made.ct.reoriented(ct_order), made.pet.reoriented(pet_order))
    np.testing.assert_array_equal(other.ct.voxels, case.ct.voxels)
    np.testing.assert_array_equal(other.pet.voxels, case.pet.voxels)
    assert other.ct.same_grid(case.ct, tolerance_mm=1e-9)
    assert other.orientation == ct_order


def test_storage_order_changes_nothing_where_grids_share_their_edges() -> None:
    """CT voxels whose centres lie exactly on the PET's border must not fall in or out with the storage order."""
    rng = np.random.default_rng(1)
    spacing = np.array((0.9765625, 1.1, 3.27))
    ct = Volume(rng.integers(-1000, 500, (9, 13, 13)), Affine.from_parts(spacing, np.eye(3), (-101.3, 17.7, -333.1)))
    border = ct.affine.points_mm((2, 2, 2)) + spacing  # the first PET centre: half a PET voxel inside the border
    pet = Volume(rng.random((3, 4, 4)), Affine.from_parts(2 * spacing, np.eye(3), border))
    reference = make_case(ct, pet)
    for ct_order, pet_order in product(ORDERS, ORDERS):
        other = make_case(ct.reoriented(ct_order), pet.reoriented(pet_order))
        np.testing.assert_array_equal(other.pet.voxels, reference.pet.voxels)


@pytest.mark.parametrize("angles", [(0, 0, 12), (5, -7, 20), (-20, 10, -15)])
def test_an_oblique_patient_gives_the_same_voxels(made: Patient, case: Case, angles: tuple[float, ...]) -> None:
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    place = (30.0, -12.0, 100.0)
    other = make_case(turned(made.ct, rotation, place), turned(made.pet, rotation, place))
    assert other.orientation == "LPS"
    np.testing.assert_array_equal(other.ct.voxels, case.ct.voxels)
    np.testing.assert_allclose(other.pet.voxels, case.pet.voxels, atol=1e-4)  # SUV; rounding of rotated places


@pytest.mark.parametrize(
    ("ct_says", "pet_says", "simulated"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_simulated_only_if_both_images_say_so(made: Patient, ct_says: bool, pet_says: bool, simulated: bool) -> None:
    tag = {SIMULATED_ATTRIBUTE: "1"}
    ct = Volume(made.ct.voxels, made.ct.affine, tag if ct_says else {})
    pet = Volume(made.pet.voxels, made.pet.affine, tag if pet_says else {})
    assert make_case(ct, pet).simulated is simulated


def test_the_simulated_mark_survives_the_file(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, attributes={SIMULATED_ATTRIBUTE: "1"}).written()
    assert load_case(patient.ct_path, patient.pet_path).simulated


def test_images_apart_in_space_are_refused(patient: Patient) -> None:
    away = turned(patient.pet, np.eye(3), (0, 0, 900))
    write_volume(away, patient.pet_path)
    with pytest.raises(InputError) as caught:
        load_case(patient.ct_path, patient.pet_path)
    assert str(caught.value) == (
        f"The PET {patient.pet_path} and the CT {patient.ct_path} do not overlap in space; "
        "choose images of the same patient and study."
    )


def test_a_small_pet_inside_a_long_ct_overlaps() -> None:
    rng = np.random.default_rng(0)
    ct = Volume(rng.integers(-1000, 900, (450, 8, 8)), Affine(np.diag([50.0, 50, 4, 1])))
    start = 4 * 449 / 11 + 10  # between two lattice points along z
    pet = Volume(rng.uniform(0.5, 1, (20, 4, 4)), Affine.from_parts((100, 100, 4), np.eye(3), (50, 50, start)))
    case = make_case(ct, pet)
    assert case.pet.voxels.min() >= 0.5, "the CT was cut to where the PET is"
    assert 19 <= case.ct.shape[0] <= 21


def test_the_ct_is_cut_to_a_shorter_pet_and_that_is_said(made: Patient, case: Case) -> None:
    half = made.pet.cropped((0, 0, 0), (9, 20, 24))
    short = make_case(made.ct, half)
    cut_mm = (made.ct.shape[0] - short.ct.shape[0]) * made.ct.spacing_mm[2]
    assert cut_mm > 40
    assert short.notes == (
        f"The PET does not cover the whole CT: {cut_mm:.0f} mm at the head end of the CT was left out.",
    )
    assert dict(short.acquisition.cropped_mm) == {"head": cut_mm}
    kept = short.ct.shape[0]
    np.testing.assert_array_equal(short.ct.voxels, case.ct.voxels[:kept])
    np.testing.assert_array_equal(short.pet.voxels[: kept - 1], case.pet.voxels[: kept - 1])
    assert short.ct.affine.origin_mm == case.ct.affine.origin_mm


def test_a_pet_grid_turned_against_the_ct_covers_less_than_its_box(made: Patient) -> None:
    rotation = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    centre = made.pet.affine.points_mm((np.asarray(made.pet.shape[::-1]) - 1) / 2)
    pet = turned(made.pet, rotation, tuple(centre - rotation @ centre))
    case = make_case(made.ct, pet)
    assert case.acquisition.pet_coverage < 0.9
    assert case.notes[-1] == (
        f"The PET covers only {case.acquisition.pet_coverage:.0%} of the CT; the rest is read as no uptake."
    )


@pytest.mark.parametrize("scale", [12_000.0, 1e-3])
def test_a_pet_not_in_suv_is_refused(made: Patient, scale: float) -> None:
    """Bq/mL are ten thousand times too large; a share of the injected dose is far too small."""
    pet = made.pet.with_voxels(made.pet.voxels * np.float32(scale))
    on_grid = make_case(made.ct, made.pet).pet.voxels * np.float32(scale)
    body = on_grid[made.ct.voxels > -300].mean(dtype=np.float64)
    with pytest.raises(InputError) as caught:
        make_case(made.ct, pet, "ct.nii", "pet.nii")
    assert str(caught.value) == (
        f"The PET pet.nii is not in SUV units (values {on_grid.min():g} to {on_grid.max():g}, body mean {body:g}; "
        "a body-weight SUV has a body mean near 1 g/mL); convert it to SUVbw first."
    )


def test_a_ct_given_as_pet_is_refused(patient: Patient) -> None:
    with pytest.raises(InputError) as caught:
        load_case(patient.ct_path, patient.ct_path)
    low, high = patient.ct.voxels.min(), patient.ct.voxels.max()
    mean = patient.ct.voxels[patient.ct.voxels > -300].mean(dtype=np.float64)
    assert str(caught.value) == (
        f"The PET {patient.ct_path} is not in SUV units (values {low} to {high}, body mean {mean:g}; a body-weight SUV "
        "has a body mean near 1 g/mL); convert it to SUVbw first."
    )


def test_a_pet_given_as_ct_is_refused(patient: Patient) -> None:
    with pytest.raises(InputError) as caught:
        load_case(patient.pet_path, patient.pet_path)
    low, high = patient.pet.voxels.min(), patient.pet.voxels.max()
    assert str(caught.value) == (
        f"The CT {patient.pet_path} does not look like Hounsfield units (values {low:g} to {high:g}, expected air near "
        "-1000 and bone above 100); choose the CT, or export it with its rescale applied."
    )


def test_an_unrescaled_ct_is_refused(made: Patient) -> None:
    stored = made.ct.with_voxels(made.ct.voxels.astype(np.int32) + 1100)
    low, high = stored.voxels.min(), stored.voxels.max()
    with pytest.raises(InputError) as caught:
        make_case(stored, made.pet, "ct.mha")
    assert str(caught.value) == (
        f"The CT ct.mha does not look like Hounsfield units (values {low} to {high}, expected air near -1000 and bone "
        "above 100); choose the CT, or export it with its rescale applied."
    )


def test_an_empty_ct_is_refused(made: Patient) -> None:
    with pytest.raises(InputError) as caught:
        make_case(made.ct.with_voxels(np.zeros(made.ct.shape)), made.pet, "ct.mha")
    assert str(caught.value) == "The CT ct.mha has the same value everywhere; choose the CT itself."


def test_a_case_needs_one_grid(made: Patient) -> None:
    with pytest.raises(InputError, match=r"^A case needs CT and PET on one grid\.$"):
        Case(made.ct, made.pet, "LPS", False, {})
