"""What users supply: options, JSON, times as people write them, and values that cannot be."""

from __future__ import annotations

import argparse
from datetime import datetime, time
from typing import Any

import msgspec
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.suv_supplied import QUESTIONS, Supplied, add_pet_options, supplied_from

WORDS = [
    *("--pet-dose-mbq", "370", "--pet-injected", "2020-01-31 10:15", "--pet-scanned", "2020-01-31T11:15:30"),
    *("--pet-half-life-s", "6586.2", "--pet-weight-kg", "71", "--pet-height-m", "1.75", "--pet-sex", "F"),
]
ALL = Supplied(370e6, "2020-01-31 10:15", "2020-01-31T11:15:30", 6586.2, 71, 1.75, "F")


def parse(*words: str) -> Supplied:
    parser = argparse.ArgumentParser()
    add_pet_options(parser)
    return supplied_from(parser.parse_args(words))


def test_options() -> None:
    assert parse(*WORDS) == ALL
    assert parse() == Supplied() and parse().stated() == {}
    assert supplied_from(argparse.Namespace(pet="x")) == Supplied()


def test_every_question_names_an_option_that_exists() -> None:
    for name, question in QUESTIONS.items():
        assert parse(question.option, question.example.strip('"')).stated().keys() == {name}


def test_json_there_and_back() -> None:
    assert msgspec.json.decode(msgspec.json.encode(ALL), type=Supplied) == ALL
    assert msgspec.convert(ALL.stated(), Supplied) == ALL


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("2020-01-31 10:15", datetime(2020, 1, 31, 10, 15)),
        (" 2020-01-31T10:15:30 ", datetime(2020, 1, 31, 10, 15, 30)),
        ("10:15", time(10, 15)),
        ("9:05:30", time(9, 5, 30)),
    ],
)
def test_times(words: str, wanted: datetime | time) -> None:
    assert Supplied(injection_time=words).injected == wanted
    assert Supplied(scan_time=words).scanned == wanted


@pytest.mark.parametrize(
    "words", ["", "yesterday", "2020-01-31", "31.01.2020 10:15", "25:00", "2020-01-31 10:15+01:00"]
)
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(InputError, match=r'write it as in --pet-injected "2020-01-31 10:15"'):
        Supplied(injection_time=words)


@pytest.mark.parametrize(
    "values",
    [
        {"dose_bq": 370.0},
        {"dose_bq": float("nan")},
        {"weight_kg": 0.0},
        {"weight_kg": 70000.0},
        {"height_m": 175.0},
        {"half_life_s": -1.0},
        {"sex": "X"},
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="supplied"):
        Supplied(**values)
