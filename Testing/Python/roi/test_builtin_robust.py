"""The built-in CT segmenter on difficult images: tables, positions, parts of a body, metal, shifted and noisy HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.body import find_body
from MemorySurvivalLib.roi.builtin import BuiltinSegmentation, segment_builtin
from MemorySurvivalLib.roi.derive import DEFAULT_ROI, derive_spine_dilated
from MemorySurvivalLib.roi.dilation import dilate_mm
from MemorySurvivalLib.roi.labelled import as_segmentation
from MemorySurvivalLib.simulation.case import simulate_case
from MemorySurvivalLib.simulation.tissues import VERTEBRAE, Tissue

Labels = npt.NDArray[np.uint8]
MARGIN = 4


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a simulated patient: the CT and the truth label of every voxel."""

    ct: Volume
    labels: Labels

    @property
    def spine(self) -> npt.NDArray[np.bool_]:
        return np.isin(self.labels, [*VERTEBRAE, Tissue.SPINAL_CANAL])

    def between(self, top: Tissue, bottom: Tissue) -> Piece:
        """The slices from one vertebra's upper to another's lower end, nothing more."""
        high = int(np.flatnonzero((self.labels == top).any(axis=(1, 2)))[-1])
        low = int(np.flatnonzero((self.labels == bottom).any(axis=(1, 2)))[0])
        part = self.ct.cropped((low, 0, 0), (high + 1, *self.ct.shape[1:]))
        return Piece(part, self.labels[low : high + 1])

    def with_hu(self, hu: npt.NDArray[np.floating]) -> Piece:
        return Piece(self.ct.with_voxels(np.clip(np.rint(hu), -1024, 3071).astype(np.int16)), self.labels)


@pytest.fixture(scope="module")
def patient() -> Piece:
    """A simulated patient from head to thigh who lies on a table of foam, with the arms up."""
    case = simulate_case(3)
    return Piece(case.ct, case.phantom.labels.voxels)


@pytest.fixture(scope="module")
def lumbar(patient: Piece) -> Piece:
    return patient.between(Tissue.L1, Tissue.L4)


@pytest.fixture(scope="module")
def found_lumbar(lumbar: Piece) -> BuiltinSegmentation:
    return check(lumbar)


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return 2.0 * float(np.count_nonzero(a & b)) / float(np.count_nonzero(a) + np.count_nonzero(b))


def check(piece: Piece, least_bone: float = 0.78) -> BuiltinSegmentation:
    """Spine covered and its region overlaps, bones overlap, body without table; returns what was found."""
    found = segment_builtin(piece.ct)
    dilated = derive_spine_dilated(as_segmentation(found)).voxels != 0
    truth = piece.labels >= Tissue.C1
    bones = found.skeleton_bones.voxels != 0
    body = found.body.voxels != 0
    assert dilated[piece.spine].mean() >= 0.97
    assert dice(bones, truth) >= least_bone
    region = dilate_mm(piece.ct.with_voxels(piece.spine), DEFAULT_ROI.paramedullary_mm).voxels != 0
    assert dice(dilated, region) >= 0.85
    assert np.count_nonzero(body & (piece.labels == 0)) <= 0.02 * np.count_nonzero(body)
    assert np.count_nonzero(body & (piece.labels != 0)) >= 0.95 * np.count_nonzero(piece.labels)
    return found


def test_the_whole_body_is_named_from_the_sacrum_and_keeps_no_table(patient: Piece) -> None:
    found = check(patient)
    assert found.vertebra_names[-6:] == ("L1", "L2", "L3", "L4", "L5", "S1")
    assert any("from the sacrum" in note for note in found.notes)


@pytest.mark.parametrize(
    ("top", "bottom", "vertebrae"),
    [(Tissue.T2, Tissue.T10, 9), (Tissue.C3, Tissue.C7, 5), (Tissue.L1, Tissue.L4, 4)],
    ids=["thorax only", "neck only", "lumbar spine only"],
)
def test_a_part_of_the_spine_is_enough(patient: Piece, top: Tissue, bottom: Tissue, vertebrae: int) -> None:
    found = check(patient.between(top, bottom), 0.75)
    assert found.vertebra_names[0] == "vertebra 1"
    assert abs(len(found.vertebra_names) - vertebrae) <= 3


def test_one_vertebra_cut_out_of_the_body_is_enough(patient: Piece) -> None:
    where = np.nonzero(patient.labels == Tissue.L2)
    low = tuple(int(axis.min()) - MARGIN for axis in where)
    high = tuple(int(axis.max()) + MARGIN + 1 for axis in where)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    piece = Piece(patient.ct.cropped((low[0], low[1], low[2]), (high[0], high[1], high[2])), patient.labels[box])
    check(piece)


def test_feet_first_is_the_same_patient(lumbar: Piece, found_lumbar: BuiltinSegmentation) -> None:
    """A series stored from the feet or turned about its axis differs in the file's axes only; the affine says so."""
    for orientation in ("LPI", "RAS", "RPI"):
        again = segment_builtin(lumbar.ct.reoriented(orientation))
        np.testing.assert_array_equal(again.vertebrae.reoriented().voxels, found_lumbar.vertebrae.voxels)
        np.testing.assert_array_equal(again.body.reoriented().voxels, found_lumbar.body.voxels)


def test_a_prone_patient_has_the_table_in_front(lumbar: Piece) -> None:
    hu = np.array(lumbar.ct.voxels)
    hu[lumbar.labels == 0] = -1000
    front = int(np.flatnonzero((lumbar.labels != 0).any(axis=(0, 2)))[0])
    table = np.zeros(hu.shape, dtype=np.bool_)
    table[:, front - 5 : front + 1, 20:-20] = True  # touches the belly
    hu[table & (lumbar.labels == 0)] = -250
    check(lumbar.with_hu(hu))


@pytest.mark.parametrize("hu", [-250, 120], ids=["foam", "thin dense top"])
def test_a_table_that_touches_the_back_is_no_patient(hu: int) -> None:
    z, y, x = np.ogrid[:20, :70, :80]
    ct = np.where((x - 40) ** 2 / 30**2 + (y - 35) ** 2 / 22**2 + 0 * z <= 1, 40.0, -1000.0).astype(np.float32)
    patient = ct > 0
    thick = 8 if hu < 0 else 2
    ct[:, 57 : 57 + thick, 5:75][~patient[:, 57 : 57 + thick, 5:75]] = hu
    body = find_body(ct, (4.0, 4.0, 4.0))
    assert body[patient].all()
    stray = np.count_nonzero(body & ~patient) / np.count_nonzero(patient)
    assert stray <= 0.12  # what lies within the skin's own reach


def test_an_image_of_foam_alone_holds_no_patient() -> None:
    assert not find_body(np.full((12, 30, 30), -180.0, dtype=np.float32), (4.0, 4.0, 4.0)).any()


@pytest.mark.parametrize("offset_hu", [-30, 30])
def test_a_scanner_that_is_off_by_thirty_hu_gives_nearly_the_same_masks(
    lumbar: Piece, found_lumbar: BuiltinSegmentation, offset_hu: int
) -> None:
    shifted = check(lumbar.with_hu(lumbar.ct.voxels + float(offset_hu))).skeleton_bones.voxels != 0
    straight = found_lumbar.skeleton_bones.voxels != 0
    assert np.count_nonzero(shifted != straight) <= 0.02 * np.count_nonzero(straight)


def test_noise_of_sixty_hu_is_borne(lumbar: Piece) -> None:
    noise = np.random.default_rng(4).normal(0, 60, lumbar.ct.shape)
    check(lumbar.with_hu(lumbar.ct.voxels + noise), 0.74)


def test_screws_with_streaks_are_told_and_stay_bone(lumbar: Piece) -> None:
    hu = lumbar.ct.voxels.astype(np.float64)
    z, y, x = (int(np.median(axis)) for axis in np.nonzero(lumbar.labels == Tissue.L3))
    streaks = np.random.default_rng(1).normal(0, 70, (7, 3, 1))
    hu[z - 3 : z + 4, y - 1 : y + 2] += np.where(lumbar.labels[z - 3 : z + 4, y - 1 : y + 2] != 0, streaks, 0)
    screws = np.zeros(hu.shape, dtype=np.bool_)
    for side in (-5, 4):
        screws[z - 1 : z + 1, y - 3 : y + 6, x + side : x + side + 2] = True
    hu[screws] = 3000
    found = check(lumbar.with_hu(hu), 0.72)
    assert any("ml of metal were found" in note for note in found.notes)
    assert (found.skeleton_bones.voxels != 0)[screws].mean() > 0.9


def test_contrast_in_aorta_and_cava_is_not_spine(lumbar: Piece) -> None:
    hu = lumbar.ct.voxels.astype(np.float64)
    vessels = np.isin(lumbar.labels, [Tissue.ARTERY, Tissue.VEIN])
    assert vessels.any()
    hu[vessels] += 150
    found = check(lumbar.with_hu(hu), 0.7)
    assert (found.vertebrae.voxels != 0)[vessels].mean() < 0.1


@pytest.mark.parametrize("turn_degrees", [12.0])
def test_a_patient_on_an_oblique_grid_is_the_same_patient(
    lumbar: Piece, found_lumbar: BuiltinSegmentation, turn_degrees: float
) -> None:
    angle = np.radians(turn_degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = Affine.from_parts(lumbar.ct.spacing_mm, turn, (11.0, -7.0, 3.0))
    tilted = segment_builtin(Volume(lumbar.ct.voxels, affine))
    np.testing.assert_array_equal(tilted.vertebrae.voxels, found_lumbar.vertebrae.voxels)
    assert tilted.vertebrae.affine is affine


def test_contrast_agent_costs_no_vertebra_and_an_enhanced_aorta_is_no_bone() -> None:
    case = simulate_case(102)
    assert case.truth.spec.distractors.contrast
    labels = case.phantom.labels.voxels
    found = segment_builtin(case.ct)
    dilated = derive_spine_dilated(as_segmentation(found)).voxels != 0
    bones, vertebrae = found.skeleton_bones.voxels != 0, found.vertebrae.voxels != 0
    assert vertebrae[np.isin(labels, VERTEBRAE)].mean() >= 0.9
    for level in VERTEBRAE:
        own = labels == level
        assert dilated[own].mean() >= 0.95, level.name
        slices = own.any(axis=(1, 2))
        aorta = labels[slices] == Tissue.ARTERY
        assert np.count_nonzero(bones[slices] & aorta) <= 0.1 * np.count_nonzero(aorta), level.name
