"""The model card of a bundle, after TRIPOD+AI: what software knows is filled in, what only people know is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.card import OPEN_FIELD
from MemorySurvivalLib.errors import InputError


class Stated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only people know; an empty text is open, and keeps the bundle at local-research (TRIPOD+AI items)."""

    intended_use: str = ""
    care_setting: str = ""
    population: str = ""
    eligibility: str = ""
    recruitment_dates: str = ""
    treatments: str = ""
    outcome_definition: str = ""
    outcome_assessment: str = ""
    predictor_assessment: str = ""
    sample_size_rationale: str = ""
    missing_data_reasons: str = ""
    fairness: str = ""
    limitations: str = ""
    ethics: str = ""
    funding_and_interests: str = ""
    data_and_code: str = ""
    contact: str = ""


QUESTIONS: Mapping[str, str] = {
    "intended_use": "Intended use and users",
    "care_setting": "Care setting and centres",
    "population": "Population and how patients were found",
    "eligibility": "Eligibility criteria",
    "recruitment_dates": "Dates of recruitment and of the last follow-up",
    "treatments": "Treatments received, and how they were handled",
    "outcome_definition": "Outcome, its definition and time of origin",
    "outcome_assessment": "Who assessed the outcome, blinded or not, how often patients were seen",
    "predictor_assessment": "How and when predictors were measured, blinded to the outcome or not",
    "sample_size_rationale": "Why this sample size",
    "missing_data_reasons": "Why values are missing",
    "fairness": "Groups that may be served worse, and why",
    "limitations": "Known limitations",
    "ethics": "Ethics approval and consent",
    "funding_and_interests": "Funding and conflicts of interest",
    "data_and_code": "Registration, protocol, availability of data and code",
    "contact": "Who answers questions",
}


@dataclass(frozen=True)
class CardMetric:
    """One figure with its 95 % interval (None where there is none) and how it came about."""

    name: str
    value: float
    low: float | None
    high: float | None
    how: str


@dataclass(frozen=True)
class CardFacts:
    """What software knows of a model.

    `flow` is the exclusion flow's sentence, `predictors` (name and unit, missing in how many), `parameters` the number
    of trained weights by head, `performance` whole tables in Markdown rows, `subgroups` rows of (group, level, n,
    events, figure), `notes` sentences on what could not be done, `backbone_training` a section on how the backbone was
    trained (Markdown, with its heading), where that is known.
    """

    title: str
    simulated: bool
    n: int
    events: int
    flow: str
    first_scan: str
    last_scan: str
    follow_up: str
    predictors: tuple[tuple[str, int], ...]
    missing_method: str
    parameters: Mapping[str, int]
    specification: tuple[tuple[str, str], ...]
    validation: str
    performance: Mapping[str, tuple[CardMetric, ...]]
    subgroups: tuple[tuple[str, str, str, str, str], ...]
    versions: Mapping[str, str]
    hashes: Mapping[str, str]
    notes: tuple[str, ...] = ()
    backbone_training: str = ""


def read_stated(path: Path | None) -> Stated:
    """What people stated, from a JSON object with fields of `Stated`; all open without a file.

    Raises InputError for a file that cannot be read and for a field that is not known.
    """
    if path is None:
        return Stated()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Stated)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(
            f"The statements {path} cannot be read ({str(error).rstrip('.')}); give a JSON object with texts for "
            f"{', '.join(QUESTIONS)}."
        ) from error


def empty_statements() -> str:
    """A JSON object to be filled in by people."""
    return msgspec.json.format(msgspec.json.encode(Stated()), indent=1).decode() + "\n"


def write_card(facts: CardFacts, stated: Stated) -> str:
    """The card as Markdown."""
    simulated = " (SIMULATED)" if facts.simulated else ""
    parts = [
        f"# {_one_line(facts.title)}{simulated}",
        f"{RESEARCH_USE}. Reported after TRIPOD+AI (Collins 2024). "
        + (
            "The heads of this model learned from simulated patients only; it says nothing about any person."
            if facts.simulated
            else "Fields marked TODO keep this bundle at local-research until a person states them."
        ),
        _asked("Use", stated, ("intended_use", "care_setting")),
        _asked("Participants", stated, ("population", "eligibility", "recruitment_dates", "treatments")),
        f"- **Flow**: {facts.flow}\n- **Scans in the table**: {facts.first_scan or 'not stated'} to "
        f"{facts.last_scan or 'not stated'}",
        _asked("Outcome", stated, ("outcome_definition", "outcome_assessment")),
        f"- **Follow-up**: {facts.follow_up}",
        _asked("Predictors and missing data", stated, ("predictor_assessment", "missing_data_reasons")),
        _predictors(facts),
        _asked("Sample size", stated, ("sample_size_rationale",)),
        _sample_size(facts),
        "## Full specification\n\n"
        + "\n".join(f"- **{name}**: {_one_line(text)}" for name, text in facts.specification)
        + "\n\nWeights, preprocessing and baseline hazard are in this bundle's manifest and tensors.",
        facts.backbone_training.strip(),
        _performance(facts),
        _subgroups(facts),
        _asked("Fairness and limitations", stated, ("fairness", "limitations")),
        "\n".join(f"- {note}" for note in facts.notes) if facts.notes else "",
        _asked("Openness", stated, ("ethics", "funding_and_interests", "data_and_code", "contact")),
        "## Versions and hashes\n\n"
        + "\n".join(f"- {name}: {text}" for name, text in {**facts.versions, **facts.hashes}.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _asked(title: str, stated: Stated, names: tuple[str, ...]) -> str:
    lines = []
    for name in names:
        text = _one_line(str(getattr(stated, name)))
        lines.append(f"- **{QUESTIONS[name]}**: {text or OPEN_FIELD}")
    return f"## {title}\n\n" + "\n".join(lines)


def _predictors(facts: CardFacts) -> str:
    rows = "\n".join(f"| {name} | {missing} of {facts.n} |" for name, missing in facts.predictors)
    head = "| predictor | missing |\n| --- | --- |\n"
    return f"{head}{rows}\n\n- **Missing values**: {facts.missing_method}"


def _sample_size(facts: CardFacts) -> str:
    lines = [f"- **Patients and events**: {facts.n} patients, {facts.events} events"]
    for name, count in facts.parameters.items():
        each = facts.events / count if count else 0.0
        lines.append(
            f"- **Events per trained parameter, head {name}**: {facts.events} / {count:,} = {each:.2g}"
            + (" (far fewer than one: expect overfitting)" if each < 1 else "")
        )
    return "\n".join(lines)


def _performance(facts: CardFacts) -> str:
    parts = [f"## Discrimination and calibration\n\n{facts.validation}"]
    for head, metrics in facts.performance.items():
        rows = "\n".join(
            f"| {metric.name} | {metric.value:.3f} | "
            + (f"{metric.low:.3f} to {metric.high:.3f}" if metric.low is not None and metric.high is not None else "-")
            + f" | {_one_line(metric.how)} |"
            for metric in metrics
        )
        parts.append(f"Head {head}:\n\n| figure | value | 95 % interval | how |\n| --- | --- | --- | --- |\n{rows}")
    if not facts.performance:
        parts.append("No figure could be computed; see the notes.")
    return "\n\n".join(parts)


def _subgroups(facts: CardFacts) -> str:
    if not facts.subgroups:
        return (
            "## Subgroups\n\nNo figures by sex, age, scanner or site: the table does not say them, or too few events."
        )
    rows = "\n".join(f"| {' | '.join(map(str, row))} |" for row in facts.subgroups)
    head = "| by | group | patients | events | c-index, out of fold |\n| --- | --- | --- | --- | --- |\n"
    return f"## Subgroups\n\n{head}{rows}"


def _one_line(text: str) -> str:
    """A text that cannot break a list or a table of the card, nor mark a field as open."""
    return " ".join(text.replace("|", "/").split())
