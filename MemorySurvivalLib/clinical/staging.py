"""ISS, R-ISS and R2-ISS from laboratory and FISH values, computed only where every input is there."""

from __future__ import annotations

from collections.abc import Mapping

from MemorySurvivalLib.clinical.record import ClinicalScore
from MemorySurvivalLib.clinical.staging_fields import FISH, StagingValues, read_staging_values

ISS_CITATION = (
    "Greipp PR, San Miguel J, Durie BGM, et al. International staging system for multiple myeloma. "
    "J Clin Oncol 2005;23:3412-3420. doi:10.1200/JCO.2005.04.242"
)
R_ISS_CITATION = (
    "Palumbo A, Avet-Loiseau H, Oliva S, et al. Revised International Staging System for multiple myeloma: a report "
    "from International Myeloma Working Group. J Clin Oncol 2015;33:2863-2869. doi:10.1200/JCO.2015.61.2267"
)
R2_ISS_CITATION = (
    "D'Agostino M, Cairns DA, Lahuerta JJ, et al. Second Revision of the International Staging System (R2-ISS) for "
    "overall survival in multiple myeloma: a European Myeloma Network (EMN) report within the HARMONY project. "
    "J Clin Oncol 2022;40:3406-3418. doi:10.1200/JCO.21.02614"
)

LOW_BETA2_MG_L = 3.5
HIGH_BETA2_MG_L = 5.5
LEAST_ALBUMIN_G_DL = 3.5

R_ISS_FISH = ("del_17p", "t_4_14", "t_14_16")
R2_ISS_FISH = ("del_17p", "t_4_14", "gain_1q")

_BETA2, _ALBUMIN, _LDH, _LIMIT, _FISH = (
    "beta-2 microglobulin",
    "albumin",
    "LDH",
    "LDH upper limit of normal",
    "FISH",
)


def compute_scores(values: Mapping[str, str]) -> tuple[ClinicalScore, ...]:
    """ISS, R-ISS and R2-ISS, in this order, from one patient's values by column name (see `STAGING_FIELDS`).

    What is not known is never taken for normal: a score with a missing input has no value and names what is missing,
    even where the stage would be the same either way. Raises InputError for values that cannot be true.
    """
    known = read_staging_values(values)
    return iss_score(known), r_iss_score(known), r2_iss_score(known)


def iss_score(known: StagingValues) -> ClinicalScore:
    """ISS: I with beta-2 microglobulin < 3.5 mg/L and albumin >= 3.5 g/dL, III with beta-2 microglobulin >= 5.5 mg/L,
    else II (Greipp 2005)."""
    missing = _missing(known)
    stage = None if missing else _stage(known)
    return _score("ISS", stage, known, missing, ISS_CITATION)


def r_iss_score(known: StagingValues) -> ClinicalScore:
    """R-ISS: I with ISS I, normal LDH and none of del(17p), t(4;14), t(14;16); III with ISS III and either one of them
    or high LDH; else II (Palumbo 2015)."""
    missing = _missing(known, R_ISS_FISH)
    stage = None
    if not missing:
        iss, high_risk = _stage(known), any(known.fish[name] for name in R_ISS_FISH)
        worse = high_risk or bool(known.ldh_high)
        stage = "I" if iss == "I" and not worse else "III" if iss == "III" and worse else "II"
    return _score("R-ISS", stage, known, missing, R_ISS_CITATION, R_ISS_FISH)


def r2_iss_score(known: StagingValues) -> ClinicalScore:
    """R2-ISS: points for ISS II 1, ISS III 1.5, del(17p) 1, high LDH 1, t(4;14) 1, 1q gain or amplification 0.5; low 0,
    low-intermediate to 1, intermediate-high to 2.5, high from 3 (D'Agostino 2022)."""
    missing = _missing(known, R2_ISS_FISH)
    points, group = None, None
    if not missing:
        points = {"I": 0.0, "II": 1.0, "III": 1.5}[_stage(known)] + float(bool(known.ldh_high))
        points += sum({"gain_1q": 0.5}.get(name, 1.0) for name in R2_ISS_FISH if known.fish[name])
        group = _group(points)
    return _score("R2-ISS", group, known, missing, R2_ISS_CITATION, R2_ISS_FISH, points)


def _stage(known: StagingValues) -> str:
    """The ISS of values that are all there."""
    beta2, albumin = known.beta2_microglobulin_mg_l, known.albumin_g_dl
    if beta2 is None or albumin is None:
        raise ValueError("The ISS needs beta-2 microglobulin and albumin.")
    if beta2 >= HIGH_BETA2_MG_L:
        return "III"
    return "I" if beta2 < LOW_BETA2_MG_L and albumin >= LEAST_ALBUMIN_G_DL else "II"


def _group(points: float) -> str:
    if points == 0:
        return "low"
    if points <= 1:
        return "low-intermediate"
    return "intermediate-high" if points <= 2.5 else "high"


def _missing(known: StagingValues, fish: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The inputs that are not known, one by one; LDH belongs to every score that looks at FISH."""
    missing = [_BETA2] if known.beta2_microglobulin_mg_l is None else []
    missing += [_ALBUMIN] if known.albumin_g_dl is None else []
    if fish and known.ldh_high is None:
        missing.append(_LIMIT if known.ldh_without_limit else _LDH)
    return (*missing, *(f"{_FISH} {FISH[name]}" for name in fish if known.fish[name] is None))


def _score(
    name: str,
    value: str | None,
    known: StagingValues,
    missing: tuple[str, ...],
    citation: str,
    fish: tuple[str, ...] = (),
    points: float | None = None,
) -> ClinicalScore:
    sentence = f"{name} {value}." if points is None else f"{name} {value} ({points:g} points)."
    if value is None:
        sentence = f"{name} is not computable: {_say_missing(missing, fish)} missing."
    used = {title: text for title, text in known.written.items() if _belongs(title, fish)}
    return ClinicalScore(name, value, sentence, used, missing, citation, points)


def _say_missing(missing: tuple[str, ...], fish: tuple[str, ...]) -> str:
    """Such as "albumin, FISH"; single aberrations are named only where the others are known."""
    of_fish = [each for each in missing if each.startswith(_FISH)]
    if fish and len(of_fish) == len(fish):
        return ", ".join([*(each for each in missing if each not in of_fish), _FISH])
    return ", ".join(missing)


def _belongs(title: str, fish: tuple[str, ...]) -> bool:
    """Whether a score looks at an input."""
    if title in FISH.values():
        return title in [FISH[name] for name in fish]
    return bool(fish) or not title.startswith("LDH")
