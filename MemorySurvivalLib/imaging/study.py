"""Choosing the CT and the attenuation-corrected PET of one study among the series that were found, and saying why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_header import show
from MemorySurvivalLib.imaging.dicom_series import DicomSeries, Found
from MemorySurvivalLib.imaging.study_candidates import Candidate, Role, assess, body_extent_mm, length_mm
from MemorySurvivalLib.imaging.study_identity import IdentityMismatch, check_identity

OPTIONS: dict[Role, str] = {"CT": "--ct-series", "PET": "--pet-series"}

ENOUGH_COVER = 0.9
"""Share of the PET's length that a CT must reach to count as covering it."""


@dataclass(frozen=True, eq=False)
class StudyChoice:
    """The CT and PET to use, every series with its reasons, and sentences for the record.

    `notes` tell what a reader of the result should know: what was confirmed, dropped copies, another frame of
    reference.
    """

    ct: DicomSeries
    pet: DicomSeries
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]


def list_candidates(found: Found) -> tuple[Candidate, ...]:
    """Every series that was found, each judged by itself."""
    longest = max((length_mm(one) for one in found.series if one.modality == "PT"), default=0.0)
    return tuple(assess(one, longest) for one in found.series)


def choose_one(found: Found, role: Role, key: str | None = None) -> DicomSeries:
    """The one series for a role where the other image does not come from here; `key` names it and wins.

    Raises InputError with one sentence when there is nothing to choose or candidates are equal.
    """
    return _best(_pool(found, list_candidates(found), role, key), role).series


def choose_study(
    found: Found,
    *,
    ct_series: str | None = None,
    pet_series: str | None = None,
    covariates_patient_id: str | None = None,
    confirmed: bool = False,
) -> StudyChoice:
    """Choose the CT and the attenuation-corrected PET of one study.

    The PET is chosen first (attenuation correction, static, known units, length, original images, description), then
    the CT that fits it best (same study and frame of reference, covering it, original, axial, soft-tissue kernel,
    description, thinner slices). `ct_series` and `pet_series` name a series by its key or UID and win over the choice.
    Raises InputError with one sentence when there is nothing to choose or candidates are equal, IdentityMismatch when
    CT and PET are of different patients or studies and that was not `confirmed`.
    """
    candidates = list_candidates(found)
    pets = _pool(found, candidates, "PET", pet_series)
    cts = _pool(found, candidates, "CT", ct_series)
    if not (ct_series and pet_series):
        pets, cts = _of_one_study(pets, cts)
    pet = _best(pets, "PET")
    if not ct_series:
        same = [one for one in cts if _study(one) == _study(pet)]
        cts = [_fitted(one, pet.series) for one in same or cts]
    ct = _best(cts, "CT")
    if ct_series:
        ct = _fitted(ct, pet.series)
    who = (ct.series.identity, pet.series.identity)
    notes = check_identity(*who, covariates_patient_id, confirmed=confirmed)
    notes += _frame_note(ct.series, pet.series) + _kept_notes(ct.series, pet.series)
    notes += _unreadable_notes(found, ct.series, pet.series)
    fitted = {one.series.key: one for one in (*cts, ct, pet)}
    judged = tuple(_marked(fitted.get(one.series.key, one), ct.series, pet.series) for one in candidates)
    return StudyChoice(ct.series, pet.series, judged, notes)


def _pool(found: Found, candidates: Sequence[Candidate], role: Role, key: str | None) -> list[Candidate]:
    """The candidates for a role: the one that was asked for, or all that are usable. Raises InputError for none."""
    of_role = [one for one in candidates if one.role == role]
    if key is not None:
        return [_asked_for(of_role, role, key)]
    usable = [one for one in of_role if one.usable]
    if usable:
        return usable
    where = show(found.root)
    if not found.series:
        broken = [other.problem for other in found.others if other.problem]
        reason = f" {broken[0]}" if broken else ""
        raise InputError(f"No DICOM images were found in {where}; give the folder of a PET/CT study.{reason}")
    if not of_role:
        raise InputError(f"No {role} series was found in {where}; give the folder that holds CT and PET of a study.")
    refused = " ".join(f"{one.series.title}: {one.unusable or one.doubt}" for one in of_role)
    raise InputError(f"No {role} series in {where} can be used. {refused}")


def _asked_for(of_role: Sequence[Candidate], role: Role, key: str) -> Candidate:
    matching = [one for one in of_role if one.series.key == key]
    if not matching:
        known = ", ".join(one.series.title for one in of_role) or "none"
        raise InputError(f"There is no {role} series {key} here; {OPTIONS[role]} takes one of: {known}.")
    chosen = matching[0]
    if chosen.unusable:
        raise InputError(f"The {role} series {chosen.series.title} cannot be used. {chosen.unusable}")
    doubts = (chosen.doubt,) if chosen.doubt else ()
    return replace(
        chosen, reasons_for=(*chosen.reasons_for, "asked for"), reasons_against=(*chosen.reasons_against, *doubts)
    )


def _study(one: Candidate) -> tuple[str, ...]:
    """What tells studies apart: the UID, or patient and date where there is none."""
    identity = one.series.identity
    return (identity.study_uid,) if identity.study_uid else (identity.patient_id, identity.name, identity.study_date)


def _of_one_study(pets: list[Candidate], cts: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Only the candidates of the one study that has both, or all when none has. Raises InputError for several."""
    complete = {_study(one): one for one in pets if any(_study(ct) == _study(one) for ct in cts)}
    if len(complete) > 1:
        studies = "; ".join(
            f"{one.series.identity.study_date or 'no date'} with {one.series.title}" for one in complete.values()
        )
        raise InputError(
            f"There are {len(complete)} studies with a CT and a PET ({studies}); give the folder of one study, or "
            f"choose with {OPTIONS['CT']} and {OPTIONS['PET']}."
        )
    if not complete:
        return pets, cts
    study = next(iter(complete))
    return [one for one in pets if _study(one) == study], [one for one in cts if _study(one) == study]


def _best(pool: Sequence[Candidate], role: Role) -> Candidate:
    """The one with the greatest rank. Raises InputError when two are equal."""
    greatest = max(one.rank for one in pool)
    best = [one for one in pool if one.rank == greatest]
    if len(best) > 1:
        listed = "; ".join(one.series.title for one in best)
        raise InputError(f"{len(best)} {role} series fit equally well ({listed}); choose one with {OPTIONS[role]} KEY.")
    return best[0]


def _fitted(ct: Candidate, pet: DicomSeries) -> Candidate:
    """A CT weighed against the PET it is to go with: what speaks of both comes first, thin slices last."""
    good: list[str] = []
    bad: list[str] = []
    frame = bool(ct.series.facts.frame_of_reference_uid) and _same_frame(ct.series, pet)
    (good if frame else bad).append("the PET's frame of reference" if frame else "not the PET's frame of reference")
    cover = _cover(ct.series, pet)
    (good if cover >= ENOUGH_COVER else bad).append(f"covers {cover:.0%} of the PET's length")
    thin = -ct.series.affine.spacing_mm[2] if ct.series.affine else 0.0
    return replace(
        ct,
        reasons_for=(*good, *ct.reasons_for),
        reasons_against=(*bad, *ct.reasons_against),
        rank=(float(frame), float(cover >= ENOUGH_COVER), round(cover, 1), *ct.rank, round(thin, 2)),
    )


def _same_frame(ct: DicomSeries, pet: DicomSeries) -> bool:
    return ct.facts.frame_of_reference_uid == pet.facts.frame_of_reference_uid


def _cover(ct: DicomSeries, pet: DicomSeries) -> float:
    """Share of the PET's length along the body that the CT reaches."""
    inner, outer = body_extent_mm(pet), body_extent_mm(ct)
    if inner is None or outer is None:
        return 0.0
    return max(min(inner[1], outer[1]) - max(inner[0], outer[0]), 0.0) / (inner[1] - inner[0])


def _frame_note(ct: DicomSeries, pet: DicomSeries) -> tuple[str, ...]:
    if _same_frame(ct, pet):
        return ()
    return ("CT and PET do not share a frame of reference, so check in a viewer that they lie on each other.",)


def _kept_notes(*chosen: DicomSeries) -> tuple[str, ...]:
    return tuple(f"{one.modality} {one.description}: {note}" for one in chosen for note in one.notes)


def _unreadable_notes(found: Found, *chosen: DicomSeries) -> tuple[str, ...]:
    """Files that cannot be read beside the chosen ones may be slices of them that are now missing at an end."""
    folders = {image.path.parent for one in chosen for image in one.slices}
    return tuple(
        f"{other.problem} If it belongs to the CT or the PET, a slice is missing."
        for other in found.others
        if other.problem and other.path.parent in folders
    )


def _marked(one: Candidate, *chosen: DicomSeries) -> Candidate:
    return replace(one, chosen=any(one.series is series for series in chosen))


__all__ = [
    "Candidate",
    "IdentityMismatch",
    "StudyChoice",
    "check_identity",
    "choose_one",
    "choose_study",
    "list_candidates",
]
