"""The card says what software knows, and asks people for the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from MemorySurvivalLib.bundle.card import OPEN_FIELD, find_open_fields, say_held_back
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.model_card import (
    QUESTIONS,
    CardFacts,
    CardMetric,
    Stated,
    empty_statements,
    read_stated,
    write_card,
)

FACTS = CardFacts(
    title="A model",
    simulated=False,
    n=40,
    events=25,
    flow="42 patients in the table, 2 no image, 40 remain.",
    first_scan="2015-01-02",
    last_scan="2019-03-04",
    follow_up="reverse Kaplan-Meier median 50 months",
    predictors=(("age_years", 0), ("haemoglobin_g_dl", 3)),
    missing_method="mean of the training patients",
    parameters={"image": 100_000},
    specification=(("Backbone", "compact"),),
    validation="Nested cross-validation.",
    performance={"image": (CardMetric("Harrell's c", 0.61, 0.5, 0.7, "mean over folds"),)},
    subgroups=(("sex", "male", "22", "14", "0.60"),),
    versions={"memory-survival": "1"},
    hashes={"cohort": "abc"},
)
FULL = Stated(**dict.fromkeys(QUESTIONS, "stated"))


def test_every_question_is_asked_and_open_without_an_answer() -> None:
    assert set(QUESTIONS) == {field.name for field in msgspec.structs.fields(Stated)}
    assert sorted(find_open_fields(write_card(FACTS, Stated()))) == sorted(QUESTIONS.values())


def test_one_answer_left_out_holds_it_back() -> None:
    card = write_card(FACTS, msgspec.structs.replace(FULL, ethics="  "))
    assert say_held_back(card) == "its model card leaves open what only people know (Ethics approval and consent)"
    assert say_held_back(write_card(FACTS, FULL)) is None


def test_the_software_fills_in_what_it_knows() -> None:
    card = write_card(FACTS, FULL)
    for text in (FACTS.flow, "40 patients, 25 events", "| haemoglobin_g_dl | 3 of 40 |", "0.500 to 0.700", "| male |"):
        assert text in card
    assert "25 / 100,000" in card and "expect overfitting" in card


def test_simulated_is_said() -> None:
    assert "(SIMULATED)" in write_card(replace(FACTS, simulated=True), Stated()).splitlines()[0]
    assert "SIMULATED" not in write_card(FACTS, Stated())


def test_an_answer_cannot_break_the_card() -> None:
    card = write_card(FACTS, msgspec.structs.replace(FULL, contact="a\n## Heading | b"))
    assert "a ## Heading / b" in card


def test_statements_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "stated.json"
    path.write_text(empty_statements())
    assert read_stated(path) == Stated() == read_stated(None)
    path.write_text('{"ethics": "yes", "unknown": ""}')
    with pytest.raises(InputError, match="unknown"):
        read_stated(path)
    assert OPEN_FIELD.startswith("TODO")
