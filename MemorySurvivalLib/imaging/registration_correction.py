"""The optional rigid correction: the PET moved onto the CT by changing its affine, with a record of what was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.misregistration import Misregistration, Shift, judge_match
from MemorySurvivalLib.imaging.registration import (
    BINS,
    SEED,
    WORKING_MM,
    ImagePair,
    Rigid,
    body_middle,
    find_rigid,
    find_translation,
    make_pair,
    mutual_information,
)
from MemorySurvivalLib.imaging.volume import Affine, FloatMatrix, Volume

Motion = Literal["translation", "rigid"]
Source = Literal["images", "contours"]

LARGEST_MOVE_MM = 30.0
LARGEST_TURN_DEG = 5.0


@dataclass(frozen=True)
class RigidCorrection:
    """How the PET was moved onto the CT (plain values, for result.json and the report).

    `matrix` (16 numbers, row by row) takes an LPS point of the PET as it was to its corrected place; as a turn by
    `rotation_deg` (about x, y, z of the patient, in that order) about `centre_lps_mm` and then a shift by
    `translation_lps_mm`. `largest_move_mm` is the longest way of any compared point of the body. The similarity
    (mutual information in nats) is None where the shift came from contours. Raises InputError for what is no rigid
    move.
    """

    source: Source
    motion: Motion
    matrix: tuple[float, ...]
    centre_lps_mm: Shift
    translation_lps_mm: Shift
    rotation_deg: Shift
    largest_move_mm: float
    similarity_before: float | None = None
    similarity_after: float | None = None
    settings: str = ""

    def __post_init__(self) -> None:
        if self.source not in get_args(Source) or self.motion not in get_args(Motion):
            raise InputError(f'A correction cannot come from "{self.source}" by "{self.motion}".')
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if matrix.size != 16 or not np.isfinite(matrix).all():
            raise InputError("A rigid correction needs 16 finite numbers.")
        turn = matrix.reshape(4, 4)[:3, :3]
        if np.abs(turn.T @ turn - np.eye(3)).max() > 1e-6 or np.linalg.det(turn) < 0:
            raise InputError("A rigid correction may turn and shift, not stretch or mirror.")

    @property
    def sentence(self) -> str:
        """What was done, in one sentence for the report."""
        turned = (
            f" and turned by up to {max(map(abs, self.rotation_deg)):.1f} degrees" if any(self.rotation_deg) else ""
        )
        x, y, z = self.translation_lps_mm
        by = "the images" if self.source == "images" else "contours"
        return (
            f"The PET was moved rigidly onto the CT by {by}: shifted by ({x:+.1f}, {y:+.1f}, {z:+.1f}) mm towards the "
            f"left, back and head{turned}; no point of the body moved more than {self.largest_move_mm:.1f} mm."
        )

    def apply(self, volume: Volume) -> Volume:
        """The same voxels at the corrected place: a PET, or a mask drawn on it; nothing is resampled."""
        matrix = np.asarray(self.matrix, dtype=np.float64).reshape(4, 4)
        return Volume(volume.voxels, Affine(matrix @ volume.affine.matrix), volume.attributes)


def correct_rigidly(
    pet: Volume, ct: Volume, *, motion: Motion = "translation", estimate: Misregistration | None = None
) -> tuple[Volume, RigidCorrection]:
    """Move the PET (SUVbw) onto the CT (HU) where their mutual information is largest; the voxels stay as they are.

    `estimate` is what `estimate_misregistration` said of these very images, where it was asked already: a translation
    then undoes exactly that shift. The same images always give the same answer (one thread, fixed samples). With
    "rigid" the PET's grid may come out oblique to the CT's. Raises InputError, and moves nothing, where the answer
    cannot be trusted (`judge_match`), the move is implausible (the body's middle by more than LARGEST_MOVE_MM, or a
    turn by more than LARGEST_TURN_DEG), or the images fit no better after it.
    """
    if motion not in get_args(Motion):
        raise InputError(f'A correction is a "translation" or "rigid", not "{motion}".')
    pair = make_pair(ct, pet)
    rigid = find_translation(pair).rigid if estimate is None else _shifted(estimate)
    if motion == "rigid":
        rigid = find_rigid(pair, rigid).rigid
    similarity = mutual_information(pair, np.eye(4)), mutual_information(pair, rigid)
    settings = f"Mattes mutual information, {BINS} bins, {WORKING_MM:g} mm, gradient descent, seed {SEED}, one thread"
    record = _record("images", motion, rigid, _body_points(pair), body_middle(pair), similarity, settings)
    if estimate is not None and motion == "translation":
        reasons = estimate.reasons
    else:
        reasons = tuple(judge_match(pair, rigid)[0])
    if reasons:
        raise InputError(f"The PET was not moved, because how it lies cannot be told reliably: {reasons[0]}")
    return record.apply(pet), record


def correct_by_contours(pet: Volume, shift: Misregistration) -> tuple[Volume, RigidCorrection]:
    """Move the PET back by a shift measured between contours; errors as in `correct_rigidly`."""
    if not shift.reliable:
        raise InputError(f"The PET was not moved, because how it lies cannot be told reliably: {shift.reasons[0]}")
    rigid = _shifted(shift)
    middle = pet.affine.points_mm((np.asarray(pet.shape[::-1]) - 1) / 2)
    centre = (float(middle[0]), float(middle[1]), float(middle[2]))
    record = _record("contours", "translation", rigid, middle[None], centre, None, "difference of centroids")
    return record.apply(pet), record


def _record(
    source: Source,
    motion: Motion,
    rigid: Rigid,
    points_mm: FloatMatrix,
    centre: Shift,
    similarity: tuple[float, float] | None,
    settings: str,
) -> RigidCorrection:
    """Judge a move (`rigid` takes CT points to the PET as it was) and write down its way back."""
    back = np.linalg.inv(rigid)
    back[:3, :3] = Rotation.from_matrix(back[:3, :3]).as_matrix()  # exactly orthogonal
    turn = Rotation.from_matrix(back[:3, :3])
    homogeneous = np.column_stack([points_mm, np.ones(len(points_mm))])
    largest = float(np.linalg.norm((homogeneous @ back.T)[:, :3] - points_mm, axis=1).max())
    angle = float(np.degrees(turn.magnitude()))
    middle = np.asarray(centre)
    shift = back[:3, :3] @ middle + back[:3, 3] - middle
    way = float(np.linalg.norm(shift))
    if way > LARGEST_MOVE_MM or angle > LARGEST_TURN_DEG:
        raise InputError(
            f"The PET was not moved: a move of {way:.0f} mm and {angle:.1f} degrees is implausible within one study "
            f"(at most {LARGEST_MOVE_MM:g} mm and {LARGEST_TURN_DEG:g} degrees); check that the images belong together."
        )
    if similarity is not None and similarity[1] <= similarity[0]:
        raise InputError("The PET was not moved: it fits the CT no better after the correction than before.")
    return RigidCorrection(
        source=source,
        motion=motion,
        matrix=tuple(float(value) for value in back.ravel()),
        centre_lps_mm=_rounded(middle),
        translation_lps_mm=_rounded(shift),
        rotation_deg=_rounded(turn.as_euler("xyz", degrees=True)),
        largest_move_mm=round(largest, 3),
        similarity_before=None if similarity is None else round(similarity[0], 5),
        similarity_after=None if similarity is None else round(similarity[1], 5),
        settings=settings,
    )


def _shifted(by: Misregistration) -> Rigid:
    rigid = np.eye(4)
    rigid[:3, 3] = by.shift_lps_mm
    return rigid


def _body_points(pair: ImagePair) -> FloatMatrix:
    """Points (n, 3) all over the compared region, in LPS millimetres."""
    body = Volume.from_sitk(pair.body)
    z, y, x = (index[::97] for index in np.nonzero(body.voxels))
    return body.affine.points_mm(np.stack([x, y, z], axis=1))


def _rounded(vector: FloatMatrix) -> Shift:
    x, y, z = (round(float(value), 4) + 0.0 for value in vector)
    return x, y, z
