"""The quantities SUV needs, each from the user or from a tag, checked for what can be true, never guessed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.pet_tags import ISOTOPE_HALF_LIVES_S, PetTags
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.suv_supplied import (
    BQ_PER_MBQ,
    PLAUSIBLE,
    QUESTIONS,
    Field,
    Sex,
    Supplied,
    describe_number,
)
from MemorySurvivalLib.imaging.suv_times import SAME_S, Reference, find_reference, place_clock

MBQ_VALUES = (25.0, 2000.0)
"""A dose tag in this range can only be MBq: as Bq it is nothing, and below it could be mCi."""

USUAL_DOSE_MBQ = (25.0, 1000.0)
USUAL_WEIGHT_KG = (25.0, 250.0)
HALF_LIFE_CLOSE, HALF_LIFE_WRONG = 0.01, 0.05
LONGEST_HALF_LIVES = 10.0
"""No scan is made later than this many half-lives after the injection; the dates do not belong together then."""


class MissingPetTags(InputError):
    """Tags that SUV needs and the series lacks, or that cannot be true; `missing` names the fields of `Supplied`."""

    def __init__(self, problems: dict[Field, str]) -> None:
        self.missing: tuple[str, ...] = tuple(problems)
        self.details = {"missing": self.missing}
        told = "; ".join(problems.values())
        options = " ".join(f"{QUESTIONS[name].option} {QUESTIONS[name].example}" for name in problems)
        super().__init__(f"The PET cannot be converted to SUV: {told}; supply what is right, as in {options}.")


@dataclass
class PetValues:
    """Asks tags and user for one quantity after another and keeps what was found, where from, and what is wrong.

    Every question may be asked several times. A quantity that cannot be had is None and stands in `problems`; call
    `insist` when all that is needed was asked for.
    """

    tags: PetTags
    supplied: Supplied
    problems: dict[Field, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    _flags: dict[str, QualityFlag] = field(default_factory=dict)

    @property
    def flags(self) -> tuple[QualityFlag, ...]:
        """What was noticed so far, each sentence once."""
        return tuple(self._flags.values())

    def flag(self, *flags: QualityFlag) -> None:
        """Keep flags."""
        for one in flags:
            self._flags.setdefault(one.sentence, one)

    def insist(self) -> None:
        """Raise MissingPetTags if anything asked for was not to be had."""
        if self.problems:
            raise MissingPetTags(self.problems)

    def dose_bq(self) -> float | None:
        """Injected activity in Bq. A tag that can only be MBq is taken as that, with a note."""
        stated = self.tags.dose
        tagged = stated
        if stated is not None and MBQ_VALUES[0] <= stated <= MBQ_VALUES[1]:
            tagged = stated * BQ_PER_MBQ
            if self.supplied.dose_bq is None:
                sentence = f"The dose tag (0018,1074) holds {stated:g}, which can only be MBq; it was read as that."
                self.flag(QualityFlag("dose", "note", sentence, stated))
        hint = ", in which MBq and mCi cannot be told apart" if stated and 1 <= stated < MBQ_VALUES[0] else ""
        dose = self._number("dose_bq", tagged, f"{stated:g} Bq{hint}" if stated is not None else "")
        if dose is not None and not USUAL_DOSE_MBQ[0] <= dose / BQ_PER_MBQ <= USUAL_DOSE_MBQ[1]:
            sentence = f"The injected dose of {dose / BQ_PER_MBQ:g} MBq is unusual; check it."
            self.flag(QualityFlag("dose", "warning", sentence, dose / BQ_PER_MBQ))
        return dose

    def weight_kg(self) -> float | None:
        """The patient's weight; one of 500 or more is surely grams and refused."""
        tagged = self.tags.weight_kg
        hint = ", which looks like grams" if tagged and tagged > PLAUSIBLE["weight_kg"][1] else ""
        weight = self._number("weight_kg", tagged, f"{tagged:g} kg{hint}" if tagged is not None else "")
        if weight is not None and not USUAL_WEIGHT_KG[0] <= weight <= USUAL_WEIGHT_KG[1]:
            self.flag(QualityFlag("weight", "warning", f"The weight of {weight:g} kg is unusual; check it.", weight))
        return weight

    def height_m(self) -> float | None:
        """The patient's height; one above 2.6 is surely centimetres and refused."""
        tagged = self.tags.height_m
        hint = ", which looks like centimetres" if tagged and tagged > PLAUSIBLE["height_m"][1] else ""
        return self._number("height_m", tagged, f"{tagged:g} m{hint}" if tagged is not None else "")

    def sex(self) -> Sex | None:
        """The patient's sex as DICOM has it."""
        tagged: Sex | None = {"F": "F", "M": "M", "O": "O"}.get(self.tags.sex)  # type: ignore[assignment]
        found = self.supplied.sex or tagged
        if found is None:
            self._miss("sex", f'is "{self.tags.sex}"' if self.tags.sex else "is missing")
            return None
        self._source("sex", found, tagged, found, tagged)
        return found

    def half_life_s(self) -> float | None:
        """The radionuclide's half-life; where only the tag lacks and the radionuclide is coded, that one's, noted."""
        isotope, tagged = self.tags.isotope, self.tags.half_life_s
        known = ISOTOPE_HALF_LIVES_S.get(isotope)
        if self.supplied.half_life_s is None and tagged is None and known:
            sentence = f"The half-life is not in the file; that of {isotope}, which the file names, was taken."
            self.flag(QualityFlag("half_life", "note", sentence, known))
            self.sources["half_life_s"] = f"radionuclide {isotope} (0054,0300)"
            return known
        half_life = self._number("half_life_s", tagged, f"{tagged:g} s" if tagged is not None else "")
        if half_life is None or not known:
            return half_life
        error = abs(half_life / known - 1)
        if error > HALF_LIFE_WRONG and self.supplied.half_life_s is None:
            self._miss("half_life_s", f"is {half_life:g} s, but that of {isotope} is {known:g} s")
            return None
        if error > HALF_LIFE_CLOSE:
            sentence = f"The half-life of {half_life:g} s differs from that of {isotope}, {known:g} s; check it."
            self.flag(QualityFlag("half_life", "warning", sentence, half_life))
        return half_life

    def reference(self) -> Reference | None:
        """The time values are decay-corrected to, as the user or the tags tell; what speaks against it is flagged."""
        self.problems.pop("scan_time", None)
        half_life_s, (low, high) = self.supplied.half_life_s or self.tags.half_life_s, PLAUSIBLE["half_life_s"]
        found = find_reference(self.tags, half_life_s if half_life_s and low <= half_life_s <= high else None)
        stated = self.supplied.scanned
        if stated is None:
            if found is None:
                self._miss("scan_time", "is missing")
            else:
                self.flag(*found.flags)
                self.sources["reference_time"] = found.source
            return found
        at = stated if isinstance(stated, datetime) else self._on_scan_day(stated, found)
        if at is None:
            self._miss("scan_time", "was supplied without a date, and the file tells none")
            return None
        if found and abs((found.at - at).total_seconds()) > SAME_S:
            self._contradict("scan_time", f"{at:%Y-%m-%d %H:%M:%S}", f"{found.at:%Y-%m-%d %H:%M:%S}")
        self.sources["reference_time"] = "supplied"
        return Reference(at, "supplied time")

    def injected(self, scanned: datetime | None, half_life_s: float | None) -> datetime | None:
        """When the dose was injected, seen from the scan's start; refused when after it or far too long before.

        Without the scan's time only whether an injection is told at all is looked at.
        """
        self.problems.pop("injection_time", None)
        if scanned is None:
            if not (self.supplied.injected or self.tags.injected or self.tags.injected_at):
                self._miss("injection_time", "is missing, as is (0018,1072)")
            return None
        tagged = self.tags.injected or self._place(self.tags.injected_at, scanned, quiet=self.supplied.injected)
        stated = self.supplied.injected
        found = self._place(stated, scanned) if isinstance(stated, time) else stated or tagged
        if found is None:
            self._miss("injection_time", "is missing, as is (0018,1072)")
            return None
        problem = self._find_time_problem(found, scanned, half_life_s)
        if problem:
            self._miss("injection_time", problem)
            return None
        self._source("injection_time", found, tagged, f"{found:%Y-%m-%d %H:%M:%S}", tagged)
        if stated is None:
            self._compare_injections(found)
        return found

    def _find_time_problem(self, injected: datetime, scanned: datetime, half_life_s: float | None) -> str:
        seconds = (scanned - injected).total_seconds()
        times = f"{injected:%Y-%m-%d %H:%M:%S}, the scan {scanned:%Y-%m-%d %H:%M:%S}"
        if seconds < 0:
            clock = place_clock(injected.time(), scanned)
            minutes = (scanned - clock).total_seconds() / 60
            hint = f" (by the times of day alone it would be {minutes:.0f} min before)" if clock != injected else ""
            return f"is after the scan: {times}{hint}"
        if half_life_s and seconds > LONGEST_HALF_LIVES * half_life_s:
            return f"is more than {LONGEST_HALF_LIVES:g} half-lives before the scan: {times}"
        return ""

    def _compare_injections(self, found: datetime) -> None:
        tags = self.tags
        clock = None if tags.injected is None or tags.injected_at is None else place_clock(tags.injected_at, found)
        for words, other in (("start time (0018,1072)", clock), ("GE's injection time (0009,103B)", tags.ge_injected)):
            apart = abs((found - other).total_seconds()) if other else 0.0
            if other and min(apart, abs(apart - 86400)) > 60:
                sentence = (
                    f"The injection is told as {found:%H:%M:%S}, which is used, but the {words} says {other:%H:%M:%S}."
                )
                self.flag(QualityFlag("injection_time", "warning", sentence, round(apart, 1)))

    def _place(self, at: datetime | time | None, scanned: datetime, quiet: object = None) -> datetime | None:
        if at is None or isinstance(at, datetime):
            return at
        placed = place_clock(at, scanned)
        if placed.date() != scanned.date() and quiet is None:
            sentence = (
                f"The injection at {at:%H:%M:%S} has no date and is later in the day than the scan at "
                f"{scanned:%H:%M:%S}; it was taken as the day before."
            )
            self.flag(QualityFlag("injection_time", "note", sentence))
        return placed

    def _on_scan_day(self, at: time, found: Reference | None) -> datetime | None:
        acquired = [part.acquired for part in self.tags.slices if part.acquired]
        day = found.at if found else min(acquired, default=None)
        return datetime.combine(day.date(), at) if day else None

    def _number(self, name: Field, tagged: float | None, shown: str) -> float | None:
        """The supplied number, else the tag's if it can be true, else a problem."""
        self.problems.pop(name, None)
        low, high = PLAUSIBLE[name]
        good = tagged if tagged is not None and low <= tagged <= high else None
        stated: float | None = getattr(self.supplied, name)
        found = good if stated is None else stated
        if found is None:
            self._miss(name, f"is {shown}, which cannot be right" if shown else "is missing")
            return None
        self._source(name, found, good, describe_number(name, found), good and describe_number(name, good))
        return found

    def _source(self, name: Field, found: object, tagged: object, words: str, tag_words: object) -> None:
        stated = getattr(self.supplied, name) is not None
        self.sources[name] = "supplied" if stated else f"tag {QUESTIONS[name].tag}"
        if not stated or tagged is None:
            return
        if isinstance(found, float | int) and isinstance(tagged, float | int):
            same = abs(found / tagged - 1) < 1e-3
        elif isinstance(found, datetime) and isinstance(tagged, datetime):
            same = abs((found - tagged).total_seconds()) <= SAME_S
        else:
            same = found == tagged
        if not same:
            self._contradict(name, words, str(tag_words))

    def _contradict(self, name: Field, stated: str, tagged: str) -> None:
        sentence = f"The {QUESTIONS[name].words} was supplied as {stated} and is used; the file says {tagged}."
        self.flag(QualityFlag(f"supplied_{name}", "note", sentence))

    def _miss(self, name: Field, problem: str) -> None:
        self.problems[name] = f"the {QUESTIONS[name].words} {QUESTIONS[name].tag} {problem}"
