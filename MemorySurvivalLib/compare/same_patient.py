"""Whether two results are of one patient, as far as records and reports say."""

from __future__ import annotations

from MemorySurvivalLib.compare.reading import Side
from MemorySurvivalLib.compare.same_images import shared_images
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariate_fields import plain_name

CONFIRM_OPTION = "--confirm-identity"
UNKNOWN = (
    "The two results do not say whose they are, so whether they are of one patient was not checked. Make sure that "
    "they are."
)


class PatientMismatch(InputError):
    """Two results that seem to be of different patients; a person may confirm that they are not.

    `differences` name what differs, never the identifiers.
    """

    def __init__(self, differences: tuple[str, ...]) -> None:
        self.differences = differences
        self.details = {"differences": differences}
        super().__init__(
            f"{' '.join(differences)} Choose two results of one patient, or confirm that they are with "
            f"{CONFIRM_OPTION}."
        )


def check_same_patient(first: Side, second: Side, *, confirmed: bool = False) -> tuple[str, ...]:
    """Compare whom two results are of; give back sentences for the page.

    The same CT or PET (by its hash) is the same patient, whatever else is said. Raises PatientMismatch where something
    differs, unless `confirmed`: then the sentences say what differed.
    """
    if shared_images(first.record, second.record):
        return ()
    differing, agreeing = _compare(first, second)
    if differing:
        sentence = f"The two results seem to be of different patients; what differs: {_join(differing)}."
        if not confirmed:
            raise PatientMismatch((sentence,))
        return (f"Confirmed by the user although: {sentence}",)
    return () if agreeing else (UNKNOWN,)


def _compare(first: Side, second: Side) -> tuple[list[str], bool]:
    """What differs, and whether something that tells patients apart is known of both and the same."""
    one, other = first.subject, second.subject
    marks = [("the birth dates", one.birth_date, other.birth_date), ("the names", one.name, other.name)]
    if one.choice == other.choice:  # an ID and a pseudonym are of one patient and still differ
        marks.insert(0, ("the patient IDs", one.patient_id, other.patient_id))
    known = [(what, a.strip().casefold(), b.strip().casefold()) for what, a, b in marks]
    differing = [what for what, a, b in known if a and b and a != b]
    agreeing = any(a and a == b for _, a, b in known)
    if _sex(first) and _sex(second) and _sex(first) != _sex(second):
        differing.append("the stated sexes")
    if first.record.simulated_case != second.record.simulated_case:
        differing.append("whether the patient is simulated")
    return differing, agreeing


def _sex(side: Side) -> str:
    """f, m, or empty where it is not stated."""
    values = {plain_name(name): one.value for name, one in side.record.given.items()}
    used = side.record.risk.covariates.used if side.record.risk.covariates else {}
    values |= {plain_name(name): text for name, text in used.items()}
    stated = (side.subject.sex or values.get("sex", "")).strip().casefold()
    return stated[:1] if stated[:1] in ("f", "m") else ""


def _join(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
